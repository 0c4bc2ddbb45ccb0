"""One training step, on a minibatch drawn from the aligned pairs."""

import functools
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import optax

from mmal_jax.learn.gradient import augment
from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import pairwise
from mmal_jax.learn.gradient import twins as twins_lib
from mmal_jax.learn.gradient import unaligned as unaligned_lib
from mmal_jax.models import partition


class Recipe(NamedTuple):
  """What is fixed over a run; hashable, so that jit can key on it.

  Attributes:
    graphdef: the structure of a `DualEncoder`.
    optimizer: its optax transformation.
    batch_size: rows of a minibatch.
    shift: images are shifted at random by up to this many pixels; 0 for
      features.
    loss: of embeddings, as `loss.sigmoid_loss`.
    frozen: patterns of the parameters that the optimizer leaves alone.
    parts: a batch's activations are held in this many parts, one after the
      other.
    mesh: from `sharding.make_mesh`: where parameters and batches lie.
    unaligned: how to learn from unaligned items as well; None not at all.
    twins: how to learn from texts of the same words; None not at all.
  """

  graphdef: nnx.GraphDef
  optimizer: optax.GradientTransformation
  batch_size: int
  shift: int = 0
  loss: pairwise.Loss = loss_lib.sigmoid_loss
  frozen: tuple[str, ...] = ()
  parts: int = 1
  mesh: jax.sharding.Mesh | None = None
  unaligned: unaligned_lib.Unaligned | None = None
  twins: twins_lib.Twins | None = None

  def __hash__(self) -> int:
    # Jit asks at every step, and that of a graphdef takes milliseconds.
    return hash(self[1:])


def minibatch(
    key: jax.Array, num_pairs: jax.Array, capacity: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
  """Draws rows out of the first `num_pairs`, without replacement.

  Args:
    key: typed random key.
    num_pairs: scalar int; how many of the rows are in use.
    capacity: number of rows, in use or not.
    batch_size: rows wanted, at most `capacity`.

  Returns:
    Row numbers `[batch_size]`, and `[batch_size]` bool: False where there were
    fewer rows in use than wanted.
  """
  in_use = jnp.arange(capacity) < num_pairs
  lots = jnp.where(in_use, jax.random.uniform(key, (capacity,)), -1.0)
  lots, rows = jax.lax.top_k(lots, batch_size)
  return rows, lots >= 0


@functools.partial(
    jax.jit, static_argnames='recipe', donate_argnames=('params', 'opt_state'))
def train_step(
    recipe: Recipe,
    params: nnx.State,
    opt_state: optax.OptState,
    key: jax.Array,
    batch: gradient.Batch,
) -> tuple[nnx.State, optax.OptState, jax.Array, jax.Array]:
  """Takes one optimizer step.

  Over a mesh, parameters that are cut are gathered for their use, gradients are
  added up, and by the ring's loss texts' embeddings go around, with their
  gradients. Activations stay on their device.

  Args:
    recipe: model structure, loss, optimizer.
    params: parameters; their memory is reused.
    opt_state: state of the optimizer; its memory is reused.
    key: typed random key of this step.
    batch: aligned pairs.

  Returns:
    New parameters, new optimizer state, the loss before the step, and the
    norm of its gradient, before any clipping. If one of the two is not finite,
    the parameters may be anything.
  """
  if recipe.shift:
    batch = batch._replace(items=_shifted(key, batch.items, recipe.shift))
    if batch.unaligned is not None:
      values = _shifted(
          jax.random.fold_in(key, 0), batch.unaligned.values, recipe.shift)
      batch = batch._replace(unaligned=batch.unaligned._replace(values=values))
  loss, gradients = gradient.loss_and_gradient(
      recipe.graphdef, recipe.loss, params, batch, recipe.frozen,
      recipe.parts, recipe.mesh, recipe.unaligned, recipe.twins)
  # The optimizer's clipping needs it, too: it is computed once.
  norm = optax.tree.norm(gradients)
  _, fixed = freeze.split(params, recipe.frozen)
  gradients = freeze.join(
      params, gradients, jax.tree.map(jnp.zeros_like, fixed), recipe.frozen)
  updates, opt_state = recipe.optimizer.update(gradients, opt_state, params)
  params = optax.apply_updates(params, updates)
  if recipe.mesh is not None:
    params, opt_state = (
        jax.lax.with_sharding_constraint(
            tree, partition.shardings(tree, recipe.mesh))
        for tree in (params, opt_state))
  return params, opt_state, loss, norm


def _shifted(key, items, most):
  """Items of which the images are shifted, each modality's on its own."""
  shifted = dict(items)
  images = [m for m, values in items.items() if values.ndim == 4]
  for i, modality in enumerate(images):
    own = key if not i else jax.random.fold_in(key, i)
    shifted[modality] = augment.random_shift(own, items[modality], most)
  return shifted
