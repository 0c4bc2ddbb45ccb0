"""Likeliest counterparts as people see them, and which they have rejected.

In a journal a record is an item that was shown, or of which none of these was
right: its number as often as there are counterparts, and for each of these a
row of the two, with `NONE` elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
import itertools

import numpy as np

from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.session import state as state_lib

# By item, numbers of its counterparts by modality.
Candidates = Mapping[str, tuple[int, ...]]
Pair = frozenset[state_lib.Item]


def records_of(
    at_round: int, some: Mapping[state_lib.Item, Candidates],
    modalities: Sequence[str],
) -> list[journal_lib.Record]:
  """Records of items with counterparts, in their order."""
  records = []
  for (modality, number), found in some.items():
    rows = []
    for other, numbers in found.items():
      for n in numbers:
        named = {modality: number, other: n}
        rows.append(tuple(named.get(m, oracle_lib.NONE) for m in modalities))
    if rows:
      records.append(journal_lib.Record(
          at_round, modality, (number,) * len(rows), tuple(rows)))
  return records


def of_records(
    records: Iterable[journal_lib.Record], modalities: Sequence[str]
) -> dict[state_lib.Item, dict[str, tuple[int, ...]]]:
  """By item, the counterparts of its last record."""
  found = {}
  for record in records:
    named = {m: tuple(row[column] for row in record.answers
                      if row[column] != oracle_lib.NONE)
             for column, m in enumerate(modalities) if m != record.modality}
    found[record.modality, record.numbers[0]] = {
        m: numbers for m, numbers in named.items() if numbers}
  return found


def rejected(
    by_person: Iterable[Iterable[journal_lib.Record]],
    modalities: Sequence[str], people: int,
) -> set[Pair]:
  """Pairs of items that enough people have rejected, from whichever side."""
  counts: dict[Pair, int] = {}
  for records in by_person:
    for pair in {
        frozenset((m, n) for m, n in zip(modalities, row)
                  if n != oracle_lib.NONE)
        for record in records for row in record.answers}:
      counts[pair] = counts.get(pair, 0) + 1
  return {pair for pair, count in counts.items() if count >= people}


def pairs_of(rows: np.ndarray, modalities: Sequence[str]) -> set[Pair]:
  """All pairs within rows of items that belong together, `[a, M]` int."""
  return {frozenset(two) for row in rows.tolist()
          for two in itertools.combinations(
              [(m, n) for m, n in zip(modalities, row)
               if n != oracle_lib.NONE], 2)}


def by_modalities(
    pairs: Iterable[Pair], modalities: Sequence[str]
) -> dict[tuple[str, str], np.ndarray]:
  """By two modalities, in the order of these, `[r, 2]` int numbers of pairs."""
  found: dict[tuple[str, str], list[tuple[int, int]]] = {}
  for pair in pairs:
    (a, n), (b, m) = sorted(pair, key=lambda item: modalities.index(item[0]))
    found.setdefault((a, b), []).append((n, m))
  return {couple: np.array(some, int) for couple, some in found.items()}


def suggester(
    suggest: oracle_lib.Suggest, state: state_lib.State, apart: set[Pair]
) -> oracle_lib.Suggest:
  """Leaves out what any answer names, and what was rejected.

  Args:
    suggest: names what no round has learnt from.
    state: present, with answers since.
    apart: pairs that do not belong together.
  """
  column = {m: c for c, m in enumerate(state.run.modalities)}
  gone = {m: {row[c] for row in state_lib.answered(state).values()
              if row[c] != oracle_lib.NONE} for m, c in column.items()}
  aligned = {m: {*state.run.aligned_rows[:, c].tolist()}
             for m, c in column.items()}
  not_of: dict[tuple[state_lib.Item, str], set[int]] = {}
  for one, other in map(tuple, apart):
    not_of.setdefault((one, other[0]), set()).add(other[1])
    not_of.setdefault((other, one[0]), set()).add(one[1])

  def named(modality, asked, other, k):
    numbers = np.asarray(asked).tolist()
    out = [gone[other] | not_of.get(((modality, n), other), set())
           for n in numbers]
    beyond = max((len(some - aligned[other]) for some in out), default=0)
    if not beyond:
      return suggest(modality, asked, other, k)
    # By powers of two, so that few sizes are compiled.
    wide = suggest(modality, asked, other, k + (1 << (beyond - 1).bit_length()))
    found = np.full((len(numbers), k), oracle_lib.NONE, np.int32)
    for row, some in enumerate(out):
      left = [n for n in wide[row].tolist()
              if n != oracle_lib.NONE and n not in some][:k]
      found[row, :len(left)] = left
    return found

  return named
