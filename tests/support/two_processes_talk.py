"""What two processes tell one another; see `test_processes.py`.

  python -m tests.support.two_processes_talk PROCESS PORT FOLDER

prints a line of JSON, of what this one received.
"""

import json
import pathlib
import sys
import time
from unittest import mock

import jax
import numpy as np

from mmal_jax.checkpoint import newest
from mmal_jax.checkpoint import pytrees
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import shared
from mmal_jax.parallel import processes
from mmal_jax.parallel import rows
from mmal_jax.parallel import sharding


class Enough(BaseException):
  """Raised by all, in the midst of waiting."""


def _raised(call) -> list[str]:
  try:
    return ['nothing', repr(call())]
  except BaseException as e:  # pylint: disable=broad-exception-caught
    return [type(e).__name__, str(e)]


def _slow():
  time.sleep(3 * processes._PULSE_SECONDS)  # pylint: disable=protected-access
  return 'late'


def _enough():
  raise Enough('now')


def _wait(*_):
  raise oracle_lib.Waiting('2 of 3 are open.')


def _refuse():
  raise ValueError('in use')


def received(process: int, folder: pathlib.Path) -> dict[str, object]:
  """All that can be sent, in JSON's types."""
  # Of each process another value, and only the first one's counts.
  asked = []

  def oracle(modality, numbers, suggest):
    asked.append(modality)
    return np.stack([numbers, suggest(numbers)], axis=1)

  said = {'first': processes.is_primary()}
  said['sizes'] = [
      len(processes.from_primary(lambda n=n: 'x' * n * (1 - process)))
      for n in (0, 1, 5000)]
  said['here'] = processes.at_primary(lambda: 3)
  said['each'] = processes.primary_first(lambda: process)
  said['of each'] = processes.each('x' * 2000 * process)
  said['votes'] = [
      [f(vote) for f in (processes.any_process, processes.all_processes)]
      for vote in (False, process == 1, True)]
  mine = shared.shared(oracle if processes.is_primary() else None)
  said['answers'] = mine(
      'image', np.arange(3), lambda numbers: numbers + 4).tolist()
  said['asked'] = asked
  said['raised'] = [
      _raised(lambda: processes.from_primary(_refuse)),
      _raised(lambda: shared.shared(_wait)('image', np.arange(3))),
      _raised(lambda: processes.from_primary(lambda: lambda: 0))]
  processes._PULSE_SECONDS = 0.1  # pylint: disable=protected-access
  said['late'] = processes.from_primary(_slow)
  said['left'] = _raised(lambda: processes.from_primary(_slow, _enough))
  said['on host'] = _on_host()
  return said | _kept(folder)


def _kept(folder):
  """Whether checkpoints come back, and which is the newest."""
  layout = sharding.row_sharding()
  values = np.arange(32, dtype=np.float32).reshape(16, 2)

  def tree(step):
    return {'rows': sharding.shard_rows(values + step, layout),
            'own': jax.numpy.arange(3) + step, 'key': jax.random.key(step),
            'round': np.asarray(step, np.int32)}

  kept = newest.Checkpoints(folder / 'states')
  for step in (1, 2, 3):
    kept.save(step, tree(step))
  kept.wait()
  # Sealed when anybody goes on.
  steps = kept.steps()
  processes.at_primary(lambda: next(
      (folder / 'states' / '3').rglob('_METADATA')).write_text('x'))
  step, found = kept.newest(tree(0))
  again = _raised(lambda: kept.save(2, tree(2)))
  like = tree(0)['rows']
  return {
      'steps': steps, 'newest': step, 'again': again[0],
      'same': all(map(np.array_equal, _values(found), _values(tree(step)))),
      'where': found['rows'].sharding == like.sharding,
      'alone': _raised(lambda: pytrees.load(folder / 'none', like))[0]}


def _on_host():
  """A large array of both on each host, and whether any device had it whole."""
  values = np.arange(26, dtype=np.float32).reshape(13, 2)
  x = sharding.shard_rows(values, sharding.row_sharding())
  with mock.patch.multiple(rows, _AT_ONCE=5 * values[0].nbytes), (
      mock.patch.object(processes, 'whole')) as whole:
    found = rows.on_host(x, len(values))
  return [not whole.called and np.array_equal(found, values),
          np.array_equal(rows.on_host(x, 13), values)]


def _values(tree) -> list[np.ndarray]:
  tree = tree | {'key': jax.random.key_data(tree['key'])}
  return [processes.whole(jax.numpy.asarray(x)) for x in jax.tree.leaves(tree)]


def main(process: int, port: int, folder: str) -> None:
  jax.config.update('jax_platforms', 'cpu')
  jax.config.update('jax_num_cpu_devices', 4)
  jax.distributed.initialize(
      coordinator_address=f'127.0.0.1:{port}', num_processes=2,
      process_id=process, initialization_timeout=60)
  print(json.dumps(received(process, pathlib.Path(folder))), flush=True)


if __name__ == '__main__':
  main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
