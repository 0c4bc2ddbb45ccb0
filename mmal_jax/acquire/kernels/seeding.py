"""Points that lie apart: the seeding of k-means++."""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnames='k')
def spread(
    points: jax.Array, allowed: jax.Array, key: jax.Array, k: int
) -> jax.Array:
  r"""Draws points, each in proportion to its squared distance to those before.

  .. math::
    P(x) \propto \min_{c \in \{c_1..c_{i-1}\}} |x - c|^2

  Args:
    points: `[n, d]` float32.
    allowed: `[n]` bool, False for points that may not be drawn.
    key: of the draws.
    k: how many.

  Returns:
    `[k]` int32 indices in the order of the draws, none twice; -1 where nothing
    was left. The first is drawn uniformly, and so are the last where all that
    is left coincides with what was drawn. In O(n k d) time.

  References:
    Arthur and Vassilvitskii, k-means++, 2007.
  """

  def draw(i, carry):
    nearest, left, picks = carry
    largest = jnp.max(nearest, where=left, initial=0.0)
    # Relative to the largest, so that the floor is the same at every scale. The
    # floor lets something be drawn where all distances are 0.
    share = jnp.where(largest > 0, nearest / largest, 1.0)
    share = jnp.where(i == 0, 1.0, jnp.maximum(share, 1e-30))
    lots = jnp.log(share) + jax.random.gumbel(
        jax.random.fold_in(key, i), share.shape)
    pick = jnp.argmax(jnp.where(left, lots, -jnp.inf)).astype(jnp.int32)
    picks = picks.at[i].set(jnp.where(left[pick], pick, -1))
    # By differences: exactly 0 for points that coincide.
    distance = jnp.sum(jnp.square(points - points[pick][None]), axis=1)
    return jnp.minimum(nearest, distance), left.at[pick].set(False), picks

  start = (jnp.full(len(points), jnp.inf), allowed,
           jnp.full(k, -1, jnp.int32))
  return jax.lax.fori_loop(0, k, draw, start)[2]
