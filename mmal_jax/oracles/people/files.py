"""The oracle that is people: questions go out in files, answers come in so."""

from collections.abc import Callable, Mapping
import json
import os
import pathlib
import time
from typing import Protocol

from absl import logging
import numpy as np

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people import inbox as inbox_lib
from mmal_jax.oracles.people import naming
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people import status as status_lib

_POLL_SECONDS = 5.0


class Exchange(Protocol):
  """Brings the questions of a folder elsewhere, and answers into it.

  Attributes:
    where: people answer, in words.
  """

  where: str

  def send(self) -> None:
    """Sees to it that all questions are there, each once."""

  def fetch(self) -> None:
    """Puts answers into the folder of answers."""


def files(
    folder: str | os.PathLike[str],
    shown: Mapping[str, display.Items],
    candidates: int = 10,
    enough: float = 1.0,
    wait_seconds: float | None = None,
    conflicts: str = 'ask',
    people: int = 1,
    skip_is_refusal: bool = False,
    link: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    form: rounds.Form | None = None,
    exchange: Exchange | None = None,
) -> oracle_lib.Oracle:
  """Makes an oracle that asks people through a folder.

  Every round writes `round_NNN/` with its README.txt: for Label Studio
  `tasks.json` and `labeling_config.xml`, as plain lines `queries.jsonl`, and
  `images/`; `items_*.jsonl` list all items. Answers are read from `answers/`.
  Exports say who is who, or else `annotators.jsonl` does. What is accepted goes
  to `ledger.jsonl` before it is used; `conflicts.jsonl` lists where people
  disagree. All state is in the folder: a program started anew goes on, no query
  is ever written twice, and no accepted answer is lost or changed.

  Answers come whenever people give them. A run that is computed anew must not
  get in its first rounds what came in its later ones, or it would train on
  other pairs, and ask for other items: an `oracles.journal.Journal` around this
  oracle sees to that. Answers that come after the last round is over are never
  collected.

  One program may use a folder at a time.

  Args:
    folder: made if it is not there.
    shown: by modality, in the order of the columns, what people see of each
      item: texts, images, labels of features, or else the item's number.
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
    form: of the questions; None: that for Label Studio.
    exchange: with the place at which people answer; None: they do so in the
      folder itself.

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
  display.check(shown)
  form = form or rounds.label_studio_form(candidates, link)
  sizes = {modality: len(items) for modality, items in shown.items()}
  pools = _same_pools(folder, shown)
  (folder / status_lib.ANSWERS).mkdir(exist_ok=True)
  rules = status_lib.Rules(conflicts, people, skip_is_refusal)
  inbox = inbox_lib.Inbox(
      folder, sizes, pools, rules, exchange and exchange.where)

  def ask(modality, numbers, suggest):
    others = {}
    for other in sizes:
      if other != modality:
        found = np.asarray(
            suggest(modality, numbers, other, form.counterparts))
        _check_numbers(f'suggest({modality!r}, ..., {other!r})', found,
                       (len(numbers), None), oracle_lib.NONE, sizes[other])
        others[other] = found
    rounds.write(folder, form, shown, modality, numbers, others, pools)

  def entries_after(modality, numbers, ids, suggest):
    """Asks what has not been asked yet, and waits; the ledger after that."""
    asked = rounds.asked(folder)
    if suggest is not None:
      new = dict.fromkeys(
          n for n, query in zip(numbers.tolist(), ids) if query not in asked)
      if new:
        ask(modality, np.array(list(new), np.int32), suggest)
        asked = rounds.asked(folder)
      if exchange is not None:
        exchange.send()  # Of earlier rounds, too, if a program died before it.
    needed = 0 if suggest is None else inbox_lib.needed(enough, ids)

    def collect():
      if exchange is None:
        return inbox.collect(asked)
      exchange.fetch()
      try:
        return inbox.collect(asked)
      except ValueError as e:
        raise _Slip(str(e)) from e

    entries = _wait(collect, ids, needed, wait_seconds or 0, sleep, clock)
    waiting = inbox.waiting(ids, needed, asked)
    if waiting is not None:
      raise waiting
    inbox.log()
    return entries

  def answer(modality, numbers, suggest=None):
    if modality not in sizes:
      raise ValueError(f'modality={modality!r} is none of {tuple(sizes)}.')
    numbers = np.asarray(numbers)
    _check_numbers('numbers', numbers, (None,), 0, sizes[modality])
    ids = [answers_lib.query_id(modality, n) for n in numbers.tolist()]
    entries = entries_after(modality, numbers, ids, suggest)
    refused = (oracle_lib.NONE,) * len(sizes)
    rows = [entries.get(query, refused) for query in ids]
    return np.array(rows, np.int32).reshape(len(ids), len(sizes))

  return answer


class _Slip(ValueError):
  """Answers from elsewhere that do not fit; people may mend them there."""


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
      if over or str(e) == problem and not isinstance(e, _Slip):
        raise
      if str(e) != problem and isinstance(e, _Slip):
        logging.warning('%s\nIt is waited for: mend that where people answer.',
                        e)
      problem = str(e)
    sleep(min(_POLL_SECONDS, max(0.0, end - clock())))


def _same_pools(folder: pathlib.Path, shown) -> str:
  """Makes the folder, or refuses one of other pools; what marks the pools."""
  pools = {m: {'items': len(items), 'sha256': display.digest(items)}
           for m, items in shown.items()}
  text = json.dumps(pools, indent=1) + '\n'
  path = folder / inbox_lib.POOLS
  folder.mkdir(parents=True, exist_ok=True)
  if path.exists():
    if durable.read(path) != text.encode():
      raise ValueError(
          f'{path} is of other items, or of the same in another order, than '
          f'this run shows ({", ".join(pools)}): item numbers would mean other '
          'things. Choose a new folder.')
  elif any(folder.glob('round_*')) or (folder / status_lib.LEDGER).exists():
    raise ValueError(f'{path} is gone: without it, the items of the rounds '
                     'beside it are unknown. Choose a new folder.')
  for modality, items in shown.items():
    listed = naming.path(folder, modality)
    lines = json_lines.dump(display.catalogue(items)).encode()
    # Labels may be new.
    if lines and not (listed.exists() and durable.read(
        listed, durable.MOST_OF_OURS) == lines):
      durable.write(listed, lines)
  if not path.exists():
    durable.write(path, text)
  return inbox_lib.mark(text.encode())


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
