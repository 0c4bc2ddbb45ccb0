"""Every loss by name: `LOSSES[name](mesh) -> Loss`."""

import functools

import jax

from mmal_jax.learn.gradient import chunked
from mmal_jax.learn.gradient import loss
from mmal_jax.learn.gradient import pairwise
from mmal_jax.learn.gradient import ring
from mmal_jax.learn.gradient import softmax
from mmal_jax.models import partition


def _ring(mesh: jax.sharding.Mesh | None) -> pairwise.Loss:
  if mesh is None:  # One device is a ring of its own.
    return chunked.sigmoid_loss
  return functools.partial(ring.sigmoid_loss, rows=partition.batch_rows(mesh))


LOSSES = {
    'sigmoid': lambda mesh: loss.sigmoid_loss,
    'sigmoid_chunked': lambda mesh: chunked.sigmoid_loss,
    'sigmoid_ring': _ring,
    'softmax': lambda mesh: softmax.softmax_loss,
}
