"""The rest of the pool, matched, with probabilities that mean what they say.

Answers are held out fold by fold, and put back among what remains: whether
their first candidates are right is known, and teaches what the scores of those
candidates are worth. No pairing is needed for that but the answers'.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flax import nnx
import jax
import numpy as np

from mmal_jax.embed import in_memory
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import canonical
from mmal_jax.matching import calibrate
from mmal_jax.matching import candidates as candidates_lib
from mmal_jax.matching import plan as plan_lib

TEMPERATURES = (0.03, 0.06)
FOLDS = 6
LEAST = 5  # answers to calibrate by
# Fewer answers than that say more if both items of each count: what few cases
# say of high probabilities is off by more than a strategy's choice biases it.
ENOUGH = 100
_EDGES = 20  # of each item, in the plan


class Answers(NamedTuple):
  """What is known of the answers beside the tuples that they named.

  Attributes:
    asked: `[n]` int, the modality (its place) of the item that each tuple was
      the answer about, -1 where that is unknown. Where items lack a
      counterpart, only the item that was asked about shows how often.
    at_random: `[n]` bool, whether that item was drawn at random, and not chosen
      by a strategy. A strategy's choice informs about that item alone.
    alone: `[a, M]` int rows of items that were asked about and have no
      counterpart; -1 in all columns but one.
  """

  asked: np.ndarray
  at_random: np.ndarray
  alone: np.ndarray


def unknown(count: int, modalities: int) -> Answers:
  """Of `count` tuples of unknown origin."""
  return Answers(np.full(count, -1), np.ones(count, bool),
                 np.zeros((0, modalities), int))


class Matches(NamedTuple):
  """Of all remaining items of one modality, among those of another.

  Attributes:
    items: `[q]` int, rows of the items.
    counterparts: `[q, k]` int, rows of the other pool, likeliest first; -1
      where there are fewer.
    probabilities: `[q, k]` float64, that the counterpart is the true one or
      equals it; 0 where there is none.
    mutual: `[q]` bool, whether first counterpart and item are each other's
      first. No counterpart comes first for two items that are mutual.
    recall: of the items' nearest ones of the other pool, out of which
      counterparts come, the share that was found, measured on a sample; None
      where all were.
  """

  items: np.ndarray
  counterparts: np.ndarray
  probabilities: np.ndarray
  mutual: np.ndarray
  recall: float | None = None


class Pairs(NamedTuple):
  """Pairs in which no item comes twice.

  Attributes:
    rows: `[p, 2]` int, of the two pools, likeliest first.
    probabilities: `[p]` float64.
  """

  rows: np.ndarray
  probabilities: np.ndarray


def match(
    learner: learner_lib.HoldsOut,
    params: nnx.State,
    state: Any,
    known: learner_lib.Known,
    key: jax.Array,
    k: int = 5,
    answers: Answers | None = None,
    apart: Mapping[tuple[str, str], np.ndarray] | None = None,
    recall: float | None = None,
) -> dict[tuple[str, str], Matches]:
  """Everybody's likeliest counterparts among what remains.

  Args:
    learner: that can do without some of the answers.
    params: of its last round.
    state: of its last round.
    known: what it learnt from, with the pool's items and `known.items` the
      same; `known.pool.rows` are the items to match.
    key: deals the answers to folds.
    k: counterparts for each item.
    answers: how the tuples came about.
    apart: by two modalities, in the order of `known.items`, `[r, 2]` int rows
      of pairs that do not belong together: they are no candidates.
    recall: of the nearest ones, as for `plan.edges`; None finds all.

  Returns:
    By modality of the items and of their counterparts, both ways.

  Raises:
    ValueError: for a learner that holds nothing out, fewer than `LEAST`
      answers, or as `plan.edges`.
  """
  if not isinstance(learner, learner_lib.HoldsOut):
    raise ValueError(
        'to estimate how likely a match is, answers have to be held out, and '
        f'{type(learner).__name__} cannot learn without some of them at no '
        'cost: use train.learner=\'closed_form\'.')
  names, count = list(known.items), known.num_aligned
  if answers is None:
    answers = unknown(count, len(names))
  if count < LEAST:
    raise ValueError(
        f'{count} answers name counterparts; at least {LEAST} are needed to '
        'estimate how likely a match is.')
  rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
  alone, folds = answers.alone, min(FOLDS, count)
  fold_of_alone = rng.permutation(len(alone)) % folds
  # The item that was asked about always counts. Its counterpart counts as well
  # where it is as random as the item. It is not where some items lack one, for
  # then it is known to have one; nor where a strategy chose the item: the
  # counterpart of an uncertain item is harder to match than its own candidates
  # let it appear, which no weight by these features can put right.
  asked = answers.asked
  if not len(alone):
    asked = np.where(answers.at_random, -1, asked)
  cases = {couple: [] for couple in canonical.couples(len(names))}
  least = LEAST if len(alone) else ENOUGH
  informed = {couple: _informed_modality(asked, couple, least)
              for couple in cases}
  for fold, (mine, encoder) in enumerate(
      learner.held_out(params, state, key, known, folds)):
    too = fold_of_alone == fold
    tuples = np.concatenate([known.aligned[mine], alone[too]])
    for couple, edges in _graphs(
        learner.graphdef, encoder, known, tuples, apart, recall).items():
      held = _Held(
          tuples, np.r_[informed[couple][mine], np.full(np.sum(too), -1)])
      cases[couple].append([
          _cases(edges, known, names, couple, held, t, k, fold)
          for t in TEMPERATURES])
  encoder = learner.encoder(params, state)
  no_tuples = known.aligned[:0]
  found = {}
  for (a, b), edges in _graphs(
      learner.graphdef, encoder, known, no_tuples, apart, recall).items():
    by_temperature = [
        _Cases(*map(np.concatenate, zip(*folds)))
        for folds in zip(*cases[a, b])]
    if not len(by_temperature[0].right):
      continue  # No answer names items of both.
    by_temperature = [_as_the_rest(c) for c in by_temperature]
    fits = [calibrate.fit(
        c.features, c.right, c.weight, candidates_lib.SIMILARITY)
            for c in by_temperature]
    best = min(range(len(fits)), key=lambda i: fits[i].loss)
    ways = _ways(edges, known, names, (a, b), TEMPERATURES[best], k)
    below = _below(by_temperature[best])
    for pair, way, ids, measured in zip(
        ((a, b), (b, a)), ways,
        (known.items[names[b]].ids, known.items[names[a]].ids),
        edges.recalls or (None, None)):
      found[names[pair[0]], names[pair[1]]] = Matches(
          way.items, way.partners,
          _probabilities(way, fits[best](way.features), below, ids),
          way.mutual, measured)
  return found


def pairs(
    one: Matches, other: Matches, least_probability: float
) -> Pairs:
  """The pairs that are each other's first, above a probability.

  Args:
    one: of x among y.
    other: of y among x.
    least_probability: of those that are kept.

  Returns:
    The pairs. Of either side's probability the larger holds: they differ only
    where an item has equals, of which any is right.
  """
  rows = np.flatnonzero(one.mutual)
  partners = one.counterparts[rows, 0]
  back = np.searchsorted(other.items, partners)
  p = np.maximum(one.probabilities[rows, 0], other.probabilities[back, 0])
  order = np.argsort(-p, kind='stable')
  order = order[p[order] >= least_probability]
  return Pairs(
      np.stack([one.items[rows], partners], axis=1)[order], p[order])


def _informed_modality(
    asked: np.ndarray, couple: tuple[int, int], least: int) -> np.ndarray:
  """`[n]` int modality that each answer counts for; -1 for both of the couple.

  Where fewer than `least` are about either, both items count all the same.
  """
  if np.sum(np.isin(asked, (-1, *couple))) < least:
    return np.full_like(asked, -1)
  return asked


class _Held(NamedTuple):
  """Answers that are held out."""

  tuples: np.ndarray  # [h, M]
  asked: np.ndarray  # [h] as of `_who_tells`


class _Cases(NamedTuple):
  """First candidates of held-out items."""

  features: np.ndarray  # [c, f]
  right: np.ndarray  # [c] bool
  weight: np.ndarray  # [c]
  below: np.ndarray  # [c] bool, whether a later candidate is right
  rest: np.ndarray  # [r, f] features of some of what remains


def _graphs(graphdef, encoder, known, held, apart, recall):
  """`Edges` of what remains and of what is held out, by couple."""
  embedded, there = [], []
  for (m, items), column in zip(known.items.items(), held.T):
    embedded.append(in_memory.embed(graphdef, encoder, items.values, m))
    mask = np.zeros(len(items), bool)
    mask[known.pool.rows[m]] = True
    mask[column[column >= 0]] = True
    there.append(mask)
  names = list(known.items)
  graphs = {}
  for a, b in canonical.couples(len(embedded)):
    graphs[a, b] = plan_lib.edges(
        embedded[a], embedded[b], there[a], there[b], _EDGES, recall)
    not_these = (apart or {}).get((names[a], names[b]))
    if not_these is not None:
      graphs[a, b] = plan_lib.without(graphs[a, b], not_these)
  return graphs


def _ways(edges, known, names, couple, temperature, k):
  ids = [known.items[names[m]].ids for m in couple]
  log_plan = plan_lib.log_plan(edges, temperature, known.share)
  return candidates_lib.both_ways(edges, log_plan, *ids, k)


def _cases(
    edges, known, names, couple, held, temperature, k, fold
) -> _Cases:
  found = []
  ways = _ways(edges, known, names, couple, temperature, k)
  for way, (a, b) in zip(ways, (couple, couple[::-1])):
    ids, mine = known.items[names[b]].ids, held.tuples[:, a]
    rows = np.flatnonzero(
        (mine >= 0) & ((held.asked == a) | (held.asked == -1)))
    # Where nothing of the other modality is left, an item has no candidate.
    rows = rows[np.isin(mine[rows], way.items)]
    place = np.searchsorted(way.items, mine[rows])
    counterpart = held.tuples[rows, b]
    true = np.where(counterpart >= 0, ids[counterpart], -1)
    partners = way.partners[place]
    right = (partners >= 0) & (ids[partners] == true[:, None])
    # A pair that is seen from both sides is one answer all the same.
    twice = (counterpart >= 0) & (held.asked[rows] == -1)
    found.append(_Cases(
        way.features[place], right[:, 0], np.where(twice, 0.5, 1.0),
        right[:, 1:].any(axis=1),
        way.features[~np.isin(way.items, mine)][fold::FOLDS]))
  return _Cases(*map(np.concatenate, zip(*found)))


def _as_the_rest(cases: _Cases) -> _Cases:
  """Cases that weigh as much as their like does among what remains."""
  if not len(cases.rest):
    return cases
  return cases._replace(weight=cases.weight * calibrate.density_ratio(
      cases.features, cases.weight, cases.rest))


def _below(cases: _Cases) -> float:
  """How often a later candidate is right where the first is wrong."""
  weight = cases.weight * ~cases.right
  return float((weight @ cases.below + 0.5) / (np.sum(weight) + 1))


def _probabilities(way, first, below, ids) -> np.ndarray:
  """`[q, k]`: the first one's, and of the rest what the plan says."""
  same = (way.partners >= 0) & (
      ids[way.partners] == ids[way.partners[:, :1]])
  others = np.where(same | (way.partners < 0), 0.0, way.plan)
  most = first[:, None]
  rest = (1 - first) * below
  found = np.zeros_like(others)
  # In proportion to the plan, but none more likely than the first: what that
  # takes away goes to those that are below, of which each time fewer are left.
  for _ in range(others.shape[1]):
    open_ = np.where(found < most, others, 0.0)
    total = np.sum(open_, axis=1)
    share = (rest - np.sum(found, axis=1)) / np.maximum(total, 1e-30)
    found = np.minimum(found + open_ * share[:, None], most)
  return np.where(same, most, found)
