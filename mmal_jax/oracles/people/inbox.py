"""What comes into a folder of questions, and whether it is enough."""

from collections.abc import Iterable, Mapping, Sequence
import hashlib
import math
import os
import pathlib
import threading

from absl import logging

from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people import status as status_lib

POOLS = 'pools.json'
# While answers are read, and entered, no thread of this program may replace
# them: an answer that changes after it was accepted ends the run.
ENTERING = threading.Lock()
_FOR_GOOD = ('{} answer(s) accepted for good: they are in ledger.jsonl, and '
             'cannot be changed any more.')


def mark(pools: bytes) -> str:
  """What tasks carry as the mark of their pools."""
  return hashlib.sha256(pools).hexdigest()[:16]


def pools_of(folder: pathlib.Path) -> tuple[dict[str, int], str]:
  """Of which pools the questions of a folder are: sizes by modality, and mark.

  Raises:
    ValueError: if the folder has none, or they are damaged.
  """
  path = folder / POOLS
  try:
    content = durable.read(path)
    sizes = {modality: int(one['items']) for modality, one
             in json_object.parse(content, path).items()}
  except FileNotFoundError:
    raise ValueError(f'{path} is not there: no questions have gone out in '
                     'this folder.') from None
  except (KeyError, TypeError, ValueError) as e:
    raise ValueError(f'{path} is damaged: it must hold the number of items '
                     'of each modality.') from e
  return sizes, mark(content)


def look(
    folder: str | os.PathLike[str], queries: Sequence[str], enough: float,
    rules: status_lib.Rules, where: str | None = None,
) -> None:
  """Collects answers to queries that are waited for, without the items.

  The share counts within each modality, as the oracle asks about one at a time.
  Nothing happens if some were never asked here.

  Args:
    folder: as for `files`.
    queries: of an `oracle.Waiting`.
    enough: as for `files`.
    rules: when a query counts as answered.
    where: as for `Inbox`.

  Raises:
    oracle.Waiting: if there still are not enough.
    ValueError: as the oracle.
  """
  folder = pathlib.Path(os.path.abspath(folder))
  sizes, pools = pools_of(folder)
  asked = rounds.asked(folder)
  by: dict[str | None, list[str]] = {}
  for query in queries:
    by.setdefault(answers_lib.modality_of(query, sizes), []).append(query)
  if None in by or not asked.keys() >= set(queries):
    return
  inbox = Inbox(folder, sizes, pools, rules, where)
  inbox.collect(asked)
  waiting = [found for ids in by.values() for found in [
      inbox.waiting(ids, needed(enough, ids), asked)] if found is not None]
  if waiting:
    raise oracle_lib.together(waiting)


class Inbox:
  """What has come into a folder while a program runs."""

  def __init__(
      self, folder: pathlib.Path, sizes: Mapping[str, int], pools: str,
      rules: status_lib.Rules, where: str | None = None,
  ):
    """Takes a folder, in which questions have gone out or not.

    Args:
      folder: of all rounds.
      sizes: by modality, the number of items, in the order of the columns.
      pools: as for `label_studio.task`.
      rules: when a query counts as answered.
      where: people answer, in words; None: by files in that folder.
    """
    self._folder, self._sizes, self._where = folder, sizes, where
    self._pools, self._rules = pools, rules
    self._fresh = {}  # Accepted since it was last reported.
    self._status, self._reported = None, ''

  def collect(self, asked: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Enters what has come in.

    Args:
      asked: ids of all queries so far.

    Returns:
      The rows that are accepted after that, by query.
    """
    with ENTERING:
      found = status_lib.find(
          self._folder, self._sizes, asked, self._pools, self._rules)
      status_lib.enter(self._folder, found, tuple(self._sizes), self._pools)
    self._fresh |= found.decision.accepted
    self._status = found
    return {q: entry.row for q, entry in found.entries.items()} | (
        found.decision.accepted)

  def waiting(
      self, ids: Sequence[str], least: int, asked: Mapping[str, str]
  ) -> oracle_lib.Waiting | None:
    """What to raise if too few of some queries are answered.

    Args:
      ids: of the queries, all about one modality.
      least: how many have to be.
      asked: by query, the name of its round.
    """
    accepted = self._status.entries.keys() | self._status.decision.accepted
    left = [query for query in ids if query not in accepted]
    done = len(ids) - len(left)
    if done >= least:
      return None
    modality = ids[0].rpartition('-')[0]
    where = sorted({asked[query] for query in left})
    folder, answers = map(plain_text.for_terminal, (
        str(self._folder), str(self._folder / status_lib.ANSWERS)))
    pages = [plain_text.for_terminal(str(path)) for path in (
        self._folder / name / rounds.PAGE for name in where) if path.exists()]
    pages = f', or open {" and ".join(pages)} in a browser' if pages else ''
    there = (
        f'The questions are in {folder}, {", ".join(where)}: see README.txt '
        f'there{pages}. Put the answers into {answers} and start again.'
        if self._where is None else
        f'The questions are in {self._where}. Start again when more of them '
        'are answered there.')
    return oracle_lib.Waiting(
        f'{done} of {len(ids)} queries about {modality} are answered, and '
        f'{least} are needed. {there}',
        self._words(left, _FOR_GOOD), tuple(ids))

  def log(self) -> None:
    """Logs what has come in, once, where the program does not end with it."""
    text = self._words((), None)
    if text and text != self._reported:
      logging.warning('%s', text)
    self._fresh, self._reported = {}, text

  def _words(self, left, accepted):
    decision = self._status.decision._replace(accepted=self._fresh)
    return status_lib.in_words(
        self._folder, self._status._replace(decision=decision),
        tuple(self._sizes), self._rules, left, accepted)


def needed(enough: float, ids: Sequence[str]) -> int:
  """How many of some queries have to be answered, where a share has to be."""
  return math.ceil(enough * len(ids) - 1e-9)
