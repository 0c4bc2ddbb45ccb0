"""Who an annotator is: one person, whatever form an answer names them in.

Exports of one Label Studio name the same person by number (JSON as its page
exports it), by e-mail (JSON-MIN and CSV of a snapshot) or by both (a snapshot,
the API); people who write a file by hand give a name.
"""

import ast
from collections.abc import Mapping, Sequence
import re
from typing import Any, NamedTuple
import unicodedata

from mmal_jax.data import json_object

_LONGEST = 200  # letters of a name
_NUMBER = re.compile(r'([0-9]{1,18})(?:\.0*)?')
# An address, be it in brackets, behind a name or before a number.
_ADDRESS = re.compile(
    r'(?:.*[\s<"(])?(?:mailto:)?([^\s<>,;:"()@]+@[^\s<>,;:"()@]+)'
    r'[>)"]*(?:, ?([0-9]{1,18}))?')
_ID, _MAIL, _NAME = 'id', 'mail', 'name'

# A kind, and what identifies a person among all of that kind.
Key = tuple[str, str]


class Person(NamedTuple):
  """An annotator as one answer names them.

  Attributes:
    keys: all that identifies them, an e-mail before a number before a name.
    written: as it was written, for messages.
  """

  keys: tuple[Key, ...]
  written: str


def parse(value: Any) -> Person | None:
  """The person that a value names; None if it names none.

  Letter case, blanks, invisible letters and the Unicode form do not count.

  >>> parse(' Ann@X.org').keys
  (('mail', 'ann@x.org'),)
  >>> parse(1) == parse('1') == parse('1.0')
  True
  >>> parse({'id': 1, 'email': 'ann@x.org', 'first_name': ''}).keys
  (('mail', 'ann@x.org'), ('id', '1'))

  Args:
    value: a name, an e-mail or a number, as a text or not, or an object with
      `id` or `email`.
  """
  if isinstance(value, Mapping):
    return _of_object(value)
  if isinstance(value, (int, float)) and not isinstance(value, bool):
    whole = value == value and abs(value) < 10**18 and value == int(value)
    return _of_text(str(int(value))) if whole and value >= 0 else None
  if not isinstance(value, str) or len(value) > _LONGEST:
    return None
  if any('\ud800' <= letter <= '\udfff' for letter in value):
    return None
  found = _object_in(value.strip())
  return _of_text(value) if found is None else _of_object(found)


def _object_in(text: str) -> dict[str, Any] | None:
  """The object that a cell of a table holds, as JSON or as Python writes it."""
  if text.startswith('{'):
    for read in (json_object.loads, ast.literal_eval):
      try:
        found = read(text)
      except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        continue
      if isinstance(found, dict):
        return found
  return None


def _of_object(value: Mapping[str, Any]) -> Person | None:
  """The person of an object, by e-mail and number, or else by name."""
  found: dict[str, tuple[Key, str]] = {}
  for field in ('email', 'id', 'user_id', 'username'):
    given = value.get(field)
    person = None if isinstance(given, Mapping) else parse(given)
    for key in person.keys if person else ():
      found.setdefault(key[0], (key, person.written))
  order = [found[kind] for kind in (_MAIL, _ID) if kind in found] or [
      found[kind] for kind in (_NAME,) if kind in found]
  return Person(tuple(key for key, _ in order), order[0][1]) if order else None


def _of_text(text: str) -> Person | None:
  visible = ''.join(
      letter for letter in unicodedata.normalize('NFC', text)
      if unicodedata.category(letter) != 'Cf')
  written = ' '.join(visible.split())
  plain = unicodedata.normalize(
      'NFKC', unicodedata.normalize('NFKC', written).casefold())
  if not plain:
    return None
  number = _NUMBER.fullmatch(plain)
  if number:
    digits = str(int(number[1]))
    return Person(((_ID, digits),), digits)
  address = _ADDRESS.fullmatch(plain)
  if address:
    keys = ((_MAIL, address[1]),)
    if address[2]:
      keys += ((_ID, str(int(address[2]))),)
    return Person(keys, address[1])
  return Person(((_NAME, plain),), written)


class People:
  """All annotators of a folder, each under one name.

  Two names that stand together anywhere, a number and an e-mail in one export,
  are one person's.
  """

  def __init__(
      self,
      seen: Sequence[tuple[str, Person, Sequence[str]]],
      stated: Sequence[Sequence[Person]] = (),
  ):
    """Joins what belongs together.

    Args:
      seen: of each answer its place, its person, and marks: two answers with a
        mark in common are one, in two forms, and so are their persons.
      stated: all names of a person, for each of whom somebody has said so.
    """
    self._parent: dict[Key, Key] = {}
    self._written: dict[Key, str] = {}
    self._stated: set[Key] = set()
    # Numbers that stand for two people, and these.
    self._of_two: dict[Key, list[Key]] = {}
    self.problems: list[str] = []
    for names in stated:
      for person in names:
        self._add(person)
        self._stated.update(person.keys)
        for key in person.keys:
          self._join(names[0].keys[0], key)
    mails: dict[Key, dict[Key, str]] = {}  # of a number, with their places
    for place, person, _ in seen:
      self._add(person)
      if len(person.keys) > 1:
        mail, number = person.keys
        mails.setdefault(number, {}).setdefault(mail, place)
    for number, found in mails.items():
      if len(set(map(self._root, found))) == 1:
        self._join(next(iter(found)), number)
      else:
        self._of_two[number] = list(found)
        self._tell(number, found)
    made: dict[str, Key] = {}
    for _, person, marks in seen:
      for mark in marks:
        first = made.setdefault(mark, person.keys[0])
        if self._root(first) != self._root(person.keys[0]) and (
            not self._differ(first, person.keys[0])):
          self._join(first, person.keys[0])
    self._groups: dict[Key, list[Key]] = {}
    for key in self._parent:
      self._groups.setdefault(self._root(key), []).append(key)
    self._by_name = {self._names(group)[0]: group
                     for group in self._groups.values()}

  def of(self, person: Person) -> str:
    """The one name of a person: an e-mail, or else a number, or else a name."""
    return self.names(person)[0]

  def names(self, person: Person) -> list[str]:
    """All names of a person, beginning with the one from `of`."""
    return self._names(self._groups[self._root(person.keys[0])])

  def may_be_one(self, one: str, other: str) -> bool:
    """Whether two names may be one person's, though nothing says so.

    A number alone may stand for any e-mail, and a name for an e-mail that
    begins with it, unless somebody has stated who either is.

    Args:
      one: a name, from `of`.
      other: another.
    """
    groups = [self._by_name[name] for name in (one, other)]
    for group, others in (groups, groups[::-1]):
      if any(mail in others for number in group
             for mail in self._of_two.get(number, ())):
        return True
    if any(key in self._stated for group in groups for key in group):
      return False
    for x, y in (map(dict, groups), map(dict, groups[::-1])):
      if _MAIL not in x and _MAIL in y and (
          _ID in x and _ID not in y
          or x.get(_NAME) == y[_MAIL].partition('@')[0]):
        return True
    return False

  def _names(self, group) -> list[str]:
    return [self._written[key] for key in sorted(
        group, key=lambda key: (_MAIL, _ID, _NAME).index(key[0]))]

  def _tell(self, number, found) -> None:
    """Says that a number has two e-mails, unless it is known who these are."""
    if not self._stated.issuperset(found):
      at = ' and '.join(f'{mail[1]} ({place})' for mail, place in found.items())
      self.problems.append(
          f'annotator {number[1]} is {at}: are these exports of two servers, '
          'or has one person a new address? Say so in annotators.jsonl, as '
          'README.txt describes.')

  def _differ(self, one: Key, other: Key) -> bool:
    """Whether two keys are known to be of two people."""
    roots = self._root(one), self._root(other)
    for kind in (_MAIL, _ID):
      a, b = ({key for key in self._parent
               if key[0] == kind and self._root(key) == root} for root in roots)
      if a and b and not a & b:
        return True
    return False

  def _add(self, person: Person) -> None:
    for key in person.keys:
      self._parent.setdefault(key, key)
      self._written.setdefault(
          key, person.written if key[0] == _NAME else key[1])

  def _root(self, key: Key) -> Key:
    while self._parent[key] != key:
      key = self._parent[key]
    return key

  def _join(self, one: Key, other: Key) -> None:
    self._parent[self._root(other)] = self._root(one)
