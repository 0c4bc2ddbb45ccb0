"""The least certain items by Sinkhorn's plan."""

from collections.abc import Callable, Mapping
import functools
import itertools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import plan_scores

Score = Callable[[plan_scores.Scores], jax.Array]


def margin(scores: plan_scores.Scores) -> jax.Array:
  """`[n]` float32, 1 minus the margin between the two likeliest."""
  return 1.0 - scores.margin


def entropy(scores: plan_scores.Scores) -> jax.Array:
  """`[n]` float32, in nats."""
  return scores.entropy


def plan(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'both',
    score: Score = margin,
) -> views_lib.Query:
  """The items whose counterpart is least certain where all must be matched.

  For unpaired data: of several other modalities the least certain counts.

  Args:
    views: by modality, in memory on one device.
    batch: the number of items to query.
    key: draws the modality and the blocks of the plan (`plan_scores`).
    modality: the rule to choose it by (`modality.query`).
    score: `margin` or `entropy`.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one.

  References:
    Malmi et al., Active Network Alignment, arXiv 1610.05516: what has several
    partners over good matchings is asked about.
  """
  whole.check(views, 'plan')
  key_modality, key_plan = jax.random.split(key)
  scores = uncertainties(views, key_plan, score)
  return modality_lib.query(
      views, batch, key_modality, modality,
      lambda name, k: views_lib.keep_best(
          scores[name], views[name].remaining, k))


def uncertainties(
    views: Mapping[str, views_lib.View], key: jax.Array, score: Score
) -> dict[str, jax.Array]:
  """By modality `[n]` float32, how uncertain each item's counterpart is.

  Args:
    views: by modality, in memory on one device.
    key: draws the blocks of the plan.
    score: of `plan_scores.Scores`, higher where less certain.
  """
  found = {m: [] for m in views}
  for i, (one, other) in enumerate(itertools.combinations(views, 2)):
    scores = plan_scores.plan_scores(
        views[one], views[other], jax.random.fold_in(key, i))
    for m, some in zip((one, other), scores):
      found[m].append(score(some))
  return {m: functools.reduce(jnp.maximum, some) for m, some in found.items()}
