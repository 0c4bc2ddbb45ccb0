"""What a page holds: a round's questions, and all that is seen of its items."""

from collections.abc import Mapping, Sequence
import concurrent.futures
from typing import Any

import numpy as np

from mmal_jax import progress
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people.page import pictures

# Pixels of the longer side of an image: one that is asked about, a candidate,
# and one that can only be searched.
_ASKED, _CANDIDATE, _SEARCHED = 640, 320, 112
# Counterparts of a question that stand by their likelihood where one looks
# through all of them; the others stand behind these, alike for all questions.
_IN_ORDER = 200


def of_round(
    name: str,
    shown: Mapping[str, display.Items],
    modality: str,
    numbers: Sequence[int],
    counterparts: Mapping[str, np.ndarray],
    candidates: int,
    searched: int,
    pools: str,
    skip_is_refusal: bool,
    mark: str,
    name_letters: int = 200,
) -> dict[str, Any]:
  """Everything that the page of a round shows, as JSON.

  Args:
    name: of the round.
    shown: by modality, what is seen of its items.
    modality: of the items that are asked about.
    numbers: q of them.
    counterparts: by other modality, `[q, k]` int item numbers, the likeliest
      first; -1 where there are fewer.
    candidates: how many of these are shown at once.
    searched: how many items of a modality the page holds, if candidates are not
      more.
    pools: as for `label_studio.task`.
    skip_is_refusal: whether a question that is skipped counts as answered.
    mark: that no other page has: another run may ask the same questions, and
      what was answered there must not pass for answers here.
    name_letters: that the name of who answers has at most: what reads the
      answers refuses longer ones.

  Raises:
    ValueError: if an image cannot be read.
  """
  held = {other: _in_turn(found, candidates, searched)
          for other, found in counterparts.items()}
  ordered = max(candidates, _IN_ORDER)
  questions = []
  for row, number in enumerate(numbers):
    likely = {}
    for other, found in counterparts.items():
      there = set(held[other])
      likely[other] = [
          n for n in found[row, :ordered].tolist() if n in there]
    questions.append({'query': answers_lib.query_id(modality, number),
                      'item': number, 'likely': likely})
  sides = {modality: dict.fromkeys(numbers, _ASKED)}
  for other, some in held.items():
    sides[other] = dict.fromkeys(some, _SEARCHED) | {
        n: _CANDIDATE for question in questions
        for n in question['likely'][other][:candidates]}
  return {
      'id': mark, 'name': name, 'pools': pools, 'modality': modality,
      'others': list(counterparts), 'candidates': candidates,
      'skip_is_refusal': skip_is_refusal, 'name_letters': name_letters,
      'questions': questions,
      'searched': {other: sorted(some) for other, some in held.items()},
      'partial': {other: _is_partial(found, len(shown[other]), held[other])
                  for other, found in counterparts.items()},
      'items': _items(shown, sides)}


def _in_turn(found: np.ndarray, candidates: int, most: int) -> list[int]:
  """All candidates, and then the likeliest of each question in turn."""
  order = [n for n in dict.fromkeys(found.T.ravel().tolist())
           if n != oracle_lib.NONE]
  needed = set(found[:, :candidates].ravel().tolist()) - {oracle_lib.NONE}
  return order[:max(most, len(needed))]


def _is_partial(found, size, held) -> bool:
  """Whether more may remain than a page holds."""
  # Where a question has fewer counterparts than it might, it has all of them.
  all_found = found.shape[1] >= size or (found == oracle_lib.NONE).any()
  return not all_found or len(np.unique(found[found >= 0])) > len(held)


def _items(shown, sides) -> dict[str, dict[int, dict[str, Any]]]:
  """By modality and number, the text of an item, or its picture and name."""
  wanted = [(modality, number, side) for modality, some in sides.items()
            for number, side in some.items()]

  def see(one):
    modality, number, side = one
    return _seen(shown[modality], number, side)

  has_images = any(display.are_images(shown[modality]) for modality in sides)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    found = pool.map(see, wanted)
    if has_images:
      found = progress.steps(found, len(wanted), 'pictures of a page')
    items: dict[str, dict[int, dict[str, Any]]] = {m: {} for m in sides}
    for (modality, number, _), item in zip(wanted, found):
      items[modality][number] = item
  return items


def _seen(items: display.Items, number: int, side: int) -> dict[str, Any]:
  if not display.are_images(items):
    described = display.described(items, number)
    return {'text': str(described.get('text', f'item {number}'))}
  name = pictures.name(items, number)
  picture = pictures.of_item(items, number, side)
  if picture is None:
    return {'text': name or f'item {number}'}
  return {'picture': picture.address, 'size': picture.size} | (
      {} if name is None else {'name': name})
