"""An exponential moving average of the parameters, kept beside the optimizer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mmal_jax.models import names


class Averaged(NamedTuple):
  """State of an optimizer that averages.

  Attributes:
    inner: of the optimizer itself.
    average: by name, of the parameters that learn, after every step so far.
  """

  inner: optax.OptState
  average: Any


def with_average(
    optimizer: optax.GradientTransformation,
    decay: float,
    frozen: Sequence[str] = (),
) -> optax.GradientTransformation:
  r"""Lets an optimizer keep a moving average of the parameters it makes.

  .. math::
    \bar\theta_0 = \theta_0, \quad
    \bar\theta_t = d\, \bar\theta_{t-1} + (1 - d)\, \theta_t

  Args:
    optimizer: to be wrapped; its steps stay the same.
    decay: d, within (0, 1).
    frozen: patterns of parameters that stay as they are, to the bit.

  Returns:
    An optimizer; `averaged` reads the average out of its state.

  Raises:
    ValueError: if `decay` is out of range.

  References:
    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging,
    1992.
  """
  if not 0 < decay < 1:
    raise ValueError(f'ema={decay!r} must lie strictly between 0 and 1.')

  def learnt(params):
    return {name: leaf for name, leaf in zip(
        names.all_names(params), jax.tree.leaves(params))
            if not names.matches(name, frozen)}

  def init(params):
    # A copy: a step may reuse the memory of what it is given.
    return Averaged(
        optimizer.init(params), jax.tree.map(jnp.copy, learnt(params)))

  def update(updates, state, params):
    updates, inner = optimizer.update(updates, state.inner, params)
    average = optax.incremental_update(
        learnt(optax.apply_updates(params, updates)), state.average,
        1.0 - decay)
    return updates, Averaged(inner, average)

  return optax.GradientTransformation(init, update)


def averaged(params: Any, opt_state: optax.OptState) -> Any:
  """What to evaluate: the average, or the parameters where none is kept.

  >>> optimizer = with_average(optax.sgd(1.0), 0.75)
  >>> state = optimizer.init({'w': jnp.zeros(())})
  >>> updates, state = optimizer.update(
  ...     {'w': jnp.ones(())}, state, {'w': jnp.zeros(())})
  >>> print(averaged({'w': jnp.zeros(())}, state)['w'])
  -0.25
  """
  if not isinstance(opt_state, Averaged):
    return params
  return jax.tree.unflatten(jax.tree.structure(params), [
      opt_state.average.get(name, leaf) for name, leaf in zip(
          names.all_names(params), jax.tree.leaves(params))])
