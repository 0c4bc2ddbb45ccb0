"""Two-sided design: an answer is one about its likely counterpart, too."""

from collections.abc import Mapping, Sequence
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import design


@functools.partial(jax.jit, static_argnames='k')
def select_two_sided(
    sides: Sequence[views_lib.View],
    partners: Mapping[tuple[int, int], jax.Array],
    shares: jax.Array,
    k: int,
    ridge: jax.Array | float = 1.0,
) -> tuple[jax.Array, ...]:
  r"""Picks in all modalities in turn, by `design.select_design` in each.

  Asking about item c of one modality informs about its counterpart in another,
  which is unknown; the plan P between the pools (`plan_scores`) has the row

  .. math::
    \bar y_c = \sum_j P_{cj} y_j

  for it. So a pick takes its own row's variance off its modality and that of
  :math:`\bar y_c` off the others: what is likely to be its counterpart is not
  asked about again. Where the plan is flat, the expected row is short and takes
  off little.

  Args:
    sides: a view of each modality, `pool` and `aligned` being rows that say
      what is alike (`alike.by_reference`). Gains are divided by `costs` where
      these are given.
    partners: by the places of two modalities, `[n, r]` float32: of the items of
      the first the expected rows of the second.
    shares: `[modalities]` int32, how many picks in each, at most k.
    k: number of turns, static.
    ridge: mu.

  Returns:
    For each modality `[k]` int32 indices in the order of their choice, none
    twice; -1 beyond its share, and where nothing remained.
  """
  before = [
      design.start(v.pool, v.remaining, v.aligned, v.aligned_mask, ridge)
      for v in sides]
  prices = [
      jnp.ones(len(v.remaining)) if v.costs is None else v.costs for v in sides]

  def turn(i, carry):
    states, left, picks = map(list, carry)
    for m in range(len(sides)):
      gains = states[m].total / ((states[m].variance + ridge) * prices[m])
      best = jnp.argmax(jnp.where(left[m], gains, -jnp.inf)).astype(jnp.int32)
      there = left[m][best] & (i < shares[m])
      for other in range(len(sides)):
        row = before[m].rows[best] if other == m else (
            partners[m, other][best])
        states[other] = design.answered(
            before[other], states[other], row, ridge, there)
      left[m] = left[m].at[best].set(left[m][best] & ~there)
      picks[m] = picks[m].at[i].set(jnp.where(there, best, -1))
    return states, left, picks

  none = jnp.full(k, -1, jnp.int32)
  start = ([b.state for b in before], [v.remaining for v in sides],
           [none for _ in sides])
  return tuple(jax.lax.fori_loop(0, k, turn, start)[2])
