"""Greedy k-center as a rule of `greedy`: the farthest from all centres."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import greedy
from mmal_jax.acquire.kernels import nearest as nearest_lib


class Centres(NamedTuple):
  """All picks so far; rows beyond their number are zeros.

  Attributes:
    values: `[k + w, d]`, w being the width of a product (`nearest.width`).
    norms: `[k + w]` float32.
  """

  values: jax.Array
  norms: jax.Array


class _Among(NamedTuple):
  """Of K candidates."""

  values: jax.Array  # [K, d]
  norms: jax.Array  # [K]
  distances: jax.Array  # [K, K]


def none(k: int, d: int, dtype: jnp.dtype) -> Centres:
  """The state before the first of k picks."""
  size = k + nearest_lib.width()
  return Centres(jnp.zeros((size, d), dtype), jnp.zeros(size))


@functools.cache  # So that a program of it is compiled once.
def rule(metric: metric_lib.Metric) -> greedy.Rule:
  """The gain of a row is its distance to the nearest centre.

  Args:
    metric: of the distances.
  """

  def until(seen, count):
    width = nearest_lib.width()
    return jnp.minimum((seen // width + 1) * width, count)

  def refresh(state, rows, gains, first, until):
    width = nearest_lib.width()
    start = first // width * width

    def by(size):
      values, norms = (jax.lax.dynamic_slice_in_dim(x, start, size)
                       for x in state)
      some = nearest_lib.Rows(values, norms, jnp.arange(size) + start < until)
      return nearest_lib.lower(rows, gains, some, metric)

    few = nearest_lib.FEW_CENTRES
    return jax.lax.cond(
        until - start <= few, lambda: by(few), lambda: by(width))

  def among(state, values):
    del state
    norms = metric.norms(values)
    return _Among(values, norms, metric.distances(
        metric_lib.dots(values, values), norms, norms))

  def to_all(some, gains, best):
    values, norms, distances = some
    row = distances[best]
    if metric.exact is None:
      return row
    in_doubt = (row < metric.doubt(norms, norms[best])) & (
        row < gains + metric.slack(norms, norms[best]))

    def measure():
      exact = metric.exact(values, values[best][None], norms, norms[best][None])
      return jnp.where(in_doubt, exact, row)

    return jax.lax.cond(jnp.any(in_doubt), measure, lambda: row)

  def lower(some, gains, best):
    return some, jnp.minimum(gains, to_all(some, gains, best))

  def add(state, values, is_pick, count):
    places = jnp.where(
        is_pick, count + jnp.arange(len(is_pick)), len(state.values))
    return Centres(
        state.values.at[places].set(values, mode='drop'),
        state.norms.at[places].set(metric.norms(values), mode='drop'))

  return greedy.Rule(until, refresh, among, lower, add)
