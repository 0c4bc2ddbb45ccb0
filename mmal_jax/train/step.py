"""One training step, on a minibatch drawn from the aligned pairs."""

import functools
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import optax

from mmal_jax.data import encode
from mmal_jax.train import augment
from mmal_jax.train import loss as loss_lib


class Learner(NamedTuple):
  """What is fixed over a run; hashable, so that jit can key on it.

  Attributes:
    graphdef: the structure of a `DualEncoder`.
    optimizer: its optax transformation.
    batch_size: rows of a minibatch.
    shift: images are shifted at random by up to so many pixels; 0 for features.
  """

  graphdef: nnx.GraphDef
  optimizer: optax.GradientTransformation
  batch_size: int
  shift: int = 0


def minibatch(
    key: jax.Array, num_pairs: jax.Array, capacity: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
  """Draws rows out of the first `num_pairs`, without replacement.

  Args:
    key: typed random key.
    num_pairs: scalar int; how many of the rows are filled.
    capacity: number of rows, filled or not.
    batch_size: rows wanted, at most `capacity`.

  Returns:
    Row numbers `[batch_size]`, and `[batch_size]` bool: False where there were
    fewer filled rows than wanted.
  """
  filled = jnp.arange(capacity) < num_pairs
  lots = jnp.where(filled, jax.random.uniform(key, (capacity,)), -1.0)
  lots, rows = jax.lax.top_k(lots, batch_size)
  return rows, lots >= 0


@functools.partial(jax.jit, static_argnames='learner')
def train_step(
    learner: Learner,
    params: nnx.State,
    opt_state: optax.OptState,
    key: jax.Array,
    images: encode.Items,
    texts: encode.Items,
    aligned: jax.Array,
    num_aligned: jax.Array,
) -> tuple[nnx.State, optax.OptState, jax.Array]:
  """Takes one optimizer step on a random minibatch of the aligned pairs.

  Args:
    learner: model structure, optimizer and batch size.
    params: parameters.
    opt_state: state of the optimizer.
    key: typed random key of this step.
    images: the image pool; values `[n, ...]`, ids `[n]`.
    texts: the text pool; values `[m, ...]`, ids `[m]`.
    aligned: `[capacity, 2]` int32: image index, text index.
    num_aligned: scalar int32; how many rows of `aligned` are filled.

  Returns:
    New parameters, new optimizer state, and the loss before the step.
  """
  key_rows, key_shift = jax.random.split(key)
  rows, valid = minibatch(
      key_rows, num_aligned, len(aligned),
      min(learner.batch_size, len(aligned)))
  image_rows, text_rows = aligned[rows, 0], aligned[rows, 1]
  image_batch = images.values[image_rows]
  if learner.shift:
    image_batch = augment.random_shift(key_shift, image_batch, learner.shift)

  def loss_of(params):
    model = nnx.merge(learner.graphdef, params)
    return loss_lib.sigmoid_loss(
        model.encode_image(image_batch),
        model.encode_text(texts.values[text_rows]),
        model.logit_scale[...], model.logit_bias[...],
        images.ids[image_rows], texts.ids[text_rows], valid)

  loss, grads = jax.value_and_grad(loss_of)(params)
  updates, opt_state = learner.optimizer.update(grads, opt_state, params)
  return optax.apply_updates(params, updates), opt_state, loss


def fit(
    learner: Learner,
    params: nnx.State,
    opt_state: optax.OptState,
    key: jax.Array,
    images: encode.Items,
    texts: encode.Items,
    aligned: jax.Array,
    num_aligned: jax.Array,
    steps: int,
) -> tuple[nnx.State, optax.OptState, jax.Array]:
  """Takes `steps` steps; arguments as in `train_step`.

  Returns:
    Parameters, optimizer state, and the mean loss over all steps.
  """
  # A Python loop over a jitted step: XLA's CPU backend runs a scan's body on
  # one thread.
  losses = []
  for step in range(steps):
    params, opt_state, loss = train_step(
        learner, params, opt_state, jax.random.fold_in(key, step),
        images, texts, aligned, num_aligned)
    losses.append(loss)
  return params, opt_state, jnp.mean(jnp.stack(losses))
