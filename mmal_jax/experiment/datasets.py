"""From a config to its dataset: as it is, and as arrays."""

import dataclasses
import inspect
from typing import Any

import ml_collections
import numpy as np

from mmal_jax.config import paths
from mmal_jax.data import duplicates
from mmal_jax.data import encode
from mmal_jax.data import feature_rows
from mmal_jax.data import registry as datasets_lib
from mmal_jax.data import schema
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import class_folder
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.oracles.people import display

# Of what is shown in a picture; files are handed out as they are.
_THUMBNAIL = preprocess_lib.Preprocess(size=128, edge=128)


def arguments(section: ml_collections.ConfigDict) -> dict[str, Any]:
  """What a section of the config says beside the name."""
  return {k: v for k, v in section.to_dict().items() if k != 'name'}


def load(
    config: ml_collections.ConfigDict,
    cache_dir: str,
    pretrained: pretrained_lib.Pretrained | None = None,
) -> encode.EncodedDataset:
  """Reads (or renders) the dataset and encodes it for the model."""
  if pretrained is None:
    return encode.encode(
        load_raw(config, cache_dir), **config.text)
  return encode.encode(
      load_raw(config, cache_dir, pretrained.preprocess),
      tokenizer=pretrained.tokenizer, preprocess=pretrained.preprocess)


def load_raw(
    config: ml_collections.ConfigDict,
    cache_dir: str,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """Reads (or renders) the dataset, whose rows keep their order if encoded."""
  read = datasets_lib.DATASETS[config.dataset.name]
  given = arguments(config.dataset)
  classes = given.pop('classes', None)
  taken = inspect.signature(read).parameters
  if config.dataset.name in datasets_lib.RENDERED:
    given['data_dir'] = f'{cache_dir}/datasets'
  if preprocess is not None and 'preprocess' in taken:
    given['preprocess'] = preprocess
  paths.check_exist(config)
  try:
    dataset = read(**given)
  except ValueError as e:
    if duplicates.WAY_OUT not in str(e):
      raise
    raise ValueError(f'{e}\n  In the command, that is '
                     '--config.dataset.drop_duplicates=True.') from e
  if not isinstance(dataset, schema.Dataset):
    raise TypeError(
        f'the loader of dataset.name={config.dataset.name!r} has returned '
        f'{type(dataset).__name__}; a schema.Dataset is needed.')
  if classes is None:
    return dataset
  labelled = class_folder.load_labelled(
      classes, given.get('image_size'), preprocess)
  checked_images.warn_of_shared(*(
      checked_images.digests_as_held(images) for images in (
          dataset.pool.items.get('image', ()), labelled.images)), 'labelled')
  return dataclasses.replace(dataset, labelled=labelled)


def load_seen(config: ml_collections.ConfigDict, cache_dir: str) -> (
    schema.Dataset):
  """Reads (or renders) the dataset as people see it, row by row the same.

  Images that have files stay in them, at their own size; of features their
  labels are seen, or their rows in the user's files.
  """
  values = config.dataset.to_dict()
  values.pop('classes', None)  # No query is about these.
  if values['name'] in datasets_lib.SEEN:
    seen = datasets_lib.SEEN[values.pop('name')]
    return seen(**values, preprocess=_THUMBNAIL)
  if 'preprocess' in inspect.signature(
      datasets_lib.DATASETS[config.dataset.name]).parameters:
    values.pop('image_size', None)
  return load_raw(
      ml_collections.ConfigDict({'dataset': values}), cache_dir, _THUMBNAIL)


def in_order(
    items: schema.Images | schema.Texts | feature_rows.FeatureRows,
    rows: np.ndarray,
) -> display.Items:
  """The raw items at `rows`, in that order."""
  if isinstance(items, (image_files.ImageFiles, feature_rows.FeatureRows)):
    return items.select(rows)
  if isinstance(items, np.ndarray):
    return items[rows]
  return [items[row] for row in rows]
