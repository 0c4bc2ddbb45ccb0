"""Transductive experimental design, in all modalities at once."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import alike
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import design as design_lib
from mmal_jax.acquire.strategies import plan

_RANK = 256  # of the rows: every pick reads all of them
_LEAST_ENTROPY = 1e-3  # nats


def design(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'both',
    ridge: float = 1.0,
    by_cost: bool = False,
    by_entropy: bool = False,
) -> views_lib.Query:
  """The items whose answers tell a linear model most about all others.

  For unpaired data: within each modality, from its aligned items on. By itself
  the design does not see what the answers are; weighted by entropy it aims at
  the items whose counterparts the model does not know yet.

  Args:
    views: by modality, in memory on one device. Items are alike by `reference`,
      or by the embeddings where there is none (`alike.by_reference`).
    batch: the number of items to query.
    key: for a `modality` drawn at random, and for the plan's blocks.
    modality: the rule to choose it by (`modality.query`).
    ridge: of the linear model, above 0.
    by_cost: whether an item has to tell more if it costs more to ask about.
    by_entropy: whether each item's variance counts as much as the entropy of
      its counterpart under Sinkhorn's plan (`plan_scores`); if False, all count
      the same.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or a ridge that is not above 0.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006.
  """
  whole.check(views, 'design')
  if not ridge > 0:
    raise ValueError(f'ridge={ridge!r} must be above 0.')

  key_modality, key_plan = jax.random.split(key)
  weights = dict.fromkeys(views)
  if by_entropy:
    entropies = plan.uncertainties(views, key_plan, plan.entropy)
    # Where nothing is uncertain, all count the same.
    weights = {m: x + _LEAST_ENTROPY for m, x in entropies.items()}

  def select(name, k):
    view = alike.by_reference(views[name], _RANK)
    return design_lib.select_design(
        view.pool, view.remaining, view.aligned, view.aligned_mask, k, ridge,
        weights[name], view.costs if by_cost else None)

  return modality_lib.query(views, batch, key_modality, modality, select)
