"""Every strategy by name; a variant is one more line."""

from collections.abc import Sequence
import functools

from mmal_jax.acquire import arguments
from mmal_jax.acquire import modality
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views
from mmal_jax.acquire.strategies import badge
from mmal_jax.acquire.strategies import cluster_margin
from mmal_jax.acquire.strategies import coreset
from mmal_jax.acquire.strategies import design
from mmal_jax.acquire.strategies import facility
from mmal_jax.acquire.strategies import herding
from mmal_jax.acquire.strategies import kmeans
from mmal_jax.acquire.strategies import margin
from mmal_jax.acquire.strategies import mmal
from mmal_jax.acquire.strategies import mmal_plus
from mmal_jax.acquire.strategies import plan
from mmal_jax.acquire.strategies import probcover
from mmal_jax.acquire.strategies import random
from mmal_jax.acquire.strategies import similarity
from mmal_jax.acquire.strategies import two_sided
from mmal_jax.acquire.strategies import typiclust

STRATEGIES: dict[str, views.Strategy] = {
    'mmal': mmal.mmal,
    'random': random.random,
    'coreset': coreset.coreset,
    'margin': margin.margin,
    'least_confidence': functools.partial(
        margin.margin, uncertainty=uncertainty.LEAST_CONFIDENCE),
    'entropy': functools.partial(
        margin.margin, uncertainty=uncertainty.ENTROPY),
    # The best of our own: experimental design, and a gate.
    'mmal_plus': mmal_plus.mmal_plus,
    'mmal_plus_by_cost': functools.partial(mmal_plus.mmal_plus, by_cost=True),
    # By what was known before training, where that is to be had.
    'facility_reference': functools.partial(
        facility.facility, by_reference=True),
    'design': design.design,
    'design_by_entropy': functools.partial(design.design, by_entropy=True),
    'two_sided': two_sided.two_sided,
    'herding': herding.herding,
    # By Sinkhorn's plan between what remains.
    'plan_margin': plan.plan,
    'plan_entropy': functools.partial(plan.plan, score=plan.entropy),
    # Strategies for one modality, on one of the unpaired pools.
    'badge': badge.badge,
    'cluster_margin': cluster_margin.cluster_margin,
    'facility': facility.facility,
    'kmeans': kmeans.kmeans,
    'probcover': probcover.probcover,
    'typiclust': typiclust.typiclust,
    'similarity': similarity.similarity,
    'dissimilarity': functools.partial(similarity.similarity, lowest=True),
    # The method without stage 3, without stage 2, with other scores in 3.
    'mmal_no_uncertainty': functools.partial(mmal.mmal, coreset_ratio=1.0),
    'mmal_no_coreset': functools.partial(margin.margin, modality='gap'),
    'mmal_least_confidence': functools.partial(
        mmal.mmal, uncertainty=uncertainty.LEAST_CONFIDENCE),
    'mmal_entropy': functools.partial(
        mmal.mmal, uncertainty=uncertainty.ENTROPY),
}

# What goes by `View.reference` where it is there: the loop has to make it.
BY_REFERENCE = frozenset((
    'mmal_plus', 'mmal_plus_by_cost', 'facility_reference', 'design',
    'design_by_entropy', 'two_sided', 'herding'))


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


def needs_reference(name: str) -> bool:
  """Whether a strategy goes by what was known before training.

  Args:
    name: as `find` takes it.

  >>> needs_reference('mmal_plus@image'), needs_reference('mmal')
  (True, False)
  """
  return name.partition('@')[0] in BY_REFERENCE


def find(name: str, modalities: Sequence[str] | None = None) -> views.Strategy:
  """A strategy by its name, or by its name and a rule, `NAME@RULE`.

  Args:
    name: in `STRATEGIES`, where each has its own rule to choose the modality
      by; or with another one behind it, as `modality.query` takes it:
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
  strategy = STRATEGIES[base]
  return functools.partial(strategy, modality=rule) if at else strategy


def _names() -> str:
  return ', '.join(sorted(STRATEGIES))
