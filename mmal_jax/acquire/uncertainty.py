"""Stage 3, uncertainty: query what has two answers of equal likelihood."""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import views as views_lib

_TILE = 256  # candidates at a time, each against the whole other pool


@jax.jit
def margins(
    candidates: jax.Array, pool: jax.Array, remaining: jax.Array
) -> jax.Array:
  """Highest minus second highest similarity to the other modality.

  Args:
    candidates: `[c, d]` embeddings of one modality, rows of norm 1.
    pool: `[n, d]` embeddings of the other.
    remaining: `[n]` bool; only these count.

  Returns:
    `[c]` float32, at least 0; +inf where fewer than two items remain: there is
    nothing to confuse.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 3.
  """

  def margin(candidate):
    similarity = jnp.matmul(pool, candidate, precision='highest')
    similarity = jnp.where(remaining, similarity, -jnp.inf)
    # The maximum twice: a sort (`top_k`) is slower on CPU.
    best = jnp.argmax(similarity)
    second = jnp.max(similarity.at[best].set(-jnp.inf))
    return jnp.where(
        second == -jnp.inf, jnp.inf, similarity[best] - second)

  return jax.lax.map(margin, candidates, batch_size=_TILE)


@functools.partial(jax.jit, static_argnames='k')
def select_uncertain(
    candidates: jax.Array,
    view: views_lib.View,
    other_view: views_lib.View,
    k: int,
) -> jax.Array:
  """The k candidates of the smallest margins.

  Args:
    candidates: `[c]` int32 indices into `view.pool`; -1 is no candidate.
    view: of the candidates' modality.
    other_view: of the other modality.
    k: how many to keep.

  Returns:
    `[k]` int32 pool indices by rising margin, ties to the earlier candidate;
    -1 where there were fewer candidates.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 3.
  """
  scores = margins(
      view.pool[candidates], other_view.pool, other_view.remaining)
  best = views_lib.keep_best(-scores, candidates >= 0, k)
  return jnp.where(best >= 0, candidates[best], -1)
