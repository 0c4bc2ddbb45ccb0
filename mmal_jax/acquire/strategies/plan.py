"""The least certain items by Sinkhorn's plan."""

from collections.abc import Callable, Mapping
import functools
import itertools
from typing import Annotated

import jax
import jax.numpy as jnp

from mmal_jax.acquire import modality
from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import plan_scores

Score = Callable[[plan_scores.Scores], jax.Array]


def margin(scores: plan_scores.Scores) -> jax.Array:
  """`[n]` float32, 1 minus the margin between the two likeliest."""
  return 1.0 - scores.margin


def entropy(scores: plan_scores.Scores) -> jax.Array:
  """`[n]` float32, in nats."""
  return scores.entropy


SCORES = {'margin': margin, 'entropy': entropy}


def select(
    views: Mapping[str, views_lib.View],
    select_modality: modality.Selection,
    key: jax.Array,
    *,
    score: Annotated[str, values.OneOf(SCORES)] = 'margin',
) -> dict[str, jax.Array]:
  """The items whose counterpart is least certain where all must be matched.

  For unpaired data: of several other modalities the least certain counts.

  Args:
    views: by modality.
    select_modality: the rule for the modality.
    key: draws the blocks of the plan (`plan_scores`).
    score: of the counterparts under the plan.

  Returns:
    By modality, `[k]` int32 indices.

  References:
    Malmi et al., Active Network Alignment, arXiv 1610.05516: what has several
    partners over good matchings is asked about.
  """
  scores = uncertainties(views, key, SCORES[score])
  views = {m: views_lib.located(view) for m, view in views.items()}
  return {m: views_lib.keep_best(
      scores[m], views[m].remaining, k, views[m].rows)
          for m, k in select_modality(views).items()}


plan = strategy.Strategy(
    'plan', select, rule='both', joint=True, draws=True)


def uncertainties(
    views: Mapping[str, views_lib.View], key: jax.Array, score: Score
) -> dict[str, jax.Array]:
  """By modality `[n]` float32, how uncertain each item's counterpart is.

  Args:
    views: by modality.
    key: draws the blocks of the plan.
    score: of `plan_scores.Scores`, higher where less certain.

  Returns:
    What lies over a mesh does so as its pool.
  """
  found = {m: [] for m in views}
  for i, (one, other) in enumerate(itertools.combinations(views, 2)):
    scores = plan_scores.plan_scores(
        views[one], views[other], jax.random.fold_in(key, i))
    for m, some in zip((one, other), scores):
      found[m].append(score(some))
  return {m: functools.reduce(jnp.maximum, some) for m, some in found.items()}
