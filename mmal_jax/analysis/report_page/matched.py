"""Matches of what was not asked about, the likeliest first."""

from collections.abc import Iterable, Sequence
import heapq
from typing import Any, NamedTuple

from mmal_jax.analysis.report_page import elements

tag = elements.tag
MOST = 200


class Match(NamedTuple):
  """An item and its likeliest counterpart.

  Attributes:
    modality: of the item.
    number: of the item.
    name: of the item, as the run wrote it.
    other: modality of the counterpart.
    counterpart: its number.
    other_name: of the counterpart.
    probability: that they belong together, as the run states it.
    mutual: whether each is the other's likeliest.
  """

  modality: str
  number: int
  name: str
  other: str
  counterpart: int
  other_name: str
  probability: float
  mutual: bool


def likeliest(
    records: Iterable[dict[str, Any]], most: int = MOST
) -> tuple[list[Match], int]:
  """The pairs of highest probability, and how many there are in all.

  Args:
    records: of `matches.jsonl`.
    most: how many.

  Returns:
    The pairs, descending; two items that are each other's likeliest
    make one. And the number of all pairs.
  """
  pairs: dict[tuple[tuple[str, int], ...], Match] = {}
  for record in records:
    if not record['counterparts']:
      continue
    first = record['counterparts'][0]
    found = Match(
        record['modality'], record['item'], record['name'], record['of'],
        first['item'], first['name'], first['probability'], record['mutual'])
    key = tuple(sorted((found[:2], found[3:5])))
    if key not in pairs or found.probability > pairs[key].probability:
      pairs[key] = found
  return heapq.nlargest(
      most, pairs.values(), key=lambda match: match.probability), len(pairs)


def items(matches: Sequence[Match]) -> list[tuple[str, int]]:
  """All items of which something is seen, each once."""
  return list(dict.fromkeys(
      pair for match in matches
      for pair in (match[:2], (match.other, match.counterpart))))


def drawn(matches: Sequence[Match], total: int, see: elements.See) -> str:
  """A table, and how many pairs are not in it.

  Args:
    matches: of `likeliest`.
    total: likewise.
    see: what is seen of `items`; where nothing is, names stand.
  """
  rows = []
  for match in matches:
    one = elements.figure(see(*match[:2]), *match[:2])
    other = elements.figure(
        see(match.other, match.counterpart), match.other, match.counterpart)
    percent = f'{100 * match.probability:.1f} %'
    rows.append(tag('tr', (
        tag('td', elements.as_text(percent) + tag(
            'progress', max=1, value=f'{match.probability:.4f}',
            aria_hidden='true'), class_='probability')
        + tag('td', one) + tag('td', other)
        + tag('td', 'yes' if match.mutual else 'no'))))
  head = tag('tr', ''.join(tag('th', words, scope='col') for words in (
      'probability', 'item', 'likeliest counterpart', 'mutual')))
  rest = total - len(matches)
  words = f'{len(matches)} pairs, the likeliest first.' + (
      f' {rest} more, less likely, are not shown here.' if rest else '')
  return tag('p', words) + tag(
      'div', tag('table', tag('thead', head) + tag('tbody', ''.join(rows)),
                 class_='matches'),
      class_='wide tall', tabindex=0, role='group', aria_label='Matches')
