"""The principal directions of a modality, in which all else is computed."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.learn.closed_form import moments as moments_lib


class Basis(NamedTuple):
  """The r leading eigenvectors of a modality's covariance.

  Attributes:
    mean: `[d]` float32, of the rows of norm 1.
    vectors: `[d, r]`, orthonormal columns.
    values: `[r]`, their eigenvalues, falling, at least 0.
    ridge: scalar, the mean of all d eigenvalues, the unit of penalties.
  """

  mean: jax.Array
  vectors: jax.Array
  values: jax.Array
  ridge: jax.Array


@functools.partial(jax.jit, static_argnames='rank')
def of_moments(moments: moments_lib.Moments, rank: int) -> Basis:
  """The basis of all rows that the moments are of.

  Directions beyond the rank are left out: those of the smallest eigenvalues,
  which the penalty takes most of anyhow. What a pool does not vary in (constant
  columns, fewer rows than columns) has the eigenvalue 0, and of a pool without
  any variance the ridge is a hair above 0, so that nothing is divided by 0.

  Args:
    moments: of `[n, d]` rows.
    rank: r, at most d.
  """
  covariance = moments.second - jnp.outer(moments.mean, moments.mean)
  values, vectors = jnp.linalg.eigh(covariance)
  values = jnp.maximum(values[::-1], 0.0)
  ridge = jnp.maximum(jnp.mean(values), 1e-12)
  return Basis(moments.shift + moments.mean, vectors[:, ::-1][:, :rank],
               values[:rank], ridge)


@jax.jit
def project(basis: Basis, values: jax.Array) -> jax.Array:
  """Centred rows of norm 1 in the basis: `[n, d]` floats to `[n, r]`."""
  rows = moments_lib.unit(values) - basis.mean[None]
  return jnp.matmul(rows, basis.vectors, precision='highest')


@jax.jit
def centred(basis: Basis, values: jax.Array) -> jax.Array:
  """Centred rows, of norm 1 again: `[n, d]` floats to `[n, d]`."""
  return moments_lib.unit(moments_lib.unit(values) - basis.mean[None])
