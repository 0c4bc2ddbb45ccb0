"""The ring loss on one of two processes with four devices each; see the test.

  python -m tests.support.two_processes_loss PROCESS PORT

prints a line of JSON for each layout: the value, and the gradients by both
embeddings, scale and bias.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.learn.gradient import ring
from mmal_jax.parallel import sharding
from tests.support import loss_reference

P = jax.sharding.PartitionSpec


def problems():
  """The same for both processes, and for the test."""
  return [loss_reference.problem(0, b=24), loss_reference.realistic(1)]


def found(problem, rows) -> str:
  """A line of JSON."""
  whole = jax.sharding.NamedSharding(rows.mesh, P())
  x, y, scale, bias, *keys = (
      sharding.shard_rows(array, rows) if array.ndim else array
      for array in problem)
  assert not x.is_fully_addressable

  def loss(*arguments):
    return ring.sigmoid_loss(*arguments, rows=rows, chunk=2)

  step = jax.jit(
      jax.value_and_grad(loss, argnums=(0, 1, 2, 3)), out_shardings=whole)
  value, grads = step(x, y, jnp.asarray(scale), jnp.asarray(bias), *keys)
  return json.dumps(
      {'value': value.item(), 'grads': [np.asarray(g).tolist() for g in grads]})


def main(process: int, port: int) -> None:
  jax.config.update('jax_platforms', 'cpu')
  jax.config.update('jax_num_cpu_devices', 4)
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  jax.distributed.initialize(
      coordinator_address=f'127.0.0.1:{port}', num_processes=2,
      process_id=process, initialization_timeout=60)
  assert jax.process_count() == 2 and jax.device_count() == 8
  mesh = jax.make_mesh(
      (4, 2), ('data', 'fsdp'),
      axis_types=(jax.sharding.AxisType.Auto,) * 2)
  both_axes = jax.sharding.NamedSharding(mesh, P(('data', 'fsdp')))
  for rows in (sharding.row_sharding(), both_axes):
    for problem in problems():
      print(found(problem, rows), flush=True)


if __name__ == '__main__':
  main(*map(int, sys.argv[1:]))
