"""Folders of the cache of huggingface_hub, given in place of a checkpoint's."""

import pathlib

from mmal_jax.files import plain_text

_REPOSITORY = 'models--'
_SHOWN = 10


def snapshot(folder: pathlib.Path) -> pathlib.Path:
  """The folder with a checkpoint's files, where a cache's is given.

  Args:
    folder: any. Of `models--OWNER--NAME` it is the snapshot that `refs/main`
      names, or the only one; likewise of the `snapshots` within it.

  Returns:
    `folder` itself where it is none of a cache.

  Raises:
    ValueError: if there are several, or none; or if it is the whole cache.
  """
  if folder.name == 'snapshots' and folder.parent.name.startswith(_REPOSITORY):
    folder = folder.parent
  snapshots = folder / 'snapshots'
  if folder.name.startswith(_REPOSITORY) or (
      snapshots.is_dir() and (folder / 'refs').is_dir()):
    found = sorted(path for path in _entries(snapshots) if path.is_dir())
    main = folder / 'refs' / 'main'
    if main.is_file():
      named = snapshots / main.read_text(errors='replace').strip()
      if named in found:
        return named
    if len(found) == 1:
      return found[0]
    raise ValueError(
        f'{folder} is of the cache of huggingface_hub and holds '
        + (f'{len(found)} snapshots: give one of them: {_names(found)}.'
           if found else 'no snapshot: download the checkpoint again.'))
  inner = folder / 'hub' if (folder / 'hub').is_dir() else folder
  repositories = [path for path in _entries(inner)
                  if path.name.startswith(_REPOSITORY)]
  if repositories:
    raise ValueError(
        f'{folder} is the cache of huggingface_hub: give the folder of one '
        f'checkpoint in it, such as {_names(repositories)}.')
  return folder


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
  return sorted(folder.iterdir()) if folder.is_dir() else []


def _names(paths: list[pathlib.Path]) -> str:
  more = f' and {len(paths) - _SHOWN} more' if len(paths) > _SHOWN else ''
  return plain_text.for_terminal(', '.join(map(str, paths[:_SHOWN]))) + more
