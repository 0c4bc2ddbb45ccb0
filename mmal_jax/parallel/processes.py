"""Several processes (hosts) that run one program: what they tell one another.

Each function here, but for the first two, must be called by all of them, in
the same order. Where there is one process only, nothing is sent.
"""

from collections.abc import Callable
import concurrent.futures
import pickle
from typing import Any, TypeVar

from absl import logging
import jax
from jax.experimental import multihost_utils
import numpy as np

T = TypeVar('T')
_PULSE_SECONDS = 5


def several() -> bool:
  """Whether there is more than one."""
  return jax.process_count() > 1


def is_first() -> bool:
  """Whether this one speaks for all: it alone writes records, and asks."""
  return jax.process_index() == 0


def from_first(
    work: Callable[[], T], meanwhile: Callable[[], None] | None = None
) -> T:
  """What the first process makes of a piece of work; the others wait for it.

  It may take as long as it takes: people may be asked.

  Args:
    work: called by the first process alone, in a thread of its own, so that it
      must not compute on what lies on devices of the others. What it returns
      must be fit for `pickle`.
    meanwhile: called by all every few seconds; what it raises, which must be
      the same in all, ends the waiting.

  Returns:
    What it returns, in all processes.

  Raises:
    Exception: what it raises, in all processes; a RuntimeError that tells of it
      if `pickle` cannot.
  """
  if not several():
    return work()
  doing = None
  if is_first():
    thread = concurrent.futures.ThreadPoolExecutor(1, 'first')
    doing = thread.submit(_result, work)
    thread.shutdown(wait=False)
  # Nobody is silent for long: collectives may wait for minutes, not for days.
  while not (said := _broadcast(_so_far(doing))):
    if meanwhile is not None:
      meanwhile()
  value, error = pickle.loads(said)
  if error is not None:
    raise error
  return value


def at_first(work: Callable[[], T]) -> T | None:
  """As `from_first`, but what it returns stays there; None in the others."""
  done = []
  from_first(lambda: done.append(work()))
  return done[0] if done else None


def first_before_others(work: Callable[[], T]) -> T:
  """Work of all processes, of which the first leaves results for the others.

  Args:
    work: as of `from_first`.

  Returns:
    What it returns to each.
  """
  done = at_first(work)
  return done if is_first() else work()


def any_of(said: bool) -> bool:
  """Whether any process says so."""
  return bool(_all_say(said).any())


def all_of(said: bool) -> bool:
  """Whether all processes say so."""
  return bool(_all_say(said).all())


def whole(x: jax.Array) -> np.ndarray:
  """An array that may lie over devices of several processes, on each host."""
  if x.is_fully_addressable or x.is_fully_replicated:
    return np.asarray(x)
  return multihost_utils.process_allgather(x, tiled=True)


def _result(work) -> bytes:
  try:
    return pickle.dumps((work(), None))
  except Exception as e:  # pylint: disable=broad-exception-caught
    logging.debug('Stack of the error:', exc_info=True)
    try:
      said = pickle.dumps((None, e))
      pickle.loads(said)
      return said
    except Exception:  # pylint: disable=broad-exception-caught
      # The others would wait for what they cannot be told.
      return pickle.dumps((None, RuntimeError(f'{type(e).__name__}: {e}')))


def _so_far(doing) -> bytes:
  """What has come of the first process's work; nothing yet, or elsewhere."""
  try:
    return b'' if doing is None else doing.result(_PULSE_SECONDS)
  except concurrent.futures.TimeoutError:
    return b''


def _all_say(said) -> np.ndarray:
  if not several():
    return np.array([said])
  return multihost_utils.process_allgather(np.array(said))


def _broadcast(content: bytes) -> bytes:
  """The first process's bytes."""
  size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
  if not size:
    return b''
  # Few sizes: each is a program of its own.
  room = max(1024, 1 << (size - 1).bit_length())
  padded = np.zeros(room, np.uint8)
  padded[:len(content)] = np.frombuffer(content, np.uint8)
  return multihost_utils.broadcast_one_to_all(padded)[:size].tobytes()


def check_same(settings: Any) -> None:
  """Refuses processes that were not started with the same settings.

  Raises:
    ValueError: in all of them.
  """
  if not all_of(from_first(lambda: settings) == settings):
    raise ValueError('the processes were started with different flags, or '
                     'configs.')
