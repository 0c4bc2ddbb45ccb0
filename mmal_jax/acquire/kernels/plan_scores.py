r"""How sure Sinkhorn's plan is of every item's counterpart.

Similarities of one item know nothing of the others; the plan does: what is
certainly another's counterpart is no item's second choice any more. In blocks
drawn at random a pass stays linear in the pools. An item's counterpart is then
mostly in another block; but so it is for all, and an item is the less certain,
the more strangers look like a counterpart.
"""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import deal as deal_lib
from mmal_jax.acquire.kernels import deal_from_disk
from mmal_jax.acquire.kernels import plan_block
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding

_TEMPERATURE = 0.05  # where no logit scale is given


Scores = plan_block.Scores


def plan_scores(
    view: views_lib.View,
    other: views_lib.View,
    key: jax.Array,
    temperature: float | None = None,
    block: int = 1024,
    iterations: int = 20,
) -> tuple[Scores, Scores]:
  """Scores of both pools' items by the plan between what remains of them.

  Args:
    view: of n items. The similarity is the cosine.
    other: of m items of another modality, in the same space.
    key: draws the blocks.
    temperature: of the plan; 1 / `view.logit_scale` if None, or .05 where that
      is None, too.
    block: most items of either side that are matched at a time.
    iterations: of Sinkhorn's algorithm.

  Returns:
    `(scores of view's items, scores of other's)`. In O((n + m) block d) time
    and O(block^2) memory beyond the pools. Over a mesh each device works on
    blocks of its own, and each pool's scores lie as the pool does. Of pools on
    disk each is read once, and 2^17 rows of either are held at a time.

  Raises:
    ValueError: for pools over different meshes, or a block below 1.
  """
  temperature = _checked(view, temperature, block)
  if _on_disk(view, other):
    return deal_from_disk.map_blocks(
        functools.partial(
            _jitted_block, temperature=temperature, iterations=iterations,
            summary=_scores), (view, other), key, block)
  view, other = views_lib.together(view, other)
  if view.rows is None:
    return _summarized(
        view.pool, view.remaining, other.pool, other.remaining, key,
        temperature, block, iterations, _scores, view.remaining,
        other.remaining)
  return _over_devices(
      view.pool, view.remaining, other.pool, other.remaining, key, temperature,
      tuple(v.size or len(v.pool) for v in (view, other)), block, iterations,
      view.rows)


def expected_rows(
    view: views_lib.View,
    other: views_lib.View,
    rows: jax.Array,
    other_rows: jax.Array,
    key: jax.Array,
    temperature: float | None = None,
    block: int = 1024,
    iterations: int = 20,
) -> tuple[jax.Array, jax.Array]:
  """What the plan expects of every item's counterpart.

  Args:
    view: of n items, on one device; this and what is not named here as for
      `plan_scores`.
    other: of m items of another modality.
    rows: `[n, r]` of what is expected of view's items.
    other_rows: `[m, s]` of other's.
    key: draws the blocks.
    temperature: of the plan.
    block: most items of either side that are matched at a time.
    iterations: of Sinkhorn's algorithm.

  Returns:
    `([n, s], [m, r])` float32, the mean of the other side's rows under each
    item's probabilities; 0 of what does not remain.

  Raises:
    ValueError: for a sharded pool, or a block below 1.
  """
  temperature = _checked(view, temperature, block)
  if _on_disk(view, other):
    return deal_from_disk.map_blocks(
        functools.partial(
            _jitted_block, temperature=temperature, iterations=iterations,
            summary=plan_block.expected), (view, other), key, block,
        (rows, other_rows))
  whole.check({'first': view, 'second': other}, 'expected_rows')
  return _summarized(
      view.pool, view.remaining, other.pool, other.remaining, key, temperature,
      block, iterations, plan_block.expected, rows, other_rows)


def _checked(view, temperature, block):
  """The temperature."""
  if block < 1:
    raise ValueError(f'block={block!r} must be at least 1.')
  if temperature is not None:
    return temperature
  return _TEMPERATURE if view.logit_scale is None else 1.0 / view.logit_scale


@functools.partial(
    jax.jit, static_argnames=('block', 'iterations', 'summary'))
def _summarized(
    x, x_remaining, y, y_remaining, key, temperature, block, iterations,
    summary, x_rows, y_rows):
  """A block's summary, of all blocks."""
  places = deal_lib.deal(
      key, (x_remaining, y_remaining), (len(x), len(y)), block)
  x_places, y_places = (some.reshape(-1, some.shape[2]) for some in places)

  def match(places):
    i, j = places
    return _block(
        x[i], y[j], i, j, x_rows[i], y_rows[j], temperature=temperature,
        iterations=iterations, summary=summary)

  of_x, of_y = jax.lax.map(match, (x_places, y_places))
  return (_in_place(of_x, x_places, len(x)), _in_place(of_y, y_places, len(y)))


def _block(
    x, y, i, j, x_rows=None, y_rows=None, *, temperature, iterations, summary):
  """The summaries of a block's rows, those of x and those of y.

  Args:
    x: `[r, d]`.
    y: `[c, d]`.
    i: `[r]` int32, of x: -1 for rows that take no part.
    j: `[c]`, of y.
    temperature: of the plan.
    iterations: of Sinkhorn's algorithm.
    summary: of the block's `plan_block.Scaling`, and of x_rows and y_rows.
    x_rows: `[r, ...]`, what it needs of x.
    y_rows: `[c, ...]`.
  """
  found = plan_block.scaling(x, y, i >= 0, j >= 0, temperature, iterations)
  return summary(found, x_rows, y_rows)


def _scores(found, *_):
  return plan_block.scores(found)


def _on_disk(*views):
  return any(isinstance(view.pool, disk.DiskRows) for view in views)


_jitted_block = jax.jit(_block, static_argnames=('iterations', 'summary'))


@functools.partial(
    jax.jit, static_argnames=('sizes', 'block', 'iterations', 'rows'))
def _over_devices(
    x, x_remaining, y, y_remaining, key, temperature, sizes, block, iterations,
    rows):
  """The scores by the same blocks, dealt to the devices in turn."""
  parts = sharding.num_parts(rows)
  turns = []
  for some in deal_lib.deal(
      key, (x_remaining, y_remaining), sizes, block, rows):
    some = some.reshape(-1, some.shape[2])
    turns.append(jnp.pad(
        some, ((0, -len(some) % parts), (0, 0)), constant_values=-1)
                 .reshape(-1, parts, some.shape[1]))

  def local(axis, x, y, x_turns, y_turns, temperature):
    me = jax.lax.axis_index(axis)

    def match(turn):
      pools = (rows_lib.deal(pool, some, axis)
               for pool, some in zip((x, y), turn))
      return _block(
          *pools, *(some[me] for some in turn), temperature=temperature,
          iterations=iterations, summary=_scores)

    found = jax.lax.map(match, (x_turns, y_turns))
    return tuple(
        _in_place(jax.tree.map(
            lambda values: jnp.moveaxis(sharding.gather(values, axis), 0, 1),
            scores), some - sharding.first_row(len(pool), axis), len(pool))
        for scores, some, pool in zip(found, (x_turns, y_turns), (x, y)))

  return sharding.map_rows(
      local, rows, (x, y), (*turns, temperature), returns_rows=True)


def _in_place(values, places, n):
  """What is beyond the n rows, on either side, is dropped."""
  axes = places.ndim
  places = jnp.where(places >= 0, places, n).reshape(-1)

  def scatter(some):
    some = some.reshape((-1,) + some.shape[axes:])
    return jnp.zeros((n,) + some.shape[1:]).at[places].set(some, mode='drop')

  return jax.tree.map(scatter, values)
