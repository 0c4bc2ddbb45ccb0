"""The pre-LayerNorm transformer encoder that both towers share."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import config as config_lib

ACTIVATIONS = {
    'gelu': functools.partial(jax.nn.gelu, approximate=False),
    'gelu_tanh': jax.nn.gelu,
    'quick_gelu': lambda x: x * jax.nn.sigmoid(1.702 * x),
}


class MLP(nnx.Module):
  """Expands, activates, contracts."""

  def __init__(
      self, stack: config_lib.Stack, dtype: jnp.dtype, *, rngs: nnx.Rngs
  ):
    self.activation = stack.activation
    self.expand = nnx.Linear(
        stack.width, stack.mlp_width, dtype=dtype, rngs=rngs)
    self.contract = nnx.Linear(
        stack.mlp_width, stack.width, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.contract(ACTIVATIONS[self.activation](self.expand(x)))


class Block(nnx.Module):
  """Self-attention, then an MLP, each on a normalised residual stream."""

  def __init__(
      self, stack: config_lib.Stack, dtype: jnp.dtype, *, rngs: nnx.Rngs
  ):
    self.norm_attention = norm(stack, dtype, rngs)
    self.attention = nnx.MultiHeadAttention(
        stack.heads, stack.width, dtype=dtype, decode=False, rngs=rngs)
    self.norm_mlp = norm(stack, dtype, rngs)
    self.mlp = MLP(stack, dtype, rngs=rngs)

  def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    x = x + self.attention(self.norm_attention(x), mask=mask)
    return x + self.mlp(self.norm_mlp(x))


class Transformer(nnx.Module):
  """A stack of blocks (Vaswani et al. 2017; pre-norm: Xiong et al. 2020)."""

  def __init__(
      self,
      stack: config_lib.Stack,
      dtype: jnp.dtype,
      remat: bool = False,
      *,
      rngs: nnx.Rngs,
  ):
    self.remat = remat
    self.blocks = nnx.List(
        [Block(stack, dtype, rngs=rngs) for _ in range(stack.depth)])
    self.norm = norm(stack, dtype, rngs)

  def __call__(
      self, x: jax.Array, mask: jax.Array | None = None
  ) -> jax.Array:
    """Encodes sequences.

    Args:
      x: `[batch, length, width]` token embeddings.
      mask: bool, `[batch or 1, 1, length or 1, length]`: whether a query (third
        axis) may attend to a key (last axis); None where all may.

    Returns:
      `[batch, length, width]`, normalised.
    """
    run = nnx.remat(Block.__call__) if self.remat else Block.__call__
    for block in self.blocks:
      x = run(block, x, mask)
    return self.norm(x)


def norm(
    stack: config_lib.Stack, dtype: jnp.dtype, rngs: nnx.Rngs
) -> nnx.LayerNorm:
  """The LayerNorm of a stack; its statistics are float32 in any dtype."""
  return nnx.LayerNorm(
      stack.width, epsilon=stack.norm_eps, dtype=dtype, rngs=rngs)
