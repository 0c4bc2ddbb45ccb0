"""Steps of a recipe, one batch after the other, where parameters belong."""

from collections.abc import Sequence

from flax import nnx
import jax
import jax.numpy as jnp
import optax

from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import step
from mmal_jax.models import partition
from mmal_jax.parallel import sharding


def take(
    recipe: step.Recipe, params: nnx.State, batches: Sequence[gradient.Batch]
) -> tuple[nnx.State, optax.OptState, list[float]]:
  """Parameters and optimizer state after all steps, and each step's loss."""
  params = partition.place(params, recipe.mesh)
  state = optimizer.init(recipe.optimizer, params)
  params = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))(params)
  losses = []
  for i, batch in enumerate(batches):
    if recipe.mesh is not None:
      rows = partition.batch_rows(recipe.mesh)
      batch = jax.tree.map(lambda x: sharding.shard_rows(x, rows), batch)
    params, state, loss, _ = step.train_step(
        recipe, params, state, jax.random.key(i), batch)
    losses.append(float(loss))
  return params, state, losses
