"""A run on several hosts: a process on each, and the flags of that.

All processes are started with the same flags, but for `--process_id`.
"""

from collections.abc import Iterator
import contextlib
import sys
import threading

from absl import flags
import jax

from experiments import program
from mmal_jax.experiment import preemption

_MULTIHOST = flags.DEFINE_bool(
    'multihost', False, 'This is one of several processes, which JAX finds by '
    'itself, as on a TPU pod or under Slurm.')
_COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'HOST:PORT where process 0 of several is found by the '
    'others.')
_NUM_PROCESSES = flags.DEFINE_integer(
    'num_processes', None, 'How many processes there are.', lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer(
    'process_id', None, 'Which of them this is, from 0 on.', lower_bound=0)
_HEARTBEAT = flags.DEFINE_integer(
    'heartbeat_seconds', 30, 'One of several processes that has been silent '
    'for this long is taken to be gone, and the others end.', lower_bound=1)
FLAGS = tuple(flag.name for flag in (
    _MULTIHOST, _COORDINATOR, _NUM_PROCESSES, _PROCESS_ID, _HEARTBEAT))
# How long a process that ends waits for the others to end. What JAX allows must
# be more: it aborts the program after that.
_FAREWELL_SECONDS, _SHUTDOWN_SECONDS = 10, 60
# What JAX's errors hold where it was another process that failed: as its
# service reports it, and as a connection between CPUs does.
_OF_OTHERS = ('UNAVAILABLE', 'ABORTED', 'CANCELLED', 'DEADLINE_EXCEEDED',
              'oordination service', 'eartbeat', 'Gloo')


@contextlib.contextmanager
def joined() -> Iterator[None]:
  """Joins the other processes, if flags name any; before all else of JAX.

  The program ends with the block then, whatever the others do: left to itself,
  JAX would wait for them, and abort. A single process ends at once only where
  SIGTERM asked it to end.
  """
  try:
    several = _initialize()
  except (ValueError, RuntimeError) as e:
    program.end_with(e)
  if not several:
    with preemption.exiting():
      yield
    return
  status = 0
  try:
    yield
  except (SystemExit, jax.errors.JaxRuntimeError) as e:
    # Orbax's are errors of a file for `program.call`.
    if any(word in str(e) for word in _OF_OTHERS):
      cause = str(e).removeprefix('error: ').splitlines()[0]
      program.write(
          'error: another process has gone, or cannot be reached. Start all of '
          f'them again: --resume goes on. ({cause})', sys.stderr)
      preemption.end(preemption.PREEMPTED)
    if not isinstance(e, SystemExit):
      program.print_stack(*sys.exc_info())
      preemption.end(1)
    status = _status(e.code)
  except BaseException:  # pylint: disable=broad-exception-caught
    program.print_stack(*sys.exc_info())
    status = 1
  parting = threading.Thread(target=jax.distributed.shutdown, daemon=True)
  parting.start()
  parting.join(_FAREWELL_SECONDS)
  preemption.end(status)


def _initialize() -> bool:
  """Whether there are several processes, which know of each other now."""
  by_hand = (_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID)
  given = [flag.value is not None for flag in by_hand]
  if not (_MULTIHOST.value or any(given)):
    return False
  if not (_MULTIHOST.value or all(given)):
    raise ValueError(
        'of --coordinator, --num_processes and --process_id all are needed; '
        'none with --multihost, where JAX finds the processes by itself.')
  # JAX would catch SIGTERM silently.
  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(
      *(flag.value for flag in by_hand),
      heartbeat_timeout_seconds=_HEARTBEAT.value,
      shutdown_timeout_seconds=_SHUTDOWN_SECONDS)
  return True


def _status(code: str | int | None) -> int:
  """What Python makes of `sys.exit(code)`."""
  if code is None or isinstance(code, int):
    return code or 0
  program.write(code, sys.stderr)
  return 1
