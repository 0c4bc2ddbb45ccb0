"""Text transformer: CLIP's, SigLIP's, or one that leaves padding alone."""

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import config as config_lib
from mmal_jax.models import transformer


class TextTransformer(nnx.Module):
  """Token and position embeddings, transformer, pooling."""

  def __init__(
      self,
      config: config_lib.TextTower,
      dtype: jnp.dtype = jnp.float32,
      remat: bool = False,
      *,
      rngs: nnx.Rngs,
  ):
    stack = config.stack
    self.config, self.width = config, stack.width
    self.token = nnx.Embed(
        config.vocab_size, stack.width, dtype=dtype,
        embedding_init=nnx.initializers.normal(0.02), rngs=rngs)
    self.position = nnx.Param(
        0.02 * jax.random.normal(rngs.params(), (config.length, stack.width)))
    self.transformer = transformer.Transformer(stack, dtype, remat, rngs=rngs)

  def __call__(self, tokens: jax.Array) -> jax.Array:
    """Maps `[batch, length]` int32 tokens to `[batch, width]`."""
    config = self.config
    x = self.token(tokens)
    x = x + self.position[...][None].astype(x.dtype)
    valid = tokens != 0  # [b, l]
    if config.causal:
      mask = jnp.tril(jnp.ones((1, 1, config.length, config.length), bool))
    elif config.pooling == 'mean':
      mask = valid[:, None, None, :]  # [batch, heads, queries, keys]
    else:
      mask = None
    x = self.transformer(x, mask)
    if config.pooling == 'last':
      return x[:, -1]
    if config.pooling == 'end':
      at = jnp.argmax(
          tokens if config.end_id is None else tokens == config.end_id, axis=1)
      return jnp.take_along_axis(x, at[:, None, None], axis=1)[:, 0]
    # A text of padding alone (none comes from a checked dataset) maps to 0.
    x = (x * valid[..., None]).sum(axis=1)
    return x / jnp.maximum(valid.sum(axis=1, keepdims=True), 1)
