"""AdamW under a warmup-cosine schedule that starts anew every round."""

import jax
import jax.numpy as jnp
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
    weight_decay: AdamW's (Loshchilov and Hutter 2019), on matrices only.
    warmup_fraction: share of the steps that the rate takes to reach its peak.

  Returns:
    Gradient clipping to norm 1, then AdamW.
  """
  cosine = optax.warmup_cosine_decay_schedule(
      0.0, peak_lr, round(warmup_fraction * steps_per_round), steps_per_round)

  def schedule(count: jax.Array) -> jax.Array:
    # A round's first step would have rate 0 and teach nothing: count from 1.
    return cosine(count % steps_per_round + 1)

  def is_matrix(params):
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)

  return optax.chain(
      optax.clip_by_global_norm(1.0),
      optax.adamw(schedule, weight_decay=weight_decay, mask=is_matrix))
