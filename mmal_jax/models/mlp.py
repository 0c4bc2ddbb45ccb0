"""MLP tower: a head on the features of a frozen encoder."""

from flax import nnx
import jax


class MLP(nnx.Module):
  """LayerNorm, one hidden layer, GELU."""

  def __init__(self, features: int, width: int, *, rngs: nnx.Rngs):
    self.width = width
    # Encoders differ in scale by orders of magnitude.
    self.norm = nnx.LayerNorm(features, rngs=rngs)
    self.hidden = nnx.Linear(features, width, rngs=rngs)

  def __call__(self, features: jax.Array) -> jax.Array:
    """Maps `[batch, d]` float32 features to `[batch, width]`."""
    return jax.nn.gelu(self.hidden(self.norm(features)))
