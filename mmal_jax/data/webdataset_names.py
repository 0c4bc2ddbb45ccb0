"""Which members of a shard belong together, by their names.

WebDataset's rule is that a key ends at the first full stop of a file's name:
`7.seg.png` is a field `seg.png` of the sample `7`. Many names have full stops
of their own, `st.helens.jpg` and `st.helens.txt`: where a sample of the shorter
key has neither image nor text, and both stand there under the longer one, they
are a pair as well. A name that begins with a full stop has no key.
"""

from collections.abc import Sequence
import pathlib
from typing import NamedTuple

from mmal_jax.data.images import image_formats

_KINDS = {ending[1:]: 'image' for ending in image_formats.ENDINGS} | {
    'txt': 'text', 'json': 'json'}


class Names(NamedTuple):
  """Members by their numbers.

  Attributes:
    pairs: of an image and a text, in order of the images.
    problems: sentences on members that have no counterpart, or more than one.
    unread: members that are neither image, text nor JSON, and further fields.
  """

  pairs: list[tuple[int, int]]
  problems: list[str]
  unread: list[int]


class _Member(NamedTuple):
  number: int
  name: str
  key: str  # to the first full stop
  longer: str  # to the last one
  kind: str | None  # of what follows the first
  last: str | None  # of what follows the last


def pair(names: Sequence[str]) -> Names:
  """Finds the pairs.

  >>> pair(['7.jpg', '7.txt', '7.seg.png', 'st.helens.jpg', 'st.helens.txt'])
  Names(pairs=[(0, 1), (3, 4)], problems=[], unread=[2])

  Args:
    names: paths of n members.
  """
  members = [_member(i, name) for i, name in enumerate(names)]
  found: dict[str, dict[str, _Member]] = {}
  problems = []
  for member in members:
    if member.kind:
      _add(found, member.key, member.kind, member, problems)
  plain = {key for key, kinds in found.items() if kinds.keys() - {'json'}}
  longer: dict[str, dict[str, _Member]] = {}
  for member in members:
    if member.last and not member.kind:
      _add(longer, member.longer, member.last, member, problems)
  fields = [m for m in members if not m.kind and not m.last]
  for key, kinds in longer.items():
    shorter = next(iter(kinds.values())).key
    is_whole = {'image', 'text'} <= kinds.keys()
    if is_whole and shorter in plain:
      problems.append(
          f'{kinds["image"].name!r} and {kinds["text"].name!r} are a pair, or '
          f'fields of {shorter!r}: rename one of the two samples without a '
          'full stop.')
    elif kinds.keys() == {'json'} or shorter in plain:
      fields += kinds.values()
    else:
      found[key] = kinds
  beside: dict[str, list[str]] = {}
  for member in fields:
    beside.setdefault(member.key, []).append(member.name)
  for key, kinds in sorted(found.items()):
    problems += [
        f'{key!r} has no {kind}{_only(beside.get(key))}.'
        for kind in ('image', 'text') if kind not in kinds
        and (kind == 'image' or 'image' in kinds)]
  pairs = sorted(
      (kinds['image'].number, kinds['text'].number)
      for kinds in found.values() if {'image', 'text'} <= kinds.keys())
  return Names(pairs, problems, sorted(member.number for member in fields))


def _member(number: int, name: str) -> _Member:
  path = pathlib.PurePosixPath(name)  # A leading `./` is no part of a key.
  stem, _, ending = path.name.partition('.')
  longer, _, last = path.name.rpartition('.')
  return _Member(
      number, name, str(path.parent / stem), str(path.parent / longer),
      *(_KINDS.get(e.lower()) if stem else None for e in (ending, last)))


def _add(found, key, kind, member: _Member, problems: list[str]) -> None:
  kinds = found.setdefault(key, {})
  if kind in kinds:
    problems.append(f'member {member.name!r}: {key!r} has another {kind}, '
                    f'{kinds[kind].name!r}.')
  else:
    kinds[kind] = member


def _only(names: Sequence[str] | None) -> str:
  return f', but {", ".join(map(repr, names[:3]))}' if names else ''
