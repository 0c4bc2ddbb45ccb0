"""Dual encoder: towers that meet in one embedding space."""

from collections.abc import Mapping, Sequence
import math

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import config as config_lib
from mmal_jax.models import text
from mmal_jax.models import vit


class DualEncoder(nnx.Module):
  """Towers and projections, with the loss's scale and bias.

  Two of them make it dual; any number of modalities may have a tower. That of
  `image` is the attribute `image_tower`, and `image_projection` what follows.

  References:
    Radford et al., Learning Transferable Visual Models From Natural Language
    Supervision, 2021; Zhai et al., Sigmoid Loss for Language Image
    Pre-Training, 2023, section 3.2 (initial scale 10 and bias -10).
  """

  def __init__(
      self,
      towers: Mapping[str, nnx.Module],
      embed_dim: int,
      *,
      unprojected: Sequence[str] = (),
      projection_bias: bool = True,
      logit_scale: float = math.log(10.0),
      logit_bias: float = -10.0,
      rngs: nnx.Rngs,
  ):
    for modality, tower in towers.items():
      setattr(self, f'{modality}_tower', tower)
    for modality, tower in towers.items():
      setattr(self, f'{modality}_projection', nnx.data(
          None if modality in unprojected else nnx.Linear(
              tower.width, embed_dim, use_bias=projection_bias, rngs=rngs)))
    self.logit_scale = nnx.Param(jnp.float32(logit_scale))  # kept as a log
    self.logit_bias = nnx.Param(jnp.float32(logit_bias))

  def encode(self, modality: str, items: jax.Array) -> jax.Array:
    """Embeds `[batch, ...]` items: `[batch, embed_dim]` rows of norm 1."""
    pooled = getattr(self, f'{modality}_tower')(items).astype(jnp.float32)
    projection = getattr(self, f'{modality}_projection')
    return _unit(pooled if projection is None else projection(pooled))

  def encode_image(self, images: jax.Array) -> jax.Array:
    """`encode`, of images."""
    return self.encode('image', images)

  def encode_text(self, texts: jax.Array) -> jax.Array:
    """`encode`, of texts."""
    return self.encode('text', texts)


class Headed(DualEncoder):
  """A dual encoder, and what others make of its embeddings.

  Heads on the features of frozen towers become one model with these towers, so
  that both can be trained. Towers and projections keep the names that they have
  without heads; the head of `image` is the attribute `image_head`.
  """

  def __init__(self, model: DualEncoder, heads: DualEncoder):
    """Puts the towers of `heads`, which no projection follows, on `model`.

    Args:
      model: of which towers, projections, scale and bias are taken.
      heads: of the same modalities; each tower reads `[batch, embed_dim]`
        features.
    """
    for m in widths(model):
      setattr(self, f'{m}_tower', getattr(model, f'{m}_tower'))
      setattr(self, f'{m}_projection',
              nnx.data(getattr(model, f'{m}_projection')))
      setattr(self, f'{m}_head', getattr(heads, f'{m}_tower'))
    self.logit_scale, self.logit_bias = model.logit_scale, model.logit_bias

  def encode(self, modality: str, items: jax.Array) -> jax.Array:
    """Embeds `[batch, ...]` items: `[batch, w]` rows of norm 1, of a head."""
    features = super().encode(modality, items)
    return _unit(getattr(self, f'{modality}_head')(features))


def widths(model: DualEncoder) -> dict[str, int]:
  """By modality, how many values the embeddings have."""
  found = {}
  for name, tower in vars(model).items():
    if name.endswith('_tower'):
      modality = name.removesuffix('_tower')
      projection = getattr(model, f'{modality}_projection')
      found[modality] = (tower.width if projection is None
                         else projection.out_features)
  return found


def from_config(
    config: config_lib.DualEncoder, *, rngs: nnx.Rngs
) -> DualEncoder:
  """A dual encoder of two transformers with fresh parameters, float32."""
  dtype = jnp.dtype(config.dtype)
  return DualEncoder(
      {'image': vit.ViT(config.image, dtype, config.remat, rngs=rngs),
       'text': text.TextTransformer(
           config.text, dtype, config.remat, rngs=rngs)},
      config.embed_dim,
      unprojected=() if config.image_projection else ('image',),
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
