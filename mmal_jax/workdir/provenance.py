"""Which experiment a folder holds, and under which settings it was begun.

A random id distinguishes an experiment from every other one, also from one of
the same config: journals, states and records carry it, so that none is taken
for another's. Settings of JAX that decide numbers are compared on `--resume`.
"""

from collections.abc import Iterable, Mapping, Sequence
import enum
import importlib.metadata
import os
import pathlib
from typing import Any
import uuid
import warnings

from absl import logging
import jax

from mmal_jax.files import plain_text
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout as workdir_lib

# Settings of JAX with which the same keys and arrays give other numbers, and
# what JAX sets them to by itself.
_DECISIVE = {
    'jax_default_prng_impl': 'threefry2x32',
    'jax_enable_x64': False,
    'jax_explicit_x64_dtypes': 'warn',
    'jax_high_dynamic_range_gumbel': False,  # `badge` and `kmeans` draw by it.
    'jax_numpy_dtype_promotion': 'standard',
    'jax_random_seed_offset': 0,
    'jax_threefry_partitionable': True}
# Those that change rounding alone: how sums are computed, differentiated,
# compiled, or cut among devices. And the packages whose versions may.
_ROUNDING = (
    'eager_constant_folding', 'jax_compiler_enable_remat_pass',
    'jax_cpu_collectives_implementation', 'jax_custom_vjp3',
    'jax_default_device', 'jax_default_matmul_precision', 'jax_disable_jit',
    'jax_disable_most_optimizations', 'jax_embedded_constants_max_bytes',
    'jax_exec_time_optimization_effort', 'jax_memory_fitting_effort',
    'jax_memory_fitting_level', 'jax_optimization_level', 'jax_remat3',
    'jax_scan3', 'jax_softmax_custom_jvp', 'jax_sort_devices_by_process_index',
    'jax_use_direct_linearize', 'jax_use_shardy_partitioner',
    'jax_use_simplified_jaxpr_constants')
_PACKAGES = 'jax', 'jaxlib', 'flax', 'optax', 'numpy'


def begin() -> dict[str, Any]:
  """What is recorded of a new experiment: a fresh id, and the settings."""
  return {'experiment': uuid.uuid4().hex, 'settings': _settings(_DECISIVE),
          'rounding': _rounding()}


def check(folder: pathlib.Path) -> None:
  """Refuses to go on under settings that decide other numbers.

  A setting that was not recorded, by an earlier version or an earlier JAX, may
  have been anything. If it is not JAX's own now, that is a warning: to refuse
  it would have the user change it, who may have begun with it. What changes
  rounding alone is then not compared.

  Args:
    folder: of an experiment that was begun.

  Raises:
    ValueError: then, naming them; or if the record is gone or broken.
  """
  there = read(folder)
  now, began = _settings(_DECISIVE), there['settings']
  check_settings(began, str(folder))
  for name in sorted(now.keys() - began.keys()):
    if now[name] != _DECISIVE[name]:
      logging.warning(
          '%s is %r now; what it was when the experiment was begun is not '
          'recorded in %s. Unless it was the same, other numbers are drawn: '
          "JAX's own is %r.", name, now[name], folder / workdir_lib.PROVENANCE,
          _DECISIVE[name])
  rounding = _rounding()
  for name, value in sorted(there['rounding'].items()):
    if rounding.get(name) != value:
      logging.warning(
          '%s is %r now, and was %r when the experiment was begun: sums may be '
          'rounded otherwise, and rounds differ a little from those of an '
          'undisturbed run.', name, rounding.get(name), value)


def check_settings(began: Mapping[str, Any], where: str) -> None:
  """Refuses to go on under other settings than those that were recorded.

  Args:
    began: as `begin` returned them, of those that decide numbers.
    where: they are recorded, for the error.

  Raises:
    ValueError: naming those that have changed.
  """
  now = _settings(_DECISIVE)
  changed = [f'{name} is {now.get(name)!r} now, and was {value!r}'
             for name, value in sorted(began.items())
             if now.get(name) != value]
  if changed:
    raise ValueError(
        f'{where!r} was begun with other settings of JAX, which draw '
        f'other numbers: {plain_text.for_terminal("; ".join(changed))}. Set '
        'them as they were (each is an environment variable of the same name '
        'in capitals).')


def differing(folders: Sequence[pathlib.Path]) -> list[str]:
  """In which decisive settings experiments differ that are shown together.

  Seeds and first batches have not the same meaning in all of them then: that is
  a warning, too. A setting that was not recorded may have been anything.

  Args:
    folders: of experiments.

  Returns:
    A sentence for each setting.
  """
  began = {folder: read(folder)['settings'] for folder in folders
           if checksums.version(folder) != checksums.Version.WITHOUT_ID}
  found = []
  for name in sorted({name for settings in began.values()
                      for name in settings}):
    # The first folder of each value.
    by_value = {repr(settings[name]): folder for folder, settings in reversed(
        began.items()) if name in settings}
    if len(by_value) > 1:
      where = ', '.join(f'{value} in {folder}' for value, folder in sorted(
          by_value.items()))
      found.append(plain_text.for_terminal(
          'The experiments were begun with different settings of JAX, which '
          f'draw other numbers from the same seed: {name} is {where}.'))
      logging.warning('%s', found[-1])
  return found


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


def _settings(names: Iterable[str]) -> dict[str, Any]:
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # Some are on their way out.
    return {name: _plain(getattr(jax.config, name)) for name in names
            if hasattr(jax.config, name)}


def _plain(value: Any) -> Any:
  """A setting as JSON holds it, and as the environment takes it."""
  if isinstance(value, enum.Enum):
    return value.name.lower()
  return value if value is None or isinstance(
      value, (bool, int, float, str)) else str(value)


def _rounding() -> dict[str, Any]:
  return _settings(_ROUNDING) | {
      'device': jax.devices()[0].device_kind,
      'devices': jax.device_count(),  # They cut a batch.
      'XLA_FLAGS': os.environ.get('XLA_FLAGS', ''),
      **{name: importlib.metadata.version(name) for name in _PACKAGES}}
