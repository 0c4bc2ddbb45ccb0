"""Text transformer: every token sees every other, padding sees and shows none.
"""

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import transformer


class TextTransformer(nnx.Module):
  """Token and position embeddings, transformer, mean over the real tokens."""

  def __init__(
      self,
      num_tokens: int,
      length: int,
      width: int,
      depth: int,
      heads: int,
      *,
      rngs: nnx.Rngs,
  ):
    self.width = width
    self.token = nnx.Embed(
        num_tokens, width, embedding_init=nnx.initializers.normal(0.02),
        rngs=rngs)
    self.position = nnx.Param(
        0.02 * jax.random.normal(rngs.params(), (length, width)))
    self.transformer = transformer.Transformer(width, depth, heads, rngs=rngs)

  def __call__(self, tokens: jax.Array) -> jax.Array:
    """Maps `[batch, length]` int32 tokens, 0 for padding, to `[batch, width]`.
    """
    valid = tokens != 0  # [b, l]
    x = self.token(tokens) + self.position[None]
    x = self.transformer(x, valid) * valid[..., None]
    # A text of padding alone (none comes from a checked dataset) maps to 0.
    return x.sum(axis=1) / jnp.maximum(valid.sum(axis=1, keepdims=True), 1)
