"""Experimental design over a pool on disk: every pass streams it once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire.kernels import foresight
from mmal_jax.acquire.kernels import projected
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
  prices = np.ones(n, np.float32) if costs is None else np.asarray(
      costs, np.float32)
  matters = foresight.matters(jnp.asarray(left), weights)
  gram = sum(streaming.over_chunks(
      lambda values, matters: _gram(rows.of(values), matters), pool,
      streaming.cut(pool, matters, 0.0)))
  prices_of = streaming.cut(pool, prices, 1.0)
  firsts = [jnp.int32(i * pool.chunk_rows) for i in range(pool.num_chunks)]
  slots = foresight.most_slots(k)
  precision = foresight.precision(aligned, aligned_mask, ridge)

  def look(proposal):
    """Rivals of the proposal, and the first that beats it."""
    gains = _own_gains(
        proposal, prices[np.maximum(proposal.places, 0)], ridge)
    offered, beaten = _merge(*zip(*streaming.over_chunks(
        lambda values, *parts: _look(
            proposal, gains, ridge, rows.of(values), *parts, candidates),
        pool, firsts, streaming.cut(pool, left, False), prices_of)))
    return np.asarray(offered), beaten

  def propose(offered, most):
    there = np.minimum(offered, n - 1)
    return _propose(
        rows.take(there), offered, left[there] & (offered < n), prices[there],
        gram, precision, ridge, most, slots)

  picks, passes = [], 0
  offered = np.asarray(rivals_lib.sample(n, min(candidates, _SAMPLE)))
  if candidates < n:
    # What a sample proposes is beaten at once. Where to look for candidates it
    # says all the same, and without being followed.
    proposal = propose(offered, k)
    offered = np.asarray(_offer(streaming.over_chunks(
        lambda values, *parts: _glance(
            proposal, ridge, rows.of(values), *parts, candidates), pool, firsts,
        streaming.cut(pool, left, False), prices_of)))
  while len(picks) < k and left.any():
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
_gram = jax.jit(foresight.gram)
_glance = jax.jit(foresight.glance, static_argnums=6)
_look = jax.jit(foresight.look, static_argnums=7)
_accept = jax.jit(foresight.accept)


@functools.partial(jax.jit, static_argnames='slots')
def _propose(
    rows, places, left, prices, gram, precision, ridge, most, slots):
  return foresight.propose(
      rows, places, left, prices, gram, foresight.covariance(precision), ridge,
      most, slots)


@jax.jit
def _merge(rivals, beaten):
  rivals, beaten = (
      jax.tree.map(lambda *x: jnp.stack(x), *x) for x in (rivals, beaten))
  return rivals_lib.offer_of(rivals), foresight.first(beaten)


@jax.jit
def _offer(rivals):
  return rivals_lib.offer_of(jax.tree.map(lambda *x: jnp.stack(x), *rivals))
