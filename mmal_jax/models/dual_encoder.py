"""Dual encoder: two towers that meet in one embedding space."""

import math

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import config as config_lib
from mmal_jax.models import text
from mmal_jax.models import vit


class DualEncoder(nnx.Module):
  """Towers and projections, with the loss's scale and bias.

  References:
    Radford et al., Learning Transferable Visual Models From Natural Language
    Supervision, 2021; Zhai et al., Sigmoid Loss for Language Image
    Pre-Training, 2023, section 3.2 (initial scale 10 and bias -10).
  """

  def __init__(
      self,
      image_tower: nnx.Module,
      text_tower: nnx.Module,
      embed_dim: int,
      *,
      image_projection: bool = True,
      projection_bias: bool = True,
      logit_scale: float = math.log(10.0),
      logit_bias: float = -10.0,
      rngs: nnx.Rngs,
  ):
    self.image_tower, self.text_tower = image_tower, text_tower
    self.image_projection = nnx.data(nnx.Linear(
        image_tower.width, embed_dim, use_bias=projection_bias, rngs=rngs)
        if image_projection else None)
    self.text_projection = nnx.Linear(
        text_tower.width, embed_dim, use_bias=projection_bias, rngs=rngs)
    self.logit_scale = nnx.Param(jnp.float32(logit_scale))  # kept as a log
    self.logit_bias = nnx.Param(jnp.float32(logit_bias))

  def encode_image(self, images: jax.Array) -> jax.Array:
    """Embeds `[batch, ...]` images: `[batch, embed_dim]` rows of norm 1."""
    pooled = self.image_tower(images).astype(jnp.float32)
    if self.image_projection is not None:
      pooled = self.image_projection(pooled)
    return _unit(pooled)

  def encode_text(self, texts: jax.Array) -> jax.Array:
    """Embeds `[batch, ...]` texts: `[batch, embed_dim]` rows of norm 1."""
    pooled = self.text_tower(texts).astype(jnp.float32)
    return _unit(self.text_projection(pooled))


def from_config(
    config: config_lib.DualEncoder, *, rngs: nnx.Rngs
) -> DualEncoder:
  """A dual encoder of two transformers with fresh parameters, float32."""
  dtype = jnp.dtype(config.dtype)
  return DualEncoder(
      vit.ViT(config.image, dtype, config.remat, rngs=rngs),
      text.TextTransformer(config.text, dtype, config.remat, rngs=rngs),
      config.embed_dim,
      image_projection=config.image_projection,
      projection_bias=config.projection_bias,
      logit_scale=config.logit_scale, logit_bias=config.logit_bias, rngs=rngs)


class _AnyKey:
  """For `nnx.Rngs`, whose counting takes a time quadratic in calls to trace."""

  def params(self) -> jax.Array:
    return jax.random.key(0)


def abstract(config: config_lib.DualEncoder) -> DualEncoder:
  """The model with `jax.ShapeDtypeStruct`s for arrays; allocates nothing."""
  return nnx.eval_shape(lambda: from_config(config, rngs=_AnyKey()))


def graphdef_of(config: config_lib.DualEncoder) -> nnx.GraphDef:
  """The structure alone: with parameters, `nnx.merge` makes the model of it."""
  return nnx.split(abstract(config), nnx.Param)[0]


def _unit(x: jax.Array) -> jax.Array:
  # With the epsilon inside the root the gradient at 0 is finite.
  return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
