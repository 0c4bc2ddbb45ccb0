"""The acquisition alone, for those who have a model of their own."""

from __future__ import annotations  # So that help() shows short types.

from collections.abc import Mapping
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.acquire import check
from mmal_jax.acquire import given as given_lib
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import mixups
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding

_LEAST_ALIGNED = 64

Array = np.ndarray | jax.Array
Rows = np.ndarray | jax.Array | disk.DiskRows
Metric = metric_lib.Metric
Query = views_lib.Query
Strategy = views_lib.AcquisitionFunction

# What a strategy may need, by field of its views: what to give.
_NEEDS = {
    'logit_scale': 'give logit_scale, the factor by which your model multiplies'
                   ' similarities (100 for most CLIPs)',
    'logit_bias': 'give logit_bias, what your model adds to the product of '
                  'logit_scale and a similarity (0 for a CLIP)',
    'costs': 'give image_costs and text_costs, what it costs to ask about each '
             'item',
    'asked': 'give image_asked and text_asked, how many items of each were '
             'asked about in all rounds so far',
}


@arguments.checked
def ask(
    images: Rows,
    texts: Rows,
    aligned_images: Array | None,
    aligned_texts: Array | None,
    batch: int,
    strategy: str | Strategy = 'mmal',
    *,
    metric: str | Metric = 'cosine',
    image_remaining: Array | None = None,
    text_remaining: Array | None = None,
    image_costs: Array | float | None = None,
    text_costs: Array | float | None = None,
    image_asked: int | None = None,
    text_asked: int | None = None,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
    rows: jax.sharding.NamedSharding | None = None,
    seed: int = 0,
) -> Query:
  """Which items to ask an annotator about, by embeddings in one space.

  Everything is checked first; for use under your own `jit`, with nothing
  checked, call the stages: `coverage.covered`, `modality.coverage_gap`,
  `coreset.select_coreset` and `uncertainty.select_uncertain` on a `View`.

  >>> rng = np.random.default_rng(0)
  >>> images = rng.normal(size=(500, 32)).astype(np.float32)
  >>> texts = images + rng.normal(size=(500, 32)).astype(np.float32)
  >>> rest = np.arange(500) >= 40
  >>> query = ask(images, texts, images[:40], texts[:40], batch=8,
  ...             image_remaining=rest, text_remaining=rest)
  >>> query.modality in ('image', 'text'), query.indices.shape
  (True, (8,))

  Args:
    images: `[n, d]` float32, float16 or bfloat16 embeddings of the image pool,
      NumPy or JAX (sharded by rows, too), or on disk (`disk.open_rows`). What
      else holds floats (float64, tensors of PyTorch, data frames, lists of
      rows) is taken as float32. Rows need not have norm 1 (but one within 1e-13
      and 1e18).
    texts: `[m, d]` of the text pool.
    aligned_images: `[a, d]` of the pairs that are known already, from the pool
      or not; None where there are none.
    aligned_texts: `[a, d]`, their other sides. Of a growing set only few sizes
      are compiled: it is padded to the next power of two.
    batch: how many items to ask about; of one modality, or by some strategies
      of both.
    strategy: a name as `registry.find` takes it, a strategy with values of its
      own (`registry.find('typiclust').with_values(neighbours=5)`), or any
      function of the same arguments. Nothing is known from before training
      here, so that `mmal_plus`, `design` and `herding` go by these embeddings,
      less their mean, and `facility_reference` is `facility`; nor is it known
      how well the embeddings match pairs, so that `mmal_plus` is
      `design_by_entropy` in one modality (the one that was asked about least,
      or any).
    metric: `cosine`, `sqeuclidean` or `inner`, or one of `metric.METRICS`.
    image_remaining: `[n]` bool, False for images that may not be asked about,
      nor be a match, as they are aligned already; all remain if None.
    text_remaining: `[m]` bool.
    image_costs: `[n]` numbers above 0, what it costs to ask about each image,
      or one number for all; for `mmal_plus_by_cost`, and the rule `cheapest`.
      None: all items of both modalities cost the same.
    text_costs: `[m]`, the same of texts.
    image_asked: how many images were asked about in all rounds so far: for
      `mmal_plus`, and for the rule `alternate`.
    text_asked: the same of texts.
    logit_scale: by which your model multiplies similarities; for strategies of
      entropy and least confidence, and for `badge`.
    logit_bias: that it adds: for `badge`, and for strategies of your own
      (`uncertainty.uncertainties`, `may_be_missing`).
    rows: shards both pools over these devices (`sharding.row_sharding()`).
      With several processes each has to hold the whole pools in NumPy (or
      memory-mapped), or pools that are sharded already, and leave `rows` out.
    seed: of strategies that draw at random, and of the first batch, when
      nothing is aligned yet: it is random whatever the strategy (our reading).

  Returns:
    The modality (a tuple of `batch` of them where the strategy asks about
      both), and `[batch]` int32 NumPy indices into its pool.

  Raises:
    TypeError: for arguments of other types.
    ValueError: for shapes that do not fit each other, values that are not
      finite, norms out of bounds (zero is one for the cosine alone),
      a batch below 1 or beyond what remains of either pool, an unknown
      strategy or one that needs what is not given, a scale or a bias that is
      not finite, a scale not above 0, a pool that cannot be sharded, or
      arguments that have changed places (the pools and the known pairs, the two
      sides of these, or what remains and what does not), where their rows show
      it.

  Warns:
    UserWarning: where the known pairs are no more alike than others are, items
      are asked about that are known, or other arguments are odd.

  References:
    Zhang and Zhu, arXiv 2510.03247.
  """
  pools = given_lib.pools(images, texts)
  query, notes = in_one_space(
      pools, {'image': aligned_images, 'text': aligned_texts}, batch, strategy,
      metric=metric,
      remaining={'image': image_remaining, 'text': text_remaining},
      costs={'image': image_costs, 'text': text_costs},
      asked={'image': image_asked, 'text': text_asked},
      logit_scale=logit_scale, logit_bias=logit_bias, rows=rows, seed=seed)
  for note in notes:
    warnings.warn(note, stacklevel=3)
  return query


def in_one_space(
    pools: dict[str, Any],
    aligned: dict[str, Any],
    batch: Any,
    strategy: Any,
    *,
    metric: Any,
    remaining: dict[str, Any],
    costs: dict[str, Any],
    asked: dict[str, Any],
    logit_scale: Any,
    logit_bias: Any,
    rows: Any,
    seed: Any,
) -> tuple[Query, list[str]]:
  """As `ask`, its arguments by modality.

  Args:
    pools: from `given.pools`.
    aligned: as they were given, and so all others.

  Returns:
    The query, and what to warn of.
  """
  select = named(strategy)
  metric = check.metric(metric)
  scale, bias = check.options(rows, logit_scale, logit_bias, seed)
  given_lib.check_one_space(pools)
  given, batch = given_lib.check(
      pools, aligned, batch, remaining, costs, asked)
  a = len(given.aligned['image'])
  needs_direction = metric is metric_lib.COSINE
  known = _padded(np.ones(a, bool))
  views, of_pools, of_aligned = {}, {}, {}
  for m, pool in given.pools.items():
    # Checked where it lies in the end: one device may be too small for it.
    placed, left = _placed(f'{m}s', pool, given.remaining[m], rows)
    of_pools[m] = check.values(
        f'{m}s', placed, len(pool), left, needs_direction)
    padded = _padded(given.aligned[m])
    of_aligned[m] = check.values(
        f'aligned_{m}s', padded, a, known, needs_direction)
    views[m] = views_lib.View(
        placed, left, padded, known, metric=metric,
        logit_scale=_scalar(scale), logit_bias=_scalar(bias),
        costs=_laid(given.costs[m], rows), asked=_array(given.asked[m]),
        size=None if rows is None else len(pool))
  notes = mixups.check(given, of_pools, of_aligned)
  notes += mixups.of_scale(scale)
  notes += mixups.of_space(given.aligned, min(map(len, given.pools.values())))
  query = answer(select, strategy, views, batch, seed)
  return query, notes + asked_again(query, of_pools, of_aligned)


def named(strategy: Any) -> Strategy:
  """The strategy by its name, or itself."""
  return strategy if callable(strategy) else registry.find(
      strategy, given_lib.MODALITIES)


def answer(
    select: Strategy,
    strategy: Any,
    views: Mapping[str, views_lib.View],
    batch: int,
    seed: int,
    of_model: bool = True,
) -> Query:
  """The query of a strategy, its indices NumPy's; random if nothing is aligned.

  Args:
    select: the strategy.
    strategy: how the user named it.
    views: by modality.
    batch: number of items.
    seed: of what is drawn.
    of_model: whether the views' embeddings are those of a user's model, with a
      scale and a bias that can be given.

  Raises:
    TypeError: for pools on disk where the strategy needs them in memory, or for
      a strategy that answers with anything but a `Query` of `batch` integers.
    ValueError: for sharded pools where the strategy needs them on one device,
      for an item twice, or if it needs arguments that are not given, naming
      these.
  """
  me = f'strategy={strategy!r}' if isinstance(strategy, str) else (
      f'the strategy {getattr(strategy, "__name__", "given")}')
  if not np.any(np.asarray(views['image'].aligned_mask)):
    select = registry.FIRST
  try:
    query = select(views, batch, jax.random.key(seed))
  except views_lib.Missing as e:
    if not of_model and e.field.startswith('logit_'):
      raise ValueError(
          f'{me} needs the {e.field} of a trained model, which features of two '
          'encoders do not have: take another strategy, or give embeddings of '
          'one model (shared_space=True).') from e
    if e.field not in _NEEDS:
      raise ValueError(
          f'{me} needs View.{e.field}, which embeddings alone do not give: '
          'call it on views that have it.') from e
    name = {'costs': 'image_costs', 'asked': 'image_asked'}.get(
        e.field, e.field)
    raise ValueError(
        f'{name}=None: {me} needs it: {_NEEDS[e.field]}.') from e
  except whole.OnDisk as e:
    raise TypeError(
        f'{me} needs images and texts in memory, and one of them lies on disk; '
        f'{_others()} work there as well.') from e
  except whole.Sharded as e:
    raise ValueError(
        f'{me} needs images and texts on one device, and one of them is sharded'
        f' over several; {_others()} work there as well.') from e
  if not isinstance(query, views_lib.Query):
    raise TypeError(
        f'{me} has answered with {arguments.shown(query)}; '
        'mmal_jax.Query(modality, indices) is needed.')
  indices = np.asarray(query.indices)
  if indices.shape != (batch,) or not np.issubdtype(indices.dtype, np.integer):
    raise TypeError(
        f'{me} has answered with indices {indices.dtype}{[*indices.shape]}; '
        f'[{batch}] integers are needed.')
  there = indices >= 0
  names = np.broadcast_to(query.modality, indices.shape)
  asked = [*zip(names[there], indices[there])]
  if len({*asked}) < len(asked):
    raise ValueError(f'{me} has answered with an item twice: {indices}.')
  return query._replace(indices=indices)


def _others() -> str:
  """Names of the strategies that do not need pools on one device."""
  *most, last = (name for name, each in registry.STRATEGIES.items()
                 if not each.one_device)
  return f'{", ".join(most)} and {last}'


def asked_again(
    query: Query, pools: dict[str, Any], aligned: dict[str, Any]
) -> list[str]:
  """Warnings of items in a query whose counterpart is known already.

  Args:
    query: from `answer`.
    pools: by modality `[n]` uint64 fingerprints, or None.
    aligned: by modality `[a]` uint64 fingerprints.
  """
  modalities = np.broadcast_to(query.modality, query.indices.shape)
  return [note for m in pools
          for note in mixups.asked_again(
              m, query.indices[(modalities == m) & (query.indices >= 0)],
              pools[m], aligned[m])]


def _placed(name, pool, remaining, rows):
  if rows is None:
    is_numpy = isinstance(pool, np.ndarray)
    return (jax.device_put(pool) if is_numpy else pool), remaining
  if isinstance(pool, disk.DiskRows):
    raise ValueError(f'rows is given, but {name} is a pool on disk: it streams '
                     'through one device and cannot be sharded.')
  return (sharding.shard_rows(np.asarray(pool), rows),
          sharding.shard_rows(remaining, rows, False))


def _padded(aligned):
  """On the host: on a device every size would be another program."""
  a = len(aligned)
  size = max(_LEAST_ALIGNED, 1 << max(a - 1, 0).bit_length())
  padded = np.zeros((size,) + aligned.shape[1:], aligned.dtype)
  padded[:a] = aligned
  return padded


def _scalar(value):
  return None if value is None else jnp.float32(value)


def _laid(costs, rows):
  """With padding where the pools are filled up."""
  return None if costs is None else rows_lib.laid(np.asarray(costs), rows, 1.0)


def _array(value):
  return None if value is None else jnp.asarray(value)
