"""Which experiment a folder holds, and under which settings it was begun.

A random id tells an experiment from every other one, also from one of the same
config: journals, states and records carry it, so that none is taken for
another's. Settings of JAX that decide numbers are compared on `--resume`.
"""

import importlib.metadata
import os
import pathlib
from typing import Any
import uuid
import warnings

from absl import logging
import jax

from experiments import workdir as workdir_lib
from mmal_jax import plain_text

# Settings of JAX with which the same keys and arrays give other numbers.
_DECISIVE = (
    'jax_default_prng_impl', 'jax_enable_x64', 'jax_numpy_dtype_promotion',
    'jax_random_seed_offset', 'jax_threefry_partitionable')
# Those that change rounding alone; and the packages whose versions may.
_ROUNDING = ('jax_default_matmul_precision', 'jax_disable_jit')
_PACKAGES = 'jax', 'jaxlib', 'flax', 'optax', 'numpy'


def begin() -> dict[str, Any]:
  """What is recorded of a new experiment: a fresh id, and the settings."""
  return {'experiment': uuid.uuid4().hex, 'settings': _settings(_DECISIVE),
          'rounding': _rounding()}


def check(folder: pathlib.Path) -> None:
  """Refuses to go on under settings that decide other numbers.

  Args:
    folder: of an experiment that was begun.

  Raises:
    ValueError: then, naming them; or if the record is gone or broken.
  """
  there = read(folder)
  now = _settings(_DECISIVE)
  changed = [f'{name} is {now.get(name)!r} now, and was '
             f'{there["settings"].get(name)!r}'
             for name in sorted({*now, *there['settings']})
             if now.get(name) != there['settings'].get(name)]
  if changed:
    raise ValueError(
        f'{str(folder)!r} was begun with other settings of JAX, which draw '
        f'other numbers: {plain_text.for_terminal("; ".join(changed))}. Set '
        'them as they were (each is an environment variable of the same name '
        'in capitals).')
  rounding = _rounding()
  for name in sorted({*rounding, *there['rounding']}):
    if rounding.get(name) != there['rounding'].get(name):
      logging.warning(
          '%s is %r now, and was %r when the experiment was begun: sums may be '
          'rounded otherwise, and rounds differ a little from those of an '
          'undisturbed run.', name, rounding.get(name),
          there['rounding'].get(name))


def read(folder: pathlib.Path) -> dict[str, Any]:
  """What `begin` returned when the experiment in a folder was begun.

  Raises:
    ValueError: if it is gone or broken.
  """
  path = folder / workdir_lib.PROVENANCE
  try:
    found = workdir_lib.read(path)
  except FileNotFoundError:
    raise ValueError(
        f'{path} is missing, which says to what experiment journals, states '
        'and records belong: an earlier version, which wrote none, began this '
        'experiment. Go on with that version, choose another folder, or give '
        '--overwrite to begin anew.') from None
  if not isinstance(found.get('experiment'), str) or not all(
      isinstance(found.get(name), dict) for name in ('settings', 'rounding')):
    raise ValueError(
        f'{path} is damaged: it needs "experiment", "settings" and "rounding". '
        'Restore it from a copy of this very experiment.')
  return found


def of_run(folder: pathlib.Path, strategy: str, seed: int) -> dict[str, Any]:
  """The names by which journals and states know their run."""
  return {'experiment': read(folder)['experiment'], 'strategy': strategy,
          'seed': seed}


def _settings(names) -> dict[str, Any]:
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # Some are on their way out.
    return {name: getattr(jax.config, name) for name in names
            if hasattr(jax.config, name)}


def _rounding() -> dict[str, Any]:
  return _settings(_ROUNDING) | {
      'device': jax.devices()[0].device_kind,
      'XLA_FLAGS': os.environ.get('XLA_FLAGS', ''),
      **{name: importlib.metadata.version(name) for name in _PACKAGES}}
