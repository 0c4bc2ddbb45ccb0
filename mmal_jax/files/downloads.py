"""Files that hold something else, as the download of the real ones failed."""

import os
import pathlib
import re

_HEAD = 1024  # bytes; a pointer of Git LFS has fewer
_LFS = re.compile(
    rb'version https?://(?:git-lfs\.github\.com|hawser\.github\.com|'
    rb'git-media\.io)/\S+\s')
_LFS_SIZE = re.compile(rb'^size (\d{1,18})\r?$', re.MULTILINE)
_ANNEX = re.compile(rb'/annex/objects/[^\0\n]+\n?')
# What is left of a link where links cannot be copied.
_LINK = re.compile(rb'(?:\.\./)+(?:blobs/[0-9a-f]{40,64}|'
                   rb'\.git/annex/objects/[^\0\n]+)\n?')
_PAGE = re.compile(rb'(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b',
                   re.IGNORECASE | re.DOTALL)
_XML_ERROR = re.compile(rb'(?:<\?xml[^>]*>\s*)?<Error\b', re.IGNORECASE)
_MARKS = (b'\xef\xbb\xbf', b'\xff\xfe', b'\xfe\xff')
# Bodies that web servers answer with in place of a file.
_REFUSALS = re.compile(
    rb'(?:404[:.]? )?(?:entry |page |file |repository )?not found|'
    rb'access to [^\n]{1,200} is restricted|'
    rb'invalid (?:username or password|credentials)|unauthori[sz]ed|forbidden|'
    rb'access denied|(?:too many requests|rate limit)|'
    rb'\{\s*"(?:error|errors|message)"\s*:\s*["\[{]', re.IGNORECASE)
# How files begin that a program has packed, by its name.
_PACKED = {
    'gzip': re.compile(rb'\x1f\x8b\x08'),
    'compress': re.compile(rb'\x1f\x9d[\x89-\x90]'),
    'bzip2': re.compile(rb'BZh[1-9](?:1AY&SY|\x17rE8P\x90)'),
    'xz': re.compile(rb'\xfd7zXZ\0'), 'zstd': re.compile(rb'\x28\xb5\x2f\xfd'),
    'lz4': re.compile(rb'\x04\x22\x4d\x18'),
    '7-Zip': re.compile(rb'7z\xbc\xaf\x27\x1c'),
    'RAR': re.compile(rb'Rar!\x1a\x07'), 'zip': re.compile(rb'PK\x03\x04')}


def pointer(
    content: bytes, path: str | os.PathLike[str] | None = None
) -> str | None:
  """Whether content only points at a file that is kept elsewhere.

  >>> pointer(b'{}', 'config.json') is None
  True

  Args:
    content: of a file, or its first kilobyte.
    path: of the file, if it is known.

  Returns:
    None, or what it is and what to do, as the rest of a sentence: `is a Git LFS
    pointer ...: run ...`. It begins with `is`.
  """
  name, where = '.', ''
  if path is not None:
    name = os.path.basename(path)
    where = f' in {os.path.dirname(os.fspath(path)) or "."}'
  if _LFS.match(content):
    size = _LFS_SIZE.search(content)
    of = f' of {int(size[1]):,} bytes' if size else ''
    return (f'is a Git LFS pointer in place of the file{of}: run `git lfs '
            f'pull`{where}, or download the file itself')
  if _ANNEX.match(content):
    return ('is a pointer of git-annex in place of the file: run `git annex '
            f'get {name}`{where}')
  if _LINK.fullmatch(content):
    target = content.decode(errors='replace').strip()
    return (f'is the path of a file ({target}) in place of the file: it was a '
            'link, and copied as text. Copy the folder with links followed (cp '
            '-rL), or download it again')
  return None


def wrong(
    path: str | os.PathLike[str], content: bytes | None = None
) -> str | None:
  """What a file is that cannot be what its name says, whatever that may be.

  Args:
    path: of a file that holds no plain text.
    content: of the file, where it has been read already.

  Returns:
    None, or as `pointer`: pointers, web pages and other answers of a server,
    and empty files, as a download that broke off leaves them.

  Raises:
    OSError: if it cannot be read.
  """
  if content is None:
    with open(path, 'rb') as file:
      size = os.fstat(file.fileno()).st_size
      head = file.read(_HEAD)
  else:
    size, head = len(content), content[:_HEAD]
  again = 'download the file again'
  if not size:
    return f'is empty, as after a download that broke off: {again}'
  found = pointer(head, path)
  if found is not None:
    return found
  for mark in _MARKS:
    head = head.removeprefix(mark)
  # UTF-16 is ASCII with a NUL beside each letter.
  text = head.replace(b'\0', b'').lstrip()
  if _PAGE.match(text):
    return ('is a web page (HTML), not the file: it was saved from a page that '
            f'shows or refuses it. Use the page\'s download link, and {again}')
  if _XML_ERROR.match(text) or size < _HEAD and _REFUSALS.match(text):
    answer = ' '.join(text[:80].decode(errors='replace').split())
    return (f'is the answer of a web server, not the file ({answer!r}): '
            f'{again}, with access to it')
  return None


def packed(content: bytes) -> str | None:
  r"""Which program has packed a file, and what to do, as the end of a sentence.

  >>> packed(b'\x1f\x8b\x08\0'), packed(b'a text')
  ('packed by gzip: unpack it', None)

  Args:
    content: of the file, or its first bytes.
  """
  for program, start in _PACKED.items():
    if start.match(content):
      return f'packed by {program}: unpack it'
  return None


def archive(
    path: str | os.PathLike[str], is_zip: bool = False
) -> str | None:
  """As `wrong`, for a file that is to be unpacked first.

  Args:
    path: of the file.
    is_zip: whether it may be a ZIP archive, as `.npz` files are.
  """
  with open(path, 'rb') as file:
    head = file.read(_HEAD)
  found = packed(head)
  if found is None or is_zip and _PACKED['zip'].match(head):
    return None
  return f'is {found}'


def is_there(path: pathlib.Path) -> bool:
  """Whether a file exists.

  Raises:
    ValueError: if it is a link to a file that does not, as in a copy of the
      cache of huggingface_hub without its `blobs`, or a clone by git-annex. No
      FileNotFoundError, for which a default may take the file's place.
  """
  if path.is_file():
    return True
  if path.is_symlink() and not path.exists():
    target = os.readlink(path)
    how = ('Run `git annex get .` in that folder.' if '.git/annex' in target
           else 'Copy the folder with links followed (cp -rL), or download it '
           'again.')
    raise ValueError(
        f'{path} is a link to {target}, which does not exist. {how}')
  return False


def unfinished(folder: pathlib.Path) -> list[str]:
  """Names of files in a folder that a download has begun and not finished.

  Args:
    folder: also the place below it where huggingface_hub keeps such is seen.
  """
  endings = ('.incomplete', '.part', '.partial', '.crdownload', '.download',
             '.aria2', '.tmp')
  places = (folder, folder / '.cache' / 'huggingface' / 'download')
  return sorted(
      str(path.relative_to(folder)) for place in places if place.is_dir()
      for path in place.iterdir() if path.name.endswith(endings))
