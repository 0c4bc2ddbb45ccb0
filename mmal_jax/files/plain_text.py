r"""Text of others as a terminal, or a page made of Markdown, may show it.

A name, a caption or a path can move a terminal's cursor, clear its screen,
reverse the order of letters, hide some of them, begin a line that looks like
the program's own, or be a link or a script in a page. All that is printed goes
through `for_terminal`, all that is written to Markdown through `for_markdown`.
Files of data keep the exact text.

References:
  Unicode 15, chapter 23, on control and format characters; UAX #44 on
  Default_Ignorable_Code_Point; UTS #51 on emoji sequences; CommonMark 0.31 and
  GitHub Flavored Markdown 0.29.
"""

import re
import unicodedata

# C0, DEL and C1 controls, separators of lines and paragraphs, what sets the
# direction of letters, halves of surrogate pairs, noncharacters, and the rest
# of Default_Ignorable_Code_Point.
_HIDDEN = re.compile(
    '[\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f'
    '\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef'
    '\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3'
    '\U0001d173-\U0001d17a\U000e0000-\U000e0fff'
    + ''.join(chr(plane + last) for plane in range(0x10000, 0x110000, 0x10000)
              for last in (0xfffe, 0xffff)) + ']')
_NAMED = {'\n': r'\n', '\r': r'\r', '\t': r'\t'}
_ZWNJ, _ZWJ, _MONGOLIAN_VOWEL, _GRAPHEME_JOINER = (
    '\u200c', '\u200d', '\u180e', '\u034f')
# Scripts in which invisible joiners are part of words: Arabic and its kin,
# those of India and South-East Asia, Mongolian.
_JOINED = re.compile(
    '[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1700-\u18af\u1900-\u1cff'
    '\ua800-\uaaff\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc'
    '\U00010a00-\U00011fff\U0001e900-\U0001e95f]')
_VARIANTS = re.compile(
    '[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]')
_SKINS = '\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff'
_BLACK_FLAG = '\U0001f3f4'
# England, Scotland, Wales: a black flag, and letters that are not seen.
_FLAGS = tuple(
    _BLACK_FLAG + ''.join(chr(0xe0000 + ord(c)) for c in name) + '\U000e007f'
    for name in ('gbeng', 'gbsct', 'gbwls'))

# What is a mark of Markdown, or of HTML within it, where it stands.
_MARKS = re.compile(r'''
    (?<=.)\[[0-9][0-9,\ ]*\](?=[^(\[])       # a list of numbers is none
    | \\(?=[^\ 0-9A-Za-z]|\Z)
    | [`*~$|\[\]]
    | (?<=\])\(
    | !(?=\[)
    | (?<![^\W_])_ | _(?![^\W_])              # not within a word
    | &(?=[#0-9A-Za-z]|\Z) | <(?!\ ) | >(?!\ )
    | (?<=[A-Za-z]):(?=//) | (?<=\b[Ww]{3})\.  # GitHub links bare addresses
''', re.X)
# And of blocks, where a line begins.
_STARTS = re.compile(r'''
    (\d{1,9})([.)])(?=\ |\Z)
    | ()(\ | > | \#(?=\#{0,5}(?:\ |\Z)) | [-+](?=\ ) | -(?=-) | =(?==))
''', re.X)
_ENTITIES = {'&': '&amp;', '<': '&lt;', '>': '&gt;', ' ': '&#32;'}


def for_terminal(text: str, lines: bool = False) -> str:
  r"""A text with its controls, and what hides in it, as visible escapes.

  A line break is `\n`, a tab `\t`, a carriage return `\r`, all else `\x1b`,
  `\u202e` or `\U000e0041`. A backslash remains. So do invisible letters
  where they belong to what is seen: joiners within emoji and within words of
  scripts that need them, and the variant of the letter before.

  >>> for_terminal('a\x1b[2J\u202eb\nc')
  'a\\x1b[2J\\u202eb\\nc'

  Args:
    text: of any origin.
    lines: whether it is of several lines, which stay so: of a message, in which
      what others wrote has been escaped before.

  Returns:
    One line, but for `lines`; what has been escaped before is not changed.
  """
  if lines:
    return '\n'.join(map(for_terminal, text.split('\n')))
  return _HIDDEN.sub(_escaped, text)


def for_markdown(text: str) -> str:
  r"""A text that Markdown, and HTML that is made of it, show as it is.

  It may stand in a line, a heading, an item of a list, a cell of a table or the
  text of a link. Controls are escaped as in `for_terminal`. A mark is escaped
  only where it is one, not in `mmal_plus` or `p < 0.01`.

  >>> for_markdown('<b>|[x](javascript:y)\n')
  '&lt;b&gt;\\|\\[x\\]\\(javascript:y)\\n'

  Args:
    text: of any origin, without marks that are meant as such.

  Returns:
    One line.
  """
  marked = _MARKS.sub(lambda found: _mark(found[0]), text)
  found = _STARTS.match(marked)
  if found:
    before, mark = found[1] or '', found[2] or found[4]
    marked = before + _mark(mark) + marked[found.end():]
  return for_terminal(marked)


def _mark(letters: str) -> str:
  return letters if len(letters) > 1 else _ENTITIES.get(
      letters, f'\\{letters}')


def _escaped(found: re.Match[str]) -> str:
  letter = found[0]
  if _belongs(found.string, found.start()):
    return letter
  number = ord(letter)
  return _NAMED.get(letter) or (
      f'\\x{number:02x}' if number < 0x100 else
      f'\\u{number:04x}' if number < 0x10000 else f'\\U{number:08x}')


def _belongs(text: str, at: int) -> bool:
  """Whether a letter that is not seen is part of what is seen around it."""
  letter = text[at]
  before, after = text[at - 1:at], text[at + 1:at + 2]
  if not before:
    return False
  if letter in (_ZWNJ, _ZWJ, _MONGOLIAN_VOWEL):
    if _JOINED.match(before) and not _HIDDEN.match(before):
      return unicodedata.category(before)[0] in 'LM'
    if _VARIANTS.match(before) or before in _SKINS:
      before = text[at - 2:at - 1]
    return letter == _ZWJ and _is_symbol(before) and _is_symbol(after)
  if _VARIANTS.match(letter):
    return not (_HIDDEN.match(before) or before.isspace()
                or before.isascii() and before not in '#*0123456789')
  if letter == _GRAPHEME_JOINER:  # between marks of one letter
    return after != '' and unicodedata.category(after)[0] == 'M' and (
        not _HIDDEN.match(after))
  flag = text.rfind(_BLACK_FLAG, max(0, at - 6), at)
  return flag >= 0 and any(
      text.startswith(name, flag) and at < flag + len(name)
      for name in _FLAGS)


def _is_symbol(letter: str) -> bool:
  """Whether it is an emoji, or looks like one; those of later Unicode, too."""
  return letter != '' and (
      unicodedata.category(letter) == 'So' or letter == '\u2194'
      or '\U0001f000' <= letter <= '\U0001faff')
