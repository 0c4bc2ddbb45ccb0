"""Hard negatives: captions of the same words in another order."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.data import encode

# Texts of which the tokens' codes are held at once.
_CHUNK = 1 << 14


class Twins(NamedTuple):
  """How much a step learns from twins.

  Attributes:
    weight: of their loss beside that of the aligned pairs, above 0.
    size: rows of a batch, the first ones, of which twins are read.
  """

  weight: float
  size: int = 32


class Items(NamedTuple):
  """What a step sees of twins, by modality; t of them.

  Attributes:
    values: `[t, length]` int32 tokens; row i is a twin of the batch's row i.
    valid: `[t]` bool; False where row i has no twin.
  """

  values: Mapping[str, jax.Array]
  valid: Mapping[str, jax.Array]


class Index:
  """The texts of a pool by the words that they hold, whatever their order."""

  def __init__(self, items: encode.Items):
    """Sorts n texts by their tokens.

    Args:
      items: of which the values are `[n, length]` int tokens.
    """
    bags = np.sort(items.values, axis=1)
    _, bag = np.unique(bags, axis=0, return_inverse=True)
    bag = bag.reshape(-1)
    # Within a bag equal texts lie side by side.
    self._order = np.lexsort((items.ids, bag))
    bags, ids = bag[self._order], items.ids[self._order]
    of_bag = np.searchsorted(bags, bag, 'left')
    self._start, self._stop = of_bag, np.searchsorted(bags, bag, 'right')
    # All that a text equals: a block of its bag.
    _, text = np.unique(np.stack([bags, ids]), axis=1, return_inverse=True)
    text = text.reshape(-1)
    place = np.empty(len(bag), int)
    place[self._order] = text
    self._equal_start = np.searchsorted(text, place, 'left')
    self._equal_stop = np.searchsorted(text, place, 'right')

  def draw(
      self, rng: np.random.Generator, rows: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """A random twin of each text.

    Args:
      rng: draws among several twins, all alike.
      rows: any shape, int, of the pool's texts.

    Returns:
      Rows of the pool, of the same shape; and bool, whether each is a twin: a
      text that has none is answered by itself.
    """
    start, equal = self._start[rows], self._equal_start[rows]
    num_equal = self._equal_stop[rows] - equal
    num_twins = self._stop[rows] - start - num_equal
    place = start + rng.integers(0, np.maximum(num_twins, 1))
    place = np.where(place >= equal, place + num_equal, place)
    found = num_twins > 0
    return np.where(
        found, self._order[np.where(found, place, 0)], rows), found


def draw(
    rng: np.random.Generator,
    wanted: np.ndarray,
    items: encode.Items,
    pool: encode.Items,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """A random twin of each text, among all that is at hand.

  Args:
    rng: draws.
    wanted: any shape `[...]`, int, rows of `items`; -1 where there is no text.
    items: texts that are aligned.
    pool: texts that have arrived; in a stream, not all of `items` are of it.

  Returns:
    Tokens `[..., length]` int32 and ids `[...]` int32, of the twins; and
    `[...]` bool, whether each is one. Where not, they are those of any text.
  """
  there = wanted >= 0
  texts = np.unique(wanted[there])
  # All others are no twins of theirs, and would be sorted for nothing.
  some = pool.take(_perhaps_same_words(pool.values, items.values[texts]))
  gone = texts[~np.isin(items.ids[texts], some.ids)]
  some = encode.Items(np.concatenate([some.values, items.values[gone]]),
                      np.concatenate([some.ids, items.ids[gone]]))
  order = np.argsort(some.ids, kind='stable')
  places = order[np.searchsorted(
      some.ids, items.ids[wanted[there]], sorter=order)]
  rows, is_twin = Index(some).draw(rng, places)
  own = np.maximum(wanted, 0)
  values, ids, found = items.values[own], items.ids[own], np.zeros_like(there)
  values[there], ids[there] = some.values[rows], some.ids[rows]
  found[there] = is_twin
  return values, ids, found


def _perhaps_same_words(values, texts) -> np.ndarray:
  """Rows of `values` with the words of a text, and by chance a few others."""
  most = max(values.max(initial=0), texts.max(initial=0))
  codes = np.random.default_rng(0).integers(
      2**64, size=int(most) + 1, dtype=np.uint64)

  def hashes(values):
    # In chunks, for the codes take twice the memory of the tokens.
    return np.concatenate([
        codes[values[i:i + _CHUNK]].sum(axis=1)
        for i in range(0, len(values) or 1, _CHUNK)])

  return np.flatnonzero(np.isin(hashes(values), hashes(texts)))


def has_words(items: encode.Items) -> bool:
  """Whether items are tokens of texts, of which the order can differ."""
  values = items.values
  return isinstance(values, np.ndarray) and values.ndim == 2 and np.issubdtype(
      values.dtype, np.integer)


def loss(
    twins: Items,
    settings: Twins,
    embeddings: Mapping[str, jax.Array],
    aligned: Mapping[str, jax.Array],
    logit_scale: jax.Array,
    valid: Mapping[str, jax.Array],
) -> jax.Array:
  r"""The weighted loss of telling an item's counterpart from its twin.

  .. math::
    L = -\frac{w}{|V|} \sum_{i \in V}
        \log \sigma(e^s\, x_i \cdot (y_i - y_i^-))

  with y_i the counterpart of x_i, and y_i^- another text of the same words. As
  x_i is aligned with y_i, y_i^- is a negative wherever an item has a single
  counterpart; it may describe x_i all the same ("a cat and a dog", "a dog and a
  cat").

  Args:
    twins: of the batch's first t rows.
    settings: the weight w.
    embeddings: by modality, `[t, d]` rows of norm 1, of the twins.
    aligned: by modality, `[b, d]`, of the batch.
    logit_scale: scalar s, the log of the scale.
    valid: by modality, `[b]` bool.

  Returns:
    Scalar float32, the mean over the pairs of modalities; 0 without any twin.

  References:
    After Yuksekgonul et al., When and Why Vision-Language Models Behave like
    Bags-Of-Words, 2023, section 4, whose negative captions are made, not found.
  """
  losses = []
  for m, twin in embeddings.items():
    for other in aligned:
      if other != m:
        t = len(twin)
        counts = twins.valid[m] & valid[m][:t] & valid[other][:t]
        # A row that does not count may be anything: it is cut off before any
        # product, whose gradient would else be 0 times anything.
        gaps = jnp.sum(
            jnp.where(counts[:, None], aligned[other][:t], 0.0)
            * jnp.where(counts[:, None], twin - aligned[m][:t], 0.0), axis=1)
        terms = jax.nn.softplus(jnp.exp(logit_scale) * gaps)
        losses.append(jnp.sum(jnp.where(counts, terms, 0.0))
                      / jnp.maximum(counts.sum(), 1))
  return settings.weight * sum(losses[1:], losses[0]) / len(losses)
