"""Shards of tar files, as img2dataset and DataComp write them.

A shard holds `KEY.jpg` (or another ending of JPEG, PNG and WebP) and `KEY.txt`
for each pair, and maybe `KEY.json`, which is not read; where a key ends is said
in `webdataset_names`. What systems add to archives is passed over as
`image_listing` does. Tar files are read where they are: each once from its
start to its end for names and places; images stay in them, and nothing is ever
unpacked to disk.

References:
  Gadre et al., DataComp, 2023. Aizman et al., High performance I/O for large
  scale deep learning, 2019, section IV (WebDataset).
"""

from collections.abc import Iterator, Sequence
import glob
import io
import os
import pathlib
import tarfile
from typing import NamedTuple

from absl import logging

from mmal_jax.data import schema
from mmal_jax.data import splits as splits_lib
from mmal_jax.data import webdataset_names
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import images as images_lib
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import downloads
from mmal_jax.files import durable
from mmal_jax.files import problems as problems_lib
from mmal_jax.files import text_file

_MAX_NAMED = 3  # members in a warning
_MAX_TEXT = 2**20  # bytes; what is longer is no caption
_MAX_HEADER = 2**13  # bytes of a member's name and times; paths have 2**12
_MAX_REST = 2**20  # bytes of zeros after the end; tar writes ten thousand
_BLOCK = 512  # what a tar file is made of

Shards = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Pair(NamedTuple):
  """One sound pair: where it stands, its image, its text."""

  where: str
  image: image_files.Part
  text: str


def load(
    shards: Shards,
    test_shards: Shards | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    image_size: int | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """Reads pairs of an image and a text from uncompressed tar files.

  Args:
    shards: paths, or a pattern with `*`, `?` or `[...]` that finds them.
    test_shards: the same of the test set.
    test_fraction: share of pairs held out where there are no `test_shards`.
      Pairs of the same image stay together.
    seed: of that division.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    preprocess: in place of `image_size`: images stay in their shards, and this
      is done to them whenever they are needed.

  Returns:
    The dataset, pairs in the order of the shards and within them; it has no
    groups and no `pretrain`.

  Raises:
    ValueError: if there are no shards; listing every problem with its shard:
      members that are links or lead elsewhere, that appear twice or miss their
      counterpart, damaged archives or two in one file, texts and images that
      cannot be read.
  """
  size = checked_images.size_of(image_size, preprocess)
  paths = _paths('shards', shards)
  test_paths = [] if test_shards is None else _paths('test_shards', test_shards)
  shared = set(paths) & set(test_paths)
  if shared:
    raise ValueError(f'{sorted(map(str, shared))} are among both shards and '
                     'test_shards.')
  problems: list[str] = []
  unread: list[str] = []
  pairs = [pair for path in paths + test_paths
           for pair in _read(path, problems, unread)]
  if unread:
    more = ', ...' if len(unread) > _MAX_NAMED else ''
    logging.warning(
        '%d members of %d shard(s) are no image, text or JSON of a pair: %s%s.',
        len(unread), len(paths + test_paths), ', '.join(
            map(problems_lib.shortened, unread[:_MAX_NAMED])), more)
  pixels = checked_images.decode(
      {pair.image: pair.where for pair in pairs}, size, problems)
  if not pairs and not problems:
    problems.append('they hold no pairs.')
  problems_lib.report(
      f'the set of {len(paths) + len(test_paths)} shard(s)', problems)
  digests = checked_images.digests(pixels)
  if test_shards is None:
    is_test = splits_lib.hold_out(
        [(digests[pair.image],) for pair in pairs], test_fraction, seed)
  else:
    of_test = set(test_paths)
    is_test = [pair.image.path in of_test for pair in pairs]
    if all(is_test) or not any(is_test):
      raise ValueError('shards or test_shards hold no pairs.')
  pool, test = ([pair for pair, t in zip(pairs, is_test) if t == wanted]
                for wanted in (False, True))
  checked_images.warn_of_shared(*(
      [digests[pair.image] for pair in side] for side in (pool, test)))
  return schema.Dataset('webdataset', *(
      schema.image_text(
          checked_images.gather(
              [pair.image for pair in side], pixels, preprocess),
          tuple(pair.text for pair in side), schema.no_groups(len(side)))
      for side in (pool, test)))


def _paths(name: str, shards: Shards) -> list[pathlib.Path]:
  """The shards, in order of their paths where a pattern finds them."""
  if isinstance(shards, (str, os.PathLike)):
    pattern = os.fspath(shards)
    found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
  elif isinstance(shards, Sequence):
    found = list(shards)
  else:
    raise TypeError(f'{name}={shards!r} must be a path, a pattern or a list of '
                    'paths.')
  paths = [pathlib.Path(path).resolve() for path in found]
  if not paths or len(set(paths)) < len(paths):
    raise ValueError(f'{name}={shards!r} '
                     f'{"names one twice" if paths else "finds no file"}.')
  return paths


class _Headers(io.BufferedReader):
  """A tar file that is never read by more than a header at once."""

  def read(self, size: int | None = -1, /) -> bytes:
    # tarfile asks for as many bytes as a header says, be it all there are.
    if size is None or not 0 <= size <= _MAX_HEADER:
      raise OSError(f'a header has {size} bytes; at most {_MAX_HEADER} are '
                    'read')
    return super().read(size)


def _read(
    path: pathlib.Path, problems: list[str], unread: list[str]
) -> Iterator[Pair]:
  """Yields a shard's sound pairs; `unread` takes members of no use."""
  parts: list[image_files.Part] = []
  try:
    for member in _members(path, problems):
      wrong = _wrong_member(member)
      if wrong:
        problems.append(f'{path.name} member {member.name!r}: {wrong}.')
      elif not any(map(image_listing.is_of_a_system,
                       pathlib.PurePosixPath(member.name).parts)):
        parts.append(image_files.Part(
            path, member.name, member.offset_data, member.size))
  except Exception as e:  # tarfile raises a dozen kinds
    problems.append(f'{path.name}: it cannot be read as an uncompressed tar: '
                    f'{_reason(e)}.')
  names = webdataset_names.pair([part.name for part in parts])
  problems += [f'{path.name}: {problem}' for problem in names.problems]
  unread += [f'{path.name} member {parts[i].name!r}' for i in names.unread]
  for image, text in names.pairs:
    where = f'{path.name} member {parts[text].name!r}'
    text = _text(parts[text], where, problems)
    yield Pair(f'{path.name} member {parts[image].name!r}', parts[image], text)


def _reason(error: Exception) -> str:
  """Why a shard cannot be read."""
  if isinstance(error, RecursionError):
    return 'its headers are nested too deep'
  return problems_lib.shortened(durable.reason(error))


def _members(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tarfile.TarInfo]:
  """All but folders, as far as they lie within the file."""
  if not path.is_file():
    raise OSError('it is no regular file')
  wrong = downloads.wrong(path) or downloads.archive(path)
  if wrong is not None:
    raise ValueError(f'it {wrong}')
  end, whole = 0, path.stat().st_size
  with _Headers(io.FileIO(path)) as file:
    with tarfile.open(fileobj=file, mode='r:') as tar:
      for member in tar:
        if member.size < 0:
          problems.append(
              f'{path.name} member {member.name!r}: its size is {member.size}.')
          return  # It would lead back to where it came from.
        end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
        if end > whole:
          break
        if not member.isdir():
          yield member
        tar.members.clear()  # It would keep all of them.
    # tarfile takes what is no header for the end, and nothing at all, too.
    if end + _BLOCK > whole:
      problems.append(f'{path.name}: it has no end: it was cut.')
      return
    rest = whole - end
    if rest > _MAX_REST:
      problems.append(f'{path.name}: {rest} bytes follow its end; at most '
                      f'{_MAX_REST} of zeros may.')
      return
    file.seek(end)
    if file.read(_BLOCK).strip(b'\0'):
      problems.append(f'{path.name}: damaged from byte {end} on.')
      return
    while block := file.read(_MAX_HEADER):
      if block.strip(b'\0'):
        problems.append(f'{path.name}: it goes on after its end, before byte '
                        f'{file.tell()}: one archive a file is needed.')
        return


def _wrong_member(member: tarfile.TarInfo) -> str | None:
  name = pathlib.PurePosixPath(member.name)
  if name.is_absolute() or '..' in name.parts:
    return 'its name leads out of the archive'
  if not member.isreg() or member.issparse():
    return 'it is no plain file, but a link or the like'
  if member.size > images_lib.MAX_BYTES:
    return (f'its {member.size} bytes are more than an image of '
            f'{images_lib.MAX_BYTES} has')
  return None


def _text(part: image_files.Part, where: str, problems: list[str]) -> str:
  """Reads a text into memory; empty, and a problem reported, if it is none."""
  if part.size > _MAX_TEXT:
    problems.append(f'{where}: {part.size} bytes are no caption.')
    return ''
  try:
    text = text_file.decode(part.read_bytes())
  except ValueError as e:
    problems.append(f'{where}: it is {e}.')
    return ''
  wrong = problems_lib.of_text('text', text)
  problems += [f'{where}: {what}.' for what in wrong]
  return text
