"""Canonical correlation with a ridge: heads from cross-covariances."""

from collections.abc import Sequence
import functools
import itertools

import jax
import jax.numpy as jnp

from mmal_jax.learn.closed_form import basis as basis_lib


def couples(modalities: int) -> list[tuple[int, int]]:
  """Any two of M modalities: `[(0, 1), (0, 2), (1, 2)]` of three."""
  return list(itertools.combinations(range(modalities), 2))


@functools.partial(jax.jit, static_argnames='width')
def heads(
    bases: Sequence[basis_lib.Basis],
    cross: Sequence[jax.Array],
    penalty: jax.Array | float,
    width: int,
) -> tuple[jax.Array, ...]:
  r"""Linear maps to a space in which counterparts are near.

  With the whitening of each modality and the whitened cross-covariances

  .. math::
    W_m = (C_{mm} + \lambda \bar c_m I)^{-1/2}, \qquad
    G_{mk} = W_m C_{mk} W_k, \quad G_{mm} = 0

  the heads are :math:`A_m = W_m V_m S^{1/2}` with the eigenvectors V of the
  `width` largest eigenvalues S of the block matrix G. Of two modalities these
  are the singular vectors of G_12, and the heads those of regularised CCA; of
  more it is the generalised CCA that maximises the sum of all correlations
  under one constraint for all.

  Args:
    bases: of M modalities; C_mm is diagonal in its basis.
    cross: `[r_a, r_b]` for any two of `couples(M)`, in their order.
    penalty: lambda, at least 0, in units of the mean eigenvalue.
    width: of the space, at most the least r of all.

  Returns:
    `[r_m, width]` float32 for each modality.

  References:
    Hotelling 1936; Vinod, Canonical Ridge and Econometrics of Joint Production,
    1976; Kettenring, Canonical Analysis of Several Sets of Variables, 1971.
  """
  whitening = [
      jax.lax.rsqrt(b.values + penalty * b.ridge + 1e-12) for b in bases]
  blocks = {
      (a, b): block * jnp.outer(whitening[a], whitening[b])
      for (a, b), block in zip(
          couples(len(bases)), cross, strict=True)}
  if len(bases) == 2:
    u, s, vt = jnp.linalg.svd(blocks[0, 1], full_matrices=False)
    vectors = [u[:, :width], vt[:width].T]
    values = s[:width]
  else:
    rows = []
    for a in range(len(bases)):
      rows.append(jnp.concatenate([
          blocks[a, b] if a < b else blocks[b, a].T if b < a
          else jnp.zeros((len(whitening[a]),) * 2)
          for b in range(len(bases))], axis=1))
    values, stacked = jnp.linalg.eigh(jnp.concatenate(rows))
    values = jnp.maximum(values[::-1][:width], 0.0)
    ends = list(itertools.accumulate(len(w) for w in whitening))
    vectors = jnp.split(stacked[:, ::-1][:, :width], ends[:-1])
  return tuple(
      v * jnp.outer(w, jnp.sqrt(values)) for w, v in zip(whitening, vectors))


@jax.jit
def cross_covariances(
    rows: Sequence[jax.Array], there: jax.Array, weight: jax.Array
) -> tuple[jax.Array, ...]:
  """Of the aligned tuples, for any two modalities.

  Args:
    rows: by modality, `[n, r_m]` projected rows of the tuples.
    there: `[n, M]` bool, False where a tuple lacks an item.
    weight: `[n]` float32, at least 0; 0 for tuples that do not count.

  Returns:
    `[r_a, r_b]` for any two of `couples(M)`; zeros where no tuple has both.
  """
  found = []
  for a, b in couples(len(rows)):
    both = weight * there[:, a] * there[:, b]
    total = jnp.matmul(
        (rows[a] * both[:, None]).T, rows[b], precision='highest')
    found.append(total / jnp.maximum(jnp.sum(both), 1.0))
  return tuple(found)
