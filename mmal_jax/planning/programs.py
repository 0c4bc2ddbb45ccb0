"""The programs of a run, as they are lowered for TPUs.

They are those that run, and not copies of them: so some are private names of
other packages.
"""
# pylint: disable=protected-access

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any, NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import block
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.embed import in_memory
from mmal_jax.learn.closed_form import basis
from mmal_jax.learn.closed_form import canonical
from mmal_jax.learn.closed_form import closed_world
from mmal_jax.learn.closed_form import moments
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models.pretrained import presets
from mmal_jax.planning import cost
from mmal_jax.planning import place as place_lib

_CHUNK = 4096  # rows that moments are taken of at a time
_CORESET_RATIO = 2  # as of `mmal`
_MATCHED = 256  # candidates for which a pool is read once


class Sizes(NamedTuple):
  """Of what is planned.

  Attributes:
    pool: items of each of two modalities.
    width: values of an embedding.
    dtype: of the pools.
    queries: of a round.
    aligned: room for aligned pairs.
    rank: of the closed form.
    model: a preset; bfloat16.
    pairs: of a training step; items of a batch that is embedded.
    remat: whether the step computes blocks again instead of keeping them.
    parts: of a step's batch, one after the other.
  """

  pool: int
  width: int = 512
  dtype: str = 'bfloat16'
  queries: int = 2048
  aligned: int = 8192
  rank: int = 256
  model: str = 'siglip_b16'
  pairs: int = 4096
  remat: bool = False
  parts: int = 1


def _views(where, sizes):
  """Both modalities' pools, of which all lies on the chips all the time."""
  dtype = jnp.dtype(sizes.dtype)
  return (views_lib.View(
      where.cut(sizes.pool, sizes.width, dtype=dtype),
      where.cut(sizes.pool, dtype=bool),
      where.copy(sizes.aligned, sizes.width, dtype=dtype),
      where.copy(sizes.aligned, dtype=bool),
      nearest=where.cut(sizes.pool, dtype=jnp.float32),
      logit_scale=where.copy(dtype=jnp.float32), rows=where.rows),) * 2


def _pass(where, sizes, centres, passes=1) -> cost.Work:
  """Of a pool's rows times centres, and reads of the pool."""
  rows = -(-sizes.pool // where.chips)
  row = sizes.width * jnp.dtype(sizes.dtype).itemsize
  return cost.Work(2.0 * rows * sizes.width * centres, passes * rows * row)


def _coverage(where, sizes):
  def run(view, other):
    del other
    return coverage.covered(dataclasses.replace(view, nearest=None)).nearest

  return cost.Program(
      f'coverage by {sizes.aligned:,}', _lowered(run, _views(where, sizes)),
      _pass(where, sizes, sizes.aligned))


def _k_center(where, sizes):
  k = _CORESET_RATIO * sizes.queries
  candidates = block.size(k, sizes.pool)

  def run(view, other):
    del other
    return coreset.select_coreset(view, k)

  # How many blocks it takes, the pool decides.
  return cost.Program(
      f'k-center of {k:,}, a block of {candidates:,}',
      _lowered(run, _views(where, sizes)), _pass(where, sizes, candidates))


def _uncertain(score, where, sizes):
  c = _CORESET_RATIO * sizes.queries

  def run(view, other, candidates):
    return uncertainty.select_uncertain(
        candidates, view, {'other': other}, sizes.queries,
        uncertainty.SCORES[score])

  return cost.Program(
      f'{score} of {c:,}',
      _lowered(run, (*_views(where, sizes), where.copy(c, dtype=jnp.int32))),
      _pass(where, sizes, c, -(-c // _MATCHED)))


def _moments(where, sizes):
  d = sizes.width
  arguments = (
      _empty_moments(where, d),
      where.cut(_CHUNK, d, dtype=jnp.dtype(sizes.dtype)),
      where.cut(_CHUNK, dtype=bool))
  return cost.Program(
      f'moments of {_CHUNK:,} rows', lambda: moments._add.lower(
          *arguments, where.rows))


def _basis(where, sizes):
  one = where.first_chip()
  return cost.Program('basis, on one chip', lambda: basis.of_moments.lower(
      _empty_moments(one, sizes.width), _rank(sizes)))


def _plan(where, sizes):
  d, r = sizes.width, _rank(sizes)
  count = min(closed_world.MOST_BLOCKS, -(-sizes.pool // closed_world.BLOCK))
  n = min(closed_world.BLOCK, -(-sizes.pool // count))
  arguments = (closed_world.Rows(
      where.cut(count, n, r, dtype=jnp.float32),
      where.cut(count, n, d, dtype=jnp.float32),
      where.cut(count, n, dtype=bool)),) * 2
  if where.rows is None:  # One after the other.
    count, arguments = 1, jax.tree.map(
        lambda x: where.copy(*x.shape[1:], dtype=x.dtype), arguments)
  blocks = -(-count // where.chips)
  # Heads, similarities, plan times rows, rows times that.
  flops = 2.0 * n * (2 * r * r + n * (r + d) + n * r + r * r)
  return cost.Program(
      f'plan of {count} blocks of {n:,}',
      lambda: closed_world._under_plan.lower(
          arguments, (where.copy(r, r, dtype=jnp.float32),) * 2, 0.05, 0.1,
          1.0, where.rows),
      cost.Work(blocks * flops, blocks * 2.0 * n * (r + d) * 4))


def _heads(where, sizes):
  one, d, r = where.first_chip(), sizes.width, _rank(sizes)

  def of(*shape):
    return one.copy(*shape, dtype=jnp.float32)

  bases = [basis.Basis(of(d), of(d, r), of(r), of())] * 2
  return cost.Program('heads, on one chip', lambda: canonical.heads.lower(
      bases, (of(r, r),), 0.1, r))


def _embed(modality, where, sizes):
  graphdef, params = _model(where, sizes)
  return cost.Program(
      f'embed {sizes.pairs:,} {modality}s, {sizes.model}',
      lambda: in_memory._embed_batch.lower(
          graphdef, params, _items(where, sizes)[modality], modality,
          where.mesh))


def _step(where, sizes):
  graphdef, params = _model(where, sizes)
  optimizer = optimizer_lib.make_optimizer(1e-4, 100)
  recipe = step_lib.Recipe(
      graphdef, optimizer, sizes.pairs, parts=sizes.parts, mesh=where.mesh,
      loss=losses.LOSSES['sigmoid_ring'](where.mesh))
  items = _items(where, sizes)
  batch = gradient.Batch(
      items, {m: where.cut(sizes.pairs, dtype=jnp.int32) for m in items},
      {m: where.cut(sizes.pairs, dtype=bool) for m in items})
  return cost.Program(
      f'step of {sizes.pairs:,} pairs, {sizes.model}',
      lambda: step_lib.train_step.lower(
          recipe, params,
          where.parameters(jax.eval_shape(optimizer.init, params)),
          jax.eval_shape(lambda: jax.random.key(0)), batch))


_MADE: dict[str, Callable[[place_lib.Place, Sizes], cost.Program]] = {
    'coverage': _coverage, 'k_center': _k_center,
    'margin': functools.partial(_uncertain, 'margin'),
    'entropy': functools.partial(_uncertain, 'entropy'),
    'moments': _moments, 'basis': _basis, 'plan': _plan, 'heads': _heads,
    'embed_image': functools.partial(_embed, 'image'),
    'embed_text': functools.partial(_embed, 'text'), 'step': _step}
NAMES = tuple(_MADE)
# Those that have both pools on the chips.
OF_POOLS = NAMES[:4]
MOST_ROWS = 2**31 - 1  # counted in int32


def made(
    where: place_lib.Place, sizes: Sizes, names: Sequence[str] = NAMES
) -> list[cost.Program]:
  """The programs of these names, for one place.

  Args:
    where: the chips.
    sizes: of pools, model and batches.
    names: out of `NAMES`.

  Raises:
    ValueError: for unknown names, models, or sizes that do not fit the chips.
  """
  if not names:
    raise ValueError(f'programs: none is wanted; take some of '
                     f'{", ".join(NAMES)}.')
  for name in names:
    if name not in _MADE:
      raise ValueError(f'program={name!r} is none of {", ".join(NAMES)}.')
  if sizes.model not in presets.PRESETS:
    raise ValueError(f'model={sizes.model!r} is none of '
                     f'{", ".join(presets.PRESETS)}.')
  if sizes.pool > MOST_ROWS:
    raise ValueError(f'pool={sizes.pool} must be at most {MOST_ROWS}, as rows '
                     'are counted in int32.')
  if 'step' in names:
    _check_pairs(where, sizes, sizes.parts)
  elif any(name.startswith('embed_') for name in names):
    _check_pairs(where, sizes, 1)
  found = [_MADE[name](where, sizes) for name in names]
  platform = where.by_row.mesh.devices.flat[0].platform
  return [program._replace(lower=_for(platform, program.lower))
          for program in found]


def _check_pairs(where, sizes, parts):
  step = where.chips * parts
  if sizes.pairs % step:
    fewer = sizes.pairs // step * step
    raise ValueError(
        f'pairs={sizes.pairs} must be a multiple of {where.chips} chips times '
        f'{parts} parts: {f"{fewer} or " if fewer else ""}{fewer + step}.')


def _lowered(function, arguments):
  # What is not used lies there all the same.
  return lambda: jax.jit(function, keep_unused=True).lower(*arguments)


def _for(platform, lower):
  """Sizes of tiles go by the devices that a program is for."""
  @functools.wraps(lower)
  def lowered():
    with tile_sizes.compiled_for(platform):
      return lower()

  return lowered


def _rank(sizes):
  return min(sizes.rank, sizes.width)


def _empty_moments(where, d):
  return jax.tree.map(
      lambda x: where.copy(*x.shape, dtype=x.dtype),
      jax.eval_shape(lambda: moments.empty(d)))


def _model(where, sizes) -> tuple[nnx.GraphDef, Any]:
  config = dataclasses.replace(
      presets.PRESETS[sizes.model], dtype='bfloat16', remat=sizes.remat)
  graphdef, params = nnx.split(dual_encoder.abstract(config), nnx.Param)
  return graphdef, where.parameters(params)


def _items(where, sizes):
  model = presets.PRESETS[sizes.model]
  return {
      'image': where.cut(sizes.pairs, *model.image.size, 3, dtype=jnp.uint8),
      'text': where.cut(sizes.pairs, model.text.length, dtype=jnp.int32)}
