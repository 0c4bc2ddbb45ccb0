"""Embeds whole pools, batch by batch, at one compiled shape."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np


@functools.partial(jax.jit, static_argnames=('graphdef', 'modality'))
def _embed_batch(graphdef, params, batch, modality):
  model = nnx.merge(graphdef, params)
  encode = model.encode_image if modality == 'image' else model.encode_text
  return encode(batch)


def embed(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: np.ndarray,
    modality: str,
    batch_size: int = 512,
) -> jax.Array:
  """Embeds n items of one modality.

  Args:
    graphdef: of a `DualEncoder`, from `nnx.split`.
    params: its parameters.
    items: `[n, ...]` pixels, tokens or features.
    modality: `image` or `text`.
    batch_size: rows at a time. The last batch is filled up with copies of the
      first row, so that every n runs the same program.

  Returns:
    `[n, embed_dim]` float32, rows of norm 1.

  Raises:
    ValueError: if an embedding is NaN or infinite: training has diverged.
  """
  n = len(items)
  batch_size = min(batch_size, n)
  batches = []
  for start in range(0, n, batch_size):
    rows = np.arange(start, start + batch_size)
    batch = items[np.where(rows < n, rows, 0)]
    batches.append(_embed_batch(graphdef, params, batch, modality))
  embeddings = jnp.concatenate(batches)[:n]
  bad = np.flatnonzero(~np.asarray(jnp.isfinite(embeddings).all(axis=1)))
  if bad.size:
    raise ValueError(
        f'{bad.size} of {n} {modality} embeddings are NaN or infinite, the '
        f'first in row {bad[0]}: training has diverged, or its input was bad.')
  return embeddings
