"""A fixed tower for drawings: mean colours and histograms of gradients."""

from flax import nnx
import jax
import jax.numpy as jnp


class Hog(nnx.Module):
  r"""Mean colour, and votes for directions of edges, of every cell of a grid.

  Every pixel of a grey image g votes for the two bins nearest to the direction
  of its gradient, modulo :math:`\pi`, by the gradient's norm:

  .. math::
    h_{cb} = \Bigl(\frac{1}{|c|} \sum_{p \in c} |\nabla g_p|
      \max\bigl(0, 1 - \delta(\tfrac{B}{\pi} \theta_p, b)\bigr)
      \Bigr)^{1/2},

  where :math:`\delta` is the distance on a circle of B bins. Both halves, mean
  colours and h, are of norm 1. White counts as nothing, as drawings lie on it.
  There is no parameter: drawings of all styles are seen by the same function.

  References:
    Dalal and Triggs, Histograms of Oriented Gradients for Human Detection,
    2005 (here without their normalisation by overlapping blocks).
  """

  def __init__(self, cells: int, bins: int):
    self.cells, self.bins = cells, bins
    self.width = cells * cells * (3 + bins)

  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps `[batch, h, w, 3]` uint8 pixels to `[batch, width]` float32."""
    ink = 1.0 - images.astype(jnp.float32) / 255.0
    dy, dx = jnp.gradient(ink.mean(-1), axis=(1, 2))
    turns = jnp.mod(jnp.arctan2(dy, dx) / jnp.pi, 1.0) * self.bins
    off = jnp.abs(turns[..., None] - jnp.arange(
        self.bins, dtype=jnp.float32)[None, None, None])
    votes = jnp.hypot(dx, dy)[..., None] * jnp.maximum(
        0.0, 1.0 - jnp.minimum(off, self.bins - off))
    return jnp.concatenate([
        _unit(self._means(ink)), _unit(jnp.sqrt(self._means(votes)))], axis=-1)

  def _means(self, values: jax.Array) -> jax.Array:
    """Means over each cell: `[batch, cells * cells * channels]`."""
    n, h, w, channels = values.shape
    values = values.reshape(
        n, self.cells, h // self.cells, self.cells, w // self.cells, channels)
    return values.mean((2, 4)).reshape(n, -1)


def _unit(x: jax.Array) -> jax.Array:
  return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
