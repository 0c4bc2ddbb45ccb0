"""Two piles and a few known pairs: which items are pairs, and how surely."""

from __future__ import annotations  # So that help() shows short types.

import math
import numbers
from typing import Any, NamedTuple
import warnings

from flax import nnx
import jax
import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.acquire import arrays
from mmal_jax.acquire import check
from mmal_jax.acquire import given as given_lib
from mmal_jax.acquire import mixups
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.embed import disk
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.matching import pool as pool_lib
from mmal_jax.models import registry as models_lib

Array = Any  # What `acquire.arrays.rows` takes.


class Matched(NamedTuple):
  """What `match` finds.

  Attributes:
    images: for every remaining image its likeliest texts.
    texts: for every remaining text its likeliest images.
    pairs: those that are each other's likeliest, none in two pairs.
  """

  images: pool_lib.Matches
  texts: pool_lib.Matches
  pairs: pool_lib.Pairs


@arguments.checked
def match(
    images: Array,
    texts: Array,
    known_pairs: Array,
    *,
    k: int = 5,
    least_probability: float = 0.0,
    share: float = 1.0,
    shared_space: bool = False,
    rank: int = 256,
    seed: int = 0,
    recall: float | None = None,
) -> Matched:
  """Finds counterparts in another pool, from a few pairs that are known.

  A space for both is made of the known pairs and of what the pools look like
  (`learn.closed_form`); probabilities are calibrated on known pairs that are
  held out. They hold for pools of which the known pairs are a random sample.

  >>> rng = np.random.default_rng(0)
  >>> hidden = rng.normal(size=(200, 6))
  >>> images, texts = hidden @ rng.normal(size=(6, 20)), hidden ** 3
  >>> rows = np.arange(50)
  >>> found = match(images, texts, np.stack([rows, rows], axis=1))
  >>> found.images.counterparts.shape, found.pairs.rows.shape[1]
  ((150, 5), 2)

  Args:
    images: `[n, d]` floats, features of any frozen encoder; arrays of NumPy and
      JAX, tensors of PyTorch, data frames, lists of rows. Computed in float32.
      Equal rows are equal items.
    texts: `[m, e]`; no encoder is shared, and e may differ from d.
    known_pairs: `[a, 2]` int, rows of `images` and of `texts` that belong
      together; at least `pool.LEAST`.
    k: counterparts for each item.
    least_probability: of `pairs`.
    share: of the items that have a counterpart at all, as far as you know.
    shared_space: whether features of both lie in one space already, as those of
      a CLIP do: then that counts, too, as far as the known pairs bear it out.
    rank: principal directions of each pool that are kept, at most.
    seed: of the division of the known pairs.
    recall: within (0, 1): of each item's most similar ones, out of which its
      counterparts come, an index may miss some; of large pools that takes a
      fraction of the time. What share was found, as measured on a sample,
      `images.recall` and `texts.recall` say. None finds all.

  Returns:
    Matches of all rows that no known pair names, and pairs among them.

  Raises:
    TypeError: for arguments of other types.
    ValueError: for shapes that do not fit each other, values that are not
      finite or rows of zeros, rows that do not exist or are known to belong to
      two, too few known pairs, nothing left to match, or numbers out of bounds.

  Warns:
    UserWarning: if known pairs that are held out are matched hardly better than
      by chance, or both pools are the same array.
  """
  check.options(None, None, None, seed)
  for name, value, least in (('k', k, 1), ('rank', rank, 1)):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
      raise TypeError(f'{name}={arguments.shown(value)} must be an integer.')
    if value < least:
      raise ValueError(f'{name}={value} must be at least {least}.')
  _check_fraction('least_probability', least_probability, 0 <= _number(
      least_probability) <= 1, '[0, 1]')
  _check_fraction('share', share, 0 < _number(share) <= 1, '(0, 1]')
  check_recall(recall)
  if not isinstance(shared_space, (bool, np.bool_)):
    raise TypeError(f'shared_space={arguments.shown(shared_space)} must be True'
                    ' or False.')
  rows = {f'{m}s': _features(f'{m}s', values)
          for m, values in given_lib.pools(images, texts).items()}
  if shared_space and rows['images'].shape[1] != rows['texts'].shape[1]:
    raise ValueError(
        f'shared_space: images have {rows["images"].shape[1]} columns and texts'
        f' {rows["texts"].shape[1]}; one space has one width.')
  pairs = _pairs(known_pairs, rows)
  items = {m: encode.Items(values, schema.item_ids(values))
           for m, values in zip(('image', 'text'), rows.values())}
  left = {m: np.setdiff1d(np.arange(len(items[m])), column)
          for m, column in zip(items, pairs.T)}
  for m, rest in left.items():
    if not len(rest):
      raise ValueError(f'known_pairs name every {m}: nothing is left to match.')
  graphdef, params = nnx.split(models_lib.linear(
      {m: jax.ShapeDtypeStruct(x.values.shape[1:], x.values.dtype)
       for m, x in items.items()}, 0, rngs=nnx.Rngs(0), embed_dim=rank,
      shared=shared_space), nnx.Param)
  learner = closed_form.ClosedForm(graphdef, shared_space, rank)
  known = learner_lib.Known(
      items, pairs, len(pairs), learner_lib.Pool(items, left), share=share)
  key_learn, key_match = jax.random.split(jax.random.key(seed))
  learned = learner.learn(params, learner.init(params), None, key_learn, known)
  _warn(rows, float(learned.skill), len(pairs))
  found = pool_lib.match(
      learner, learned.params, learned.state, known, key_match, k,
      recall=recall)
  of_images, of_texts = found['image', 'text'], found['text', 'image']
  return Matched(of_images, of_texts, pool_lib.pairs(
      of_images, of_texts, least_probability))


def check_recall(recall: Any) -> None:
  """Raises ValueError for what is neither None nor a number within (0, 1)."""
  if recall is not None:
    _check_fraction('recall', recall, 0 < _number(recall) < 1, '(0, 1)')


def _warn(rows, skill: float, known: int) -> None:
  """Warns of what is odd, but may be meant."""
  images, texts = rows.values()
  if len(images) > 1 and np.array_equal(images, texts):
    warnings.warn('images and texts hold the same rows in the same order: is '
                  'one array given for both?', stacklevel=4)
  if mixups.at_chance(skill, known):
    warnings.warn(
        f'of {known} known pairs those held out are matched hardly better than '
        'by chance: does each row of known_pairs name an image first and its '
        'text second, by the rows of the arrays given here, from 0?',
        stacklevel=4)


def _check_fraction(name, value, fits, within) -> None:
  if not fits:
    raise ValueError(
        f'{name}={arguments.shown(value)} must be a number within {within}.')


def _number(value: Any) -> float:
  """The value, or NaN of what is no number."""
  if getattr(value, 'shape', None) == () and hasattr(value, 'item'):
    value = value.item()  # of NumPy or JAX
  is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
  return float(value) if is_number else math.nan


def _features(name: str, given: Any) -> np.ndarray:
  """`[n, d]` float32, if all values are sound."""
  if isinstance(given, disk.DiskRows):
    given = given.take(np.arange(len(given)))
  with np.errstate(over='ignore'):  # What is too large is infinite.
    values = np.asarray(given).astype(np.float32)
  check.values(name, values, len(values), np.ones(len(values), bool), True)
  return values


def _pairs(given: Any, rows: dict[str, np.ndarray]) -> np.ndarray:
  """`[a, 2]` int32, if they are rows of both pools."""
  pairs = np.asarray(arrays.on_host(given))
  if not pairs.size and pairs.ndim in (1, 2):
    pairs = np.zeros((0, 2), int)
  if not np.issubdtype(pairs.dtype, np.integer):
    hint = (' Of numbers that are whole give known_pairs.astype(int).'
            if pairs.dtype.kind in 'fO' and pairs.shape[1:] == (2,) else
            ' Give a list of pairs, as list(...) makes one.'
            if pairs.dtype == object else '')
    raise TypeError(f'known_pairs has dtype {pairs.dtype}; integers are needed,'
                    f' rows of images and of texts.{hint}')
  if pairs.ndim != 2 or pairs.shape[1] != 2:
    hint = (' Give known_pairs.T.'
            if pairs.ndim == 2 and len(pairs) == 2 else '')
    raise ValueError(f'known_pairs has shape {pairs.shape}; [a, 2] is needed, '
                     f'a row of images and a row of texts in each.{hint}')
  if len(pairs) < pool_lib.LEAST:
    raise ValueError(
        f'known_pairs has {len(pairs)} rows; at least {pool_lib.LEAST} are '
        'needed to say how likely a match is.')
  lengths = [len(values) for values in rows.values()]
  for (name, values), column in zip(rows.items(), pairs.T):
    wrong = column[(column < 0) | (column >= len(values))]
    if len(wrong):
      hint = ''
      if pairs.min() >= 0 and (pairs.max(axis=0) < lengths[::-1]).all():
        hint = (' Have the two columns changed places? Images come first.')
      elif pairs.min() > 0 and (pairs.max(axis=0) == lengths).any() and (
          pairs.max(axis=0) <= lengths).all():
        hint = ' Do they count from 1? Rows count from 0.'
      raise ValueError(f'known_pairs names row {wrong[0]} of {name}, which has '
                       f'{len(values)} rows.{hint}')
    known, count = np.unique(column, return_counts=True)
    if np.any(count > 1):
      raise ValueError(f'known_pairs names row {known[count > 1][0]} of {name} '
                       'more than once; give each row one counterpart.')
  return pairs.astype(np.int32)
