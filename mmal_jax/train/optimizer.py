"""AdamW under a warmup-cosine schedule that starts anew every round."""

import math

import jax
import optax


def make_optimizer(
    peak_lr: float,
    steps_per_round: int,
    weight_decay: float = 1e-4,
    warmup_fraction: float = 0.1,
) -> optax.GradientTransformation:
  """Makes the optimizer of one round's fine-tuning, good for all rounds.

  Args:
    peak_lr: learning rate at the end of the warm-up.
    steps_per_round: length of the schedule in steps.
    weight_decay: AdamW's (Loshchilov and Hutter 2019), on the kernels of linear
      maps only, not on biases, norms and embeddings.
    warmup_fraction: share of the steps that the rate takes to reach its peak.

  Returns:
    Gradient clipping to norm 1, then AdamW.

  Raises:
    ValueError: if a value is out of range, or not finite.
  """
  for name, value, least in (
      ('peak_lr', peak_lr, 0), ('steps_per_round', steps_per_round, 1),
      ('weight_decay', weight_decay, 0)):
    if not least <= value < math.inf:
      raise ValueError(
          f'{name}={value!r} must be finite and at least {least}.')
  # A step at either end of the schedule, where the rate is 0, would teach
  # nothing: a round's n steps take the n points between.
  cosine = optax.warmup_cosine_decay_schedule(
      0.0, peak_lr, round(warmup_fraction * steps_per_round),
      steps_per_round + 1)

  def schedule(count: jax.Array) -> jax.Array:
    return cosine(count % steps_per_round + 1)

  return optax.chain(
      optax.clip_by_global_norm(1.0),
      optax.adamw(schedule, weight_decay=weight_decay, mask=_is_kernel))


def _is_kernel(params):
  # By name: the biases of attention heads have two axes as matrices have.
  return jax.tree_util.tree_map_with_path(
      lambda path, _: any(getattr(k, 'key', None) == 'kernel' for k in path),
      params)
