"""Precomputed features of frozen unimodal encoders: one array a modality."""

from collections.abc import Mapping
import os
import pathlib

from absl import logging
import numpy as np

from mmal_jax.data import feature_rows
from mmal_jax.data import schema
from mmal_jax.data import splits as splits_lib
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import durable
from mmal_jax.files import numpy_file
from mmal_jax.files import parquet_column
from mmal_jax.files import plain_text
from mmal_jax.files import problems as problems_lib


def load(
    images: str | os.PathLike[str],
    texts: str | os.PathLike[str],
    split: str | os.PathLike[str] | None = None,
    pool_split: str = 'train',
    test_split: str = 'test',
    test_fraction: float = 0.2,
    seed: int = 0,
    others: Mapping[str, str | os.PathLike[str]] | None = None,
    labels: Mapping[str, str | os.PathLike[str] | None] | None = None,
) -> schema.Dataset:
  """Reads one feature array a modality; row i of all of them is tuple i.

  Args:
    images: `.npy`, `.npz` or `.parquet` with an array `[n, d_image]` of floats.
      An `.npz` holds one array, or has one named `image`; a Parquet file has a
      column of lists named `image` or `embedding`, or no other one of lists.
    texts: the same with `[n, d_text]`; named `text`.
    split: likewise, `[n]` strings (or bytes of UTF-8) that name each row's
      split; named `split`.
    pool_split: the string that stands for the pool.
    test_split: the string that stands for the test set. Rows with any other
      are left out, and their number is logged.
    test_fraction: share of rows held out where no `split` is given. Rows with
      the same image features stay together.
    seed: of that division.
    others: files of further modalities by their names, `audio` for one, by
      which their arrays and columns are called, too.
    labels: by modality, what people see of the rows (`load_seen`): a text file
      with a line for each row, a text or the path of an image, or a folder of
      images (`feature_rows.read`). Here it is checked alone.

  Returns:
    The dataset, of `image`, `text` and the others; it has no groups and no
    `pretrain`.

  Raises:
    ValueError: if a file cannot be read, is not as long as it says or grows
      to more than a compressed file may, if shapes do not fit, or for a NaN or
      an infinity (as float32), naming the first bad row.
    TypeError: if an array does not hold floats.
  """
  items, is_pool, is_test = _read(
      images, texts, split, pool_split, test_split, test_fraction, seed, others)
  for name, path in _known(labels, items).items():  # To refuse them early.
    feature_rows.read(path, len(items[name]), name)
  pool, test = (
      schema.Pairs({name: rows[mask] for name, rows in items.items()},
                   schema.no_groups(np.count_nonzero(mask)))
      for mask in (is_pool, is_test))
  return schema.Dataset('features', pool, test)


def load_seen(
    images: str | os.PathLike[str],
    texts: str | os.PathLike[str],
    split: str | os.PathLike[str] | None = None,
    pool_split: str = 'train',
    test_split: str = 'test',
    test_fraction: float = 0.2,
    seed: int = 0,
    others: Mapping[str, str | os.PathLike[str]] | None = None,
    labels: Mapping[str, str | os.PathLike[str] | None] | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """As `load`, with all items as people see them: `feature_rows.FeatureRows`.

  Args:
    images: this and the others as for `load`.
    texts: likewise.
    split: likewise.
    pool_split: likewise.
    test_split: likewise.
    test_fraction: likewise.
    seed: likewise.
    others: likewise.
    labels: likewise.
    preprocess: of images that are labels.
  """
  items, is_pool, is_test = _read(
      images, texts, split, pool_split, test_split, test_fraction, seed, others)
  seen = _labelled(items, images, texts, others, labels, preprocess)
  pool, test = (
      schema.Pairs({name: rows.select(np.flatnonzero(mask))
                    for name, rows in seen.items()},
                   schema.no_groups(np.count_nonzero(mask)))
      for mask in (is_pool, is_test))
  return schema.Dataset('features', pool, test)


def _labelled(items, images, texts, others, labels, preprocess):
  """What people see of all rows, by modality."""
  labels = _known(labels, items)
  files = {'image': images, 'text': texts, **(others or {})}
  return {name: feature_rows.label(
      rows, files[name], name, labels.get(name), preprocess)
          for name, rows in items.items()}


def _known(labels, items) -> dict[str, str | os.PathLike[str]]:
  """The labels that are given, of modalities that there are."""
  unknown = [name for name in labels or {} if name not in items]
  if unknown:
    raise ValueError(f'labels names {unknown[0]!r}; there are '
                     f'{", ".join(map(plain_text.for_terminal, items))}.')
  return {name: path for name, path in (labels or {}).items()
          if path is not None}


def _read(
    images, texts, split, pool_split, test_split, test_fraction, seed, others
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
  """All rows by modality, and `[n]` bool: which are pool, and which test."""
  items = {'image': _features(images, 'images', 'image'),
           'text': _features(texts, 'texts', 'text')}
  for name, path in (others or {}).items():
    if name in items:
      raise ValueError(f'others names {name!r}, which has an argument of its '
                       'own.')
    items[name] = _features(path, f'others[{name!r}]', name)
  n = len(items['image'])
  for name, rows in items.items():
    if len(rows) != n:
      raise ValueError(
          f'images has {n} rows and {"texts" if name == "text" else name} has '
          f'{len(rows)}: row i of all must be tuple i.')
  ids = schema.item_ids(items['image'])
  if split is None:
    is_test = splits_lib.hold_out(
        [(i,) for i in ids.tolist()], test_fraction, seed)
    is_pool = ~is_test
  else:
    names = _names(split, n)
    is_pool, is_test = names == pool_split, names == test_split
    for label, mask in ((pool_split, is_pool), (test_split, is_test)):
      if not np.any(mask):
        raise ValueError(
            f'split={str(split)!r} never says {label!r}; it says '
            f'{np.unique(names).tolist()[:10]}.')
    unused = n - np.count_nonzero(is_pool | is_test)
    if unused:
      logging.warning(
          '%d of %d feature rows are neither %r nor %r and are left out.',
          unused, n, pool_split, test_split)
    # Encoders map some different images to the same features: no error.
    twice = np.isin(ids[is_test], ids[is_pool])
    if twice.any():
      logging.warning(
          '%d of %d test rows have image features that a pool row has, too.',
          np.count_nonzero(twice), len(twice))
  return items, is_pool, is_test


def _names(path, n: int) -> np.ndarray:
  """Reads and checks `[n]` names of splits; bytes are decoded."""
  names = _array(path, 'split', 'split', n)
  if names.shape != (n,):
    raise ValueError(f'split={str(path)!r} has shape {names.shape}; the '
                     f'features need ({n},).')
  if names.dtype.kind != 'S':
    return names
  try:
    return np.char.decode(names, 'utf-8')
  except UnicodeDecodeError as e:
    row = next(i for i, name in enumerate(names) if name == e.object)
    raise ValueError(f'split={str(path)!r} holds bytes that are no UTF-8 text, '
                     f'{e.object!r} in row {row}: save it as strings.') from e


def _features(path, argument: str, key: str) -> np.ndarray:
  """Reads and checks `[n, d]` floats, as float32."""
  array = _array(path, argument, key)
  if not np.issubdtype(array.dtype, np.floating):
    raise TypeError(f'{argument}={str(path)!r} holds {array.dtype}; floats are '
                    'needed.')
  if array.ndim != 2 or 0 in array.shape:
    raise ValueError(f'{argument}={str(path)!r} has shape {array.shape}; '
                     '(rows, dimensions), neither of them 0, is needed.')
  with np.errstate(over='ignore'):
    array = np.asarray(array, np.float32)
  bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
  if bad.size:
    raise ValueError(
        f'{argument}={str(path)!r} holds NaN or infinity, as float32, in '
        f'{bad.size} row(s), the first is row {bad[0]}.')
  return array


def _array(path, argument: str, key: str, rows: int = 0) -> np.ndarray:
  path = pathlib.Path(path)
  if path.suffix not in ('.npy', '.npz', '.parquet'):
    raise ValueError(
        f'{argument}={str(path)!r} must end in .npy, .npz or .parquet.')
  try:
    if path.suffix == '.parquet':
      if key == 'split':
        return parquet_column.read_names(path, rows, key)
      return parquet_column.read(path, key, 'embedding')
    return numpy_file.read(path, key)
  except Exception as e:  # zipfile, NumPy and pyarrow raise a dozen kinds
    raise ValueError(f'{argument}={str(path)!r} cannot be read: '
                     f'{problems_lib.shortened(durable.reason(e))}.') from e
