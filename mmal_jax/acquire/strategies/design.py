"""Transductive experimental design, in all modalities at once."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import alike
from mmal_jax.acquire import design as design_lib
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole

_RANK = 256  # of the rows: every pick reads all of them


def design(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'both',
    ridge: float = 1.0,
    by_cost: bool = False,
) -> views_lib.Query:
  """The items whose answers tell a linear model most about all others.

  For unpaired data: within each modality, from its aligned items on; what the
  answers are plays no part.

  Args:
    views: by modality, in memory on one device. Items are alike by `reference`,
      or by the embeddings where there is none (`alike.by_reference`).
    batch: the number of items to query.
    key: for a `modality` drawn at random: the design itself draws nothing.
    modality: the rule to choose it by (`modality.query`).
    ridge: of the linear model, above 0.
    by_cost: whether an item has to tell more if it costs more to ask about.

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

  def select(name, k):
    view = alike.by_reference(views[name], _RANK)
    return design_lib.select_design(
        view.pool, view.remaining, view.aligned, view.aligned_mask, k, ridge,
        costs=view.costs if by_cost else None)

  return modality_lib.query(views, batch, key, modality, select)
