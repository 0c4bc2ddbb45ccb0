"""Open questions as pages for annotators, and the answers of their files.

The pages are those of `oracles.people.page`; a page asks about the items of one
modality.
"""

from collections.abc import Container, Mapping, Sequence
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any, NamedTuple

import numpy as np

from mmal_jax.files import durable
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as people_answers
from mmal_jax.oracles.people import intake
from mmal_jax.oracles.people import naming
from mmal_jax.oracles.people.page import content as content_lib
from mmal_jax.oracles.people.page import document
from mmal_jax.session import answers as answers_lib
from mmal_jax.session import items as items_lib
from mmal_jax.session import likely
from mmal_jax.session import state as state_lib
from mmal_jax.session import votes as votes_lib

_ENDING = '.html'
_SEARCHED = 2000  # items of a modality that a page holds, as a run's do
# As a page calls the file of its answers; browsers may add to the name's end.
_OF = re.compile(r'answers_session_([0-9a-f]{16})_')


class Written(NamedTuple):
  """Pages.

  Attributes:
    paths: of the files.
    shown: by item, the candidates of its question.
  """

  paths: list[pathlib.Path]
  shown: dict[state_lib.Item, likely.Candidates]


def write(
    path: str | os.PathLike[str],
    given: items_lib.Given,
    items: Sequence[state_lib.Item],
    suggest: oracle_lib.Suggest,
    candidates: int,
    at_round: int,
    session: str,
) -> Written:
  """Writes open questions, a file for each modality that is asked about.

  Args:
    path: of the file; if there are several, the modality is added to its name.
    given: the items of the session.
    items: of the questions.
    suggest: names their likeliest counterparts.
    candidates: that a question shows.
    at_round: of the session.
    session: its id.

  Raises:
    OSError: if they cannot be written.
    ValueError: if there is no question, the path does not end in `.html`, or
      an image cannot be read.
  """
  path = pathlib.Path(path).expanduser()
  if path.suffix != _ENDING:
    raise ValueError(f'path={str(path)!r} must end in {_ENDING}.')
  if not items:
    raise ValueError('no question is open: ask() for some first.')
  path.parent.mkdir(parents=True, exist_ok=True)
  pools = _digest(given)
  sizes = given.pools.sizes
  displayed = {m: given.pools.items[m].values if isinstance(some, int) else some
               for m, some in given.shown.items()}
  asked = list(dict.fromkeys(m for m, _ in items))
  found = Written([], {})
  for modality in asked:
    numbers = [n for m, n in items if m == modality]
    counterparts = {
        other: suggest(modality, np.array(numbers, np.int32), other,
                       min(max(candidates, _SEARCHED), size))
        for other, size in sizes.items() if other != modality}
    page = document.render(content_lib.of_round(
        f'session_{pools[:16]}_round_{at_round + 1}', displayed, modality,
        numbers, counterparts, candidates, _SEARCHED, pools,
        skip_is_refusal=True,
        mark=_mark(session, at_round, modality, numbers, counterparts),
        name_letters=votes_lib.LONGEST))
    file = path if len(asked) == 1 else path.with_name(
        f'{path.stem}_{modality}{_ENDING}')
    durable.write(file, page)
    found.paths.append(file)
    for row, number in enumerate(numbers):
      found.shown[modality, number] = {
          other: tuple(n for n in some[row, :candidates].tolist()
                       if n != oracle_lib.NONE)
          for other, some in counterparts.items()}
  return found


def answers_in(
    path: str | os.PathLike[str], given: items_lib.Given,
    asked: Container[state_lib.Item],
) -> dict[str, dict[state_lib.Item, Any]]:
  """By person, the answers of a file, as `Session.tell` takes them.

  Args:
    path: of a file that a page gave, or of a folder of such files: also of
      whatever else `oracles.people` reads.
    given: the items of the session.
    asked: items of all questions so far.

  Raises:
    ValueError: if there is none, or listing all that is wrong with it.
  """
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise ValueError(
        f'answers={str(path)!r} is no file: give answers by question, a list '
        'with one for each open question, or the file of a page\'s answers.')
  pools, sizes = _digest(given), given.pools.sizes
  for file in path.iterdir() if path.is_dir() else [path]:
    of = _OF.match(file.name)
    if of and of[1] != pools[:16]:
      raise ValueError(f'{file} holds answers about other items: those of '
                       'another session.')
  with tempfile.TemporaryDirectory() as alone:
    if not path.is_dir():
      shutil.copy(path, alone)
    try:
      read = intake.read(
          path if path.is_dir() else pathlib.Path(alone), sizes,
          {people_answers.query_id(*item) for item in asked}, pools, True,
          naming.Items(pathlib.Path(alone)))
    except ValueError as e:  # of a file that is no more
      raise ValueError(str(e).replace(alone, str(path.parent))) from e
  if not read.votes:
    raise ValueError('\n  '.join([f'{path} holds no answer.', *read.notes]))
  found: dict[str, dict[state_lib.Item, Any]] = {}
  for vote in read.votes:
    modality, _, number = vote.query.rpartition('-')
    found.setdefault(vote.annotator, {})[modality, int(number)] = _said(
        people_answers.named(vote, sizes), vote.reason)
  return found


def _said(named: Mapping[str, int | None], reason: str | None) -> Any:
  """An answer as `Session.tell` takes it.

  >>> _said({'text': None}, 'none of these'), _said({'text': None}, None)
  ('none of these', 'no counterpart')
  >>> _said({'text': 4, 'sound': None}, 'sound: none of these')
  {'text': 4, 'sound': None}
  """
  if any(number is not None for number in named.values()):
    return named if len(named) > 1 else next(iter(named.values()))
  if reason == people_answers.SKIPPED:
    return answers_lib.SKIP
  why = {part.rpartition(': ')[2] for part in (reason or '').split('; ')}
  return (answers_lib.NONE_OF_THESE if answers_lib.NONE_OF_THESE in why
          else answers_lib.NO_COUNTERPART)


def _mark(session, at_round, modality, numbers, counterparts) -> str:
  """The mark of a page: the same page, written again, has its answers still.
  """
  total = hashlib.sha256(repr((session, at_round, modality, numbers)).encode())
  for other, some in counterparts.items():
    total.update(f'{other} {some.shape}'.encode() + some.tobytes())
  return total.hexdigest()[:32]


def _digest(given: items_lib.Given) -> str:
  """SHA-256 of the features, and of texts."""
  total = hashlib.sha256()
  for modality, some in given.pools.items.items():
    values = np.ascontiguousarray(some.values)
    total.update(f'{modality} {values.shape}'.encode() + values.tobytes())
    shown = given.shown[modality]
    if isinstance(shown, list):
      total.update(repr(shown).encode())
  return total.hexdigest()
