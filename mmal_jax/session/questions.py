"""Questions, and pairs that were found, as values that show themselves."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
from typing import Any

import numpy as np

from mmal_jax.matching import pool as pool_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.session import page
from mmal_jax.session import shown as shown_lib

# A notebook keeps what it shows: some megabytes of pictures at most.
_MOST_CELLS, _MOST_CANDIDATES = 600, 20


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
  """Which is the counterpart of this item?

  Attributes:
    modality: of the item.
    number: of the item.
    item: what is seen of it: a text, the path of an image; else its number.
    candidates: by other modality, numbers of its likeliest counterparts, the
      likeliest first.
  """

  modality: str
  number: int
  item: Any = dataclasses.field(repr=False)
  candidates: Mapping[str, tuple[int, ...]]


class Questions(Sequence[Question]):
  """The open questions, in the order of asking."""

  def __init__(self, questions: Sequence[Question], items: shown_lib.Items):
    self._questions, self._items = tuple(questions), items

  def __len__(self) -> int:
    return len(self._questions)

  def __getitem__(self, place):
    if isinstance(place, slice):
      return Questions(self._questions[place], self._items)
    return self._questions[place]

  def __repr__(self) -> str:
    return f'<{len(self)} questions: ' + ', '.join(
        f'{q.modality} {q.number}' for q in self._questions[:5]) + (
            ', ...' if len(self) > 5 else '') + '>'

  def _repr_html_(self) -> str:
    # The likeliest are often the same ones.
    cell = functools.cache(functools.partial(page.cell, self._items))
    rows, cells = [], 0
    for q in self._questions:
      likely = [(m, number) for m, numbers in q.candidates.items()
                for number in numbers[:_MOST_CANDIDATES]]
      cells += 1 + len(likely)
      if cells > _MOST_CELLS:
        break
      rows.append([cell(q.modality, q.number),
                   ''.join(cell(*item) for item in likely)])
    more = len(self) - len(rows)
    return page.table(
        ['question', 'likeliest counterparts'], rows, 'no question is open',
        f'{more} more: session.page() writes a page of all' if more else '')


def of(
    items: Sequence[tuple[str, int]], shown: shown_lib.Items, k: int,
    suggest: oracle_lib.Suggest,
) -> Questions:
  """Questions about items, with their likeliest counterparts.

  Args:
    items: modality and number of each.
    shown: what is seen of all items.
    k: candidates of each other modality.
    suggest: names them.
  """
  found: dict[tuple[str, int], dict[str, tuple[int, ...]]] = {
      item: {} for item in items}
  for modality in dict.fromkeys(m for m, _ in items):
    numbers = [n for m, n in items if m == modality]
    for other in shown:
      if other != modality:
        rows = suggest(modality, np.array(numbers, np.int32), other, k)
        for number, row in zip(numbers, rows):
          found[modality, number][other] = tuple(row[row >= 0].tolist())
  return Questions([Question(m, n, shown_lib.item(shown[m], n), found[m, n])
                    for m, n in items], shown)


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
  """What belongs together among the rest, likeliest first.

  Attributes:
    modalities: of the two columns.
    rows: `[p, 2]` int item numbers, no item twice.
    probabilities: `[p]` float64, that a pair is right.
    ways: for both modalities, every remaining item's likeliest counterparts in
      the other one.
    items: what is seen of them.
  """

  modalities: tuple[str, str]
  rows: np.ndarray
  probabilities: np.ndarray
  ways: Mapping[tuple[str, str], pool_lib.Matches]
  items: shown_lib.Items

  def __len__(self) -> int:
    return len(self.rows)

  def __repr__(self) -> str:
    return f'<{len(self)} pairs of {" and ".join(self.modalities)}>'

  def _repr_html_(self, most: int = 100) -> str:
    return page.table(
        [*self.modalities, 'probability'],
        [[*(page.cell(self.items, m, n) for m, n in zip(
            self.modalities, row)), f'{p:.3f}']
         for row, p in zip(self.rows[:most].tolist(), self.probabilities)],
        'no pair is likely enough',
        f'{len(self) - most} more' if len(self) > most else '')
