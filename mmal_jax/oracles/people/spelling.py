"""How annotators are written: a number, an e-mail or a name in one spelling.

Tables and mail programs add marks of their own: quotes, `="1"`, `1,0`,
`1.234567E+06`, `Ann Lee <ann@x.org>`, `ann@x.org;`.
"""

import functools
import html
import re
import unicodedata

_LIKE = str.maketrans({
    **dict.fromkeys('\u2018\u2019\u201a\u201b\u2032\xb4`', "'"),
    **dict.fromkeys('\u201c\u201d\u201e\xab\xbb', '"'),
    **dict.fromkeys('\u2010\u2011\u2012\u2013\u2014\u2212', '-')})
_READER = re.compile(r'\((?:you|me)\)', re.IGNORECASE)  # "1 (you)"
_BRACKETS = re.compile(r'<([^<>]*)>|\(([^()]*)\)|\[([^\[\]]*)\]')
_LABEL = r"(?:#|id[ :=#]*)?'?"
_PLAIN = re.compile(_LABEL + r'([0-9]{1,18})(?:\.0*)?')
_GROUPED = re.compile(  # 1,234 or 1.234 or 1'234 or 1 234
    _LABEL + r"([0-9]{1,3}(?:([,.' ])[0-9]{3})(?:\2[0-9]{3}){0,4})(?:[.,]0*)?")
_COMMA = re.compile(_LABEL + r'([0-9]{1,18}),0*')
_POWER = re.compile(r'([1-9])(?:[.,]([0-9]{1,17}))?e\+?([0-9]{1,2})')
_LOCAL = r'[^\s<>,;:"()\[\]{}|@]+'
_ADDRESS = re.compile(rf'({_LOCAL})@([^\s<>,;:"()\[\]{{}}|@?&/\\%\']+)')
_CUT = re.compile(r'[,;|<>()\[\]{}"]')
# What mail programs and forms write before an address.
_HEADS = re.compile(r'\b(?:mailto|e-?mail|mail)[:=]', re.IGNORECASE)


def normal(text: str) -> str:
  """A text without what only its program added, in one Unicode form.

  >>> normal('="Ann  Lee"'), normal('\u2018Ann\u2019 (you);'), normal("O'Brien")
  ('Ann Lee', 'Ann', "O'Brien")
  """
  text = unicodedata.normalize('NFKC', html.unescape(text)).translate(_LIKE)
  text = ''.join(map(_letter, text))
  before = None
  while text != before:
    before = text
    text = ' '.join(_READER.sub(' ', text).split())
    text = text.lstrip(' ,;"=').rstrip(' ,;:."')
    if text.startswith("'"):  # Excel's mark of a text, or a quote
      text = text[1:].removesuffix("'")
    inner = _BRACKETS.fullmatch(text)
    if inner:
      text = next(part for part in inner.groups() if part is not None)
  return text


def folded(text: str) -> str:
  """What letter case, and a dot on an i, do not change.

  >>> folded('STRASSE') == folded('straße')
  True
  """
  lower = unicodedata.normalize('NFKC', text.casefold())
  return lower.replace('\u0131', 'i').replace('i\u0307', 'i')


def number(text: str) -> str | None:
  """The digits of a text that is a whole number; None if it is none.

  >>> number('007'), number('1,0'), number('1,234'), number('1.234e+03')
  ('7', '1', '1234', '1234')
  >>> number('1.2e+03') is None  # It may have been rounded.
  True

  Args:
    text: from `folded`.
  """
  found = next(filter(None, (
      form.fullmatch(text) for form in (_PLAIN, _GROUPED, _COMMA))), None)
  if found:
    return str(int(re.sub('[^0-9]', '', found[1])))
  power = _POWER.fullmatch(text)
  if power:
    digits, places = power[1] + (power[2] or ''), int(power[3]) + 1
    if len(digits) >= places and not digits[places:].strip('0'):
      return digits[:places]
  return None


def addresses(text: str) -> tuple[list[str], list[str]]:
  """The e-mails of a text, each once, and what stands beside them.

  >>> addresses('lee, ann <ann@x.org>, 1')
  (['ann@x.org'], ['lee', 'ann', '1'])

  Args:
    text: from `folded`.
  """
  text = _HEADS.sub(' ', text)
  found = {}
  for match in _ADDRESS.finditer(text):
    local, domain = match[1].strip("'.=/"), match[2].strip('.')
    if local and domain:
      found.setdefault(f'{local}@{domain}')
  if not found:
    return [], []
  rest = ' '.join(_ADDRESS.sub('|', text).split())
  parts = [part for part in map(normal, _CUT.split(rest)) if _words(part)]
  return list(found), parts


@functools.lru_cache(maxsize=2**16)
def alike(one: str, other: str) -> bool:
  """Whether two spellings may be one person's.

  >>> alike('lee, ann', 'ann.lee'), alike('user 7', '7'), alike('ann', 'bob')
  (True, True, False)

  Args:
    one: a name, a number, or an e-mail up to its `@`; from `folded`.
    other: another.
  """
  for name, digits in ((one, other), (other, one)):
    if digits.isdecimal():
      rounded = _POWER.fullmatch(name)
      if rounded:
        return f'{int(digits):.{len(rounded[2] or "")}e}' == (
            f'{float(name.replace(",", ".")):.{len(rounded[2] or "")}e}')
      return digits in [n.lstrip('0') or '0'
                        for n in re.findall('[0-9]+', name)]
  a, b = _words(one), _words(other)
  return bool(a and b) and (
      a <= b or b <= a or ''.join(sorted(a)) == ''.join(sorted(b)))


def _letter(letter: str) -> str:
  """A letter as it counts: ASCII digits, and nothing that cannot be seen."""
  kind = unicodedata.category(letter)
  if kind == 'Nd':
    return str(unicodedata.decimal(letter))
  if kind == 'Cc':
    return ' '
  return '' if kind == 'Cf' else letter


def _words(text: str) -> frozenset[str]:
  """The words of a name, in any order and without accents."""
  plain = ''.join(letter for letter in unicodedata.normalize('NFKD', text)
                  if not unicodedata.combining(letter))
  return frozenset(re.findall(r'[^\W_]+', plain))
