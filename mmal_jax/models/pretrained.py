"""Published weights from wherever they are: a folder, a file, or the hub."""

import dataclasses
import os
import pathlib
import re

from flax import nnx

from mmal_jax.models import big_vision
from mmal_jax.models import config as config_lib
from mmal_jax.models import huggingface

# Not all of a repository: many hold the same weights in several formats.
_PATTERNS = ('*.json', 'model*.safetensors', '*.txt', '*.model')
_REPOSITORY = re.compile(r'[A-Za-z0-9][\w.-]*/[\w.-]+')


def load(
    source: str | os.PathLike[str],
    config: config_lib.DualEncoder | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> tuple[config_lib.DualEncoder, nnx.State]:
  """Reads a CLIP or a SigLIP.

  Args:
    source: a folder (`huggingface.load`), a `.npz` (`big_vision.load`), or,
      where there is no such path, a repository `owner/name` of huggingface.co.
    config: one that the weights must be of; its `dtype` and `remat` are taken
      over. What may differ is what training or preprocessing decides: mean and
      std of pixels, `end_id`, the initial `logit_scale` and `logit_bias`.
    image_size: of the images, if not as published: positions are interpolated.

  Returns:
    `(config, params)`, the parameters as float32 NumPy arrays in the state that
    `nnx.split(dual_encoder.from_config(config, ...), nnx.Param)` gives.

  Raises:
    FileNotFoundError: if there is no such thing, or it cannot be fetched.
    ImportError: if a package that reads or fetches it is not installed.
    ValueError: if it is damaged, none of our models, or not as `config` says.
  """
  path = pathlib.Path(source)
  if path.is_file() or path.suffix == '.npz':
    if path.suffix != '.npz':
      raise ValueError(f'{source} is a file, but no .npz. Of weights in the '
                       'format of transformers give the folder.')
    return big_vision.load(path, config, image_size)
  folder = folder_of(source)
  if config is not None:
    _agree(source, huggingface.read_config(folder), config)
  found, params = huggingface.load(folder, image_size)
  if config is not None:
    found = dataclasses.replace(
        found, dtype=config.dtype, remat=config.remat)
  return found, params


def folder_of(source: str | os.PathLike[str]) -> pathlib.Path:
  """The folder with the files of a checkpoint, its tokenizer's among them.

  Args:
    source: a folder, or a repository `owner/name` of huggingface.co, which is
      fetched unless it is in the cache.

  Raises:
    FileNotFoundError: if there is no such thing, or it cannot be fetched.
    ImportError: if huggingface_hub is needed and not installed.
    ValueError: if it is a file.
  """
  path = pathlib.Path(source)
  if path.is_dir():
    return path
  if path.exists():
    raise ValueError(f'{source} is no folder.')
  name = os.fspath(source)
  if not _REPOSITORY.fullmatch(name):
    raise FileNotFoundError(
        f'{name} does not exist, and is no name of a repository (owner/name).')
  try:
    import huggingface_hub
  except ImportError as e:
    raise ImportError(f'{name} does not exist here, and is fetched by '
                      'huggingface_hub: pip install mmal_jax[pretrained]'
                      ) from e
  try:
    return pathlib.Path(huggingface_hub.snapshot_download(
        name, allow_patterns=list(_PATTERNS)))
  except Exception as e:  # pylint: disable=broad-except
    # The library's versions raise those of different HTTP libraries.
    raise FileNotFoundError(
        f'{name} does not exist here, and could not be fetched from '
        f'huggingface.co ({type(e).__name__}: {e}). Without internet give a '
        'folder that holds its files.') from e


def _agree(source, found, wanted):
  """Raises ValueError if `found` is not `wanted`."""
  image = dataclasses.replace(
      found.image, mean=wanted.image.mean, std=wanted.image.std)
  text = dataclasses.replace(found.text, end_id=wanted.text.end_id)
  found = dataclasses.replace(
      found, image=image, text=text, logit_scale=wanted.logit_scale,
      logit_bias=wanted.logit_bias, dtype=wanted.dtype, remat=wanted.remat)
  different = config_lib.differences(found, wanted)
  if different:
    raise ValueError(f'{source} is not of the configuration that was given '
                     f'(there and given): {"; ".join(different)}.')
