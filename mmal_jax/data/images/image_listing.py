"""Which files of a folder are its images: the same ones for every program.

An image is a file whose name ends as those of JPEG, PNG and WebP files do, or
whose first bytes are those of one, whatever its name. What systems and programs
leave in folders for themselves is passed over; anything else that is left out
is counted and reported.
"""

import collections
from collections.abc import Sequence
import pathlib
from typing import NamedTuple

from absl import logging

from mmal_jax.data.images import image_formats
from mmal_jax.files import durable
from mmal_jax.files import problems as problems_lib

_MAX_NAME = 4096  # letters of a path; no system takes more
_MAX_NAMED = 3  # of what is left out for one reason
# No user's files: what macOS, Windows, file servers and notebooks write, in
# lower case.
_OF_SYSTEMS = frozenset((
    '.ds_store', '.ipynb_checkpoints', '.git', '.gitattributes', '.gitignore',
    '.gitkeep', '.localized', '.nomedia', '.picasa.ini', '.thumbnails',
    '__macosx', '@__thumb', '@eadir', '#recycle', '@recycle', '$recycle.bin',
    'desktop.ini', 'ehthumbs.db', 'icon\r', 'lost+found',
    'system volume information', 'thumbs.db'))
_OF_SYSTEMS_STARTS = ('._', '.trash', '~$')  # The last are marks of Office.
# Copies of other files, and files that are not finished.
_COPIES = ('~', '_original', '.bak', '.crdownload', '.download', '.orig',
           '.part', '.partial', '.temp', '.tmp')
_OF_A_SYSTEM = ('', '')  # Of this nothing is reported.
_LINKED = ('is listed by a link to it', 'are listed by links to them')
_NO_IMAGE = ('is no picture', 'are no pictures')


class LeftOut(NamedTuple):
  """A file or folder that is not looked at.

  Attributes:
    name: its path within the folder.
    one: why, as said of one.
    many: the same of several.
  """

  name: str
  one: str
  many: str


def is_hidden(name: str) -> bool:
  """Whether a file or folder of this name is passed over everywhere.

  >>> is_hidden('.x.png'), is_hidden('__MACOSX'), is_hidden('x.png')
  (True, True, False)
  """
  return name.startswith('.') or is_of_a_system(name)


def is_of_a_system(name: str) -> bool:
  """Whether a file or folder is a system's own, of which nothing is reported.

  >>> is_of_a_system('._x.png'), is_of_a_system('.x.png')
  (True, False)
  """
  name = name.lower()
  return name in _OF_SYSTEMS or name.startswith(_OF_SYSTEMS_STARTS)


def listed(
    folder: pathlib.Path, root: pathlib.Path, problems: list[str],
    left_out: list[LeftOut],
) -> list[pathlib.Path]:
  """Paths of all images in a folder and those in it.

  Args:
    folder: what is hidden in it is not seen; links to folders are not followed.
    root: the folder, or one around it: no file's link may lead out of it.
    problems: takes a sentence for each image that `find` refuses, and each
      folder that cannot be read.
    left_out: takes what is neither an image nor of a system's own.

  Returns:
    The paths of the others, sorted.
  """
  found, by_content, folders, passed = [], [], [folder], []
  while folders:  # not `rglob`: it passes over what it may not read
    try:
      entries = list(folders.pop().iterdir())
    except OSError as e:
      problems.append(
          f'folder {e.filename!r} cannot be read: {durable.reason(e)}.')
      continue
    for path in entries:
      name = str(path.relative_to(root))
      try:
        if not is_hidden(path.name) and path.is_dir() and (
            not path.is_symlink()):
          folders.append(path)
        elif why := _why_left_out(path):
          passed += [LeftOut(name, *why)] * (why != _OF_A_SYSTEM)
        elif path.suffix.lower() in image_formats.ENDINGS:
          found.append(path)
        else:
          by_content.append(path)
      except OSError as e:
        problems.append(f'{name!r} cannot be read: {durable.reason(e)}.')
  linked = {_real(path) for path in found if path.is_symlink()}
  for path in by_content:
    if _real(path) in linked:
      passed.append(LeftOut(str(path.relative_to(root)), *_LINKED))
    else:
      found.append(path)
  left_out += sorted(passed)
  sound = []
  for path in sorted(found):
    try:
      find(root, str(path.relative_to(root)))
      sound.append(path)
    except ValueError as e:
      how = ': it is a link, put the file itself there'
      problems.append(f'{e}{how if path.is_symlink() else ""}.')
  return sound


def find(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The path of a file that a table names.

  Args:
    folder: what `name` is relative to and may not lead out of.
    name: as the table says it.

  Raises:
    ValueError: if it lies outside the folder or is no file, without a full
      stop: what was wrong with image `name`.
  """
  if len(name) > _MAX_NAME:
    raise ValueError(f'image {name[:40]!r}... cannot be found: its path has '
                     f'{len(name)} letters, more than {_MAX_NAME}')
  try:
    path = _resolve(folder / name)
    if not path.is_relative_to(folder.resolve()):
      raise ValueError(f'image {name!r} lies outside the folder')
    if not path.is_file():
      raise ValueError(f'image {name!r} '
                       + ('is no file' if path.exists() else 'does not exist'))
  except (OSError, RuntimeError) as e:  # too long a name, a loop of links
    raise ValueError(f'image {name[:40]!r} cannot be found: '
                     f'{durable.reason(e)}') from e
  return path


def warn(folder: pathlib.Path, left_out: Sequence[LeftOut]) -> None:
  """Logs how many files and folders are left out, for which reasons."""
  if left_out:
    logging.warning('%s', summary(folder, left_out))


def summary(folder: pathlib.Path, left_out: Sequence[LeftOut]) -> str:
  """What `warn` logs.

  >>> summary(pathlib.Path('x'), [LeftOut('a.heic', 'is HEIC', 'are HEIC')])
  '1 entry of x is left out: 1 is HEIC (a.heic).'
  """
  by_reason = collections.defaultdict(list)
  for one in left_out:
    by_reason[one.one, one.many].append(one.name)
  reasons = []
  for reason, names in by_reason.items():
    n = len(names)
    if reason == _NO_IMAGE:  # There may be one beside every image.
      names = [name for name, _ in collections.Counter(
          pathlib.PurePath(name).suffix or name for name in names
      ).most_common()]
    more = ', ...' if len(names) > _MAX_NAMED else ''
    shown = ', '.join(map(problems_lib.shortened, names[:_MAX_NAMED]))
    reasons.append(f'{n} {reason[n > 1]} ({shown}{more})')
  n = len(left_out)
  return (f'{n} {"entries" if n > 1 else "entry"} of '
          f'{problems_lib.shortened(str(folder))} '
          f'{"are" if n > 1 else "is"} left out: {"; ".join(reasons)}.')


def _real(path: pathlib.Path) -> pathlib.Path | None:
  try:
    return _resolve(path)
  except (OSError, RuntimeError):  # a loop of links
    return None


def _resolve(path: pathlib.Path) -> pathlib.Path:
  """As `Path.resolve`, but a loop of links raises in every version of Python.
  """
  try:
    return path.resolve(strict=True)
  except (FileNotFoundError, NotADirectoryError):
    return path.resolve()


def _why_left_out(path: pathlib.Path) -> tuple[str, str] | None:
  """Why a file or folder is no image, as said of one and of many; or None."""
  name = path.name.lower()
  if is_of_a_system(name):
    return _OF_A_SYSTEM
  if is_hidden(name):
    return 'is hidden', 'are hidden'
  if path.is_dir():
    return ('is a linked folder, which is not followed',
            'are linked folders, which are not followed')
  if path.suffix.lower() in image_formats.ENDINGS:
    return None
  if name.endswith(_COPIES):
    why = 'a backup or not finished, by its ending'
    return f'is {why}', f'are {why}'
  if not path.is_file():
    return 'is no regular file', 'are no regular files'
  try:
    with path.open('rb') as file:
      found = image_formats.of(file.read(image_formats.HEAD))
  except OSError as e:
    why = f'cannot be read: {durable.reason(e)}'
    return why, why
  if found.is_read:
    return None
  if found.is_picture:
    return f'is {found.description}', f'are {found.description}'
  return _NO_IMAGE
