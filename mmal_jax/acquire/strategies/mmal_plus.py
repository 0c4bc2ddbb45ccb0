"""The best of our own: experimental design, and a gate."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.strategies import design
from mmal_jax.acquire.strategies import random


def mmal_plus(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str | None = None,
    ridge: float = 1.0,
    by_cost: bool = False,
    least_skill: float = 1.5,
) -> views_lib.Query:
  """Transductive experimental design in one modality after the other.

  The variance of an item counts by the entropy of its counterpart under
  Sinkhorn's plan: what the plan tells already need not be explained any better.
  A batch in one modality holds no two items that are each other's counterpart,
  of which the second answer would be wasted.

  Where the model does hardly better than chance on pairs that it was not taught
  (`View.skill`), what is alike says nothing about what belongs together, and
  the batch is drawn at random.

  Args:
    views: by modality, in memory on one device. Items are alike by `reference`,
      or by the embeddings where there is none (`alike.by_reference`).
    batch: the number of items to query.
    key: for what is drawn at random, and for the plan's blocks.
    modality: the rule to choose it by (`modality.query`); if None, the modality
      that was asked about least so far, or any where the views do not tell.
    ridge: of the linear model, above 0.
    by_cost: whether an item has to tell more if it costs more to ask about.
    least_skill: below which the batch is drawn at random.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or a ridge that is not above 0.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006.
  """
  whole.check(views, 'mmal_plus')
  if modality is None:
    known = all(view.asked is not None for view in views.values())
    modality = 'alternate' if known else 'random'
  if any(view.skill is not None and float(view.skill) < least_skill
         for view in views.values()):
    return random.random(views, batch, key, modality=modality)
  return design.design(
      views, batch, key, modality=modality, ridge=ridge, by_cost=by_cost,
      by_entropy=True)
