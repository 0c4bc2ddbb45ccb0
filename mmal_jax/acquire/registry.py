"""Every strategy by name: one line each, and a variant is one more."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmal_jax.acquire import arguments
from mmal_jax.acquire import mmal
from mmal_jax.acquire import modality
from mmal_jax.acquire import strategy
from mmal_jax.acquire import values as values_lib
from mmal_jax.acquire.strategies import badge
from mmal_jax.acquire.strategies import cluster_margin
from mmal_jax.acquire.strategies import coreset
from mmal_jax.acquire.strategies import design
from mmal_jax.acquire.strategies import facility
from mmal_jax.acquire.strategies import herding
from mmal_jax.acquire.strategies import kmeans
from mmal_jax.acquire.strategies import margin
from mmal_jax.acquire.strategies import mmal_plus
from mmal_jax.acquire.strategies import plan
from mmal_jax.acquire.strategies import probcover
from mmal_jax.acquire.strategies import random
from mmal_jax.acquire.strategies import similarity
from mmal_jax.acquire.strategies import two_sided
from mmal_jax.acquire.strategies import typiclust

_ALL = (
    mmal.mmal,
    random.random,
    coreset.coreset,
    margin.margin,
    margin.margin.variant('least_confidence', uncertainty='least_confidence'),
    margin.margin.variant('entropy', uncertainty='entropy'),
    # The best of our own: experimental design, and a gate.
    mmal_plus.mmal_plus,
    mmal_plus.mmal_plus.variant('mmal_plus_by_cost', by_cost=True),
    # By what was known before training, where that is available.
    facility.facility.variant('facility_reference', by_reference=True),
    design.design,
    design.design.variant('design_by_entropy', by_entropy=True),
    two_sided.two_sided,
    herding.herding,
    # By Sinkhorn's plan between what remains.
    plan.plan.variant('plan_margin', score='margin'),
    plan.plan.variant('plan_entropy', score='entropy'),
    # Strategies for one modality, on one of the unpaired pools.
    badge.badge,
    cluster_margin.cluster_margin,
    facility.facility,
    kmeans.kmeans,
    probcover.probcover,
    typiclust.typiclust,
    similarity.similarity,
    similarity.similarity.variant('dissimilarity', lowest=True),
    # The method without stage 3, without stage 2, with other scores in 3.
    mmal.mmal.variant('mmal_no_uncertainty', coreset_ratio=1.0),
    margin.margin.variant('mmal_no_coreset', rule='gap'),
    mmal.mmal.variant(
        'mmal_least_confidence', uncertainty='least_confidence'),
    mmal.mmal.variant('mmal_entropy', uncertainty='entropy'),
)
STRATEGIES: dict[str, strategy.Strategy] = {each.name: each for each in _ALL}

# Of the first batch, when nothing is aligned yet (our reading).
FIRST = random.random

# What others call them.
_SYNONYMS = {
    'coreset': ('k_center', 'kcenter', 'core_set', 'farthest_first'),
    'margin': ('uncertainty', 'smallest_margin'),
    'least_confidence': ('least_confident',),
    'entropy': ('max_entropy',),
    'random': ('uniform',),
    'kmeans': ('kmeans++', 'clustering'),
    'facility': ('facility_location', 'submodular'),
    'design': ('experimental_design',),
}


def find(
    name: str, modalities: Sequence[str] | None = None
) -> strategy.Strategy:
  """A strategy by its name, or by its name and a rule, `NAME@RULE`.

  Args:
    name: in `STRATEGIES`, where each has its own rule to choose the modality
      by; or with another one behind it, as `modality.Selection` takes it:
      `mmal@random` is the paper's method without its first stage, `margin@gap`
      the margin with it, `coreset@both` k-center in all modalities at once.
    modalities: which there are; None leaves it to the strategy to see whether
      the rule is known.

  Returns:
    The strategy.

  Raises:
    ValueError: if the name or the rule is unknown, with the nearest known one.
  """
  if not isinstance(name, str):
    raise ValueError(f'strategy={arguments.shown(name)} is unknown: a name or '
                     f'a function is needed; names are {_names()}.')
  base, at, rule = name.partition('@')
  if base not in STRATEGIES or at and not rule:
    raise ValueError(
        f'strategy={arguments.shown(name)} is unknown; known are {_names()}, '
        'each also with @ and a rule for the modality '
        f'({", ".join(modality.RULES)}, or its name) behind it.'
        + arguments.did_you_mean(base, STRATEGIES, _SYNONYMS))
  if at and modalities is not None and (
      rule not in (*modality.RULES, *modalities)):
    known = (*modality.RULES, *modalities)
    raise ValueError(
        f'strategy={arguments.shown(name)}: the rule for the modality is '
        f'unknown; known are {", ".join(known)}.'
        + arguments.did_you_mean(rule, known))
  found = STRATEGIES[base]
  return found.with_rule(rule) if at else found


def values_of(name: str) -> dict[str, values_lib.Value]:
  """The values that can be set of a strategy: default, types, bound and help.

  >>> value = values_of('typiclust')['neighbours']
  >>> value.default, value.types, str(value.bound)
  (20, (<class 'int'>,), 'at least 1')
  >>> value.help
  'that typicality is the inverse mean distance to.'

  Args:
    name: as `find` takes it.

  Returns:
    By the value's name; what a variant fixes is not among them.
  """
  return find(name).open


def configured(name: str, section: Mapping[str, Any]) -> strategy.Strategy:
  """A strategy with the values that a config's section gives it.

  >>> section = {'coreset_ratio': 4.0, 'typiclust': {'neighbours': 5}}
  >>> configured('mmal@gap', section).given
  {'coreset_ratio': 4.0}
  >>> configured('typiclust', section).given
  {'neighbours': 5}

  Args:
    name: as `find` takes it.
    section: `acquisition`. A value of a strategy's own, `typiclust.neighbours`,
      is for the strategy of exactly that name; one without such a name,
      `coreset_ratio`, for all that leave it open. The former takes precedence.

  Returns:
    The strategy.

  Raises:
    ValueError: for a section of no strategy, a value that the strategy does not
      have or that a variant fixes, or one of a wrong type or out of bounds.
  """
  for key, value in section.items():
    if isinstance(value, Mapping) and key not in STRATEGIES:
      raise ValueError(f'acquisition.{key}: no strategy has that name; names '
                       f'are {_names()}.'
                       + arguments.did_you_mean(key, STRATEGIES, _SYNONYMS))
  found = find(name)
  of_all = {k: v for k, v in section.items() if k in found.open}
  own = section.get(found.name) or {}
  for value in own:
    if value not in found.open:
      known = ', '.join(found.open) or 'none'
      raise ValueError(
          f'acquisition.{found.name}.{value} cannot be set; what can is '
          f'{known}.' + arguments.did_you_mean(value, found.open))
  try:
    return found.with_values(**{**of_all, **own})
  except (TypeError, ValueError) as e:
    raise ValueError(f'acquisition of {found.name}: {e}') from e


def _names() -> str:
  return ', '.join(sorted(STRATEGIES))
