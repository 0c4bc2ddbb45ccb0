"""The emoji that come with the package, made from two packages of npm."""

from collections.abc import Mapping, Sequence
import hashlib
import os
import tarfile
from typing import Any

import numpy as np
import PIL

from mmal_jax.data import emoji
from mmal_jax.data.images import images
from mmal_jax.files import durable
from mmal_jax.files import json_object

_VENDORS = dict(zip(emoji.STYLES, ('google', 'twitter')))
_TONES = 'Component'  # the category of the skin tones themselves


def make(
    archives: Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    command: str,
) -> int:
  """Writes sheets, table and description; returns the number of emoji.

  Args:
    archives: by style, what `npm pack` has brought.
    out: folder, which is there.
    command: to state in the description.

  Raises:
    ValueError: if an archive is another, if the two are of different versions
      of the emoji, or an image cannot be read.
    OSError: if an archive cannot be read.
  """
  sources, tables, drawings = {}, [], {}
  for style, path in archives.items():
    vendor = _VENDORS[style]
    folder = f'img/{vendor}/64'
    try:
      files = _files(path, folder)
      about = json_object.loads(files['package.json'])
      if about.get('name') != f'emoji-datasource-{vendor}':
        raise ValueError(f'it holds {about.get("name")!r}')
      tables.append(_taken(json_object.loads(files['emoji.json'])))
      drawings[style] = np.stack([
          images.decode(files[f'{folder}/{entry["image"]}'], emoji.SIZE)
          for entry in tables[-1]])
    except (tarfile.TarError, KeyError, ValueError) as e:
      raise ValueError(f'{vendor}={os.fspath(path)!r} cannot be taken: '
                       f'{e}.') from e
    sources[style] = {
        'package': about['name'], 'version': about['version'],
        'sha256': hashlib.sha256(durable.read(path)).hexdigest()}
  if tables[0] != tables[1]:
    raise ValueError('the two archives hold different tables of emoji: take '
                     'the same version of both.')
  emoji.write(
      out,
      [emoji.Emoji(e['short_name'], e['unified'], e['category'])
       for e in tables[0]],
      drawings,
      {'command': command, 'pillow': PIL.__version__, 'sources': sources})
  return len(tables[0])


def _files(path, folder: str) -> dict[str, bytes]:
  """What an archive holds in its top folder and in `folder`, in one pass."""
  with tarfile.open(path) as archive:
    return {
        name: archive.extractfile(member).read() for member in archive
        if member.isfile()
        for name in [member.name.removeprefix('package/')]
        if os.path.dirname(name) in ('', folder)}


def _taken(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """Those that both vendors draw, in the order of Unicode's own list."""
  return sorted(
      (entry for entry in entries
       if all(entry[f'has_img_{vendor}'] for vendor in _VENDORS.values())
       and entry['category'] != _TONES),
      key=lambda entry: (entry['sort_order'], entry['unified']))
