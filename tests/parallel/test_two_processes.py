"""Two processes, each with half of the rows, agree with one."""

import json
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import pytest

from tests.support import ports
from tests.support import reference
from tests.support import two_processes

_ROOT = pathlib.Path(__file__).parents[2]
_SECONDS = 120


@pytest.fixture(scope='module')
def both():
  """Of each process, what it found, and its errors."""
  port = ports.free()
  processes = [
      subprocess.Popen(
          [sys.executable, '-m', 'tests.support.two_processes', str(i),
           str(port)],
          cwd=_ROOT, text=True, stdout=subprocess.PIPE,
          stderr=subprocess.PIPE) for i in range(2)]
  try:
    outputs = [p.communicate(timeout=_SECONDS) for p in processes]
  finally:
    for process in processes:
      process.kill()
  # The library for collectives prints to stdout as well.
  lines = [[json.loads(line) for line in out.splitlines()
            if line.startswith('{')] for out, _ in outputs]
  return lines, [errors for _, errors in outputs]


@pytest.mark.long
def test_both_pick_what_one_process_picks(both):
  lines, errors = both
  assert all(lines), errors
  first, second = (found[0] for found in lines)
  assert first == second
  pools = two_processes.pools()
  alone = two_processes.answers({
      m: problem.view(logit_scale=jnp.float32(10))
      for m, problem in pools.items()})
  assert first == alone
  chosen = pools[first['modality']]
  assert first['picks'] == reference.k_center(
      *chosen.arrays(), len(first['picks']), 'cosine')


@pytest.mark.long
def test_ask(both):
  lines, errors = both
  assert [len(found) for found in lines] == [2, 2], errors
  expected = {'asked': two_processes.asked(None)}
  assert [found[1] for found in lines] == [expected] * 2
