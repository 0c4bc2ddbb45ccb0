"""The ring over two processes agrees with the NumPy float64 reference."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.support import loss_reference as reference
from tests.support import ports
from tests.support import two_processes_loss

_ROOT = pathlib.Path(__file__).parents[2]
_SECONDS = 120


def _run_both(folder):
  """What each process printed."""
  port = ports.free()
  # Not pipes: one that is full stops its process, for which the other waits.
  paths = [folder / str(i) for i in range(2)]
  processes = []
  try:
    for i, path in enumerate(paths):
      with path.open('w') as output:
        processes.append(subprocess.Popen(
            [sys.executable, '-m', 'tests.support.two_processes_loss', str(i),
             str(port)],
            cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT))
    for process in processes:
      process.wait(timeout=_SECONDS)
  finally:
    for process in processes:
      process.kill()
  return [path.read_text() for path in paths]


@pytest.mark.long
def test_ring(tmp_path):
  # Of one mesh axis, and of two.
  expected = [reference.sigmoid(*problem)
              for problem in two_processes_loss.problems()] * 2
  for out in _run_both(tmp_path):
    # The library for collectives prints as well.
    lines = [json.loads(line) for line in out.splitlines()
             if line.startswith('{')]
    assert len(lines) == len(expected), out
    for line, true in zip(lines, expected):
      grads = [np.array(grad) for grad in line['grads']]
      reference.assert_near((line['value'], grads), true)
