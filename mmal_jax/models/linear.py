"""Linear tower: a closed-form head on the features of a frozen encoder."""

from flax import nnx
import jax
import jax.numpy as jnp


class Linear(nnx.Module):
  r"""Rows of norm 1, centred, times a matrix; beside them, a prior's share.

  .. math::
    z = \frac{x}{|x|} - \mu, \qquad h = \frac{z A}{|z A|}, \qquad
    y = \left( \sqrt{1 - p}\, h,\; \sqrt{p}\, \frac{z}{|z|} \right)

  The second half is there where all modalities' features lie in one space
  already, as those of a pretrained dual encoder: similarities are then
  :math:`(1 - p)` times those of the heads, and p times those from before.
  """

  def __init__(
      self, features: int, width: int, has_prior: bool, *, rngs: nnx.Rngs):
    """Starts from a random projection, or from the prior alone."""
    self.has_prior = has_prior
    self.width = width + features * has_prior
    self.mean = nnx.Param(jnp.zeros(features))
    self.kernel = nnx.Param(
        jax.random.normal(rngs.params(), (features, width)) / features**0.5)
    self.prior = nnx.Param(jnp.float32(has_prior))

  def __call__(self, features: jax.Array) -> jax.Array:
    """Maps `[batch, d]` features to `[batch, width]` rows of norm 1."""
    rows = _unit(_unit(features.astype(jnp.float32)) - self.mean[...][None], -1)
    own = _unit(jnp.matmul(rows, self.kernel[...], precision='highest'), -1)
    if not self.has_prior:
      return own
    # It is chosen, not learnt: at 0 and at 1 its gradient would be infinite.
    p = jax.lax.stop_gradient(self.prior[...])
    return jnp.concatenate(
        [jnp.sqrt(1.0 - p) * own, jnp.sqrt(p) * rows], axis=-1)


def _unit(x: jax.Array, axis: int = -1) -> jax.Array:
  # By the largest value first: squares of float16 features may overflow. The
  # result does not depend on it, and so has no gradient in it; that of a
  # maximum, computed, is NaN where a fused program rounds `x` in another way.
  most = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=axis, keepdims=True))
  x = x / jnp.maximum(most, 1e-30)
  return x * jax.lax.rsqrt(
      jnp.maximum(jnp.sum(x * x, axis=axis, keepdims=True), 1e-12))
