"""Programs that are started as several processes, each with devices."""

from collections.abc import Sequence
import os
import pathlib
import socket
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]
_SECONDS = 600


def joining(count: int) -> list[list[str]]:
  """The flags by which each of several processes joins the others."""
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    port = listener.getsockname()[1]
  return [[f'--coordinator=127.0.0.1:{port}', f'--num_processes={count}',
           f'--process_id={i}'] for i in range(count)]


def run(
    module: str, flags: Sequence[str], own: Sequence[Sequence[str]],
    devices: int = 4,
) -> list[tuple[int, str, str]]:
  """Status, output and errors of each process, once all have ended.

  Args:
    module: that is run.
    flags: of all processes.
    own: flags of each.
    devices: virtual ones of each.
  """
  environment = os.environ | {
      'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(devices)}
  started = [
      subprocess.Popen(
          [sys.executable, '-m', module, *flags, *mine], cwd=_ROOT, text=True,
          env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
      for mine in own]
  try:
    said = [process.communicate(timeout=_SECONDS) for process in started]
  finally:
    for process in started:
      process.kill()
  return [(process.returncode, *words)
          for process, words in zip(started, said)]
