"""Console commands: `mmal-run` is `python -m experiments.run`, and so on."""

import runpy

import experiments


def run() -> None:
  _start('run')


def sweep() -> None:
  _start('sweep')


def report() -> None:
  _start('report')


def embed() -> None:
  _start('embed')


def export() -> None:
  _start('export')


def match() -> None:
  _start('match')


def diagnose() -> None:
  _start('diagnose')


def plan() -> None:
  _start('plan')


def check_answers() -> None:
  _start('check_answers')


def _start(name: str) -> None:
  """Runs a program as `python -m` does: absl lists the flags of `__main__`."""
  experiments.begin()
  from experiments import program  # After `begin`: it imports for seconds.
  from mmal_jax import extras
  command = f'mmal-{name.replace("_", "-")}'
  try:
    with extras.named(f'for {command}'):
      runpy.run_module(f'experiments.{name}', run_name='__main__',
                       alter_sys=True)
  except ImportError as e:
    program.end_with(e)
