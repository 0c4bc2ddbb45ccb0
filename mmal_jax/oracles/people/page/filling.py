"""The files of a round whose questions are on a page."""

from collections.abc import Mapping, Sequence
import functools
import pathlib
import uuid

import numpy as np

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import plain_text
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people.page import content as content_lib
from mmal_jax.oracles.people.page import document

PAGE = rounds.PAGE


def form(
    candidates: int, searched: int, skip_is_refusal: bool
) -> rounds.Form:
  """Questions as one HTML file a round.

  Args:
    candidates: as for `content.of_round`.
    searched: likewise.
    skip_is_refusal: likewise.
  """
  return rounds.Form(max(candidates, searched), functools.partial(
      _fill, candidates=candidates, searched=searched,
      skip_is_refusal=skip_is_refusal))


def _fill(
    draft: pathlib.Path, path: pathlib.Path,
    shown: Mapping[str, display.Items], modality: str, numbers: Sequence[int],
    counterparts: Mapping[str, np.ndarray], pools: str, *, candidates: int,
    searched: int, skip_is_refusal: bool,
) -> None:
  def listed(of, number):
    return {'item': number, **display.described(shown[of], number)}

  queries = [
      {'query': answers_lib.query_id(modality, number), 'modality': modality,
       **listed(modality, number), 'candidates': {
           other: [listed(other, n) for n in found[row, :candidates].tolist()
                   if n != oracle_lib.NONE]
           for other, found in counterparts.items()}}
      for row, number in enumerate(numbers)]
  content = content_lib.of_round(
      path.name, shown, modality, numbers, counterparts, candidates, searched,
      pools, skip_is_refusal, uuid.uuid4().hex)
  durable.write(draft / 'queries.jsonl', json_lines.dump(queries))
  durable.write(draft / PAGE, document.render(content))
  how = _HOW.format(folder=plain_text.for_terminal(str(path.parent)), page=PAGE)
  durable.write(draft / 'README.txt', rounds.readme(
      path, queries[0], {other: len(shown[other]) for other in counterparts},
      shown, how, 'search for them on the page'))


_HOW = '''\
With the page
-------------
1. Open {page} in a browser, from here or wherever it was sent to: all is
   in that file, and it asks for nothing from the network.
2. Say who you are, and answer. Digits choose a candidate, "n" is none of these,
   "c" no counterpart, "s" skips, "u" undoes, "/" searches in all that remain.
   The browser keeps every answer as it is given: the page may be closed, and
   opened again in the same browser.
3. Download the answers, and put the file into the folder of answers. Later
   downloads may stand beside earlier ones: of each answer the latest holds, and
   one that was undone is taken back.
'''
