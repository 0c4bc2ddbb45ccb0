"""Who an annotator is: one person, whatever form an answer names them in.

Exports of one Label Studio name the same person by number (JSON as its page
exports it), by e-mail (JSON-MIN and CSV of a snapshot) or by both (a snapshot,
the API); people who write a file by hand give a name.
"""

import ast
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmal_jax.files import json_object
from mmal_jax.oracles.people import spelling

_LONGEST = 200  # letters of a name
_ID, _MAIL, _NAME = 'id', 'mail', 'name'

# Of an object, the surest first.
_FIELDS = ('email', 'e-mail', 'mail', 'id', 'user_id', 'pk', 'user', 'username',
           'display_name', 'full_name', 'name')

# A kind, and what identifies a person among all of that kind.
Key = tuple[str, str]


class Person(NamedTuple):
  """An annotator as one answer names them.

  Attributes:
    keys: all that identifies them, an e-mail before a number before a name.
    written: as it was written, for messages.
    beside: names that stand beside an e-mail or a number. They are no keys:
      two people may have the same.
  """

  keys: tuple[Key, ...]
  written: str
  beside: tuple[str, ...] = ()


def parse(value: Any) -> Person | None:
  """The person that a value names; None if it names none.

  Letter case, blanks, invisible letters, the Unicode form and what tables and
  mail programs add (`spelling`) do not count.

  >>> parse(' Ann@X.org').keys
  (('mail', 'ann@x.org'),)
  >>> parse(1) == parse('1') == parse('1.0')
  True
  >>> parse({'id': 1, 'email': 'ann@x.org', 'first_name': ''}).keys
  (('mail', 'ann@x.org'), ('id', '1'))
  >>> parse('Ann Lee <ann@x.org>') == parse('ann@x.org (Ann Lee)')
  True

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
  return _of_text(value) if found is None else parse(found)


def _object_in(text: str) -> Any:
  """The object that a cell of a table holds, as JSON or as Python writes it."""
  if text.startswith(('{', '[')):
    for read in (json_object.loads, ast.literal_eval):
      try:
        found = read(text)
      except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        continue
      if isinstance(found, (dict, list)):
        return found
  return None


def _of_object(value: Mapping[Any, Any]) -> Person | None:
  """The person of an object, by e-mail and number, or else by name."""
  fields = {str(key).strip().lower(): part for key, part in value.items()}
  found: dict[str, tuple[Key, str]] = {}
  beside: dict[str, None] = {}
  people = [parse(fields.get(field)) for field in _FIELDS]
  given, last = (_text(fields.get(f'{part}_name')) for part in (
      'first', 'last'))
  for person in (*people, parse(f'{given} {last}')):
    for key in person.keys if person else ():
      found.setdefault(key[0], (key, person.written))
      if key[0] == _NAME:
        beside.setdefault(key[1])
    beside |= dict.fromkeys(person.beside if person else ())
  order = [found[kind] for kind in (_MAIL, _ID) if kind in found]
  if order:
    return Person(tuple(key for key, _ in order), order[0][1], tuple(beside))
  if _NAME in found:
    key, written = found[_NAME]
    return Person((key,), written)
  return None


def _text(value: Any) -> str:
  return value if isinstance(value, str) else ''


def _of_text(text: str) -> Person | None:
  written = spelling.normal(text)
  plain = spelling.folded(written)
  digits = spelling.number(plain)
  if digits:
    return Person(((_ID, digits),), digits)
  mails, parts = spelling.addresses(plain)
  if len(mails) > 1:
    return None  # several people's
  if mails:
    numbers = dict.fromkeys(filter(None, map(spelling.number, parts)))
    keys = [(_MAIL, mails[0])]
    if len(numbers) == 1:
      keys += [(_ID, digits) for digits in numbers]
    return Person(tuple(keys), mails[0], tuple(
        part for part in parts if spelling.number(part) is None))
  return Person(((_NAME, plain),), written) if plain else None


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
    """Joins the names of each person.

    Args:
      seen: of each answer its place, its person, and marks: two answers with a
        mark in common are one, in two forms, and so are their persons.
      stated: all names of a person, as annotators.jsonl gives them.
    """
    self._parent: dict[Key, Key] = {}
    self._written: dict[Key, str] = {}
    self._stated: set[Key] = set()
    self._beside: dict[Key, set[str]] = {}
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
        self._refuse_two(number, found)
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

    A number alone may stand for any e-mail, and a name for all that is spelt
    like it (`spelling.alike`): a name, the beginning of an e-mail, what stands
    beside one; unless annotators.jsonl names one of the two.

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
    for group, others in (groups, groups[::-1]):
      x, y = ({kind for kind, _ in keys} for keys in (group, others))
      if _MAIL in x:
        continue
      if _MAIL in y and _ID in x and _ID not in y:
        return True
      if any(kind == _NAME and spelling.alike(name, other)
             for kind, name in group for other in self._spellings(others)):
        return True
    return False

  def _spellings(self, group: Sequence[Key]) -> set[str]:
    """All by which a name may be known as this person's."""
    return {text.partition('@')[0] if kind == _MAIL else text
            for kind, text in group}.union(
                *(self._beside.get(key, ()) for key in group))

  def _names(self, group) -> list[str]:
    return [self._written[key] for key in sorted(
        group, key=lambda key: (_MAIL, _ID, _NAME).index(key[0]))]

  def _refuse_two(self, number, found) -> None:
    """Refuses a number of two e-mails, unless annotators.jsonl has them."""
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
      self._beside.setdefault(key, set()).update(person.beside)

  def _root(self, key: Key) -> Key:
    while self._parent[key] != key:
      key = self._parent[key]
    return key

  def _join(self, one: Key, other: Key) -> None:
    self._parent[self._root(other)] = self._root(one)
