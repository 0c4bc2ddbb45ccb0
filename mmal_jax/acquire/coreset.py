"""Stage 2, coreset: greedy k-center from the aligned set."""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import distance
from mmal_jax.acquire import views as views_lib


@functools.partial(jax.jit, static_argnames='k')
def select_coreset(view: views_lib.View, k: int) -> jax.Array:
  r"""Greedy k-center: k times the item farthest from all centres so far.

  .. math::
    c_i = \arg\max_{x \in U_m} \min_{c \in A_m \cup \{c_1..c_{i-1}\}} d(x, c)

  Args:
    view: of one modality.
    k: number of centres to add.

  Returns:
    `[k]` int32 pool indices in the order of their choice, ties to the lowest
    index, none twice; -1 where nothing remained. Without aligned items the
    first is the lowest remaining index.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 2; Gonzalez 1985; Sener and Savarese
    2018.
  """
  nearest = distance.min_distance(view.pool, view.aligned, view.aligned_mask)

  def add_centre(i, carry):
    nearest, left, picks = carry
    # What is picked must leave, or coinciding points bring it up again and
    # again at distance 0.
    pick = jnp.argmax(jnp.where(left, nearest, -jnp.inf))
    picks = picks.at[i].set(jnp.where(left[pick], pick, -1))
    to_pick = distance.cosine_distance(view.pool, view.pool[pick][None])[:, 0]
    return jnp.minimum(nearest, to_pick), left.at[pick].set(False), picks

  picks = jnp.full((k,), -1, jnp.int32)
  carry = (nearest, view.remaining, picks)
  return jax.lax.fori_loop(0, k, add_centre, carry)[2]
