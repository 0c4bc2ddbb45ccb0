"""Published weights from wherever they are: a folder, a file, or the hub."""

import dataclasses
import os
import pathlib
import re

from flax import nnx

from mmal_jax import extras
from mmal_jax.data.images import open_clip
from mmal_jax.files import downloads
from mmal_jax.files import hub_cache
from mmal_jax.files import plain_text
from mmal_jax.models import config as config_lib
from mmal_jax.models.pretrained import big_vision
from mmal_jax.models.pretrained import huggingface
from mmal_jax.models.pretrained import huggingface_config
from mmal_jax.models.pretrained import weight_files

# Not all of a repository: many hold the same weights in several formats.
_PATTERNS = ('*.json', 'model*.safetensors', '*.txt', '*.model')
_SHOWN = 10
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
                       f'format of transformers give the folder: {path.parent}')
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
    source: a folder, one of the cache of huggingface_hub
      (`models--OWNER--NAME`), or a repository `owner/name` of huggingface.co,
      which is fetched unless it is in the cache.

  Raises:
    FileNotFoundError: if there is no such thing, or it cannot be fetched; if
      the folder holds no checkpoint of transformers, with what it holds.
    ImportError: if huggingface_hub is needed and not installed.
    ValueError: if it is a file, or a cache of several.
  """
  path = pathlib.Path(source)
  if path.is_dir():
    return _checked(hub_cache.snapshot(path))
  if path.exists():
    raise ValueError(f'{source} is no folder: give {path.parent}, if its files '
                     'lie there.')
  name = os.fspath(source)
  if not _REPOSITORY.fullmatch(name):
    raise FileNotFoundError(
        f'{name} does not exist, and is no name of a repository (owner/name).')
  huggingface_hub = extras.load(
      'huggingface_hub', f'to fetch {name}, which does not exist here')
  try:
    return pathlib.Path(huggingface_hub.snapshot_download(
        name, allow_patterns=list(_PATTERNS)))
  except Exception as e:  # pylint: disable=broad-except
    # The library's versions raise those of different HTTP libraries.
    raise FileNotFoundError(
        f'{name} does not exist here, and could not be fetched from '
        f'huggingface.co ({type(e).__name__}: {e}). Without internet give a '
        'folder that holds its files.') from e


def _checked(folder: pathlib.Path) -> pathlib.Path:
  """The folder, or a FileNotFoundError if it holds no configuration."""
  name = huggingface_config.FILE
  if downloads.is_there(folder / name):
    return folder
  missing = f'{folder / name} does not exist.'
  adapter = weight_files.adapter(folder)
  if adapter is not None:
    raise FileNotFoundError(f'{missing} {adapter}')
  below = sorted(path.parent for pattern in ('*', '*/*')
                 for path in folder.glob(f'{pattern}/{name}'))
  if (folder / open_clip.FILE).exists():
    raise FileNotFoundError(
        f'{missing} {open_clip.FILE} and weights by the names of OpenCLIP are '
        'not read: give the same model in the layout of transformers '
        f'({name}, {weight_files.WEIGHTS}), as most repositories hold it '
        'besides.')
  if below:
    more = ' ...' if len(below) > _SHOWN else ''
    shown = plain_text.for_terminal(', '.join(map(str, below[:_SHOWN])))
    raise FileNotFoundError(
        f'{missing} Folders in it have one: give one of them, {shown}{more}.')
  unfinished = downloads.unfinished(folder)
  if unfinished:
    raise FileNotFoundError(
        f'{missing} A download there is not finished ({unfinished[0]}): run it '
        'again.')
  raise FileNotFoundError(
      f'{missing} A checkpoint in the layout of transformers has one beside '
      f'{weight_files.WEIGHTS}: download it, too.')


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
