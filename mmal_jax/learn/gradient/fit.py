"""One round's training: steps on minibatches of the aligned pairs."""

from collections.abc import Mapping
import contextlib
import hashlib
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmal_jax import progress
from mmal_jax.learn import checkpointer as checkpointer_lib
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import step as step_lib

# With a checkpointer, steps that may be on their way to the device. A signal to
# end would have to wait for all of them.
_AHEAD = 2


class Taken(NamedTuple):
  """All that training goes on from, within its steps.

  What the steps read is drawn from a key, and is drawn again.

  Attributes:
    params: after the steps taken.
    opt_state: after them.
    step: scalar int32, how many were taken.
    losses: `[steps]` float32, of each; NaN of those to come.
    norms: `[steps]` float32, of their gradients; NaN of those to come.
  """

  params: nnx.State
  opt_state: optax.OptState
  step: np.ndarray
  losses: np.ndarray
  norms: np.ndarray


def fit(
    recipe: step_lib.Recipe,
    params: nnx.State,
    opt_state: optax.OptState | None,
    key: jax.Array,
    source: minibatches.Source,
    steps: int,
    numbers: Mapping[str, np.ndarray] | None = None,
    what: str = 'training',
    checkpointer: checkpointer_lib.Checkpointer | None = None,
) -> tuple[nnx.State, optax.OptState, jax.Array]:
  """Takes `steps` steps, each on a random minibatch of the aligned pairs.

  Args:
    recipe: what is fixed over a run.
    params: parameters.
    opt_state: state of the optimizer; None for a fresh one.
    key: typed random key of all these steps.
    source: aligned pairs, and what else is learnt from.
    steps: at least 1.
    numbers: by modality, `[n]` int, by which errors call the items; None: by
      their rows.
    what: these steps are, where progress is shown.
    checkpointer: saves states within the training, and has what was saved of
      it; None where it is not worth it.

  Returns:
    Parameters, optimizer state, and the mean loss over all steps.

  Raises:
    divergence.Diverged: if the loss or the gradient of a step is NaN or
      infinite, or what the last one leaves is. It names the first such step,
      and the items that it has read.
  """
  start = params
  drawn = minibatches.draw(recipe, key, source, steps)
  if checkpointer is not None and checkpointer.every >= steps:
    checkpointer = None
  with contextlib.nullcontext() if checkpointer is None else (
      checkpointer.training(
          _digest(key, source, steps),
          _like(recipe, params, opt_state, steps))) as taken:
    if taken is None:
      taken = _begin(recipe, params, opt_state, steps)
    taken = _train(recipe, taken, source, drawn, steps, what, checkpointer)
  params, opt_state, _, losses, norms = taken
  # Only now, so that no step is waited for. What follows a bad one is lost
  # work.
  bad = divergence.first_bad(losses, norms)
  left = '' if bad is not None else ', '.join(
      divergence.not_finite(params, opt_state)[:3])
  if bad is not None or left:
    bad = steps - 1 if bad is None else bad
    left = left and f', after which {left} are not finite'
    blamed = divergence.blame(
        recipe.graphdef, start,
        minibatches.of_step(source, drawn, bad, numbers))
    raise divergence.Diverged(
        f'training diverged in step {bad + 1} of {steps}: loss '
        f'{losses[bad]:.4g}, norm of the gradient {norms[bad]:.4g}{left}; '
        f'{blamed}.')
  return params, opt_state, jnp.mean(losses)


def _train(recipe, taken, source, drawn, steps, what, checkpointer) -> Taken:
  """Takes all steps that are to come."""
  params, opt_state = taken.params, taken.opt_state
  first = int(taken.step)
  losses, norms = map(np.array, (taken.losses, taken.norms))
  # A Python loop over a jitted step: XLA's CPU backend runs a scan's body on
  # one thread.
  recent: list[tuple[jax.Array, jax.Array]] = []

  def now(step) -> Taken:
    """How things stand, with what the device still holds of losses."""
    if recent:
      for all_of, mine in zip((losses, norms), zip(*recent)):
        all_of[step - len(recent):step] = np.asarray(jnp.stack(mine))
      recent.clear()
    return Taken(params, opt_state, np.asarray(step, np.int32), losses, norms)

  batches = minibatches.read(recipe, source, drawn, first)
  for step, (shift_key, batch) in enumerate(
      progress.steps(batches, steps - first, what), first + 1):
    params, opt_state, *of_step = step_lib.train_step(
        recipe, params, opt_state, shift_key, batch)
    recent.append(tuple(of_step))
    if checkpointer is not None:
      jax.block_until_ready(recent[:-_AHEAD][-1:])
      if checkpointer.is_due(step, steps):
        checkpointer.save(step, now(step))
  return now(steps)


def _begin(recipe, params, opt_state, steps) -> Taken:
  """Before the first step."""
  # Steps reuse the memory of what they are given, and others still need it.
  params = _copy(params)
  opt_state = (optimizer_lib.init(recipe.optimizer, params)
               if opt_state is None else _copy(opt_state))
  return Taken(params, opt_state, np.zeros((), np.int32), *(
      np.full(steps, np.nan, np.float32) for _ in range(2)))


def _like(recipe, params, opt_state, steps) -> Taken:
  """Shapes, dtypes and places of what training goes on from."""
  if opt_state is None:
    opt_state = optimizer_lib.init(recipe.optimizer, params)
  params, opt_state = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
      (params, opt_state))
  return Taken(params, opt_state, np.zeros((), np.int32), *(
      np.zeros(steps, np.float32) for _ in range(2)))


def _digest(key, source, steps) -> str:
  """Of what decides which steps are taken, within one experiment."""
  digest = hashlib.sha256(repr((steps, source.num_aligned)).encode())
  for values in (jax.random.key_data(key), source.aligned):
    digest.update(np.ascontiguousarray(values).data)
  return digest.hexdigest()


@jax.jit
def _copy(tree):
  return jax.tree.map(jnp.copy, tree)
