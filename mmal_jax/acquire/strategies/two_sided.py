"""Experimental design that knows an answer is about both sides."""

from collections.abc import Mapping
import dataclasses
import itertools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import alike
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import plan_scores
from mmal_jax.acquire.kernels import two_sided as two_sided_lib
from mmal_jax.acquire.strategies import design


def two_sided(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'both',
    ridge: float = 1.0,
    by_cost: bool = False,
) -> views_lib.Query:
  """As `design`, but what likely answers tell about other modalities counts.

  Args:
    views: by modality, in memory on one device. Items are alike by `reference`,
      or by the embeddings where there is none (`alike.by_reference`);
      counterparts are expected by Sinkhorn's plan of the embeddings.
    batch: the number of items to query.
    key: draws the modality and the blocks of the plan.
    modality: the rule to choose it by (`modality.query`); under another than
      `both` there is nothing to share out, and the picks are those of `design`.
    ridge: of the linear model, above 0.
    by_cost: whether an item has to tell more if it costs more to ask about.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or a ridge that is not above 0.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006; the second side is ours.
  """
  whole.check(views, 'two_sided')
  if modality != 'both':
    return design.design(
        views, batch, key, modality=modality, ridge=ridge, by_cost=by_cost)
  if not ridge > 0:
    raise ValueError(f'ridge={ridge!r} must be above 0.')
  names = list(views)
  sides = [alike.by_reference(view) for view in views.values()]
  if not by_cost:
    sides = [dataclasses.replace(side, costs=None) for side in sides]
  partners, pairs = {}, itertools.combinations(range(len(names)), 2)
  for i, (one, other) in enumerate(pairs):
    partners[one, other], partners[other, one] = plan_scores.expected_rows(
        views[names[one]], views[names[other]], sides[one].pool,
        sides[other].pool, jax.random.fold_in(key, i))
  shares = modality_lib.shares(
      [int(jnp.sum(side.remaining)) for side in sides], batch)
  picks = two_sided_lib.select_two_sided(
      sides, partners, jnp.asarray(shares), max(shares), ridge)
  by_name = dict(zip(names, picks))
  return modality_lib.query(
      views, batch, key, 'both', lambda name, k: by_name[name][:k])
