r"""Arguments of `ask` that have changed places, as far as their rows show it.

A row is known again by 64 bits that depend on all of its values. Equal rows of
both pools, and known pairs that lie outside of the pools, are sound: only what
cannot be meant is refused, and what is odd is a warning.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import given as given_lib
from mmal_jax.embed import disk

_LEAST = 20  # known pairs by which a space is judged
_LEAST_KNOWN = 5  # by which masks are judged
_MOST = 1024
_LEAST_SKILL = 1.5  # as of `mmal_plus`
_NEARLY_ALL = 0.95
_TINY = 1e-30
# The parameter of published CLIPs, which holds the logarithm of the factor.
_LOG_100 = 4.6052


def fingerprints(rows: jax.Array) -> jax.Array:
  """`[n, 2]` uint32 that are equal where rows are; for use under `jit`.

  Args:
    rows: `[n, d]` floats, which are compared as float32; 0 and -0 are equal.
  """
  rows = rows.astype(jnp.float32)
  bits = jax.lax.bitcast_convert_type(
      jnp.where(rows == 0, 0, rows), jnp.uint32)
  # The last bits of short types are all 0: the first must count for them.
  bits = (bits ^ (bits >> 15)) * jnp.uint32(0x2c1b3c6d)
  bits ^= bits >> 12
  weights = jax.random.bits(
      jax.random.key(0), (2, rows.shape[1]), jnp.uint32) | 1
  # Both sums in one pass, which takes a fifth of the time of two.
  return jnp.stack(jax.lax.reduce(
      tuple(bits * weight[None] for weight in weights), (jnp.uint32(0),) * 2,
      lambda sums, parts: (sums[0] + parts[0], sums[1] + parts[1]), (1,)),
                   axis=1)


def check(
    given: given_lib.Given,
    pools: dict[str, np.ndarray | None],
    aligned: dict[str, np.ndarray],
) -> list[str]:
  """Raises for arguments that have changed places.

  Args:
    given: all that was given.
    pools: by modality `[n]` uint64 fingerprints; None where other processes
      hold some of the rows.
    aligned: by modality `[a]` uint64 fingerprints.

  Returns:
    What is odd, but may be meant, in sentences.

  Raises:
    ValueError: saying which arguments have changed places.
  """
  if any(rows is None for rows in pools.values()):
    return []
  notes = of_sides(given.pools, given.aligned)
  images, texts = pools.values()
  if len(images) > 1 and np.array_equal(images, texts):
    notes.append('images and texts hold the same rows in the same order: is '
                 'one array given for both?')
  if not len(aligned['image']):
    return notes
  _check_pools(given, pools, aligned)
  ordered = {m: np.sort(rows) for m, rows in pools.items()}
  strange = {m: ~_among(rows, ordered[m]) & _among(rows, ordered[_other(m)])
             for m, rows in aligned.items()}
  _check_sides(strange, notes)
  for m, rows in pools.items():
    if given.masked[m]:
      _check_mask(m, rows, aligned[m], given.remaining[m])
  _check_masks(given, pools, aligned)
  return notes


def asked_again(
    m: str, index: np.ndarray, pool: np.ndarray | None, aligned: np.ndarray
) -> list[str]:
  """A sentence if items are asked about whose counterpart is known."""
  if pool is None:
    return []
  again = index[_known(pool, aligned)[index]]
  if not again.size:
    return []
  return [f'row {again[0]} of {m}s is asked about, but it is one of '
          f'aligned_{m}s: {m}_remaining should be False there'
          + (f' (and in {again.size - 1} more).' if again.size > 1 else '.')]


def of_scale(logit_scale: Any) -> list[str]:
  """A sentence if the logarithm of a factor is given in its place."""
  if logit_scale is None or abs(logit_scale - _LOG_100) > 1e-3:
    return []
  return [f'logit_scale={logit_scale:.5g} is the logarithm of 100, as '
          'checkpoints of CLIP hold it: give its exponential, by which '
          'similarities are multiplied.']


def of_space(aligned: dict[str, np.ndarray], n: int) -> list[str]:
  """A sentence if known pairs are no more alike than other couples are.

  Args:
    aligned: by modality `[a, d]` rows in one space, of a norm above 0.
    n: rows of the smaller pool.
  """
  images, texts = (
      np.asarray(rows[:_MOST], np.float32) for rows in aligned.values())
  a = len(images)
  if a < _LEAST:
    return []
  images, texts = (
      rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
      for rows in (images, texts))
  others = (np.sum(texts, axis=0)[None] - texts) / (a - 1)
  gains = np.sum(images * (texts - others), axis=1)
  if np.mean(gains) > 2 * np.std(gains) / a**0.5:
    return []
  message = (f'{a} known pairs are no more alike than other couples of their '
             'items: are aligned_images and aligned_texts in the same order?')
  if len(aligned['image']) > n:
    message += ' Are they the known pairs, and not the pools?'
  return [message + ' If images and texts come from two encoders call '
          'mmal_jax.ask with shared_space=False.']


def of_skill(skill: float, a: int) -> list[str]:
  """A sentence if held-out known pairs are found no better than by chance.

  Args:
    skill: as of `View`.
    a: known pairs.
  """
  if not at_chance(skill, a):
    return []
  return [f'of {a} known pairs those held out are matched hardly better than '
          'by chance: are aligned_images and aligned_texts in the same order? '
          'Are they the known pairs, and not the pools?']


def at_chance(skill: float, a: int) -> bool:
  """Whether held-out ones of `a` known pairs are found no better than that.

  Args:
    skill: as of `View`.
    a: known pairs; of fewer than 20 nothing is reported.
  """
  return a >= _LEAST and skill < _LEAST_SKILL


def of_sides(
    pools: dict[str, Any], aligned: dict[str, np.ndarray]
) -> list[str]:
  """A sentence if known rows lie where the other pool does, on both sides.

  The two modalities of a joint space mostly lie apart (the modality gap). Rows
  are compared by their place between the two pools' means.

  Args:
    pools: by modality `[n_m, d]` rows, in memory or on disk.
    aligned: by modality `[a, d]` rows; of another width than the other pool
      there is nothing to compare.
  """
  images, texts = pools.values()
  if images.shape[1] != texts.shape[1] or len(aligned['image']) < _LEAST:
    return []
  means = []
  for pool in (images, texts):
    index = np.linspace(0, len(pool) - 1, min(len(pool), _MOST)).astype(int)
    some = pool.take(index) if isinstance(pool, disk.DiskRows) else pool[index]
    means.append(np.mean(np.asarray(some, np.float32), axis=0))
  axis, middle = means[1] - means[0], (means[0] + means[1]) / 2
  at_texts = [np.mean((np.asarray(rows, np.float32) - middle) @ axis > 0)
              for rows in aligned.values()]
  if at_texts[0] < _NEARLY_ALL or 1 - at_texts[1] < _NEARLY_ALL:
    return []
  return ['nearly all rows of aligned_images are nearer to those of texts, and '
          'those of aligned_texts to those of images: have the two sides, or '
          'the two pools, changed places?']


def _among(rows: np.ndarray, ordered: np.ndarray) -> np.ndarray:
  """`[n]` bool: whether each of n numbers is one of m that are in order.

  By binary search: of few numbers among many, `np.isin` would hash the many.
  """
  if not len(ordered):
    return np.zeros(len(rows), bool)
  at = np.minimum(np.searchsorted(ordered, rows), len(ordered) - 1)
  return ordered[at] == rows


def _known(pool: np.ndarray, aligned: np.ndarray) -> np.ndarray:
  """`[n]` bool: which rows of a pool are known, and no copies of others there.

  Of several copies it may be another one that is known.
  """
  known = _among(pool, np.sort(aligned))
  values, count = np.unique(pool[known], return_counts=True)
  known[known] = np.isin(pool[known], values[count == 1])
  return known


def _other(m: str) -> str:
  return given_lib.MODALITIES[1 - given_lib.MODALITIES.index(m)]


def _check_pools(given, pools, aligned) -> None:
  """The known pairs are a part of the pools, and never the other way."""
  if all(len(rows) < len(aligned[m]) and len(np.unique(rows)) == len(rows)
         and np.isin(rows, aligned[m]).all() for m, rows in pools.items()):
    raise ValueError(
        f'every row of images is one of the {len(aligned["image"])} rows of '
        'aligned_images, and every row of texts one of aligned_texts: have '
        'pools and known pairs changed places? The call is ask(images, texts, '
        'aligned_images, aligned_texts, batch), pools first.')


def _check_sides(strange, notes) -> None:
  """A known row must not be one of the other pool's, and none of its own."""
  images, texts = strange.values()
  a = len(images)
  swapped = int(np.count_nonzero(images & texts))
  if 2 * swapped >= a:
    raise ValueError(
        f'in {swapped} of {a} known pairs the row of aligned_images is one of '
        'texts, and that of aligned_texts one of images: have the two sides, '
        'or the two pools, changed places? The call is ask(images, texts, '
        'aligned_images, aligned_texts, batch).')
  for m, rows in strange.items():
    count = int(np.count_nonzero(rows))
    if a > 1 and 2 * count > a:
      raise ValueError(
          f'{count} of {a} rows of aligned_{m}s are rows of {_other(m)}s, and '
          f'none of {m}s: give aligned_{m}s the {m}s of the known pairs.')
  if swapped:
    notes.append(
        f'in {swapped} of {a} known pairs, the first of them pair '
        f'{np.flatnonzero(images & texts)[0]}, the row of aligned_images is '
        'one of texts, and that of aligned_texts one of images: have their two '
        'sides changed places?')


def _check_mask(m, pool, aligned, remaining) -> None:
  """What remains must not be just what is known."""
  known = _known(pool, aligned)
  if remaining.any() and known[remaining].all() and (
      not known[~remaining].any() and (~remaining).any()):
    raise ValueError(
        f'{m}_remaining is True for the known {m}s alone: it must be False for '
        f'them, and True for those that may be asked about; give '
        f'~{m}_remaining.')


def _check_masks(given, pools, aligned) -> None:
  """Each mask leaves out what is known of its own pool, not of the other."""
  images, texts = given.remaining.values()
  if not all(given.masked.values()) or images.shape != texts.shape:
    return
  for m, rows in pools.items():
    known = _known(rows, aligned[m])
    mine, others = given.remaining[m], given.remaining[_other(m)]
    if np.count_nonzero(known) < _LEAST_KNOWN or others[known].any() or (
        not mine[known].any()):
      return
  raise ValueError(
      'known images remain by image_remaining and known texts by '
      'text_remaining, but none does by the mask of the other modality: have '
      'image_remaining and text_remaining changed places?')
