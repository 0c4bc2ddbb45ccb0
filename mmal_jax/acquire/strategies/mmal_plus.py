"""The best of our own: experimental design, and a gate."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import modality
from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.strategies import design
from mmal_jax.acquire.strategies import random


def in_turn(views: Mapping[str, views_lib.View]) -> str:
  """The rule: what was asked about least, or any where views do not record it.
  """
  known = all(view.asked is not None for view in views.values())
  return 'alternate' if known else 'random'


def select(
    views: Mapping[str, views_lib.View],
    select_modality: modality.Selection,
    key: jax.Array,
    *,
    ridge: values.Positive = 1.0,
    by_cost: bool = False,
    least_skill: float = 1.5,
) -> dict[str, jax.Array]:
  """Transductive experimental design in one modality after the other.

  The variance of an item counts by the entropy of its counterpart under
  Sinkhorn's plan: what the plan reveals already need not be explained any
  better. A batch in one modality holds no two items that are each other's
  counterpart, of which the second answer would be wasted.

  Where the model does hardly better than chance on pairs that it was not taught
  (`View.skill`), what is alike says nothing about what belongs together, and
  the batch is drawn at random.

  Args:
    views: by modality. Items are alike by `reference`, or by the embeddings
      where there is none (`alike.by_reference`).
    select_modality: the rule for the modality.
    key: draws what is drawn at random, and the plan's blocks.
    ridge: of the linear model.
    by_cost: whether an item has to be more informative if it costs more to ask
      about.
    least_skill: below which the batch is drawn at random.

  Returns:
    By modality, `[k]` int32 indices.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006.
  """
  if any(view.skill is not None and float(view.skill) < least_skill
         for view in views.values()):
    return random.select(views, select_modality, key)
  return design.select(
      views, select_modality, key, ridge=ridge, by_cost=by_cost,
      by_entropy=True)


mmal_plus = strategy.Strategy(
    'mmal_plus', select, rule=in_turn, joint=True, draws=True,
    uses_reference=True)
