"""Stage 1, modality selection: query where the aligned set covers least."""

from collections.abc import Mapping
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import coverage
from mmal_jax.acquire import views as views_lib

RULES = ('gap', 'random', 'alternate', 'cheapest', 'both')
# Fields of `View` that a rule cannot do without.
NEEDS = {'alternate': ('asked',), 'cheapest': ('costs',)}


def coverage_gap(view: views_lib.View) -> jax.Array:
  r"""How far the worst covered remaining item is from the aligned set.

  .. math::
    \mathrm{gap}_m = \max_{x \in U_m} \min_{a \in A_m} d(f_m(x), f_m(a))

  Args:
    view: of one modality.

  Returns:
    Scalar float32: +inf if nothing is aligned, -inf if nothing remains.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 1.
  """
  view = coverage.covered(view)
  return _largest(view.nearest, view.remaining)


@jax.jit
def _largest(nearest, remaining):
  return jnp.max(nearest, where=remaining, initial=-jnp.inf)


def select_modality(views: Mapping[str, views_lib.View]) -> str:
  """The modality of the largest coverage gap, ties to the first.

  Args:
    views: by modality.

  Returns:
    Its name. (A Python string, and so outside jit: the pools of the modalities
    differ in shape, so that one program cannot serve all.)

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 1.
  """
  gaps = {m: float(coverage_gap(view)) for m, view in views.items()}
  return max(gaps, key=gaps.get)


def choose(
    views: Mapping[str, views_lib.View], rule: str, key: jax.Array
) -> str:
  """The modality to query, by one of several rules.

  Args:
    views: by modality.
    rule: `gap` (the paper's stage 1), `random`, `alternate` (of those that have
      something left the one that was asked about least so far), `cheapest` (the
      one whose remaining items cost least on average), ties to the first, or a
      modality's name.
    key: for `random`.

  Returns:
    The modality.

  Raises:
    ValueError: if `rule` is none of these, or if views do not hold what was
      asked, for `alternate`, or what it costs, for `cheapest`.
  """
  for field in NEEDS.get(rule, ()):
    if any(getattr(view, field) is None for view in views.values()):
      raise views_lib.Missing(field, f'modality={rule!r}')
  if rule == 'gap':
    return select_modality(views)
  if rule == 'random':
    return views_lib.random_modality(key, tuple(views))
  if rule == 'alternate':
    left = [m for m, view in views.items() if bool(view.remaining.any())]
    return min(left or views, key=lambda m: int(views[m].asked))
  if rule == 'cheapest':
    means = {m: float(jnp.mean(view.costs, where=view.remaining))
             for m, view in views.items() if bool(view.remaining.any())}
    return min(means or views, key=lambda m: means.get(m, 0.0))
  if rule not in views:
    raise ValueError(
        f'modality={rule!r} is none of {", ".join((*RULES, *views))}.')
  return rule


@dataclasses.dataclass(frozen=True)
class Selection:
  """Stage 1 by any rule, of one round.

  Attributes:
    rule: as in `choose`, or `both`: each modality gets an equal share of the
      batch, of which what it cannot fill goes to the others.
    batch: the number of items to query.
    key: for the rule.
  """

  rule: str
  batch: int
  key: jax.Array

  def __call__(self, views: Mapping[str, views_lib.View]) -> dict[str, int]:
    """How many items to ask about, by modality; of the others none."""
    if self.rule != 'both':
      return {choose(views, self.rule, self.key): self.batch}
    left = [int(jnp.sum(view.remaining)) for view in views.values()]
    dealt = zip(views, shares(left, self.batch))
    return {m: share for m, share in dealt if share}

  def query(
      self, views: Mapping[str, views_lib.View], picks: Mapping[str, jax.Array]
  ) -> views_lib.Query:
    """The query that asks about what was picked.

    Args:
      views: by modality.
      picks: by modality, `[k] int32` indices, as many as were called for, -1
        where nothing remained.

    Returns:
      The query. Under `both` the modalities take turns in it.
    """
    if self.rule != 'both':
      (modality, indices), = picks.items()
      return views_lib.Query(modality, indices)
    turns = sorted(  # (turn, place of the modality, modality, index)
        (turn, place, m, index)
        for place, m in enumerate(views) if m in picks
        for turn, index in enumerate(np.asarray(picks[m]).tolist()))
    # Where nothing is left at all, the batch is padded with no item.
    turns += [(0, 0, next(iter(views)), -1)] * (self.batch - len(turns))
    return views_lib.Query(
        tuple(modality for *_, modality, _ in turns),
        jnp.asarray([index for *_, index in turns], jnp.int32))


def shares(left: list[int], batch: int) -> list[int]:
  """`batch` dealt out in turn to those that have something left.

  Args:
    left: how many items remain of each.
    batch: how many to deal out.

  Returns:
    How many each gets, less than `batch` together where no more remain.

  >>> shares([10, 1, 10], 8)
  [4, 1, 3]
  """
  dealt = [0] * len(left)
  while batch and any(s < n for s, n in zip(dealt, left)):
    for i, n in enumerate(left):
      if batch and dealt[i] < n:
        dealt[i] += 1
        batch -= 1
  return dealt
