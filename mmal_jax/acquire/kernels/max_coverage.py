"""Greedy coverage of a pool by balls of one radius."""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles

_SAMPLE = 1024  # points whose distances to each other give the radius
_AT_ONCE = 64  # points that one product takes


@functools.partial(jax.jit, static_argnames=('k', 'points'))
def select_max_coverage(
    view: views_lib.View,
    k: int,
    key: jax.Array,
    delta: jax.Array | float | None = None,
    points: int = 4096,
) -> jax.Array:
  r"""k times the item whose ball holds most points that no ball holds yet.

  .. math::
    c_i = \arg\max_{x \in U} |\{r \in R : d(x, r) \le \delta,
      d(c, r) > \delta\ \forall c \in A \cup \{c_1..c_{i-1}\}\}|

  Args:
    view: of one modality, in memory on one device.
    k: number of items.
    key: draws the points, and settles ties.
    delta: radius, in distances of the view's metric; `radius` if None.
    points: how many remaining items, drawn at random, are to be covered; all if
      no more remain.

  Returns:
    `[k]` int32 pool indices in the order of their choice, none twice; -1 where
    nothing remained. Once all is covered the choice is random. In
    O(n (k + points) d) time: every point is counted for all balls once, and
    taken off once.

  References:
    Yehuda et al., Active Learning Through a Covering Lens, 2022 (ProbCover).
  """
  metric, n = view.metric, len(view.pool)
  key_points, key_ties = jax.random.split(key)
  lots = jax.random.uniform(key_points, (n,))
  drawn = views_lib.keep_best(lots, view.remaining, min(points, n))
  if delta is None:
    delta = radius(view, drawn, k)
  norms = metric.norms(view.pool)
  rows = nearest_lib.Rows(view.pool[drawn], norms[drawn], drawn >= 0)
  nearest = nearest_lib.fold(
      rows, jnp.full(len(drawn), jnp.inf), view.aligned, view.aligned_mask,
      metric)

  def held(centres):
    """`[n]` int32: how many of the chosen points each ball holds."""

    def count(some, some_norms):
      distances = metric.distances(
          metric_lib.dots(some, centres.values), some_norms, centres.norms)
      return jnp.sum(
          (distances <= delta) & centres.remaining[None], axis=1,
          dtype=jnp.int32)

    return tiles.map_tiles(
        count, tile_sizes.of('nearest').rows, view.pool, norms)

  def add(counts, wanted, sign):
    """Counts the `wanted [points]` for all balls, or takes them off."""

    def some(carry):
      counts, wanted = carry
      places, = jnp.nonzero(wanted, size=_AT_ONCE, fill_value=len(drawn))
      some_rows = nearest_lib.Rows(
          *(x.at[places].get(mode='fill', fill_value=0) for x in rows))
      wanted = wanted.at[places].set(False, mode='drop')
      return counts + sign * held(some_rows), wanted

    return jax.lax.while_loop(
        lambda carry: jnp.any(carry[1]), some, (counts, wanted))[0]

  def pick(i, carry):
    counts, is_open, left, picks = carry
    # Whole numbers, so that lots below 1 only settle ties.
    scores = counts + jax.random.uniform(key_ties, (n,), maxval=0.5)
    best = jnp.argmax(jnp.where(left, scores, -jnp.inf)).astype(jnp.int32)
    picks = picks.at[i].set(jnp.where(left[best], best, -1))
    distances = metric.distances(
        metric_lib.dots(view.pool[best][None], rows.values),
        norms[best][None], rows.norms)[0]
    closed = is_open & (distances <= delta) & left[best]
    return (add(counts, closed, -1), is_open & ~closed,
            left.at[best].set(False), picks)

  is_open = rows.remaining & (nearest > delta)
  start = (add(jnp.zeros(n, jnp.int32), is_open, 1), is_open, view.remaining,
           jnp.full(k, -1, jnp.int32))
  return jax.lax.fori_loop(0, k, pick, start)[3]


def radius(view: views_lib.View, points: jax.Array, k: int) -> jax.Array:
  """The radius at which the aligned items and k more could cover all, just so.

  If their balls did not overlap: each would have to hold its share of the pool.
  (The paper takes the largest radius at which balls are pure in class, which
  needs classes; here every pair is one of its own.)

  Args:
    view: of one modality.
    points: `[r]` int32 pool indices in random order, -1 for none.
    k: number of items to come.

  Returns:
    Scalar float32: the `1 / (aligned + k)` quantile of the distances between
    two of the first 1,024 points; +inf if there is no other point.
  """
  points = points[:_SAMPLE]
  rows, is_there = view.pool[points], points >= 0
  norms = view.metric.norms(rows)
  distances = view.metric.distances(metric_lib.dots(rows, rows), norms, norms)
  is_pair = is_there[:, None] & is_there[None] & ~jnp.eye(
      len(points), dtype=bool)
  pairs = jnp.sum(is_pair)
  rank = pairs // (jnp.sum(view.aligned_mask) + k)
  distances = jnp.sort(jnp.where(is_pair, distances, jnp.inf).reshape(-1))
  return distances[jnp.minimum(rank, jnp.maximum(pairs - 1, 0))]
