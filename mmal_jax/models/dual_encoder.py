"""Dual encoder: two towers that meet in one embedding space."""

from flax import nnx
import jax
import jax.numpy as jnp


class DualEncoder(nnx.Module):
  """Towers and projections, with the sigmoid loss's scale and bias.

  References:
    Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023, section 3.2
    (initial scale 10 and bias -10).
  """

  def __init__(
      self,
      image_tower: nnx.Module,
      text_tower: nnx.Module,
      embed_dim: int,
      *,
      rngs: nnx.Rngs,
  ):
    self.image_tower, self.text_tower = image_tower, text_tower
    self.image_projection = nnx.Linear(image_tower.width, embed_dim, rngs=rngs)
    self.text_projection = nnx.Linear(text_tower.width, embed_dim, rngs=rngs)
    self.logit_scale = nnx.Param(jnp.log(jnp.float32(10.0)))  # kept as a log
    self.logit_bias = nnx.Param(jnp.float32(-10.0))

  def encode_image(self, images: jax.Array) -> jax.Array:
    """Embeds `[batch, ...]` images: `[batch, embed_dim]` rows of norm 1."""
    return _unit(self.image_projection(self.image_tower(images)))

  def encode_text(self, texts: jax.Array) -> jax.Array:
    """Embeds `[batch, ...]` texts: `[batch, embed_dim]` rows of norm 1."""
    return _unit(self.text_projection(self.text_tower(texts)))


def _unit(x: jax.Array) -> jax.Array:
  # With the epsilon inside the root the gradient at 0 is finite.
  return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
