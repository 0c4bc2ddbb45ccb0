"""What a run asked, round by round, beside what it was answered with."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmal_jax.analysis.report_page import elements

tag = elements.tag
_PICTURES = 480  # of all rounds together
_LEAST, _MOST = 4, 24  # queries that are shown of a round


def shown_of_a_round(rounds: int, modalities: int) -> int:
  """How many queries of each round a file of reasonable size has room for.

  >>> shown_of_a_round(3, 2), shown_of_a_round(30, 2), shown_of_a_round(999, 3)
  (24, 8, 4)
  """
  return max(_LEAST, min(_MOST, _PICTURES // max(rounds * modalities, 1)))


def items(
    queries: Sequence[Mapping[str, Any]], modalities: Sequence[str]
) -> list[tuple[str, int]]:
  """All items of which something is seen, each once.

  Args:
    queries: a run's records, a round each.
    modalities: their names, of the columns of the answers.
  """
  most = shown_of_a_round(len(queries), len(modalities))
  found = {}
  for record in queries:
    for asked, answer in zip(record['asked'][:most], record['answers']):
      found[tuple(asked)] = None
      found.update(((m, n), None) for m, n in zip(modalities, answer)
                   if n >= 0)
  return list(found)


def drawn(
    queries: Sequence[Mapping[str, Any]], modalities: Sequence[str],
    see: elements.See,
) -> str:
  """A part for every round.

  Args:
    queries: a run's records, a round each.
    modalities: their names, of the columns of the answers.
    see: what is seen of `items`.
  """
  most = shown_of_a_round(len(queries), len(modalities))
  parts = []
  for record in queries:
    count = len(record['asked'])
    head = f'Round {record["round"]}: {count} asked'
    if count > most:
      head += f', the first {most} shown'
    cards = ''.join(
        _card(asked, answer, modalities, see)
        for asked, answer in zip(record['asked'][:most], record['answers']))
    parts.append(tag(
        'section', tag('h3', head) + (
            tag('ol', cards, class_='cards') if cards else ''),
        class_='round', data_round=record['round']))
  return ''.join(parts)


def _card(asked, answer, modalities, see) -> str:
  modality, number = asked
  parts = [elements.figure(see(modality, number), modality, number,
                           'item asked')]
  if all(n < 0 for n in answer):
    parts.append(tag('p', 'no answer', class_='none'))
  else:
    for other, n in zip(modalities, answer):
      if other == modality:
        continue
      parts.append(
          elements.figure(see(other, n), other, n) if n >= 0 else
          tag('p', elements.as_text(f'no {other}'), class_='none'))
  return tag('li', ''.join(parts), class_='card')
