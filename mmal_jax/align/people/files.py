"""The oracle that is people: questions go out in files, answers come in so."""

import collections
from collections.abc import Callable, Mapping
import hashlib
import json
import math
import os
import pathlib
import time

import numpy as np

from mmal_jax import durable
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align.people import answers as answers_lib
from mmal_jax.align.people import ledger as ledger_lib
from mmal_jax.align.people import rounds
from mmal_jax.align.people import shown as shown_lib
from mmal_jax.data import json_lines

_POLL_SECONDS = 5.0


def files(
    folder: str | os.PathLike[str],
    shown: Mapping[str, shown_lib.Shown],
    candidates: int = 10,
    enough: float = 1.0,
    wait_seconds: float | None = None,
    conflicts: str = 'ask',
    people: int = 1,
    skip_is_refusal: bool = False,
    link: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> oracle_lib.Oracle:
  """Makes an oracle that asks people through a folder.

  Every round writes `round_NNN/` with its README.txt: for Label Studio
  `tasks.json` and `labeling_config.xml`, as plain lines `queries.jsonl`, and
  `images/`; `items_*.jsonl` list all items. Answers are read from `answers/`.
  What is accepted goes to `ledger.jsonl` before it is used; `conflicts.jsonl`
  lists where people disagree. All state is in the folder: a program started
  anew goes on, no query is ever written twice, and no accepted answer is lost
  or changed.

  Answers come whenever people give them. A run that is computed anew must not
  be told in its first rounds what came in its later ones, or it would train on
  other pairs, and ask for other items: an `align.journal.Journal` around this
  oracle sees to that. Answers that come after the last round is over are never
  collected.

  One program may use a folder at a time.

  Args:
    folder: made if it is not there.
    shown: by modality, in the order of the columns, what people see of each
      item: texts, images, or for features the item's number.
    candidates: how many likely counterparts are shown, of each modality.
    enough: share of a round's queries that must be answered before the loop
      goes on, within [0, 1]; the others stay open.
    wait_seconds: how long to wait for them; None not at all.
    conflicts: as for `answers.decide`.
    people: as for `answers.decide`.
    skip_is_refusal: whether who skips a task in Label Studio refuses it; else
      it is not answered.
    link: whether images that have files of their own are linked, not copied.
    sleep: in place of the clock's, for tests.
    clock: in seconds, likewise.

  Returns:
    The oracle. It raises `oracle.Waiting` if not enough is answered, and
    ValueError for what does not fit: every problem of the answers at once, an
    answer that was changed after it had been accepted, an item that does not
    exist, a damaged ledger.

  Raises:
    TypeError: if items cannot be shown.
    ValueError: if an argument is out of range, or the folder is of other pools.
  """
  folder = pathlib.Path(os.path.abspath(folder))
  for name, value, least in (('candidates', candidates, 1),
                             ('people', people, 1)):
    if value < least:
      raise ValueError(f'{name}={value!r} must be at least {least}.')
  if not 0 <= enough <= 1:
    raise ValueError(f'enough={enough!r} must lie within [0, 1].')
  if wait_seconds is not None and not wait_seconds >= 0:
    raise ValueError(f'wait_seconds={wait_seconds!r} must be at least 0.')
  if conflicts not in answers_lib.CONFLICTS:
    raise ValueError(
        f'conflicts={conflicts!r} is none of {answers_lib.CONFLICTS}.')
  shown_lib.check(shown)
  sizes = {modality: len(items) for modality, items in shown.items()}
  pools = _same_pools(folder, shown)
  (folder / 'answers').mkdir(exist_ok=True)
  ledger = folder / 'ledger.jsonl'

  def ask(modality, numbers, suggest):
    others = {}
    for other in sizes:
      if other != modality:
        found = np.asarray(suggest(modality, numbers, other, candidates))
        _check_numbers(f'suggest({modality!r}, ..., {other!r})', found,
                       (len(numbers), None), oracle_lib.NONE, sizes[other])
        others[other] = found
    rounds.write(folder, shown, modality, numbers, others, pools, link)

  def collect(asked) -> dict[str, ledger_lib.Entry]:
    """Enters what has come in; the ledger after that."""
    entries = ledger_lib.read(ledger, sizes)
    votes = answers_lib.read(
        folder / 'answers', sizes, asked, pools, skip_is_refusal)
    ledger_lib.check_unchanged(
        entries, votes, tuple(sizes), folder / 'answers')
    by_query = collections.defaultdict(list)
    for vote in votes:
      by_query[vote.query].append(vote)
    fresh = {q: v for q, v in by_query.items() if q not in entries}
    decision = answers_lib.decide(fresh, conflicts, people)
    late = [q for q in by_query if q in entries and any(
        v.row != entries[q].row and v.annotator not in entries[q].votes
        for v in by_query[q])]
    _list_conflicts(
        folder / 'conflicts.jsonl', decision.conflicts, late, by_query, sizes)
    ledger_lib.enter(ledger, decision.accepted, fresh, sizes)
    return ledger_lib.read(ledger, sizes)

  def entries_after(modality, numbers, ids, suggest):
    """Asks what nobody was asked yet, and waits; the ledger after that."""
    asked = rounds.asked(folder)
    if suggest is not None:
      new = dict.fromkeys(
          n for n, query in zip(numbers.tolist(), ids) if query not in asked)
      if new:
        ask(modality, np.array(list(new), np.int32), suggest)
        asked = rounds.asked(folder)
    needed = 0 if suggest is None else math.ceil(enough * len(ids) - 1e-9)
    entries = _wait(lambda: collect(asked), ids, needed, wait_seconds or 0,
                    sleep, clock)
    done = sum(query in entries for query in ids)
    if done < needed:
      where = sorted({asked[query] for query in ids if query not in entries})
      raise oracle_lib.Waiting(
          f'{done} of {len(ids)} queries about {modality} are answered, and '
          f'{needed} are needed. The questions are in {folder}, '
          f'{", ".join(where)}: see README.txt there. Put the answers into '
          f'{folder / "answers"} and start again.')
    return entries

  def answer(modality, numbers, suggest=None):
    if modality not in sizes:
      raise ValueError(f'modality={modality!r} is none of {tuple(sizes)}.')
    numbers = np.asarray(numbers)
    _check_numbers('numbers', numbers, (None,), 0, sizes[modality])
    ids = [answers_lib.query_id(modality, n) for n in numbers.tolist()]
    entries = entries_after(modality, numbers, ids, suggest)
    found = {query: entries[query].row for query in ids if query in entries}
    nobody = (oracle_lib.NONE,) * len(sizes)
    rows = [found.get(query, nobody) for query in ids]
    return np.array(rows, np.int32).reshape(len(ids), len(sizes))

  return answer


def _wait(collect, ids, needed, seconds, sleep, clock):
  """Collects until enough is there or the time is over."""
  end = clock() + seconds
  problem = None
  while True:
    over = clock() >= end
    try:
      entries, problem = collect(), None
      if over or sum(query in entries for query in ids) >= needed:
        return entries
    except ValueError as e:
      # Seen once, it may be a file that is just being copied.
      if over or str(e) == problem:
        raise
      problem = str(e)
    sleep(min(_POLL_SECONDS, max(0.0, end - clock())))


def _same_pools(folder: pathlib.Path, shown) -> str:
  """Makes the folder, or refuses one of other pools; what marks the pools."""
  pools = {m: {'items': len(items), 'sha256': shown_lib.digest(items)}
           for m, items in shown.items()}
  text = json.dumps(pools, indent=1) + '\n'
  path = folder / 'pools.json'
  folder.mkdir(parents=True, exist_ok=True)
  if path.exists():
    if durable.read(path) != text.encode():
      raise ValueError(
          f'{path} is of other items, or of the same in another order, than '
          f'this run shows ({", ".join(pools)}): item numbers would mean other '
          'things. Choose a new folder.')
  elif any(folder.glob('round_*')) or (folder / 'ledger.jsonl').exists():
    raise ValueError(f'{path} is gone: nobody knows of which items the rounds '
                     'beside it are. Choose a new folder.')
  else:
    for modality, items in shown.items():
      records = shown_lib.catalogue(items)
      if records:
        durable.write(folder / f'items_{modality}.jsonl',
                      json_lines.dump(records))
    durable.write(path, text)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _list_conflicts(path, disputed, late, votes, modalities) -> None:
  """Writes where people disagree, or removes the list if they do not."""
  lines = [
      {'query': query, 'state': state,
       'answers': {v.annotator: answers_lib.named(v, modalities)
                   for v in votes[query]},
       'sources': [v.place for v in votes[query]]}
      for state, queries in (('open', disputed), ('accepted before', late))
      for query in queries]
  if lines:
    durable.write(path, json_lines.dump(lines))
  else:
    path.unlink(missing_ok=True)


def _check_numbers(name, array, shape, least, size) -> None:
  """Refuses an array that does not hold item numbers of that shape."""
  if array.ndim != len(shape) or any(
      want not in (None, got) for want, got in zip(shape, array.shape)) or (
          array.size and array.dtype.kind not in 'iu'):
    raise ValueError(f'{name} is {array.dtype} of shape {array.shape}; '
                     f'integers of {len(shape)} axes are needed.')
  if array.size and not least <= array.min() <= array.max() < size:
    raise ValueError(f'{name} reaches from {array.min()} to {array.max()}; '
                     f'there are {size} items.')
