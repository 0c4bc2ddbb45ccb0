"""Attention pooling: a learnt probe asks the whole sequence."""

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import config as config_lib
from mmal_jax.models import transformer


class AttentionPooling(nnx.Module):
  """SigLIP's MAP head.

  References:
    Zhai et al., Scaling Vision Transformers, 2022, section 3.2 (multihead
    attention pooling).
  """

  def __init__(
      self, stack: config_lib.Stack, dtype: jnp.dtype, *, rngs: nnx.Rngs
  ):
    self.probe = nnx.Param(
        nnx.initializers.xavier_uniform()(rngs.params(), (1, stack.width)))
    self.attention = nnx.MultiHeadAttention(
        stack.heads, stack.width, dtype=dtype, decode=False, rngs=rngs)
    self.norm = transformer.norm(stack, dtype, rngs)
    self.mlp = transformer.MLP(stack, dtype, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps `[batch, length, width]` to `[batch, width]`."""
    probe = jnp.broadcast_to(
        self.probe[...][None], (len(x), 1, x.shape[-1])).astype(x.dtype)
    pooled = self.attention(probe, x)
    return (pooled + self.mlp(self.norm(pooled)))[:, 0]
