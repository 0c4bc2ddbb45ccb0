"""Which rows are to propose the next picks of a design; see `foresight`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NONE = np.iinfo(np.int32).max  # Behind all places.


class Rivals(NamedTuple):
  """Rows for the next proposal; `NONE` where there are no more.

  Of the closest alone, all might lie where the proposal was poor, and fall
  together with the first pick there; so half of them are those that came closer
  to some pick than to all others.

  Attributes:
    values: `[K / 2]` float32, how close the closest came: a ratio of gains;
      -inf for none.
    places: `[K / 2]` int32.
    of_picks: `[K / 2]` float32, the same for each pick.
    their_places: `[K / 2]` int32.
  """

  values: jax.Array
  places: jax.Array
  of_picks: jax.Array
  their_places: jax.Array


def candidates(n: int) -> int:
  """How many candidates to take from n rows.

  More make a proposal slower, but it is wrong less often, and then the pool is
  read less often. Measured (1,000 picks of clustered rows): of 100,000 rows 38
  times with a sixteenth of them and twice with a third; of a million three
  times with a sixteenth or an eighth, twice with a quarter. Ten million rows
  would take more than 1 GB of memory with more than 196,608 candidates.
  """
  return min(n, max(32768, min(196608, n // 16 * 2)))


def sample(n: int, candidates: int) -> jax.Array:
  """`[candidates]` int32 of n places, at equal distances: the first ones."""
  return jnp.asarray(
      np.arange(candidates, dtype=np.int64) * n // candidates, jnp.int32)


def of(
    closest: jax.Array,
    nearby: jax.Array,
    places: jax.Array,
    slots: jax.Array,
    count: int,
) -> Rivals:
  """Of rows of the pool those that came closest.

  Args:
    closest: `[n]` float32, the largest ratio of a row's gain to a pick's.
    nearby: `[n]` int32, to which pick's, by slot.
    places: `[n]` int32, of the rows in the pool.
    slots: scalar int32, how many the proposal has.
    count: K, even.
  """
  half, n = count // 2, len(closest)
  values, top = jax.lax.top_k(closest, min(half, n))
  more = half - len(top)
  values = jnp.pad(values, (0, more), constant_values=-jnp.inf)
  top = jnp.pad(places[top], (0, more), constant_values=NONE)
  # The rows of a pick are dealt into buckets by their last digits.
  share = jnp.maximum(half // jnp.maximum(slots, 1), 1)
  bucket = jnp.where(
      closest > -jnp.inf, nearby * share + places % share, half)
  best = jnp.full(half, -jnp.inf).at[bucket].max(closest, mode='drop')
  is_best = closest == best[jnp.minimum(bucket, half - 1)]
  return Rivals(
      values, jnp.where(values > -jnp.inf, top, NONE), best,
      jnp.full(half, NONE).at[jnp.where(is_best, bucket, half)].min(
          places, mode='drop'))


def merge(one: Rivals, other: Rivals) -> Rivals:
  """Of two parts of a pool, the one before the other."""
  values, top = jax.lax.top_k(
      jnp.concatenate([one.values, other.values]), len(one.values))
  closer = other.of_picks > one.of_picks
  return Rivals(
      values, jnp.concatenate([one.places, other.places])[top],
      jnp.where(closer, other.of_picks, one.of_picks),
      jnp.where(closer, other.their_places, one.their_places))


def offer_of(found: Rivals) -> jax.Array:
  """The next candidates.

  Args:
    found: of the whole pool.

  Returns:
    `[K]` int32 places, rising; `NONE` in place of those that were there twice,
    at the end.
  """
  places = jnp.sort(jnp.concatenate([found.places, found.their_places]))
  again = jnp.concatenate([jnp.zeros(1, bool), places[1:] == places[:-1]])
  return jnp.sort(jnp.where(again, NONE, places))
