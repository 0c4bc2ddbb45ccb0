"""Seals of folders: digests of their files, and of which run these are.

A folder `NAME` has its seal beside it, `NAME.sha256.json`, written last: what a
program that died had not written whole has none. It holds the name, too: a
folder of the same run, copied with its seal, passes for no other.
"""

from collections.abc import Iterator, Mapping
import hashlib
import json
import pathlib
from typing import Any

from absl import logging
from etils import epath

from mmal_jax.files import durable
from mmal_jax.files import plain_text

ENDING = '.sha256.json'
_DAMAGED = 'damaged_'


class OfAnother(ValueError):
  """A folder belongs to another run."""


def path(folder: epath.Path) -> epath.Path:
  """Where the seal of a folder lies."""
  return folder.with_name(f'{folder.name}{ENDING}')


def write(
    folder: epath.Path, run: Mapping[str, str | int] | None,
    more: Mapping[str, str] | None = None,
) -> None:
  """Seals a folder.

  Args:
    folder: that is written whole.
    run: that it is of, by names of its own; None for any.
    more: digests of what lies elsewhere, and belongs to it.
  """
  text = _text({**digests(folder), **(more or {})}, run, folder.name)
  if '://' in str(folder):  # There a file appears once it is whole.
    path(folder).write_text(text)
  else:
    durable.write(pathlib.Path(path(folder)), text)


def wrong_with(
    folder: epath.Path, run: Mapping[str, str | int] | None,
    more: Mapping[str, str] | None = None, what: str = 'files',
    remedy: str = 'Move it away.',
) -> str | None:
  """What is wrong with a sealed folder; None if nothing is.

  Args:
    folder: it need not exist.
    run: whose it must be; None takes that of any.
    more: as for `write`, as it is now.
    what: it holds, for the error.
    remedy: what to do where it is another run's, for the error.

  Raises:
    OfAnother: if it is another run's.
  """
  found = {**digests(folder), **(more or {})}
  try:
    text = path(folder).read_text()
    fields = json.loads(text)
    sealed, of = fields['files'], fields['run']
    # Earlier versions wrote no name. Their seals hold: without them every
    # state of a run begun by one would be quarantined, and computed again.
    sealed_as = fields.get('name')
    if text != _text(sealed, of, sealed_as):
      return 'its seal is broken'
    if run is not None and of != dict(run):
      raise OfAnother(
          f'{folder} holds {what} of {durable.run_in_words(of)}, not of '
          f'{durable.run_in_words(run)}: nothing of it is used, and it is left '
          f'as it is. {remedy}')
    if sealed_as not in (None, folder.name):
      return f'it was sealed as {plain_text.for_terminal(sealed_as)}'
    for name in sorted({*sealed, *found}):
      if name not in found:
        return f'{name} is missing'
      if found[name] != sealed.get(name):
        return f'{name} is not as it was written'
    return None
  except OfAnother:
    raise
  except FileNotFoundError:
    return 'it has no seal'
  except (AttributeError, KeyError, OSError, RecursionError, TypeError,
          ValueError):
    return 'its seal is broken'


def quarantine(folder: epath.Path, what: str, wrong: str) -> None:
  """Renames a folder that is damaged, and removes its seal, with a warning.

  Args:
    folder: it need not exist.
    what: it holds, for the warning.
    wrong: of `wrong_with`.
  """
  aside = durable.unused(folder.with_name(f'{_DAMAGED}{folder.name}'))
  path(folder).unlink(missing_ok=True)
  if folder.exists():
    folder.rename(aside)
  logging.warning(
      '%s in %s is damaged: %s. It is renamed to %s.', what, folder.parent,
      wrong, aside.name)


def digests(folder: epath.Path) -> dict[str, str]:
  """The SHA-256 of every file, by its path in the folder."""
  found = {}
  for file_path in _within(folder):
    name = str(file_path.relative_to(folder))
    # Who reads a pipe waits for it.
    if '://' not in str(file_path) and not pathlib.Path(file_path).is_file():
      found[name] = 'no file'
      continue
    digest = hashlib.sha256()
    with file_path.open('rb') as file:
      while part := file.read(1 << 20):
        digest.update(part)
    found[name] = digest.hexdigest()
  return found


def _within(folder: epath.Path) -> Iterator[epath.Path]:
  """All files in a folder, and in those in it."""
  if '://' not in str(folder):
    for parent, _, names in folder.walk():
      yield from map(parent.joinpath, names)
    return
  # There `walk` yields paths without a scheme, which are local ones.
  for path in folder.iterdir() if folder.is_dir() else ():
    if path.is_dir():
      yield from _within(path)
    else:
      yield path


def _text(
    found: Mapping[str, str], run: Mapping[str, Any] | None, name: str | None
) -> str:
  """What a seal holds; without a name, as earlier versions wrote it."""
  return json.dumps({
      'run': None if run is None else dict(run),
      **({} if name is None else {'name': name}),
      'files': dict(sorted(found.items()))}, indent=1) + '\n'
