"""The pre-LayerNorm transformer encoder that both towers share."""

from flax import nnx
import jax


class Block(nnx.Module):
  """Self-attention, then an MLP, each on a normalised residual stream."""

  def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
    self.norm_attention = nnx.LayerNorm(width, rngs=rngs)
    self.attention = nnx.MultiHeadAttention(
        heads, width, decode=False, rngs=rngs)
    self.norm_mlp = nnx.LayerNorm(width, rngs=rngs)
    self.expand = nnx.Linear(width, 4 * width, rngs=rngs)
    self.contract = nnx.Linear(4 * width, width, rngs=rngs)

  def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    x = x + self.attention(self.norm_attention(x), mask=mask)
    return x + self.contract(jax.nn.gelu(self.expand(self.norm_mlp(x))))


class Transformer(nnx.Module):
  """A stack of blocks (Vaswani et al. 2017; pre-norm: Xiong et al. 2020)."""

  def __init__(self, width: int, depth: int, heads: int, *, rngs: nnx.Rngs):
    self.blocks = nnx.List(
        [Block(width, heads, rngs=rngs) for _ in range(depth)])
    self.norm = nnx.LayerNorm(width, rngs=rngs)

  def __call__(
      self, x: jax.Array, valid: jax.Array | None = None
  ) -> jax.Array:
    """Encodes sequences.

    Args:
      x: `[batch, length, width]` token embeddings.
      valid: `[batch, length]` bool, False at padding, which is never attended
        to; None if there is none.

    Returns:
      `[batch, length, width]`, normalised.
    """
    # [batch, heads, queries, keys]
    mask = None if valid is None else valid[:, None, None, :]
    for block in self.blocks:
      x = block(x, mask)
    return self.norm(x)
