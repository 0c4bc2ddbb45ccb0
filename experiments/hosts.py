"""Flags of a run on several hosts, with a process on each.

All processes are started with the same flags, but for `--process_id`.
"""

import contextlib

from absl import flags

from mmal_jax.experiment import hosts

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


def joined() -> contextlib.AbstractContextManager[None]:
  """Joins the other processes, if flags name any."""
  return hosts.joined(
      _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value,
      multihost=_MULTIHOST.value, heartbeat_seconds=_HEARTBEAT.value)
