"""Programs that are started as several processes, each with devices."""

from collections.abc import Sequence
import os
import pathlib
import subprocess
import sys
import tempfile

from tests.support import ports

_ROOT = pathlib.Path(__file__).parents[2]
_SECONDS = 600


def joining(count: int) -> list[list[str]]:
  """The flags by which each of several processes joins the others."""
  port = ports.free()
  return [[f'--coordinator=127.0.0.1:{port}', f'--num_processes={count}',
           f'--process_id={i}'] for i in range(count)]


def run(
    module: str, flags: Sequence[str], own: Sequence[Sequence[str]]
) -> list[tuple[int, str, str]]:
  """Status, output and errors of each process, once all have ended.

  Args:
    module: that is run.
    flags: of all processes.
    own: flags of each, which has four virtual devices.
  """
  environment = os.environ | {
      'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '4'}
  # Files: a pipe that is not read would make a process, and the others, wait.
  said = [[tempfile.TemporaryFile('w+') for _ in range(2)] for _ in own]
  started = [
      subprocess.Popen(
          [sys.executable, '-m', module, *flags, *mine], cwd=_ROOT,
          env=environment, stdout=output, stderr=errors)
      for mine, (output, errors) in zip(own, said)]
  try:
    statuses = [process.wait(timeout=_SECONDS) for process in started]
  finally:
    for process in started:
      process.kill()
  return [(status, *(_all_of(file) for file in files))
          for status, files in zip(statuses, said)]


def _all_of(file):
  with file:
    file.seek(0)
    return file.read()
