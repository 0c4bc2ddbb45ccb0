"""Experimental design that knows an answer is about both sides."""

from collections.abc import Mapping
import dataclasses
import itertools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import alike
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import plan_scores
from mmal_jax.acquire.kernels import two_sided as two_sided_lib
from mmal_jax.acquire.strategies import design


def select(
    views: Mapping[str, views_lib.View],
    select_modality: modality_lib.Selection,
    key: None,
    *,
    ridge: values.Positive = 1.0,
    by_cost: bool = False,
) -> dict[str, jax.Array]:
  """As `design`, but what likely answers reveal of other modalities counts.

  Args:
    views: by modality. Items are alike by `reference`, or by the embeddings
      where there is none (`alike.by_reference`); counterparts are expected by
      Sinkhorn's plan of the embeddings.
    select_modality: the rule for the modality; under another than `both` there
      is nothing to share out, and the picks are those of `design`. Its key
      draws the blocks of the plan, too.
    key: None.
    ridge: of the linear model.
    by_cost: whether an item has to be more informative if it costs more to ask
      about.

  Returns:
    By modality, `[k]` int32 indices.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006; the second side is ours.
  """
  key = select_modality.key  # Whole, as the rule `both` draws nothing.
  if select_modality.rule != 'both':
    key_rule, key = jax.random.split(key)
    return design.select(
        views, dataclasses.replace(select_modality, key=key_rule), key,
        ridge=ridge, by_cost=by_cost)
  names = list(views)
  sides = [alike.by_reference(view) for view in views.values()]
  if not by_cost:
    sides = [dataclasses.replace(side, costs=None) for side in sides]
  partners, pairs = {}, itertools.combinations(range(len(names)), 2)
  for i, (one, other) in enumerate(pairs):
    partners[one, other], partners[other, one] = plan_scores.expected_rows(
        views[names[one]], views[names[other]], sides[one].pool,
        sides[other].pool, jax.random.fold_in(key, i))
  called = select_modality(views)
  shares = [called.get(m, 0) for m in names]
  picks = two_sided_lib.select_two_sided(
      sides, partners, jnp.asarray(shares), max(shares), ridge)
  return {m: some[:k] for m, some, k in zip(names, picks, shares) if k}


two_sided = strategy.Strategy(
    'two_sided', select, rule='both', joint=True, one_device=True,
    uses_reference=True)
