"""Vision transformer (Dosovitskiy et al. 2021)."""

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import config as config_lib
from mmal_jax.models import pooling
from mmal_jax.models import transformer


class ViT(nnx.Module):
  """Patches, positions, transformer, pooling."""

  def __init__(
      self,
      config: config_lib.ImageTower,
      dtype: jnp.dtype = jnp.float32,
      remat: bool = False,
      *,
      rngs: nnx.Rngs,
  ):
    stack = config.stack
    self.config, self.dtype, self.width = config, dtype, stack.width
    # A reshape and a matrix product: on CPU far faster than the convolution.
    self.embed = nnx.Linear(
        config.patch * config.patch * 3, stack.width,
        use_bias=config.patch_bias, dtype=dtype, rngs=rngs)
    tokens = config.grid[0] * config.grid[1]
    if config.pooling == 'class':
      self.class_token = nnx.Param(
          0.02 * jax.random.normal(rngs.params(), (stack.width,)))
      tokens += 1
    self.position = nnx.Param(
        0.02 * jax.random.normal(rngs.params(), (tokens, stack.width)))
    if config.norm_first:
      self.norm_first = transformer.norm(stack, dtype, rngs)
    self.transformer = transformer.Transformer(stack, dtype, remat, rngs=rngs)
    if config.pooling == 'attention':
      self.pooling = pooling.AttentionPooling(stack, dtype, rngs=rngs)

  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps `[batch, h, w, 3]` uint8 pixels to `[batch, width]`."""
    config = self.config
    x = self.embed(patchify(_normalise(images, config), config.patch))
    if config.pooling == 'class':
      token = jnp.broadcast_to(
          self.class_token[...][None, None], (len(x), 1, self.width))
      x = jnp.concatenate([token.astype(x.dtype), x], axis=1)
    x = x + self.position[...][None].astype(x.dtype)
    if config.norm_first:
      x = self.norm_first(x)
    x = self.transformer(x)
    if config.pooling == 'attention':
      return self.pooling(x)
    return x[:, 0] if config.pooling == 'class' else jnp.mean(x, axis=1)


def patchify(images: jax.Array, patch: int) -> jax.Array:
  """Cuts `[b, h, w, c]` to `[b, h // p * w // p, p * p * c]`, row by row."""
  b, h, w, c = images.shape
  rows, columns = h // patch, w // patch
  whole = images[:, :rows * patch, :columns * patch]
  tiles = whole.reshape(b, rows, patch, columns, patch, c)
  return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, patch * patch * c)


def _normalise(images, config):
  # Pixels travel as uint8, a quarter of their size as floats.
  mean, std = jnp.asarray(config.mean), jnp.asarray(config.std)
  return (images.astype(jnp.float32) / (255.0 * std)[None, None, None]
          - (mean / std)[None, None, None])
