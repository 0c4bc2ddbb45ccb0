"""Cross-validation over the aligned tuples, every round anew."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.learn.closed_form import basis as basis_lib
from mmal_jax.learn.closed_form import canonical
from mmal_jax.learn.closed_form import closed_world

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
TEMPERATURES = (0.03, 0.06)
# What an item of the closed world counts, in answers.
WORTHS = (0.4, 1.5)
PRIORS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Of fewer tuples nothing is held out.
LEAST = 5
# Without any: what suits few answers on every set that this was settled on.
CAUTIOUS = closed_world.Setting(10.0)
_HELD = 192  # held-out tuples in a fold, at most
_REST = 576  # items of each modality that remain, beside them
_ITERATIONS = 3
_FOLDS = 6
# Enough of them for what takes longer, if that many tuples are held out.
_HELD_IN_ALL = 150


class Choice(NamedTuple):
  """The result of cross-validation.

  Attributes:
    setting: of the closed form.
    score: mean reciprocal rank of the held-out tuples under the best setting
      that was tried; NaN if none was held out.
    skill: the score divided by that of a random order.
  """

  setting: closed_world.Setting
  score: float
  skill: float


def choose(
    rng: np.random.Generator,
    bases: Sequence[basis_lib.Basis],
    aligned: Sequence[closed_world.Rows],
    block: Sequence[closed_world.Rows],
    num_aligned: int,
    num_remaining: int,
    share: float,
    width: int,
    has_prior: bool = False,
    world: bool = True,
) -> Choice:
  """The setting by which held-out tuples are found best, value by value.

  A fold's tuples join a block of what remains, of which it is unknown what
  belongs together; heads are made of the other tuples, and of the closed world
  of that block; the score is the mean reciprocal rank of the held-out
  counterparts among all of the block. First the penalty is chosen without a
  closed world, then the weight of the prior, then temperature and weight of the
  closed world, with a penalty that goes down as long as that helps.

  Which of several settings with a closed world comes out best depends much on
  the draw of the tuples. So the mean is taken of all that were tried, with the
  best one's prior, whose score is below the best by no more than a standard
  error of the difference.

  Args:
    rng: draws folds.
    bases: of M modalities.
    aligned: `[capacity]` rows by modality; those in use come first, and
      `there` is False where a tuple lacks an item.
    block: rows of what remains, by modality.
    num_aligned: n, rows in use.
    num_remaining: N, of the smallest pool: a closed world in which each item
      is worth w answers has the weight w N / (w N + n).
    share: of the items that have a counterpart.
    width: of the space.
    has_prior: whether there is one to weigh.
    world: whether there may be a closed world.

  Returns:
    The choice; `CAUTIOUS`, or the prior alone, where fewer than `LEAST` tuples
    have two items or more.
  """
  there = np.stack([np.asarray(rows.there) for rows in aligned], axis=1)
  if np.sum(there[:num_aligned].sum(1) > 1) < LEAST:
    cautious = CAUTIOUS._replace(prior=float(has_prior))
    return Choice(cautious, float('nan'), float('nan'))
  folds = _folds(rng, aligned, block, num_aligned)
  weights = [w * num_remaining / (w * num_remaining + num_aligned)
             for w in WORTHS]
  # By place of the fold and setting: none is computed twice.
  known = {}
  few = folds[:max(2, -(-_HELD_IN_ALL * len(folds) // num_aligned))]

  def scores(setting, of):
    for i, fold in enumerate(of):
      if (setting, i) not in known:
        known[setting, i] = np.asarray(
            _score(bases, fold, setting, share, width))
    found = np.concatenate([known[setting, i] for i in range(len(of))])
    return found[np.isfinite(found)]  # one of every held-out tuple

  def best(settings, of):  # the first of equals
    return max(settings, key=lambda s: scores(s, of).sum())

  found = best([CAUTIOUS._replace(penalty=p) for p in PENALTIES[::-1]], folds)
  if has_prior:
    found = best(
        [found] + [found._replace(prior=p) for p in PRIORS[::-1]], folds)
  if world and num_remaining:
    # It adds to what is known, so that a lower penalty may do. Under the prior
    # alone there would be nothing to learn for.
    at = PENALTIES.index(found.penalty)
    found = best([found] + [
        found._replace(penalty=p, weight=weights[0], temperature=t,
                       prior=min(found.prior, PRIORS[-2]))
        for p in PENALTIES[max(at - 1, 0):at + 1] for t in TEMPERATURES], few)
  if found.weight:
    found = best([found] + [found._replace(weight=w) for w in weights[1:]], few)
    for p in PENALTIES[:PENALTIES.index(found.penalty)][::-1]:
      lower = best([found, found._replace(penalty=p)], few)
      if lower == found:
        break
      found = lower
  if has_prior and found.weight:
    found = best([found] + [found._replace(prior=p) for p in PRIORS], few)
  result = float(scores(found, few).mean())
  if found.weight:
    tried = {s for s, i in known if s.weight and s.prior == found.prior}
    found = _mean([s for s in tried if _within_an_error(
        scores(found, few) - scores(s, few))])
  chance = float(np.mean([fold.chance for fold in few]))
  return Choice(
      _for_all(found, num_aligned, num_remaining, len(folds), block),
      result, result / chance)


def smoothed(
    before: closed_world.Setting, setting: closed_world.Setting
) -> closed_world.Setting:
  """Halfway between the last round's setting and the new one.

  Args:
    before: all 0 before the first round.
    setting: of this round.

  Returns:
    Their `_mean` if both have a closed world; else the new one.
  """
  if not before.weight or not setting.weight:
    return setting
  return _mean([before, setting])


def _mean(settings: Sequence[closed_world.Setting]) -> closed_world.Setting:
  """Geometric means, of the weight's odds; of the prior the arithmetic one."""
  penalty, weight, temperature, prior = np.array(sorted(settings)).T
  weight = np.minimum(weight, 1.0 - 1e-7)  # Stored in float32 it may be 1.
  odds = np.exp(np.mean(np.log(weight / (1.0 - weight))))
  return closed_world.Setting(
      float(np.exp(np.mean(np.log(penalty)))), float(odds / (1.0 + odds)),
      float(np.exp(np.mean(np.log(temperature)))), float(np.mean(prior)))


def _within_an_error(losses: np.ndarray) -> bool:
  """Whether `[h]` paired losses are 0 on average, up to a standard error."""
  return bool(losses.mean() <= losses.std() / len(losses)**0.5)


def _for_all(setting, num_aligned, num_remaining, folds, block):
  """The setting for all tuples and all that remains, of one for a fold's.

  A penalty that suits few pairs is too much for more: it falls as one over
  their number, in which the closed world counts by its weight (settled on
  random answers on Flickr8k, emoji and words).
  """
  of_fold = (folds - 1) / folds * num_aligned
  if not setting.weight:
    return setting
  worth = setting.weight / (1.0 - setting.weight) * num_aligned / num_remaining
  rest = min(_REST, num_remaining, *(int(rows.there.sum()) for rows in block))
  ratio = (of_fold + worth * rest) / (num_aligned + worth * num_remaining)
  return setting._replace(penalty=setting.penalty * ratio)


class _Fold(NamedTuple):
  """One fold: of the others' tuples their covariances, and a block.

  In the block come first the held-out tuples, place by place in every modality,
  and then what remains.
  """

  cross: tuple[jax.Array, ...]
  block: tuple[closed_world.Rows, ...]
  held: jax.Array  # [h, M] bool
  chance: float  # mean reciprocal rank of a random order


def _folds(rng, aligned, block, num_aligned):
  capacity = len(aligned[0].there)
  number = min(num_aligned, _FOLDS)
  of_row = np.full(capacity, -1)
  of_row[:num_aligned] = rng.permutation(num_aligned) % number
  there = jnp.stack([rows.there for rows in aligned], axis=1)
  size, folds = min(_HELD, capacity), []
  for i in range(number):
    mine = rng.permutation(np.flatnonzero(of_row == i))[:size]
    places = np.zeros(size, int)
    places[:len(mine)] = mine
    counts = np.arange(size) < len(mine)
    learnt = (of_row >= 0) & (of_row != i)
    folds.append(_Fold(*_fold(
        tuple(aligned), tuple(block), there, jnp.asarray(places),
        jnp.asarray(counts), jnp.asarray(learnt, jnp.float32))))
  return [fold._replace(chance=float(fold.chance)) for fold in folds]


@jax.jit
def _fold(aligned, block, there, places, counts, learnt):
  cross = canonical.cross_covariances(
      [rows.projected for rows in aligned], there, learnt)
  held = there[places] & counts[:, None]
  joined = []
  for m, (known, rest) in enumerate(zip(aligned, block)):
    rest = jax.tree.map(lambda x: x[:_REST], rest)
    mine = jax.tree.map(lambda x: x[places], known)._replace(there=held[:, m])
    joined.append(jax.tree.map(
        lambda a, b: jnp.concatenate([a, b]), mine, rest))
  sizes = jnp.stack([jnp.sum(rows.there) for rows in joined])
  # The mean of 1 / rank over n places is about (ln n + 0.5772) / n.
  sizes = jnp.maximum(sizes, 1.0)
  return cross, tuple(joined), held, jnp.mean(
      jnp.minimum((jnp.log(sizes) + 0.5772) / sizes, 1.0))


def _score(bases, fold, setting, share, width):
  heads = closed_world.refine(
      bases, fold.cross, [fold.block], setting, share, width, _ITERATIONS)
  return _reciprocal_rank(fold.block, fold.held, heads, setting.prior)


@jax.jit
def _reciprocal_rank(block, held, heads, prior):
  """Mean over directions and couples of modalities, `[h]`; NaN of no couple."""
  embedded = [closed_world.embed(rows, head, prior)
              for rows, head in zip(block, heads)]
  total = count = jnp.zeros(len(held))
  for a, b in canonical.couples(len(block)):
    both = held[:, a] & held[:, b]
    for one, other in ((a, b), (b, a)):
      similarities = jnp.matmul(
          embedded[one][:len(held)], embedded[other].T, precision='highest')
      right = jnp.diagonal(similarities)
      # Ties, and NaN, count against the heads; a row is as near as itself.
      above = jnp.sum(~(similarities < right[:, None])
                      & block[other].there[None], axis=1)
      total += jnp.where(both, 1.0 / jnp.maximum(above, 1), 0.0)
      count += both
  return total / count
