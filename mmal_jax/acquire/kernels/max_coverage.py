"""Greedy coverage of a pool by balls of one radius."""

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import coverage_of_points

_SAMPLE = 1024  # points whose distances to each other give the radius


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
    view: of one modality.
    k: number of items.
    key: draws the points, and settles ties.
    delta: radius, in distances of the view's metric; `radius` if None.
    points: how many remaining items, drawn at random, are to be covered; all if
      no more remain.

  Returns:
    `[k]` int32 pool indices in the order of their choice, none twice; -1 where
    nothing remained. Once all is covered the choice is random. They are those
    of the plain greedy (`coverage_of_points`).

  References:
    Yehuda et al., Active Learning Through a Covering Lens, 2022 (ProbCover).
  """
  key_points, key_ties = jax.random.split(key)
  drawn = coverage_of_points.draw(view, key_points, points)
  if delta is None:
    delta = radius(view, drawn, k)
  # Whole numbers, so that lots below 1 only settle ties.
  return coverage_of_points.select(
      view, k, drawn, coverage_of_points.balls(view.metric), delta,
      lots=0.5 * views_lib.random_values(key_ties, view))


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
  rows, is_there = coverage_of_points.take(view, points), points >= 0
  norms = view.metric.norms(rows)
  distances = view.metric.distances(metric_lib.dots(rows, rows), norms, norms)
  is_pair = is_there[:, None] & is_there[None] & ~jnp.eye(
      len(points), dtype=bool)
  pairs = jnp.sum(is_pair)
  rank = pairs // (jnp.sum(view.aligned_mask) + k)
  distances = jnp.sort(jnp.where(is_pair, distances, jnp.inf).reshape(-1))
  return distances[jnp.minimum(rank, jnp.maximum(pairs - 1, 0))]
