"""Measurements in a Python process of their own, on the CPU."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

_ROOT = pathlib.Path(__file__).parents[2]


def call(module: str, **arguments: Any) -> dict[str, Any]:
  """What a module answers to arguments, run as a program.

  Args:
    module: its name; it has to use `arguments` and `answer`.
    **arguments: to be sent as JSON.

  Returns:
    Its answer.

  Raises:
    RuntimeError: if it fails; with all its output.
  """
  done = subprocess.run(
      [sys.executable, '-m', module, json.dumps(arguments)], cwd=_ROOT,
      # The parent may hold all of an accelerator's memory.
      env=os.environ | {'JAX_PLATFORMS': 'cpu'}, capture_output=True, text=True)
  if done.returncode:
    raise RuntimeError(f'{module} failed on {arguments}:\n{done.stderr}')
  return json.loads(done.stdout.splitlines()[-1])


def arguments() -> dict[str, Any]:
  """In the child: what it was sent."""
  return json.loads(sys.argv[1])


def answer(values: dict[str, Any]) -> None:
  """In the child: sends the answer."""
  print(json.dumps(values))
