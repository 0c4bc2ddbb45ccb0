"""What fits which TPU slice, and how long it takes at least: a table."""

from collections.abc import Callable, Sequence
import importlib.metadata
import math

import jax
import jax.numpy as jnp

from mmal_jax.analysis import tables
from mmal_jax.planning import chips as chips_lib
from mmal_jax.planning import cost as cost_lib
from mmal_jax.planning import hlo
from mmal_jax.planning import largest as largest_lib
from mmal_jax.planning import place as place_lib
from mmal_jax.planning import programs as programs_lib

_STEP = 2**16  # rows a chip: to within that the largest pool is found
# Which programs the largest pool has to leave room for.
_OF_LARGEST = ('coverage', 'k_center', 'margin')
_HEADER = ('program', 'arguments', 'temporaries', 'in all', 'fits', 'GFLOP',
           'GB', 'at least', 'between chips', 'compiled in')
LEGEND = (
    'All figures are of one chip. Memory in GiB, of which programs have '
    '{memory:.4g}. GFLOP and GB: what it computes and moves. At least: the '
    'time for that at the published peaks, {flops:.0f} TFLOP/s in bfloat16 and '
    '{bandwidth:,.0f} GB/s; a lower bound, which leaves out what chips say to '
    'each other, and takes products of float32 for such of bfloat16. *: by '
    'arithmetic (rows times centres or candidates, reads of the pool), as the '
    'compiler counts a loop once; without *: its count. A pass: in every pass '
    'of a loop; of k-center, in every block, of which the pool decides how '
    'many it takes.')
NOT_RUN = ('By the compiler alone (jax {jax}, libtpu {libtpu}): nothing was '
           'run on a TPU.')

ADVICE = (
    'What does not fit (NO): pools need more chips, or larger ones (--largest '
    'finds what fits these); a model also a larger fsdp, parts, remat, or '
    'fewer pairs.')


def plan(
    topology: str,
    data: int,
    fsdp: int,
    sizes: programs_lib.Sizes,
    names: Sequence[str] = programs_lib.NAMES,
    find_largest: bool = False,
    notify: Callable[[str], None] = lambda line: None,
) -> str:
  """Compiles the programs for a slice that is not there, and says what it saw.

  Args:
    topology: of the slice, as `v5e:4x4`.
    data: as of `sharding.make_mesh`, like `fsdp`.
    fsdp: see there.
    sizes: of pools, model and batches.
    names: of the programs, out of `programs.NAMES`.
    find_largest: whether to find the largest pool that fits, as well.
    notify: called with a line before each program.

  Returns:
    A table with its legend.

  Raises:
    ImportError: without libtpu.
    ValueError: for a slice, a mesh or sizes that cannot be.
  """
  slice_ = chips_lib.parse(topology)
  where = place_lib.of(chips_lib.devices(slice_), data, fsdp)
  costs = []
  for program in programs_lib.made(where, sizes, names):
    notify(f'compiling {program.name} ...')
    costs.append(cost_lib.measure(program, slice_.chip))
  lines = [
      f'{slice_}, {mesh_in_words(where)}; pools of {sizes.pool:,} x '
      f'{sizes.width} {sizes.dtype}.',
      NOT_RUN.format(
          jax=jax.__version__, libtpu=importlib.metadata.version('libtpu')),
      '', table(costs, slice_.chip), '', legend(slice_.chip)]
  if not all(cost.fits for cost in costs):
    lines += ['', ADVICE]
  if find_largest:
    found = largest_pool(where, slice_.chip, sizes, notify)
    lines += ['', f'Largest pool that fits: {found:,} items of each of two '
              f'modalities, {sizes.width} x {sizes.dtype}, to within '
              f'{_STEP * where.chips:,}.']
  return '\n'.join(lines)


def largest_pool(
    where: place_lib.Place,
    chip: chips_lib.Chip,
    sizes: programs_lib.Sizes,
    notify: Callable[[str], None] = lambda line: None,
) -> int:
  """The largest pools with which acquisition fits, by compiling it.

  Args:
    where: the chips.
    chip: each of them.
    sizes: of all else than the pools.
    notify: called with a line before each look.

  Returns:
    Items of each of the two modalities; 0 where none fit.
  """
  def need(pool):
    if pool > programs_lib.MOST_ROWS:
      return math.inf
    notify(f'compiling for pools of {pool:,} ...')
    programs = programs_lib.made(
        where, sizes._replace(pool=pool), _OF_LARGEST)
    return max(cost_lib.measure(program, chip).total for program in programs)

  # Both pools, whether a row remains, and its distance.
  row = 2 * (sizes.width * jnp.dtype(sizes.dtype).itemsize + 1 + 4)
  return largest_lib.largest(
      need, chip.memory, _STEP * where.chips,
      int(0.9 * chip.memory / row) * where.chips)


def table(
    costs: Sequence[cost_lib.Cost], chip: chips_lib.Chip
) -> str:
  """One line a program.

  Args:
    costs: of the programs.
    chip: each of the slice.
  """
  return tables.printed([_HEADER, *(_row(cost, chip) for cost in costs)])


def legend(chip: chips_lib.Chip) -> str:
  """What the columns mean."""
  return LEGEND.format(
      memory=chip.memory / chips_lib.GIB, flops=chip.flops / 1e12,
      bandwidth=chip.bandwidth / 1e9)


def mesh_in_words(where: place_lib.Place) -> str:
  """`data=8 fsdp=2, 16 chips`."""
  if where.mesh is None:
    return '1 chip'
  sizes = ' '.join(f'{name}={size}' for name, size in where.mesh.shape.items())
  return f'{sizes}, {where.chips} chips'


def between_chips(found: Sequence[hlo.Collective]) -> str:
  """`1 all-gather, 0.5 MB; 1 all-reduce, 4.2 MB a pass`."""
  said = []
  for kind, (count, size, in_loops) in hlo.summed(found).items():
    passes = ' a pass' if in_loops == count else (
        f' ({in_loops} a pass)' if in_loops else '')
    said.append(f'{count} {kind}, {_number(size / 1e6)} MB{passes}')
  return '; '.join(said) or 'nothing'


def _row(cost, chip) -> list[str]:
  mark = '*' if cost.by_arithmetic else ''
  gib = [_number(size / chips_lib.GIB)
         for size in (cost.arguments, cost.temporaries, cost.total)]
  return [
      cost.name, *gib, 'yes' if cost.fits else 'NO',
      _number(cost.work.flops / 1e9) + mark,
      _number(cost.work.bytes / 1e9) + mark,
      f'{_number(1e3 * cost.least_seconds(chip))} ms',
      between_chips(cost.collectives) if cost.fits else '-',
      f'{cost.seconds:.0f} s']


def _number(value: float) -> str:
  """Three digits, as `0.0313`, `12.6` and `1,310`; `-` if there is none."""
  if not math.isfinite(value):
    return '-'
  if value >= 100:
    return f'{value:,.0f}'
  return f'{value:.3g}' if value >= 1e-4 else f'{value:.0e}' if value else '0'
