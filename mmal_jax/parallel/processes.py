"""Messages between the processes (hosts) of one program.

Process 0 is the primary. Every function here but the first four is a
collective: all processes must call it, in the same order. With one process
nothing is sent.
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


def are_several() -> bool:
  """Whether the program runs in more than one process.

  Raises:
    ValueError: if it runs on several hosts that do not know of each other: a
      message between them would be waited for without end.
  """
  if count() > 1 and not jax.distributed.is_initialized():
    raise ValueError(
        f'JAX finds {count()} processes (libtpu those of all hosts of a '
        'slice), but this one has not joined the others: start the same '
        'command on every host with --multihost.')
  return count() > 1


def count() -> int:
  """How many processes there are."""
  return jax.process_count()


def index() -> int:
  """Which of them this is."""
  return jax.process_index()


def is_primary() -> bool:
  """Whether this is the primary, which alone writes records and asks."""
  return jax.process_index() == 0


def from_primary(
    work: Callable[[], T], meanwhile: Callable[[], None] | None = None
) -> T:
  """The result of work that the primary does and broadcasts to all.

  The work may take any time: people may be asked.

  Args:
    work: called by the primary alone, in a thread of its own: it must not
      compute on arrays on devices of other processes. `pickle` must be able to
      serialize its result.
    meanwhile: called by all processes every few seconds; what it raises, which
      must be the same in all, ends the waiting.

  Returns:
    What `work` returns, in all processes.

  Raises:
    Exception: what `work` raises, in all processes; a RuntimeError with its
      message if `pickle` cannot serialize it.
  """
  if not are_several():
    return work()
  doing = None
  if is_primary():
    thread = concurrent.futures.ThreadPoolExecutor(1, 'primary')
    doing = thread.submit(_result, work)
    thread.shutdown(wait=False)
  # An empty message every few seconds: collectives time out after minutes.
  while not (result := _broadcast(_so_far(doing))):
    if meanwhile is not None:
      meanwhile()
  value, error = pickle.loads(result)
  if error is not None:
    raise error
  return value


def at_primary(work: Callable[[], T]) -> T | None:
  """As `from_primary`, but only the primary gets the result; others None."""
  done = []
  from_primary(lambda: done.append(work()))
  return done[0] if done else None


def primary_first(work: Callable[[], T]) -> T:
  """Work of all processes; the others begin once the primary is done.

  For work that leaves its results on disk, as downloads.

  Args:
    work: as of `from_primary`.

  Returns:
    What `work` returns in each.
  """
  done = at_primary(work)
  return done if is_primary() else work()


def any_process(value: bool) -> bool:
  """Whether the value is true in any process."""
  return bool(_gathered(value).any())


def each(value: T) -> list[T]:
  """The values of all processes, in their order.

  Args:
    value: that `pickle` can serialize.
  """
  if not are_several():
    return [value]
  content = np.frombuffer(pickle.dumps(value), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(len(content)))
  padded = np.pad(content, (0, _room(max(sizes)) - len(content)))
  return [pickle.loads(some[:size].tobytes()) for some, size in zip(
      multihost_utils.process_allgather(padded), sizes)]


def all_processes(value: bool) -> bool:
  """Whether the value is true in all processes."""
  return bool(_gathered(value).all())


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
      result = pickle.dumps((None, e))
      pickle.loads(result)
      return result
    except Exception:  # pylint: disable=broad-exception-caught
      # The others would wait for a result that cannot be sent.
      return pickle.dumps((None, RuntimeError(f'{type(e).__name__}: {e}')))


def _so_far(doing) -> bytes:
  """The result of the work in the primary; empty while there is none."""
  try:
    return b'' if doing is None else doing.result(_PULSE_SECONDS)
  except concurrent.futures.TimeoutError:
    return b''


def _gathered(value) -> np.ndarray:
  if not are_several():
    return np.array([value])
  return multihost_utils.process_allgather(np.array(value))


def _broadcast(content: bytes) -> bytes:
  """The primary's bytes."""
  size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
  if not size:
    return b''
  padded = np.zeros(_room(size), np.uint8)
  padded[:len(content)] = np.frombuffer(content, np.uint8)
  return multihost_utils.broadcast_one_to_all(padded)[:size].tobytes()


def _room(size: int) -> int:
  """Few sizes: each is a program of its own."""
  return max(1024, 1 << (int(size) - 1).bit_length())


def check_same(settings: Any) -> None:
  """Refuses processes that were not started with the same settings.

  Raises:
    ValueError: in all of them.
  """
  if not all_processes(from_primary(lambda: settings) == settings):
    raise ValueError('the processes were started with different flags, or '
                     'configs.')
