"""Every row's distance to its nearest centre, one pass at a time."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import tile_sizes

FEW_CENTRES = 16  # where there are no more: most of a wide product is padding


class Rows(NamedTuple):
  """Rows of a pool (one device's, or one chunk's).

  Attributes:
    values: `[n, d]`.
    norms: `[n]` float32, by `Metric.norms`.
    remaining: `[n]` bool.
  """

  values: jax.Array
  norms: jax.Array
  remaining: jax.Array


def width() -> int:
  """Centres that one matrix product takes, padded.

  Then a row's distances are the same to the bit wherever in the pool, and on
  whichever device, it lies (seen on CPU), and so are the picks.
  """
  return tile_sizes.of('nearest').columns


def fold(
    rows: Rows,
    nearest: jax.Array,
    centres: jax.Array,
    centre_mask: jax.Array,
    metric: metric_lib.Metric,
) -> jax.Array:
  """Takes more centres into the distances to the nearest.

  One read of the pool, however many centres there are; the work grows with the
  span of the mask, not with the padding around it. Pairs whose distance is in
  doubt are measured by differences (see `metric`): a row and its best centre,
  then its second best, until no other centre could be nearer. Rows that don't
  remain are spared that; their distances are never used.

  Args:
    rows: n of them.
    nearest: `[n]` float32 so far; +inf where there was no centre.
    centres: `[m, d]`.
    centre_mask: `[m]` bool; False rows are no centres.
    metric: of the distances.

  Returns:
    `[n]` float32.
  """
  n, m = len(rows.values), len(centres)
  if not m:
    return nearest
  # What is masked may be anything, NaN, too, which an infinity would not hide.
  centres = jnp.where(centre_mask[:, None], centres, 0)
  wide = FEW_CENTRES if m <= FEW_CENTRES else width()
  values = jnp.pad(centres, ((0, -m % wide), (0, 0)))
  centre_mask = jnp.pad(centre_mask, (0, -m % wide))
  centres = Rows(values, metric.norms(values), centre_mask)
  first = jnp.argmax(centre_mask) // wide
  ends = jnp.where(centre_mask, jnp.arange(len(centre_mask)) + 1, 0)
  last = -(-jnp.max(ends) // wide)
  tile = min(tile_sizes.of('nearest').rows, n)

  def fold_tile(i, nearest):
    # The last tile reaches back into the one before: a minimum taken twice is
    # the same, and the pool needs no padding, which would be a copy of it.
    start = jnp.minimum(i * tile, n - tile)
    part = Rows(*(jax.lax.dynamic_slice_in_dim(x, start, tile) for x in rows))

    def fold_centres(j, best):
      some = Rows(*(jax.lax.dynamic_slice_in_dim(x, j * wide, wide)
                    for x in centres))
      return lower(part, best, some, metric)

    old = jax.lax.dynamic_slice_in_dim(nearest, start, tile)
    new = jax.lax.fori_loop(first, last, fold_centres, old)
    return jax.lax.dynamic_update_slice_in_dim(nearest, new, start, axis=0)

  return jax.lax.fori_loop(0, -(-n // tile), fold_tile, nearest)


def lower(
    part: Rows, best: jax.Array, centres: Rows, metric: metric_lib.Metric
) -> jax.Array:
  """`best`, lowered to the distances to some centres.

  Args:
    part: t rows; those that don't remain are spared what is in doubt.
    best: `[t]` float32 so far.
    centres: m, all finite; those that don't remain do not count.
    metric: of the distances.

  Returns:
    `[t]` float32.
  """
  (a, b), (g, f) = metric.of_x(part.norms), metric.of_y(centres.norms)
  g = jnp.where(centres.remaining, g, jnp.inf)

  def lowest(dots):
    return a + b * jnp.min(g[None, :] - f[None, :] * dots, axis=1)

  dots = metric_lib.dots(part.values, centres.values)
  if metric.exact is None:
    return jnp.minimum(best, lowest(dots))
  # What is in doubt and could be the minimum is measured by differences, the
  # lowest of every row at a time.
  largest = jnp.max(jnp.where(centres.remaining, centres.norms, 0.0))
  doubt = metric.doubt(part.norms, largest)
  slack = metric.slack(part.norms, largest)

  def is_open(carry):
    best, low, _ = carry
    return part.remaining & (low < doubt) & (low < best + slack)

  def measure(carry):
    best, _, dots = carry
    at = jnp.argmin(g[None, :] - f[None, :] * dots, axis=1)
    exact = metric.exact(
        part.values, centres.values[at], part.norms, centres.norms[at])
    unsettled = is_open(carry)
    best = jnp.where(unsettled, jnp.minimum(best, exact), best)
    measured = unsettled[:, None] & (
        at[:, None] == jnp.arange(len(centres.values))[None, :])
    dots = jnp.where(measured, -jnp.inf, dots)
    return best, lowest(dots), dots

  best, low, _ = jax.lax.while_loop(
      lambda carry: jnp.any(is_open(carry)), measure,
      (best, lowest(dots), dots))
  # What is left in doubt is farther than `best` by more than it may be wrong.
  return jnp.minimum(best, low)
