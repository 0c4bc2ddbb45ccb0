"""Datasets of Hugging Face's `datasets` library: its folders, and its objects.

Nothing is downloaded unless `hub` names what. Images stay in the library's
files, which it maps into memory.
"""

from collections.abc import Iterator, Mapping
import os
import pathlib
from typing import Any

from absl import logging

from mmal_jax import extras
from mmal_jax.data import captioned
from mmal_jax.data import schema
from mmal_jax.data.images import image_cells
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import durable

# Slow to import, and seldom needed.
_datasets, _compute, _types = (
    extras.Lazy(name, 'to read datasets of Hugging Face')
    for name in ('datasets', 'pyarrow.compute', 'pyarrow.types'))
_BATCH = 1000  # rows whose texts are in memory at a time
# What `save_to_disk` writes, of one split and of several.
_SAVED = ('state.json', 'dataset_dict.json')


def load(
    folder: str | os.PathLike[str] | None = None,
    hub: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
    pool_split: str | None = None,
    test_split: str | None = None,
    image_column: str = 'image',
    text_column: str = 'text',
    split_column: str | None = None,
    paired: bool = True,
    captions: int | None = None,
    image_size: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    preprocess: preprocess_lib.Preprocess | None = None,
    drop_duplicates: bool | None = None,
) -> schema.Dataset:
  """Reads a dataset from a folder, or from the hub.

  Args:
    folder: as `save_to_disk` writes it, or of files that `load_dataset` takes,
      which then keeps a copy in its cache.
    hub: in place of `folder`, the name of a dataset on the hub, OWNER/NAME: it
      is downloaded.
    subset: which one, where a dataset has several.
    revision: of the hub's dataset; the newest if None.
    pool_split: `train`, or the only one, if None.
    test_split: `test` if None and there is one; otherwise a share of the pool's
      is held out.
    image_column: of images, as the library stores them, of their bytes, or of
      paths within `folder`.
    text_column: of texts, or of lists of texts.
    split_column: of `pool` (or `train`), `test` and `pretrain`, in a split that
      holds all; rows of `val` or `validation` are not used.
    paired: whether the image and the text of a row belong together, which the
      oracle alone is told. If not, the columns of the pool are two pools, whose
      cells may be empty, and the test pairs alone are pairs.
    captions: texts of each image that are used, the first ones; all if None.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    test_fraction: share of rows held out for evaluation, where nothing else
      says which. Rows that share an image stay together.
    seed: of that division.
    preprocess: in place of `image_size`: images stay where they are, and this
      is done to them whenever they are needed.
    drop_duplicates: whether rows that stand twice, and those of the pool whose
      image is in the test set, are left out; how many is logged. If not, they
      are refused.

  Returns:
    The dataset; `pool` is `Loose` if not `paired`.

  Raises:
    ImportError: without the package `datasets`.
    ValueError: if there is no such dataset, split or column; listing every
      problem of the rows and the images.
  """
  if (folder is None) == (hub is None):
    raise ValueError('give folder=DIR, or hub=OWNER/NAME, which is downloaded: '
                     'one of the two.')
  where = str(folder) if hub is None else hub
  splits = _open(folder, hub, subset, revision)
  pool, test = _chosen(splits, pool_split, test_split, split_column, where)
  return of_datasets(
      pool, test, image_column, text_column, split_column, paired=paired,
      captions=captions, image_size=image_size, test_fraction=test_fraction,
      seed=seed, preprocess=preprocess, drop_duplicates=drop_duplicates,
      folder=folder, where=where)


def of_datasets(
    pool: Any,
    test: Any = None,
    image_column: str = 'image',
    text_column: str = 'text',
    split_column: str | None = None,
    *,
    paired: bool = True,
    captions: int | None = None,
    image_size: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    preprocess: preprocess_lib.Preprocess | None = None,
    drop_duplicates: bool | None = None,
    folder: str | os.PathLike[str] | None = None,
    where: str = 'the dataset',
) -> schema.Dataset:
  """As `load`, of datasets that are at hand.

  Args:
    pool: a `datasets.Dataset`.
    test: another one, of test pairs; or None.
    image_column: as for `load`, and so are all but these:
    text_column: see there.
    split_column: see there.
    paired: see there.
    captions: see there.
    image_size: see there.
    test_fraction: see there.
    seed: see there.
    preprocess: see there.
    drop_duplicates: see there.
    folder: where images lie that are paths; None: there must be none.
    where: what the dataset is called in messages.

  Returns:
    As `load`.

  Raises:
    TypeError: if one is no `datasets.Dataset`.
    ValueError: as `load`.
  """
  given = captioned.options(paired, captions, image_size, test_fraction, seed,
                            preprocess, drop_duplicates)
  columns = captioned.Columns(image_column, text_column, split_column)
  if test is not None and split_column is not None:
    raise ValueError(f'split_column={split_column!r} is of a split that holds '
                     'all rows: give no test split.')
  if not paired and test is None and split_column is None:
    raise ValueError(captioned.NEEDS_TEST.format('a split of their own'))
  parts = {'pool': pool} | ({} if test is None else {'test': test})
  for name, part in parts.items():
    if not isinstance(part, _datasets.Dataset):
      raise TypeError(
          f'{name} is {type(part).__name__}; a datasets.Dataset is needed, one '
          'split, without streaming.')
    columns.check(part.column_names, where)
  problems: list[str] = []
  source_of = image_cells.reader(
      None if folder is None else pathlib.Path(folder), image_column)
  found = [
      captioned.read(_rows(part, '' if test is None else f'{name}, ', columns),
                     columns, source_of, given,
                     None if test is None else name, problems)
      for name, part in parts.items()]
  return captioned.to_dataset(
      'huggingface', where, found, columns, given, problems)


class _Cell:
  """The image of one row, read when it is needed: a source."""

  __slots__ = '_data', '_row', 'name'

  def __init__(self, data, row: int, name: str):
    self._data, self._row, self.name = data, row, name

  def __str__(self) -> str:
    return f'{self.name} of row {self._row}'

  def read_bytes(self) -> bytes:
    """The encoded image."""
    value = self._data[self._row:self._row + 1].column(0)[0].as_py()
    return value['bytes'] if isinstance(value, dict) else value


def _rows(
    data: Any, before: str, columns: captioned.Columns
) -> Iterator[tuple[str, dict[str, object]]]:
  """The place and the fields of each row, its image not yet read."""
  images = data.select_columns([columns.image]).with_format('arrow')
  first = 0
  for part in data.select_columns(list(columns.names())).with_format(
      'arrow').iter(_BATCH):
    fields = {name: part.column(name).to_pylist()
              for name in columns.names() if name != columns.image}
    fields[columns.image] = _cells(part.column(columns.image), images, first)
    for i in range(part.num_rows):
      yield f'{before}row {first + i}', {
          name: values[i] for name, values in fields.items()}
    first += part.num_rows


def _cells(column: Any, images: Any, first: int) -> list[object]:
  """Cells of images from row `first` on; what holds bytes is not copied."""
  kind = column.type
  if _types.is_struct(kind) and kind.get_field_index('bytes') >= 0:
    held = _compute.struct_field(column, 'bytes').is_valid().to_pylist()
    rest = (_compute.struct_field(column, 'path').to_pylist()
            if kind.get_field_index('path') >= 0 else [None] * len(held))
  elif _types.is_binary(kind) or _types.is_large_binary(kind):
    held = column.is_valid().to_pylist()
    rest = [None] * len(held)
  else:
    return column.to_pylist()
  return [image_cells.Kept(_Cell(images, first + i, path or 'image'))
          if is_there else path
          for i, (is_there, path) in enumerate(zip(held, rest))]


def _open(folder, hub, subset, revision) -> Mapping[str | None, Any]:
  """The splits of a dataset by name; None is that of one without."""
  where = f'folder={str(folder)!r}' if hub is None else f'hub={hub!r}'
  if hub is None and not pathlib.Path(folder).is_dir():
    raise ValueError(f'{where} is no folder.')
  library = extras.load('datasets', 'to read datasets of Hugging Face')
  try:
    if hub is not None:
      found = library.load_dataset(hub, subset, revision=revision)
    elif any((pathlib.Path(folder) / name).exists() for name in _SAVED):
      found = library.load_from_disk(str(folder))
    else:
      found = library.load_dataset(str(folder), subset)
  except Exception as e:  # pylint: disable=broad-except
    # Of many kinds, and mostly of the user's files.
    raise ValueError(
        f'{where} cannot be read by datasets: {durable.reason(e)}.') from e
  return found if isinstance(found, dict) else {None: found}


def _chosen(splits, pool_split, test_split, split_column, where):
  """The split of the pool, and that of the test pairs, if there is one."""
  names = [name for name in splits if name is not None]
  if pool_split is None:
    pool_split = next(iter(splits)) if len(splits) == 1 else 'train'
  if test_split is None and split_column is None and 'test' in names and (
      pool_split != 'test'):
    test_split = 'test'
  for argument, name in (('pool_split', pool_split),
                         ('test_split', test_split)):
    if name not in splits and not (argument == 'test_split' and name is None):
      raise ValueError(f'{argument}={name!r} is none of the splits of {where}: '
                       f'{", ".join(names) or "it has one, without a name"}.')
  if names:
    logging.info('%s: the pool is of %s, the test set of %s.', where,
                 pool_split, test_split or 'the same')
  return splits[pool_split], None if test_split is None else splits[test_split]
