r"""Text in files that other programs wrote: decoded and cut into lines one way.

Text is UTF-8, or UTF-16 or UTF-32 with a byte order mark. A line ends at `\n`,
`\r\n`, or, where a file has none of these, at `\r`; form feeds, U+0085, U+2028
and the like are letters.
"""

import codecs
import re

from mmal_jax.files import downloads

_MARKS = (  # The longer ones first: one begins as another does.
    (codecs.BOM_UTF32_LE, 'utf-32-le'), (codecs.BOM_UTF32_BE, 'utf-32-be'),
    (codecs.BOM_UTF8, 'utf-8'), (codecs.BOM_UTF16_LE, 'utf-16-le'),
    (codecs.BOM_UTF16_BE, 'utf-16-be'))
_MARK = '\ufeff'
_OTHERS = (
    (b'PK\3\4', 'a ZIP archive or an office document: save its text'),
    (b'\xd0\xcf\x11\xe0', 'an office document: save its text'),
    (b'%PDF-1.', 'a PDF: save its text'),
    (b'{\\rtf1', 'RTF: save it as plain text'))
_LOOK = 4096  # bytes by which a guess is made
_HOW = 'save it as UTF-8'


def decode(content: bytes, unmarked: str = 'utf-8') -> str:
  r"""The text of a file.

  >>> decode(b'\xef\xbb\xbfkite'), decode('\ufeffkite'.encode('utf-16-le'))
  ('kite', 'kite')

  Args:
    content: of the file.
    unmarked: encoding of what has no byte order mark, if that is known.

  Returns:
    The text, without a byte order mark.

  Raises:
    ValueError: if it is none: why, and what to do, not naming the file.
  """
  other = next((what for start, what in _OTHERS if content.startswith(start)),
               downloads.packed(content) or downloads.pointer(content))
  if other is not None:
    raise ValueError(f'not UTF-8 text, but {other.removeprefix("is ")}')
  encoding, marked = next(
      ((e, len(mark)) for mark, e in _MARKS if content.startswith(mark)),
      (unmarked, 0))
  if not marked and encoding == 'utf-8' and (guess := _guess(content)):
    raise ValueError(f'not UTF-8 text, but {guess} without a byte order mark: '
                     f'{_HOW} (iconv -f {guess} -t utf-8)')
  try:
    return content[marked:].decode(encoding)
  except UnicodeDecodeError as e:
    line = 1 + line_ends(e.object[:e.start].decode(encoding, 'replace'))
    byte = f'byte 0x{e.object[e.start]:02x} on line {line}'
    if encoding != 'utf-8':
      raise ValueError(
          f'not {encoding[:6].upper()} text ({byte}): {_HOW}') from e
    old = 'cp1252' if re.search(b'[\x80-\x9f]', content) else 'latin1'
    raise ValueError(f'not UTF-8 text ({byte}): {_HOW}, e.g. by iconv -f {old} '
                     '-t utf-8') from e


def line_ends(text: str) -> int:
  r"""How many lines end in a text, of which none is made an object.

  >>> line_ends('a\r\nb\rc\n')
  3
  """
  return text.count('\n') + text.count('\r') - text.count('\r\n')


def lines(content: bytes, problems: list[str]) -> list[str]:
  r"""The lines of a file; line 1 comes first.

  >>> lines(b'a kite\r\na boat\n', [])
  ['a kite', 'a boat']

  Args:
    content: of the file.
    problems: takes a sentence, which does not name the file, if it is no text,
      and for each line that some programs would take for several.

  Returns:
    All lines, without their ends. The last one ends with the file.
  """
  try:
    text = decode(content)
  except ValueError as e:
    problems.append(f'{e}.')
    return []
  if '\n' not in text:
    text = text.replace('\r', '\n')  # Of an old Macintosh.
  found = text.split('\n')
  if not found[-1]:
    found.pop()
  # Files with marks that were put one behind the other have them within.
  found = [line.rstrip('\r').removeprefix(_MARK) for line in found]
  problems += [
      f'line {number}: a lone carriage return stands in it, where only some '
      'programs begin a new line: replace it by a space or a new line.'
      for number, line in enumerate(found, 1) if '\r' in line]
  return found


def _guess(content: bytes) -> str | None:
  """UTF-16 of mostly Latin letters: every other byte is zero."""
  start = content[:_LOOK]
  half = len(start) // 2
  if not half or len(content) % 2:
    return None
  for encoding, first in (('utf-16le', 1), ('utf-16be', 0)):
    zeros = start[first::2].count(0)
    if zeros > 0.4 * half and not start[1 - first::2].count(0):
      return encoding
  return None


def is_unicode(text: str) -> bool:
  r"""Whether a text can be written as UTF-8; not every name of a file can.

  >>> is_unicode('caf\xe9'), is_unicode('caf\udce9')
  (True, False)
  """
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True
