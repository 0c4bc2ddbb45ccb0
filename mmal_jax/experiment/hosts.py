"""A program that runs on several hosts: a process on each."""

from collections.abc import Iterator
import contextlib
import sys
import threading

import jax

from mmal_jax.experiment import preemption
from mmal_jax.terminal import messages

# How long a process that ends waits for the others to end. What JAX allows must
# be more: it aborts the program after that.
_FAREWELL_SECONDS, _SHUTDOWN_SECONDS = 10, 60
# What JAX's errors hold where it was another process that failed: as its
# service reports it, and as a connection between CPUs does.
_OF_OTHERS = ('UNAVAILABLE', 'ABORTED', 'CANCELLED', 'DEADLINE_EXCEEDED',
              'oordination service', 'eartbeat', 'Gloo')


@contextlib.contextmanager
def joined(
    coordinator: str | None, num_processes: int | None,
    process_id: int | None, *, multihost: bool, heartbeat_seconds: int
) -> Iterator[None]:
  """Joins the other processes, if there are any; before all else of JAX.

  The program ends with the block then, whatever the others do: left to itself,
  JAX would wait for them, and abort. A single process ends at once only where
  SIGTERM asked it to end.

  Args:
    coordinator: HOST:PORT where process 0 is found; None of a single process.
    num_processes: how many there are.
    process_id: which of them this is.
    multihost: whether JAX finds the processes by itself.
    heartbeat_seconds: silence after which a process is taken to be gone.
  """
  try:
    several = _initialize(
        (coordinator, num_processes, process_id), multihost, heartbeat_seconds)
  except (ValueError, RuntimeError) as e:
    messages.end_with(e)
  if not several:
    with preemption.exiting():
      yield
    return
  status = 0
  try:
    yield
  except (SystemExit, jax.errors.JaxRuntimeError) as e:
    # Orbax's are errors of a file, which the program has made a line of.
    if any(word in str(e) for word in _OF_OTHERS):
      cause = str(e).removeprefix('error: ').splitlines()[0]
      messages.notify(
          'error: another process has gone, or cannot be reached. Start all of '
          f'them again: --resume goes on. ({cause})')
      preemption.end(preemption.PREEMPTED)
    if not isinstance(e, SystemExit):
      messages.print_stack(*sys.exc_info())
      preemption.end(1)
    status = _status(e.code)
  except BaseException:  # pylint: disable=broad-exception-caught
    messages.print_stack(*sys.exc_info())
    status = 1
  parting = threading.Thread(target=jax.distributed.shutdown, daemon=True)
  parting.start()
  parting.join(_FAREWELL_SECONDS)
  preemption.end(status)


def _initialize(by_hand, multihost: bool, heartbeat_seconds: int) -> bool:
  """Whether there are several processes, which know of each other now."""
  given = [value is not None for value in by_hand]
  if not (multihost or any(given)):
    return False
  if not (multihost or all(given)):
    raise ValueError(
        'of --coordinator, --num_processes and --process_id all are needed; '
        'none with --multihost, where JAX finds the processes by itself.')
  # JAX would catch SIGTERM silently.
  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(
      *by_hand, heartbeat_timeout_seconds=heartbeat_seconds,
      shutdown_timeout_seconds=_SHUTDOWN_SECONDS)
  return True


def _status(code: str | int | None) -> int:
  """What Python makes of `sys.exit(code)`."""
  if code is None or isinstance(code, int):
    return code or 0
  messages.notify(code)
  return 1
