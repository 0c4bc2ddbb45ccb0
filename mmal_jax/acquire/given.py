"""What users hand to `ask`, checked but for the values, by modality."""

import math
import operator
from typing import Any, NamedTuple

import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.acquire import arrays

MODALITIES = ('image', 'text')


class Given(NamedTuple):
  """Arguments of `ask`; each is by modality.

  Attributes:
    pools: `[n_m, d_m]` arrays of floats, or rows on disk.
    aligned: `[a, d_m]` NumPy arrays of floats.
    remaining: `[n_m]` bool.
    masked: whether `remaining` was given.
    costs: `[n_m]` float32, or None.
    asked: int, or None.
  """

  pools: dict[str, Any]
  aligned: dict[str, np.ndarray]
  remaining: dict[str, np.ndarray]
  masked: dict[str, bool]
  costs: dict[str, np.ndarray | None]
  asked: dict[str, int | None]


def pools(images: Any, texts: Any) -> dict[str, Any]:
  """Both pools by modality, `[n, d]` each.

  Raises:
    TypeError: for what is no array of floats.
    ValueError: for what is not `[n, d]` with a row and a column at least.
  """
  found = {m: arrays.rows(f'{m}s', rows)
           for m, rows in zip(MODALITIES, (images, texts))}
  for m, rows in found.items():
    shape = tuple(rows.shape)
    if len(shape) != 2 or not min(shape):
      raise ValueError(
          f'{m}s has shape {shape}; [n, d] is needed, a row of features for '
          f'every item, and at least one row.{_instead_of(f"{m}s", shape)}')
  return found


def check_one_space(of: dict[str, Any]) -> None:
  """Raises for pools that cannot lie in one space."""
  images, texts = of.values()
  if images.shape[1] != texts.shape[1]:
    raise ValueError(
        f'texts has shape {tuple(texts.shape)}; [n, {images.shape[1]}] is '
        'needed, as wide as images, where both lie in one space. Features of '
        'two encoders are for mmal_jax.ask with shared_space=False.')


def check(
    of: dict[str, Any],
    aligned: dict[str, Any],
    batch: Any,
    remaining: dict[str, Any],
    costs: dict[str, Any],
    asked: dict[str, Any],
) -> tuple[Given, int]:
  """All arguments that are arrays, and the batch.

  Args:
    of: from `pools`.
    aligned: by modality, as it was given; None where nothing is.
    batch: as it was given.
    remaining: by modality; None for all.
    costs: by modality; None where all items cost the same.
    asked: by modality; None where it is not known.

  Returns:
    The arguments, and the batch.

  Raises:
    TypeError: for arguments of other types.
    ValueError: for shapes that do not fit each other, a batch below 1 or beyond
      what remains, costs that are not above 0.
  """
  known = _aligned(of, aligned)
  masks = {m: _mask(m, of, known, remaining[m]) for m in of}
  given = Given(
      of, known, masks, {m: x is not None for m, x in remaining.items()},
      {m: _costs(f'{m}_costs', x, len(of[m])) for m, x in costs.items()},
      {m: _asked(f'{m}_asked', x) for m, x in asked.items()})
  for what, by_modality in (('costs', given.costs), ('asked', given.asked)):
    missing = [f'{m}_{what}' for m, x in by_modality.items() if x is None]
    if len(missing) == 1:
      raise ValueError(f'{missing[0]} is not given, but that of the other '
                       'modality: give both, or neither.')
  return given, _batch(batch, masks)


def _aligned(of, aligned) -> dict[str, np.ndarray]:
  found = {}
  for m, rows in aligned.items():
    rows = np.zeros((0, of[m].shape[1]), np.float32) if rows is None else (
        np.asarray(arrays.rows(f'aligned_{m}s', rows, may_be_on_disk=False)))
    found[m] = rows.reshape(0, of[m].shape[1]) if rows.shape == (0,) else rows
  for m, rows in found.items():
    name, d = f'aligned_{m}s', of[m].shape[1]
    if rows.ndim != 2 or rows.shape[1] != d:
      raise ValueError(
          f'{name} has shape {rows.shape}; [n, {d}] is needed, as wide as '
          f'{m}s.{_not_as_wide(m, of, found)}')
  (images, texts) = found.values()
  if len(images) != len(texts):
    hint = ''
    if len(of['image']) == len(of['text']) < min(len(images), len(texts)):
      hint = (f' The pools have {len(of["image"])} rows each: have pools and '
              'known pairs changed places? The pools come first.')
    raise ValueError(
        f'aligned_images has {len(images)} rows and aligned_texts {len(texts)};'
        f' they are two sides of the same pairs.{hint}')
  return found


def _instead_of(name, shape) -> str:
  """What an array of another rank mostly is, and what to give then."""
  if len(shape) == 1 and shape[0]:
    return (f' Of a single item give {name}[None], of one number an item '
            f'{name}[:, None].')
  if len(shape) == 3:
    return (' Of a vector for every token or patch give one for each item, as '
            f'{name}.mean(axis=1).')
  if len(shape) == 4:
    return ' Pixels? Embed the images first, and give their embeddings.'
  return ''


def _not_as_wide(m, of, aligned) -> str:
  """Which mistake gives known rows of this shape, and what to give then."""
  other = _other(m)
  shape, pool, name = aligned[m].shape, of[m].shape, f'aligned_{m}s'
  if len(shape) == 1:
    one = shape[0] == pool[1]
    return f' Of a single pair give {name}[None].' if one else ''
  if len(shape) != 2:
    return ''
  if shape[1] == of[other].shape[1]:
    others = aligned[other].shape
    if len(others) == 2 and others[1] == pool[1]:
      return (f' It is as wide as {other}s, and aligned_{other}s as wide as '
              f'{m}s: have the two sides, or the two pools, changed places?')
    return f' It is as wide as {other}s: are its rows from the other pool?'
  if shape[0] == pool[0]:
    return (f' Rows are items: of arrays [features, items] give {m}s.T and '
            f'{name}.T.')
  if shape[1] == pool[0]:
    return f' Rows are items: if {m}s is [features, items] give {m}s.T.'
  if shape[0] == pool[1]:
    return f' Rows are items: if {name} is [features, items] give {name}.T.'
  return ''


def _other(m: str) -> str:
  return MODALITIES[1 - MODALITIES.index(m)]


def _mask(m, of, aligned, given) -> np.ndarray:
  """`[n]` bool: the mask, or one that lets everything in if it is None."""
  name, n = f'{m}_remaining', len(of[m])
  if given is None:
    return np.ones(n, bool)
  given = np.asarray(arrays.on_host(given))
  if given.dtype != bool:
    hint = ''
    if given.dtype.kind in 'iuf' and given.shape == (n,) and np.isin(
        given, (0, 1)).all():
      hint = f' Of zeros and ones give numpy.asarray({name}, bool).'
    elif given.dtype.kind in 'iu':
      hint = (f' Of numbers of rows give numpy.isin(numpy.arange({n}), '
              f'{name}).')
    raise TypeError(f'{name} has dtype {given.dtype}; bool is needed, one for '
                    f'each row of {m}s.{hint}')
  if given.shape != (n,):
    raise ValueError(
        f'{name} has shape {given.shape}; ({n},) is needed, one for each row '
        f'of {m}s.{_not_as_long(m, of, aligned, given.shape)}')
  return given


def _not_as_long(m, of, aligned, shape) -> str:
  """Which mistake gives a mask of this shape, and what to give then."""
  if shape == (len(of[m]), 1) or shape == (1, len(of[m])):
    return f' Give {m}_remaining.reshape(-1).'
  if shape == (len(of[_other(m)]),):
    return (f' It has one for each row of {_other(m)}s: have image_remaining '
            'and text_remaining changed places?')
  if shape == (len(aligned[m]),):
    return (f' It has one for each row of aligned_{m}s: have pools and known '
            'pairs changed places? The pools come first.')
  if shape == (of[m].shape[1],):
    return (f' It has one for each column of {m}s: if that is [features, '
            f'items] give {m}s.T.')
  return ''


def _batch(given: Any, masks: dict[str, np.ndarray]) -> int:
  batch = _integer('batch', given)
  images, texts = (int(np.count_nonzero(mask)) for mask in masks.values())
  if not 1 <= batch <= min(images, texts):
    raise ValueError(
        f'batch={batch} must be at least 1 and within what remains: {images} '
        f'images, {texts} texts.')
  return batch


def _costs(name: str, given: Any, n: int) -> np.ndarray | None:
  """`[n]` float32 above 0."""
  if given is None:
    return None
  given = np.asarray(arrays.on_host(given))
  if given.dtype.kind not in 'iuf':
    raise TypeError(f'{name} has dtype {given.dtype}; numbers are needed, what '
                    'it costs to ask about each item.')
  if given.shape not in ((), (n,)):
    raise ValueError(f'{name} has shape {given.shape}; ({n},) is needed, one '
                     'for each item, or one number for all.')
  with np.errstate(over='ignore', under='ignore'):
    costs = np.broadcast_to(given, (n,)).astype(np.float32)
  bad = np.flatnonzero(~((costs > 1e-30) & (costs < 1e30)))
  if bad.size:
    raise ValueError(
        f'{name} is not within 1e-30 and 1e30 in {bad.size} of {n} rows, the '
        f'first of them row {bad[0]}: {costs[bad[0]]}.')
  return costs


def _asked(name: str, given: Any) -> int | None:
  if given is None:
    return None
  count = _integer(name, given)
  if not 0 <= count < 2**31:
    raise ValueError(f'{name}={count} must be at least 0, and below 2**31.')
  return count


def _integer(name: str, given: Any) -> int:
  if not isinstance(given, (bool, np.bool_)):
    try:
      return operator.index(given)
    except TypeError:
      pass
  whole = isinstance(given, (float, np.floating)) and math.isfinite(
      given) and given == int(given)
  raise TypeError(f'{name}={arguments.shown(given)} must be an integer'
                  + (f': give {int(given)}.' if whole else '.'))
