"""Experimental design over a pool on disk: every pass streams it once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire.kernels import foresight
from mmal_jax.acquire.kernels import posterior
from mmal_jax.acquire.kernels import projected
from mmal_jax.acquire.kernels import proposals
from mmal_jax.acquire.kernels import rivals as rivals_lib
from mmal_jax.acquire.kernels import streaming

_SAMPLE = 8192  # rows that make the first proposal


def select_design(
    rows: projected.ProjectedRows,
    remaining: jax.Array,
    aligned: jax.Array,
    aligned_mask: jax.Array,
    k: int,
    ridge: jax.Array | float = 1.0,
    weights: jax.Array | None = None,
    costs: jax.Array | None = None,
    candidates: int | None = None,
) -> tuple[jax.Array, int]:
  """As `design.select_design`, for rows of a pool on disk, in few passes.

  Args:
    rows: `[n, r]`.
    remaining: `[n]` bool, as all that follows as there.
    aligned: `[a, r]`.
    aligned_mask: `[a]` bool.
    k: number of items.
    ridge: mu.
    weights: `[n]` float32.
    costs: `[n]` float32.
    candidates: how many rows make proposals; None for the right number.

  Returns:
    `([k] int32 indices, passes)`. Of the pool two chunks are held, and of every
    row a few bytes.
  """
  pool, n = rows.pool, len(rows)
  if candidates is None:
    candidates = rivals_lib.candidates(n)
  left = np.array(remaining)
  if costs is None:
    # One for all chunks: of ten million rows each float counts.
    prices = np.broadcast_to(np.float32(1), n)
    prices_of = [jnp.ones(pool.chunk_rows)] * pool.num_chunks
  else:
    prices = np.asarray(costs, np.float32)
    prices_of = streaming.cut(pool, prices, 1.0)
  gram = sum(streaming.over_chunks(
      lambda values, matters: _gram(rows.of(values), matters), pool,
      streaming.cut(
          pool, posterior.matters(jnp.asarray(left), weights), 0.0)))
  firsts = [jnp.int32(i * pool.chunk_rows) for i in range(pool.num_chunks)]
  slots = proposals.most_slots(k)
  precision = posterior.precision(aligned, aligned_mask, ridge)

  def look(proposal):
    """Rivals of the proposal, and the first that beats it."""
    gains = _own_gains(
        proposal, prices[np.maximum(proposal.places, 0)], ridge)
    found, beaten = over_chunks(
        lambda values, *parts: _look(
            proposal, gains, ridge, rows.of(values), *parts, candidates), _both)
    return np.asarray(_offer(found)), beaten

  def over_chunks(function, merge):
    """What it finds in all chunks, of which no more than two are kept."""
    found = None

    def add(values, *parts):
      nonlocal found
      new = function(values, *parts)
      found = new if found is None else merge(found, new)
      return jax.tree.leaves(found)[-1]

    streaming.over_chunks(
        add, pool, firsts, streaming.cut(pool, left, False), prices_of)
    return found

  def propose(offered, most):
    there = np.minimum(offered, n - 1)
    return _propose(
        rows.take(there), offered, left[there] & (offered < n), prices[there],
        gram, precision, ridge, most, slots)

  picks, passes = [], 0
  first = n if candidates >= n else min(candidates, _SAMPLE)
  offered = np.asarray(rivals_lib.sample(n, first))
  if candidates < n:
    # What a sample proposes is beaten at once. Where to look for candidates it
    # says all the same, and without being followed.
    proposal = propose(offered, k)
    offered = np.asarray(_offer(over_chunks(
        lambda values, *parts: _glance(
            proposal, ridge, rows.of(values), *parts, candidates), _merge)))
  while len(picks) < k and left.any():
    if not left[offered[offered < n]].any():
      # All that came close was picked: a pass with no proposal finds nothing.
      there = np.flatnonzero(left)[:len(offered)]
      offered = np.pad(there.astype(np.int32), (0, len(offered) - len(there)),
                       constant_values=rivals_lib.NONE)
    proposal = propose(offered, k - len(picks))
    if candidates >= n:
      beaten = foresight.unbeaten(slots)
    else:
      offered, beaten = look(proposal)
    places, precision = _accept(
        proposal, beaten, rows.take(np.asarray(beaten.place)[None]), precision,
        ridge)
    places = np.asarray(places)
    places = places[places >= 0]
    left[places] = False
    picks += places.tolist()
    passes += 1
  found = np.full(k, -1, np.int32)
  found[:len(picks)] = picks
  return jnp.asarray(found), passes


_own_gains = jax.jit(foresight.own_gains)
_gram = jax.jit(posterior.gram)
_glance = jax.jit(foresight.glance, static_argnums=6)
_look = jax.jit(foresight.look, static_argnums=7)
_accept = jax.jit(foresight.accept)
_merge = jax.jit(rivals_lib.merge)
_offer = jax.jit(rivals_lib.offer_of)


@functools.partial(jax.jit, static_argnames='slots')
def _propose(
    rows, places, left, prices, gram, precision, ridge, most, slots):
  return proposals.propose(
      rows, places, left, prices, gram, posterior.covariance(precision), ridge,
      most, slots)


@jax.jit
def _both(one, other):
  return rivals_lib.merge(one[0], other[0]), foresight.first(
      jax.tree.map(lambda *x: jnp.stack(x), one[1], other[1]))
