"""One round's training: steps on minibatches of the aligned pairs."""

from collections.abc import Mapping

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmal_jax import progress
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import step as step_lib


def fit(
    recipe: step_lib.Recipe,
    params: nnx.State,
    opt_state: optax.OptState | None,
    key: jax.Array,
    source: minibatches.Source,
    steps: int,
    numbers: Mapping[str, np.ndarray] | None = None,
    what: str = 'training',
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

  Returns:
    Parameters, optimizer state, and the mean loss over all steps.

  Raises:
    divergence.Diverged: if the loss or the gradient of a step is NaN or
      infinite, or what the last one leaves is. It names the first such step,
      and the items that it has read.
  """
  start = params
  # Steps reuse the memory of what they are given, and others still need it.
  params = _copy(params)
  opt_state = (optimizer_lib.init(recipe.optimizer, params)
               if opt_state is None else _copy(opt_state))
  # A Python loop over a jitted step: XLA's CPU backend runs a scan's body on
  # one thread.
  losses, norms = [], []
  drawn = minibatches.draw(recipe, key, source, steps)
  for shift_key, batch in progress.steps(
      minibatches.read(recipe, source, drawn), steps, what):
    params, opt_state, loss, norm = step_lib.train_step(
        recipe, params, opt_state, shift_key, batch)
    losses.append(loss)
    norms.append(norm)
  losses, norms = jnp.stack(losses), jnp.stack(norms)
  # Only now, so that no step is waited for. What follows a bad one is lost
  # work.
  bad = divergence.first_bad(np.asarray(losses), np.asarray(norms))
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


@jax.jit
def _copy(tree):
  return jax.tree.map(jnp.copy, tree)
