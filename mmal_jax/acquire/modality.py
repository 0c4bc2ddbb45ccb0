"""Stage 1, modality selection: query where the aligned set covers least."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from mmal_jax.acquire import coverage
from mmal_jax.acquire import views as views_lib


def coverage_gap(view: views_lib.View) -> jax.Array:
  r"""How far the worst covered remaining item is from the aligned set.

  .. math::
    \mathrm{gap}_m = \max_{x \in U_m} \min_{a \in A_m} d(f_m(x), f_m(a))

  Args:
    view: of one modality.

  Returns:
    Scalar float32: +inf if nothing is aligned, -inf if nothing remains.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 1.
  """
  view = coverage.covered(view)
  return _largest(view.nearest, view.remaining)


@jax.jit
def _largest(nearest, remaining):
  return jnp.max(nearest, where=remaining, initial=-jnp.inf)


def select_modality(views: Mapping[str, views_lib.View]) -> str:
  """The modality of the largest coverage gap, ties to `image`.

  Args:
    views: by modality.

  Returns:
    Its name. (A Python string, and so outside jit: the pools of the two
    modalities differ in shape, so that one program cannot serve both.)

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 1.
  """
  gaps = {m: float(coverage_gap(views[m])) for m in views_lib.MODALITIES}
  return max(gaps, key=gaps.get)
