"""Experimental design over a pool on disk: every pass streams it once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire.kernels import foresight
from mmal_jax.acquire.kernels import projected
from mmal_jax.acquire.kernels import rivals as rivals_lib
from mmal_jax.acquire.kernels import streaming

_FIRST = 8  # one of so many chunks names the first candidates


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
  """As `design_passes.select_design`, for rows of a pool on disk.

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

  def look(proposal, numbers=None):
    """Rivals of the proposal in these chunks, and the first that beats it."""
    gains = _own_gains(
        proposal, prices[np.maximum(proposal.places, 0)], ridge)
    parts = firsts, streaming.cut(pool, left, False), prices_of
    if numbers is not None:
      parts = [[chunks[i] for i in numbers] for chunks in parts]
    offered, beaten = _merge(*zip(*streaming.over_chunks(
        lambda values, *parts: _look(
            proposal, gains, ridge, rows.of(values), *parts, candidates),
        pool, *parts, numbers=numbers)))
    return np.asarray(offered), beaten

  def propose(offered, most):
    there = np.minimum(offered, n - 1)
    return _propose(
        rows.take(there), offered, left[there] & (offered < n), prices[there],
        gram, precision, ridge, most, slots)

  picks, passes = [], 0
  offered = np.asarray(rivals_lib.sample(n, candidates))
  if pool.num_chunks >= 2 * _FIRST:
    # What a sample proposes is beaten at once, but a part of the pool says as
    # well as all of it where to look for candidates.
    offered, _ = look(
        propose(offered, k), range(0, pool.num_chunks, _FIRST))
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
