"""AdamW or Muon, by a warmup-cosine schedule that starts anew every round."""

from collections.abc import Mapping, Sequence
import math
from typing import Any

import jax
import optax
from optax import contrib

from mmal_jax.learn.gradient import average
from mmal_jax.learn.gradient import freeze
from mmal_jax.models import names
from mmal_jax.models import partition

_LEARNT, _FROZEN = 'learnt', 'frozen'
ADAMW, MUON = 'adamw', 'muon'
OPTIMIZERS = ADAMW, MUON
# Under Muon, Adam's learning rate is this share of that of the matrices, whose
# steps have a norm of their own.
_ADAM_SHARE = 0.15


def make_optimizer(
    peak_lr: float,
    steps_per_round: int,
    weight_decay: float = 1e-4,
    warmup_fraction: float = 0.1,
    *,
    name: str = ADAMW,
    final_lr_fraction: float = 0.0,
    clip: float = 1.0,
    frozen: Sequence[str] = (),
    lr_factors: Mapping[str, float] | None = None,
    ema: float = 0.0,
) -> optax.GradientTransformation:
  """Makes the optimizer of one round's fine-tuning, good for all rounds.

  Args:
    peak_lr: learning rate at the end of the warm-up.
    steps_per_round: length of the schedule in steps.
    weight_decay: decoupled (Loshchilov and Hutter 2019), on the kernels of
      linear maps only, not on biases, norms and embeddings.
    warmup_fraction: share of the steps that the rate takes to reach its peak.
    name: `adamw`; or `muon`, which makes the step of every kernel orthogonal,
      with Adam (and Nesterov's momentum) for all that is no kernel, at 0.15
      times the rate.
    final_lr_fraction: share of its peak that the rate falls to in the end.
    clip: the gradient of all that learns is scaled down to this norm.
    frozen: shell patterns on names of parameters that stay as they are; no
      moments are kept for them. From `freeze.patterns`.
    lr_factors: pattern to factor; the first that fits multiplies the learning
      rate of a parameter (and with it the decay), 1 where none does.
    ema: decay of the parameters' moving average; 0 keeps none.

  Returns:
    Gradient clipping, then the optimizer.

  Raises:
    ValueError: if a value is out of range, or not finite, or the optimizer is
      unknown.

  References:
    Jordan et al., Muon: An optimizer for hidden layers in neural networks,
    2024.
  """
  if name not in OPTIMIZERS:
    raise ValueError(
        f'optimizer={name!r} is none of {", ".join(OPTIMIZERS)}.')
  lr_factors = dict(lr_factors or {})
  for argument, value, least in (
      ('peak_lr', peak_lr, 0), ('steps_per_round', steps_per_round, 1),
      ('weight_decay', weight_decay, 0),
      *((f'lr_factors[{k!r}]', v, 0) for k, v in lr_factors.items())):
    if not least <= value < math.inf:
      raise ValueError(
          f'{argument}={value!r} must be finite and at least {least}.')
  if not 0 <= final_lr_fraction <= 1:
    raise ValueError(f'final_lr_fraction={final_lr_fraction!r} must lie within '
                     '[0, 1].')
  if not 0 < clip:
    raise ValueError(f'clip={clip!r} must be above 0.')
  # A step at either end of the schedule, where the rate is 0, would teach
  # nothing: a round's n steps take the n points between.
  cosine = optax.warmup_cosine_decay_schedule(
      0.0, peak_lr, round(warmup_fraction * steps_per_round),
      steps_per_round + 1, final_lr_fraction * peak_lr)

  def schedule(count: jax.Array) -> jax.Array:
    return cosine(count % steps_per_round + 1)

  if name == ADAMW:
    rule = optax.adamw(schedule, weight_decay=weight_decay, mask=_is_kernel)
  else:
    rule = contrib.muon(
        schedule, weight_decay=weight_decay, weight_decay_mask=_is_kernel,
        adam_learning_rate=lambda count: _ADAM_SHARE * schedule(count),
        muon_weight_dimension_numbers=_as_matrices)
  parts = [optax.clip_by_global_norm(clip), rule]
  if lr_factors:
    parts.append(_scale_by_name(lr_factors))
  optimizer = optax.chain(*parts)
  if frozen:
    optimizer = optax.partition(
        {_LEARNT: optimizer, _FROZEN: optax.set_to_zero()},
        lambda params: jax.tree.unflatten(jax.tree.structure(params), [
            _LEARNT if learns else _FROZEN
            for learns in freeze.learns(params, frozen)]))
  return average.with_average(optimizer, ema, frozen) if ema else optimizer


def _scale_by_name(factors: Mapping[str, float]):
  def scale(path, update):
    name = names.dotted(path)
    return update * next(
        (factor for pattern, factor in factors.items()
         if names.matches(name, [pattern])), 1.0)

  return optax.stateless(
      lambda updates, _: jax.tree_util.tree_map_with_path(scale, updates))


def _is_kernel(params: Any):
  # By name: the biases of attention heads have two axes as matrices have.
  return jax.tree_util.tree_map_with_path(
      lambda path, _: names.dotted(path).endswith('.kernel'), params)


def _as_matrices(params: Any):
  """How Muon reads kernels as matrices; None for what Adam trains."""
  def axes(path, leaf):
    name = names.dotted(path)
    if not name.endswith('.kernel'):
      return None
    if leaf.ndim == 2:
      return contrib.MuonDimensionNumbers(0, 1)
    # Of attention: [heads, head_dim, width] out, [width, heads, head_dim] in.
    return (contrib.MuonDimensionNumbers((0, 1), 2)
            if name.endswith('.out.kernel')
            else contrib.MuonDimensionNumbers(0, (1, 2)))

  return jax.tree_util.tree_map_with_path(axes, params)


def init(
    optimizer: optax.GradientTransformation, params: Any
) -> optax.OptState:
  """The optimizer's state, laid over the devices as the parameters are."""
  mesh = partition.mesh_of(params)
  state = jax.eval_shape(optimizer.init, params)
  one = jax.tree.leaves(params)[0]
  if mesh is not None:
    where = partition.shardings(state, mesh)
  else:
    # Where parameters are bound to a device, as those from a checkpoint, so is
    # all else after the first step: the second would be compiled anew.
    where = one.sharding if one.committed else None
  return jax.jit(optimizer.init, out_shardings=where)(params)
