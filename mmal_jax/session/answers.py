"""What people tell a session, as rows; slips are named, all of them at once."""

from collections.abc import Mapping, Sequence
import numbers
from typing import Any, NamedTuple

import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.session import questions as questions_lib
from mmal_jax.session import state as state_lib

SKIP, NONE_OF_THESE, NO_COUNTERPART = (
    'skip', 'none of these', 'no counterpart')
_WORDS = f'{NO_COUNTERPART!r}, {NONE_OF_THESE!r} or {SKIP!r}'


class Said(NamedTuple):
  """Answers that may be taken.

  Attributes:
    rows: by item, those with counterparts, or that there are none.
    aside: items of the questions that were skipped, or of whose candidates
      none is right.
  """

  rows: dict[state_lib.Item, state_lib.Row]
  aside: list[state_lib.Item]


def parsed(
    given: Any, open_items: Sequence[state_lib.Item],
    sizes: Mapping[str, int],
) -> Said:
  """Reads answers.

  Args:
    given: by question, or modality and number of its item, an answer; or a
      sequence with one for each open question. An answer is the counterpart's
      number, or with more than two modalities these by modality; or one of
      the words.
    open_items: of the open questions, in order.
    sizes: by modality, the number of items, in the order of the columns.

  Raises:
    TypeError: if `given` is neither.
    ValueError: naming every answer that does not fit.
  """
  problems: list[str] = []
  said = Said({}, [])
  for item, answer in _by_item(given, open_items, sizes, problems):
    name = in_words(item)
    if item in said.rows or item in said.aside:
      problems.append(f'{name} is answered twice.')
    elif isinstance(answer, str) and answer in (SKIP, NONE_OF_THESE):
      said.aside.append(item)
    else:
      row = _row(item, answer, sizes, problems)
      if row is not None:
        said.rows[item] = row
  problems_lib.report('answers', problems)
  return said


def none_of_these(
    given: Any, open_items: Sequence[state_lib.Item], sizes: Mapping[str, int]
) -> list[state_lib.Item]:
  """Items of whose candidates none is right, of what `parsed` takes."""
  return [item for item, answer in _by_item(given, open_items, sizes, [])
          if isinstance(answer, str) and answer == NONE_OF_THESE]


def check_consistent(
    rows: Mapping[state_lib.Item, state_lib.Row],
    known: Mapping[state_lib.Item, state_lib.Row],
    modalities: Sequence[str],
) -> None:
  """Refuses answers that contradict one another, or what is known.

  Args:
    rows: by item.
    known: all earlier answers, by item.
    modalities: of the columns.

  Raises:
    ValueError: naming every item that would be in two answers that differ.
  """
  problems = []
  of: dict[state_lib.Item, state_lib.Row] = {}
  for item, row in (*known.items(), *rows.items()):
    for other in zip(modalities, row):
      if other[1] == oracle_lib.NONE:
        continue
      before = of.setdefault(other, row)
      if before != row and item in rows:
        problems.append(
            f'{in_words(item)}: {_row_in_words(row, modalities)}, but '
            f'{in_words(other)} is known to go otherwise: '
            f'{_row_in_words(before, modalities)}.')
        break
  problems_lib.report('answers', problems)


def known_pairs(
    given: Any, sizes: Mapping[str, int]
) -> dict[state_lib.Item, state_lib.Row]:
  """Rows of pairs that are known from the start, by their first items.

  Args:
    given: `[a, M]` int, item numbers, a column a modality; -1 for none.
    sizes: by modality, the number of items.

  Raises:
    TypeError: if it holds no integers.
    ValueError: for another shape, numbers of no item, or pairs that contradict
      one another.
  """
  rows = np.asarray(given)
  if not rows.size:
    return {}
  if rows.dtype.kind not in 'iu':
    raise TypeError(f'known_pairs has dtype {rows.dtype}; integers are needed.')
  if rows.ndim != 2 or rows.shape[1] != len(sizes):
    raise ValueError(
        f'known_pairs has shape {rows.shape}; [a, {len(sizes)}] is needed, a '
        f'number of {" and of ".join(sizes)} in each row.')
  problems, found = [], {}
  for place, row in enumerate(map(tuple, rows.tolist())):
    wrong = [f'{m} {n}' for (m, size), n in zip(sizes.items(), row)
             if not oracle_lib.NONE <= n < size]
    there = [(m, n) for m, n in zip(sizes, row) if n >= 0]
    if wrong:
      problems.append(f'row {place}: there is no {wrong[0]}.')
    elif len(there) < 2:
      problems.append(f'row {place} names fewer than two items.')
    elif there[0] in found:
      problems.append(f'row {place}: {in_words(there[0])} is in row '
                      f'{list(found).index(there[0])}, too.')
    else:
      found[there[0]] = row
  problems_lib.report('known_pairs', problems)
  check_consistent(found, {}, tuple(sizes))
  return found


def in_words(item: state_lib.Item) -> str:
  return f'{item[0]} {item[1]}'


def _row_in_words(row, modalities) -> str:
  return ' with '.join(
      f'no {m}' if n == oracle_lib.NONE else f'{m} {n}'
      for m, n in zip(modalities, row))


def _by_item(given, open_items, sizes, problems):
  """Pairs of an item and its answer."""
  if isinstance(given, Mapping):
    # Not by `_item` of an open question alone: what is put aside may be told.
    return [(item, answer) for key, answer in given.items()
            if (item := _item(key, sizes, problems)) is not None]
  given = np.asarray(given).tolist() if hasattr(given, '__array__') else given
  if isinstance(given, str) or not isinstance(given, Sequence):
    raise TypeError(
        f'answers={arguments.shown(given)} must be answers by question, or a '
        'list with one for each open question.')
  if len(given) != len(open_items):
    raise ValueError(
        f'{len(given)} answers are given, and {len(open_items)} questions are '
        'open: give one for each, in the order of ask(), or answers by '
        'question.' + ('' if open_items else ' ask() opens questions.'))
  return list(zip(open_items, given))


def _item(key, sizes, problems) -> state_lib.Item | None:
  if isinstance(key, questions_lib.Question):
    key = key.modality, key.number
  if _is_whole(key):  # Or is it the place of a question?
    problems.append(
        f'{key} names an item of any modality: give (modality, number).')
    return None
  if not isinstance(key, tuple) or len(key) != 2 or not isinstance(
      key[0], str) or not _is_whole(key[1]):
    problems.append(f'{arguments.shown(key)} is no question: give it as ask() '
                    'does, or (modality, number).')
    return None
  modality, number = key
  if modality not in sizes:
    problems.append(f'{arguments.shown(modality)} is none of '
                    f'{", ".join(sizes)}.')
  elif not 0 <= number < sizes[modality]:
    problems.append(f'there is no {modality} {number}: numbers are 0 to '
                    f'{sizes[modality] - 1}.')
  else:
    return modality, int(number)
  return None


def _row(item, answer, sizes, problems) -> state_lib.Row | None:
  """The row of an answer; None, and a problem, of what is none."""
  modality, number = item
  others = [m for m in sizes if m != modality]
  name = in_words(item)
  if isinstance(answer, str) and answer == NO_COUNTERPART:
    answer = dict.fromkeys(others, NO_COUNTERPART)
  elif not isinstance(answer, Mapping):
    if len(others) > 1:
      problems.append(f'{name}: {arguments.shown(answer)} must be the numbers '
                      f'of {" and ".join(others)}, by modality, or {_WORDS}.')
      return None
    answer = {others[0]: answer}
  if set(answer) != set(others):
    problems.append(f'{name} needs an answer about {" and ".join(others)}, and '
                    f'got one about {arguments.shown(list(answer))}.')
    return None
  row = {modality: number}
  for other, value in answer.items():
    if isinstance(value, str) and value == NO_COUNTERPART or (
        value is None and len(others) > 1):
      value = oracle_lib.NONE
    elif not _is_whole(value):
      article = 'an' if other[0].lower() in 'aeiou' else 'a'
      # Of several modalities the words are about the whole question.
      problems.append(
          f'{name}: {arguments.shown(value)} must be the number of {article} '
          f'{other}, or {_WORDS if len(others) == 1 else "None for none"}.')
      return None
    elif not 0 <= value < sizes[other]:
      problems.append(f'{name}: there is no {other} {value}: numbers are 0 to '
                      f'{sizes[other] - 1}.')
      return None
    row[other] = int(value)
  return tuple(row[m] for m in sizes)


def _is_whole(value: Any) -> bool:
  return isinstance(value, numbers.Integral) and not isinstance(
      value, (bool, np.bool_))
