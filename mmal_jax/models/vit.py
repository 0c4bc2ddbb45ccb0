"""Vision transformer (Dosovitskiy et al. 2021)."""

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import transformer


class ViT(nnx.Module):
  """Patches, positions, transformer, mean over patches."""

  def __init__(
      self,
      image_shape: tuple[int, int, int],
      patch: int,
      width: int,
      depth: int,
      heads: int,
      *,
      rngs: nnx.Rngs,
  ):
    height, breadth, channels = image_shape
    if patch < 1 or height % patch or breadth % patch:
      raise ValueError(
          f'patch={patch} must divide the image size {height}x{breadth}.')
    self.patch, self.width = patch, width
    # A reshape and a matrix product: on CPU far faster than the convolution.
    self.embed = nnx.Linear(patch * patch * channels, width, rngs=rngs)
    num_patches = (height // patch) * (breadth // patch)
    self.position = nnx.Param(
        0.02 * jax.random.normal(rngs.params(), (num_patches, width)))
    self.transformer = transformer.Transformer(width, depth, heads, rngs=rngs)

  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps `[batch, h, w, 3]` uint8 pixels to `[batch, width]`."""
    pixels = images.astype(jnp.float32) / 127.5 - 1.0
    x = self.embed(patchify(pixels, self.patch)) + self.position[None]
    return jnp.mean(self.transformer(x), axis=1)


def patchify(images: jax.Array, patch: int) -> jax.Array:
  """Cuts `[b, h, w, c]` to `[b, h/p * w/p, p * p * c]`, row by row."""
  b, h, w, c = images.shape
  tiles = images.reshape(b, h // patch, patch, w // patch, patch, c)
  return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, patch * patch * c)
