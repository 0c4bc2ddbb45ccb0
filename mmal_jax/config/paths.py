"""The paths that a user gives, by flags and in configs alike.

A shell leaves the tilde of `--workdir=~/runs` as it is, and a config file knows
no shell at all: here `~` and `$VARIABLE` become what they stand for, once. The
paths in a saved config have been through that: `escape` is for those that a
user may add to.
"""

from collections.abc import Iterator, Sequence
import inspect
import os
import re
from typing import Any

from etils import epath
import ml_collections

from mmal_jax.data import registry as datasets_lib
from mmal_jax.files import plain_text

# Values of a config that hold a path, beside those of its dataset.
INIT, STATES, PEOPLE = 'init', 'states', 'oracle.folder'
MIRROR = 'mirror'
OTHERS = (INIT, STATES, MIRROR, PEOPLE, 'text.folder')
# Two dollars stand for one.
_DOLLAR = re.compile(r'\$(\$|[A-Za-z_]\w*|\{[A-Za-z_]\w*\})', re.A)


def expand(path: str | os.PathLike[str], name: str = 'path') -> str:
  """A path with its leading `~` or `~user`, and each `$VARIABLE`, replaced.

  `$$` stands for one dollar, and so does each in the name of what exists.

  Args:
    path: as the user wrote it. What has a scheme, as gs://, is not changed.
    name: of the flag or the value of the config, for the error.

  Raises:
    ValueError: if it is empty, or names a user or a variable that does not
      exist.
  """
  path = os.fspath(path)
  if not path.strip():
    raise ValueError(f'{name}={path!r} is empty: give a path.')
  if '://' in path:
    return path

  def replace(found):
    if found[1] == '$':
      return '$'
    value = os.environ.get(found[1].strip('{}'))
    if not value:
      raise ValueError(
          f'{name}={path!r} does not exist, and the environment has no variable'
          f' {found[0]}. Write the path out; $$ stands for the character $.')
    return value

  first, *others = path.split('/')
  expanded = _replaced('', first, replace)
  if expanded.startswith('~'):
    home = os.path.expanduser(expanded)
    if home == expanded:
      raise ValueError(
          f'{name}={path!r}: there is no user '
          f'{expanded[1:].partition("/")[0]!r} on this machine; write the path '
          f'out, or ./{path} if it is called that.')
    expanded = home
  for part in others:
    expanded = _replaced(f'{expanded}/', part, replace)
  return expanded


def _replaced(before, part, replace) -> str:
  """The start of a path and its next part, in which dollars are replaced."""
  if '$$' in part:
    escaped = before + part.replace('$$', '$')
    if os.path.lexists(escaped):
      return escaped
  if '$' not in part or os.path.lexists(before + part):
    return before + part
  return before + _DOLLAR.sub(replace, part)


def absolute(path: str | os.PathLike[str], name: str = 'path') -> str:
  """As `expand`, and the same from any folder."""
  path = expand(path, name)
  return path if '://' in path else os.path.abspath(path)


def _anywhere(path: str, name: str) -> str:
  """As `absolute`, of a folder that may lie in a bucket; one text for each."""
  path = absolute(path, name)
  scheme, separator, rest = path.partition('://')
  if not separator:
    lost = re.search(r'(?:^|/)((?:gs|s3|az):)/', path)
    if lost and not os.path.exists(path[:lost.end()]):
      raise ValueError(f'{name}={path!r} would be a folder called {lost[1]!r} '
                       f'here: write {lost[1]}//BUCKET/NAME.')
    return path
  parts = rest.rstrip('/').split('/')
  if {'', '.', '..'} & set(parts):
    raise ValueError(
        f'{name}={path!r} must be {scheme}://BUCKET/NAME, without empty parts, '
        '. and .., which a bucket takes for names.')
  path = f'{scheme}://{"/".join(parts)}'
  try:
    epath.Path(path)
  except KeyError as e:
    raise ValueError(f'{name}={path!r}: {scheme}:// is not known; gs:// is, '
                     'and a path without a scheme.') from e
  return path


def escape(path: Any) -> Any:
  """What `expand` makes a path of that stands for nothing but itself.

  >>> escape('/data/a$HOME')
  '/data/a$$HOME'
  """
  if not isinstance(path, str) or '://' in path:  # A saved one may be anything.
    return path
  return path.replace('$', '$$')


def keys(dataset: str | None) -> list[str]:
  """Dotted keys of the values that hold paths, whether they are given or not.

  Args:
    dataset: its name; None of a config without one.
  """
  # A saved config may hold anything.
  read = datasets_lib.DATASETS.get(dataset) if isinstance(
      dataset, str) else None
  taken = {} if read is None else inspect.signature(read).parameters
  # By their types: that of a table within a folder is a plain string.
  return [*OTHERS, 'dataset.classes', *(
      f'dataset.{name}' for name in taken
      if 'PathLike' in str(taken[name].annotation))]


def make_absolute(config: ml_collections.ConfigDict) -> None:
  """Makes all paths of a config mean the same from any folder.

  Args:
    config: as the user wrote it; changed in place.

  Raises:
    ValueError: as `expand`; if a path to data has a scheme, as gs://; or if
      another one that has is none that a file system knows.
  """
  for key, part, name in _given(config):
    value = part[name]
    if key == INIT:  # It may be the name of a repository.
      value = expand(value, key)
      part[name] = os.path.abspath(value) if os.path.exists(value) else value
      continue
    made = _map(_anywhere if key in (STATES, MIRROR) else absolute, value, key)
    if key not in (STATES, MIRROR) and any(
        '://' in path for _, path in _leaves(key, made)):
      raise ValueError(f'{key}={value!r} must be a local path: copy the files '
                       'to this machine, or mount where they are.')
    part[name] = made
  for name, value in config.dataset.items():  # of files within a folder
    if isinstance(value, str) and value.startswith('~/'):
      config.dataset[name] = expand(value, f'dataset.{name}')


def escape_all(config: ml_collections.ConfigDict) -> None:
  """Writes the paths of a config that are absolute as a user would.

  Args:
    config: as `make_absolute` left it; changed in place.
  """
  for key, part, name in _given(config):
    part[name] = _map(lambda path, _: escape(path), part[name], key)


def _given(config) -> Iterator[tuple[str, ml_collections.ConfigDict, str]]:
  """Of every value that holds paths its key, its section, its name there."""
  dataset = config.get('dataset')
  of = dataset.get('name') if isinstance(
      dataset, ml_collections.ConfigDict) else None
  for key in keys(of):
    *sections, name = key.split('.')
    part = config
    for section in sections:
      part = part.get(section)
      if not isinstance(part, ml_collections.ConfigDict):
        break
    else:
      if part.get(name) is not None:
        yield key, part, name


def keys_of(moved: Sequence[str]) -> list[str]:
  """The keys of `move`'s second argument."""
  return [text.partition('=')[0] for text in moved]


def check_exist(config: ml_collections.ConfigDict) -> None:
  """Refuses paths to data where nothing is, all of them at once.

  Patterns of paths are left to the loader.

  Args:
    config: as `make_absolute` left it, now or when it was saved.

  Raises:
    ValueError: naming them.
  """
  missing = []
  for key, part, name in _given(config):
    if key.startswith('dataset.'):
      paths = _map(lambda path, _: os.fspath(path), part[name], key)
      missing += [
          f'{plain_text.for_terminal(of)}={path!r}'
          for of, path in _leaves(key, paths)
          if not set(path) & set('*?[') and not os.path.exists(path)]
  if missing:
    raise ValueError(f'{", ".join(missing)} '
                     f'{"does" if len(missing) == 1 else "do"} not exist.')


def _map(change, value, key):
  """A value with each path within changed; `change` takes it and its key."""
  if isinstance(value, ml_collections.ConfigDict):
    return {name: path and _map(change, path, f'{key}.{name}')
            for name, path in value.items()}
  if isinstance(value, (list, tuple)):
    return type(value)(_map(change, path, key) for path in value)
  return change(value, key)


def _leaves(key, value) -> Iterator[tuple[str, str]]:
  """Every path within a value, with its dotted key."""
  if isinstance(value, dict):
    for name, part in value.items():
      yield from _leaves(f'{key}.{name}', part)
  elif isinstance(value, (list, tuple)):
    for part in value:
      yield from _leaves(key, part)
  elif value is not None:
    yield key, value


def move(config: ml_collections.ConfigDict, moved: Sequence[str]) -> None:
  """Says where paths of a saved config lie now.

  Args:
    config: of an earlier run; changed in place.
    moved: `KEY=PATH` each.

  Raises:
    ValueError: if one is written otherwise, or its key holds no path.
  """
  for text in moved:
    key, equals, path = text.partition('=')
    known = keys(config.dataset.name)
    of_mapping = key.rpartition('.')[0]  # dataset.others.sound
    if not equals or not {key, of_mapping} & set(known):
      raise ValueError(f'moved={text!r} must be KEY=PATH, with a KEY out of: '
                       f'{", ".join(known)}.')
    *sections, name = key.split('.')
    part = config
    for section in sections:
      part = part.get(section)
      if not isinstance(part, ml_collections.ConfigDict):
        break
    if not isinstance(part, ml_collections.ConfigDict) or name not in part:
      raise ValueError(f'moved={text!r}: the experiment has no {key}.')
    with config.unlocked():
      part[name] = absolute(path, key)
