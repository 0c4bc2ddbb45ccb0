r"""Stage 3, uncertainty: query what has two answers of equal likelihood.

The paper's score is the margin. The others come from the distribution over an
item's matches,

.. math::
  p_j = \frac{e^{l_j}}{\sum_k e^{l_k}}, \qquad l_j = scale \cdot s_j + bias,

which is the softmax of CLIP, and for the sigmoid loss just as much: of
independent sigmoids, given that exactly one of them is a match, it is the
chance that it is j. The bias cancels out.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import values as values_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import matches as matches_lib


class Uncertainty(NamedTuple):
  """A score of candidates.

  Attributes:
    score: `(Matches, none_logit [c] or None) -> [c]` float32, higher where less
      certain.
    softmax: whether it needs `Matches.total` and `moment`.
  """

  score: Callable[[matches_lib.Matches, jax.Array | None], jax.Array]
  softmax: bool


def margins(matches: matches_lib.Matches) -> jax.Array:
  """Highest minus second highest similarity.

  Args:
    matches: of c candidates.

  Returns:
    `[c]` float32, at least 0; +inf where fewer than two items remain: there is
    nothing to confuse.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 3; Scheffer et al. 2001.
  """
  # What is not there has a similarity of -1e30, which no real one is near.
  return jnp.where(
      matches.second < -1e29, jnp.inf, matches.best - matches.second)


def least_confidences(
    matches: matches_lib.Matches, none_logit: jax.Array | None = None
) -> jax.Array:
  """One minus the probability of the best match.

  Args:
    matches: of c candidates, with `total`.
    none_logit: `[c]`, of the outcome that no match is there, relative to the
      best match's logit; None if one must be.

  Returns:
    `[c]` float32 within [0, 1].

  References:
    Culotta and McCallum 2005.
  """
  log_total = jnp.log(matches.total)
  if none_logit is not None:
    log_total = jnp.logaddexp(log_total, none_logit)
  return -jnp.expm1(-log_total)


def entropies(
    matches: matches_lib.Matches, none_logit: jax.Array | None = None
) -> jax.Array:
  """Entropy of the match, in nats.

  Args:
    matches: of c candidates, with `total` and `moment`.
    none_logit: as for `least_confidences`.

  Returns:
    `[c]` float32, at least 0.

  References:
    Shannon 1948; Settles 2009, section 3.1.
  """
  log_total, mean = jnp.log(matches.total), matches.moment
  if none_logit is not None:
    log_total = jnp.logaddexp(log_total, none_logit)
  mean = mean * jnp.exp(-log_total)
  if none_logit is not None:
    mean = mean + none_logit * jnp.exp(none_logit - log_total)
  return jnp.maximum(log_total - mean, 0.0)


MARGIN = Uncertainty(lambda matches, _: -margins(matches), softmax=False)
LEAST_CONFIDENCE = Uncertainty(least_confidences, softmax=True)
ENTROPY = Uncertainty(entropies, softmax=True)
SCORES = {'margin': MARGIN, 'least_confidence': LEAST_CONFIDENCE,
          'entropy': ENTROPY}
Score = Annotated[str, values_lib.OneOf(SCORES)]


def needs(values: Mapping[str, Any]) -> tuple[str, ...]:
  """Fields of `View` that a strategy's `uncertainty` needs."""
  return ('logit_scale',) if SCORES[values['uncertainty']].softmax else ()


def uncertainties(
    candidates: jax.Array,
    view: views_lib.View,
    other_view: views_lib.View,
    uncertainty: Uncertainty = MARGIN,
    may_be_missing: bool = False,
) -> jax.Array:
  """How uncertain the model is of each candidate's match.

  Args:
    candidates: `[c]` int32 indices into `view.pool`.
    view: of the candidates' modality.
    other_view: of the other modality.
    uncertainty: the score.
    may_be_missing: whether the match may not be in the pool at all, an outcome
      of logit 0 beside the matches: for models of the sigmoid loss, whose
      `logit_bias` says how likely that is. Nothing to the margin.

  Returns:
    `[c]` float32, higher where less certain.

  Raises:
    ValueError: if a logit is needed and the view has no `logit_scale`, or no
      `logit_bias`.
  """
  matches = matches_lib.match(
      candidates, view, other_view, uncertainty.softmax)
  none_logit = None
  if may_be_missing and uncertainty.softmax:
    if view.logit_bias is None:
      raise views_lib.Missing('logit_bias', 'may_be_missing=True')
    none_logit = -(view.logit_scale * matches.best + view.logit_bias)
  return uncertainty.score(matches, none_logit)


def select_uncertain(
    candidates: jax.Array,
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    uncertainty: Uncertainty = MARGIN,
) -> jax.Array:
  """The k candidates that the model is least certain of.

  Args:
    candidates: `[c]` int32 indices into `view.pool`; -1 is no candidate.
    view: of the candidates' modality.
    others: of the other modalities. Where there are several, an item is as
      uncertain as its least certain match (our reading).
    k: how many to keep.
    uncertainty: the score; the paper's is the margin.

  Returns:
    `[k]` int32 pool indices by falling uncertainty, ties to the earlier
    candidate; -1 where there were fewer candidates.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 3.
  """
  scores = functools.reduce(jnp.maximum, (
      uncertainties(candidates, view, other, uncertainty)
      for other in others.values()))
  return _best(scores, jnp.asarray(candidates), k)


@functools.partial(jax.jit, static_argnames='k')
def _best(scores, candidates, k):
  best = views_lib.keep_best(scores, candidates >= 0, k)
  return jnp.where(best >= 0, candidates[best], -1)
