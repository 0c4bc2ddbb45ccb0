"""Greedy facility location: every point is to have something similar."""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import tiles

_METRIC = metric_lib.COSINE
_ROWS = 256  # of a tile
_AT_ONCE = 128  # items whose gains are brought up to date at a time


@functools.partial(jax.jit, static_argnames=('k', 'points'))
def select_facilities(
    view: views_lib.View,
    k: int,
    key: jax.Array,
    points: int = 4096,
    costs: jax.Array | None = None,
    weights: jax.Array | None = None,
    radius: jax.Array | float | None = None,
) -> jax.Array:
  r"""k times the item that raises the similarity of all points to the set most.

  .. math::
    c_i = \arg\max_{x \in U} \sum_{r \in R} w_r \max(0, s(x, r) - b_r), \qquad
    b_r = \max(0, \max_{c \in A \cup \{c_1..c_{i-1}\}} s(c, r)), \qquad
    s = \cos \;\text{or}\; e^{-(1 - \cos) / \delta}

  Gains only fall as the set grows (it is submodular), so an old gain bounds the
  present one: only the items of the highest bounds are computed again, until
  one of them beats all bounds. The picks are those of the plain greedy.

  Args:
    view: of one modality, in memory on one device. The similarity is the
      cosine whatever its metric: the sum needs one that is not negative.
    k: number of items.
    key: draws the points.
    points: the number of r, remaining items drawn at random; all if no more
      remain.
    costs: `[n]` float32, by which gains are divided; None where all are equal.
    weights: `[n]` float32, at least 0, w; 1 each if None.
    radius: delta, above 0; the similarity is the cosine itself if None.

  Returns:
    `[k]` int32 pool indices in the order of their choice, ties to the lowest
    index, none twice; -1 where nothing remained.

  References:
    Wei et al., Submodularity in Data Subset Selection and Active Learning,
    2015; Minoux 1978 (lazy greedy).
  """
  n = len(view.pool)
  lots = jax.random.uniform(key, (n,))
  drawn = views_lib.keep_best(lots, view.remaining, min(points, n))
  norms = _METRIC.norms(view.pool)
  rows = nearest_lib.Rows(view.pool[drawn], norms[drawn], drawn >= 0)
  nearest = nearest_lib.fold(
      rows, jnp.full(len(drawn), jnp.inf), view.aligned, view.aligned_mask,
      _METRIC)

  def near(distances):
    if radius is None:
      return jnp.maximum(1.0 - distances, 0.0)
    return jnp.exp(-distances / radius)

  def similarities(some, some_norms):
    return near(_METRIC.distances(
        metric_lib.dots(some, rows.values), some_norms, rows.norms))

  prices = jnp.ones(n) if costs is None else costs
  counts = rows.remaining.astype(jnp.float32)
  if weights is not None:
    counts = jnp.where(rows.remaining, weights[drawn], 0.0)

  def gains(some, some_norms, some_prices, best):
    raised = jnp.maximum(similarities(some, some_norms) - best[None], 0.0)
    return jnp.sum(raised * counts[None], axis=1) / some_prices

  def work(carry):
    bounds, fresh, left, best, picks, done = carry
    stale = left & ~fresh
    _, at = jax.lax.top_k(
        jnp.where(stale, bounds, -jnp.inf), min(_AT_ONCE, n))
    now = gains(view.pool[at], norms[at], prices[at], best)
    bounds = bounds.at[at].set(jnp.where(stale[at], now, bounds[at]))
    fresh = fresh.at[at].set(True)
    pick = jnp.argmax(jnp.where(left, bounds, -jnp.inf)).astype(jnp.int32)

    def add():
      raised = similarities(view.pool[pick][None], norms[pick][None])[0]
      return (bounds, jnp.zeros_like(fresh), left.at[pick].set(False),
              jnp.maximum(best, raised), picks.at[done].set(pick), done + 1)

    return jax.lax.cond(
        fresh[pick], add, lambda: (bounds, fresh, left, best, picks, done))

  best = near(nearest)
  bounds = tiles.map_tiles(
      functools.partial(gains, best=best), _ROWS, view.pool, norms, prices)
  start = (bounds, jnp.ones(n, bool), view.remaining, best,
           jnp.full(k, -1, jnp.int32), jnp.zeros((), jnp.int32))
  return jax.lax.while_loop(
      lambda carry: (carry[5] < k) & jnp.any(carry[2]), work, start)[4]
