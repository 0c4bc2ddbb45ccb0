"""k-means: Lloyd's iterations from the seeds of k-means++."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import seeding
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles


class Clusters(NamedTuple):
  """What k-means found.

  Attributes:
    centres: `[k, d]` float32.
    labels: `[n]` int32, the cluster of each point; -1 for points that are out.
    distances: `[n]` float32, squared, of each point to its centre.
  """

  centres: jax.Array
  labels: jax.Array
  distances: jax.Array


def points(values: jax.Array, metric: metric_lib.Metric) -> jax.Array:
  """Rows whose Euclidean distances say what the metric says.

  Args:
    values: `[n, d]` of any type.
    metric: for the cosine rows get norm 1; for the others, and so for the inner
      product, too, which is no distance, they stay as they are.

  Returns:
    `[n, d]` float32, a copy.
  """
  values = values.astype(jnp.float32)
  if metric == metric_lib.COSINE:
    return values * metric.norms(values)[:, None]
  return values


def kmeans(
    points_: jax.Array,
    mask: jax.Array,
    key: jax.Array,
    k: int,
    count: jax.Array | int | None = None,
    iterations: int = 20,
) -> Clusters:
  """Clusters of least squared distances, as far as Lloyd's iterations lead.

  Args:
    points_: `[n, d]` float32.
    mask: `[n]` bool; False points are out.
    key: draws the seeds, by `seeding.spread`.
    k: the most clusters.
    count: how many there shall be, no more than k; k if None. It may be traced:
      one program serves a number that grows.
    iterations: of Lloyd; always that many.

  Returns:
    The clusters. Some are empty where there are fewer distinct points.

  References:
    Lloyd 1982; Arthur and Vassilvitskii, k-means++, 2007.
  """
  seeds = seeding.spread(points_, mask, key, k)
  is_centre = (seeds >= 0) & (jnp.arange(k) < (k if count is None else count))
  return lloyd(points_, mask, points_[seeds], is_centre, iterations)


@functools.partial(jax.jit, static_argnames='iterations')
def lloyd(
    points_: jax.Array,
    mask: jax.Array,
    centres: jax.Array,
    is_centre: jax.Array,
    iterations: int = 20,
) -> Clusters:
  """Lloyd's iterations from given centres.

  Args:
    points_: `[n, d]` float32.
    mask: `[n]` bool; False points are out.
    centres: `[k, d]` float32.
    is_centre: `[k]` bool; False rows attract nothing.
    iterations: of them; 0 only assigns.

  Returns:
    The clusters. A centre that loses all its points keeps its place; a point
    between two goes to the first. In O(n k d) time an iteration, and memory
    that does not grow with n times k.
  """
  k, size = len(centres), tile_sizes.of('kmeans').rows

  def assign(centres, some):
    squares = jnp.where(
        is_centre, jnp.sum(jnp.square(centres), axis=1), jnp.inf)
    # |x|^2 is the same for all centres. (`argmin` vectorises badly: measured.)
    return jax.lax.top_k(
        2 * metric_lib.dots(some, centres) - squares[None], 1)[1][:, 0]

  def move(_, centres):

    def add(found, first, fresh, some, some_mask):
      del first
      sums, counts = found
      chosen = assign(centres, some)[:, None] == jnp.arange(k)[None]
      # A product, not a scatter: the same sums every time on any device.
      chosen = (chosen & (fresh & some_mask)[:, None]).astype(jnp.float32)
      return (sums + metric_lib.dots(chosen.T, some.T),
              counts + jnp.sum(chosen, axis=0))

    sums, counts = tiles.fold_tiles(
        add, (jnp.zeros_like(centres), jnp.zeros(k)), size, points_, mask)
    return jnp.where(
        counts[:, None] > 0, sums / jnp.maximum(counts, 1.0)[:, None], centres)

  centres = jax.lax.fori_loop(0, iterations, move, centres)

  def finish(some, some_mask):
    labels = assign(centres, some)
    distances = jnp.sum(jnp.square(some - centres[labels]), axis=1)
    return jnp.where(some_mask, labels, -1), distances

  return Clusters(centres, *tiles.map_tiles(finish, size, points_, mask))
