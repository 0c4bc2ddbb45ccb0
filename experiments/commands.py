"""Console commands: `mmal-run` is `python -m experiments.run`, and so on."""

import functools
import runpy

import experiments


def _start(name: str) -> None:
  """Runs a program as `python -m` does: absl lists the flags of `__main__`."""
  experiments.begin()
  from mmal_jax import extras  # After `begin`: absl takes the streams it finds.
  from mmal_jax.terminal import messages
  command = f'mmal-{name.replace("_", "-")}'
  try:
    with extras.named(f'for {command}'):
      runpy.run_module(f'experiments.{name}', run_name='__main__',
                       alter_sys=True)
  except ImportError as e:
    messages.end_with(e)


run = functools.partial(_start, 'run')
sweep = functools.partial(_start, 'sweep')
report = functools.partial(_start, 'report')
embed = functools.partial(_start, 'embed')
export = functools.partial(_start, 'export')
match = functools.partial(_start, 'match')
diagnose = functools.partial(_start, 'diagnose')
plan = functools.partial(_start, 'plan')
check_answers = functools.partial(_start, 'check_answers')
