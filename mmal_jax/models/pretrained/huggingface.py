"""CLIP and SigLIP in the files of transformers: `model.safetensors`."""

from collections.abc import Sequence
import contextlib
import dataclasses
import json
import math
import os
import pathlib
from typing import Any, BinaryIO

from flax import nnx
# By being imported it makes bfloat16 a type of NumPy, for safetensors.
import ml_dtypes  # noqa: F401
import numpy as np

from mmal_jax import extras
from mmal_jax.data.images import preprocess
from mmal_jax.files import durable
from mmal_jax.files import problems as problems_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import positions
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import huggingface_config
from mmal_jax.models.pretrained import tensors
from mmal_jax.models.pretrained import weight_files

WEIGHTS, INDEX = weight_files.WEIGHTS, weight_files.INDEX
_DTYPES = ('F16', 'BF16', 'F32', 'F64')

read_config = huggingface_config.read_config


def load(
    folder: str | os.PathLike[str],
    image_size: int | tuple[int, int] | None = None,
) -> tuple[config_lib.DualEncoder, nnx.State]:
  """Reads a published CLIP or SigLIP.

  Args:
    folder: holds `config.json` and `model.safetensors`, or shards of it and
      `model.safetensors.index.json`; weights of 16, 32 or 64 bits.
    image_size: of the images, if not as published: positions are interpolated.

  Returns:
    `(config, params)`, the parameters as float32 NumPy arrays in the state that
    `nnx.split(dual_encoder.from_config(config, ...), nnx.Param)` gives. No more
    than the model and its largest tensor is in memory at a time.

  Raises:
    FileNotFoundError: if a file is missing.
    ImportError: if safetensors is not installed.
    ValueError: if the model is none of ours, a file is damaged, or the weights
      are not those that `config.json` describes.
  """
  folder = pathlib.Path(folder)
  config = read_config(folder)
  needed = tensors.table(config)
  with contextlib.ExitStack() as stack:
    files = _open_all(folder, stack)
    tensors.check(
        {tensor.name: tensor.shape for tensor in needed},
        {name: file.get_slice(name).get_shape()
         for name, file in files.items()},
        str(folder))
    for tensor in needed:
      dtype = files[tensor.name].get_slice(tensor.name).get_dtype()
      if dtype not in _DTYPES:
        raise ValueError(f'{folder}: {tensor.name} is of type {dtype}; '
                         f'{", ".join(_DTYPES)} are supported.')
    params = tensors.read(
        needed, lambda name: files[name].get_tensor(name), str(folder))
  # A CLIP has none.
  params.setdefault('logit_bias', np.float32(config.logit_bias))
  return positions.to_size(
      config, tensors.state(config, params), image_size)


def save(
    folder: str | os.PathLike[str],
    config: config_lib.DualEncoder,
    params: nnx.State,
) -> None:
  """Writes a CLIP or SigLIP as `CLIPModel` and `SiglipModel` read it.

  A CLIP in transformers has no bias of the logits. One that is not 0, from
  fine-tuning by the sigmoid loss, goes to `config.json` for `load`, as
  `mmal_jax.logit_bias`; transformers' logits are without it.

  Args:
    folder: made if it does not exist. What it says already of preprocessing
      must fit the model; if nothing, that of CLIP or SigLIP is written.
    config: of the model; `dtype` and `remat` are not kept.
    params: its parameters; sharded ones are gathered one at a time.

  Raises:
    ValueError: if the model is neither, `params` are not its parameters, or the
      folder holds a model.
  """
  folder = pathlib.Path(folder)
  family = families.of(config)
  arrays = tensors.by_name(params)
  tensors.check(
      {name: leaf.shape for name, leaf in tensors.by_name(
          nnx.state(dual_encoder.abstract(config), nnx.Param)).items()},
      {name: array.shape for name, array in arrays.items()}, 'params')
  fields = huggingface_config.to_fields(config, float(arrays['logit_bias']))
  for name in (huggingface_config.FILE, WEIGHTS, INDEX):
    if (folder / name).exists():
      raise ValueError(f'there is a {name} in {folder} already.')
  folder.mkdir(parents=True, exist_ok=True)
  _save_preprocess(folder, config.image, family)
  _publish(folder / WEIGHTS, lambda file: _write(
      file, tensors.table(config), arrays))
  _publish(folder / huggingface_config.FILE, lambda file: file.write(
      json.dumps(fields, indent=2).encode()))


def _open_all(folder: pathlib.Path, stack: contextlib.ExitStack):
  """The open file that each tensor is in, by the tensor's name."""
  safetensors = extras.load('safetensors', f'to read {WEIGHTS}')
  paths, shards = weight_files.find(folder)
  files: dict[str, Any] = {}
  for path in paths:
    try:
      file = stack.enter_context(
          safetensors.safe_open(path, framework='numpy'))
    except (OSError, safetensors.SafetensorError) as e:
      raise ValueError(
          f'{path} is damaged: {problems_lib.shortened(str(e))}') from e
    here = set(file.keys())
    if shards is not None:
      listed = {name for name, shard in shards.items() if shard == path.name}
      if here != listed:
        raise ValueError(
            f'{path} does not hold what {INDEX} says: '
            f'{sorted(here ^ listed)[:3]} are in one of them only.')
    files |= dict.fromkeys(here, file)
  return files


def _save_preprocess(folder, image, family):
  size = image.size[0]
  try:
    saved = preprocess.load(folder)
  except FileNotFoundError:
    preprocess.save(
        dataclasses.replace(preprocess.default(family.name, size),
                            mean=image.mean, std=image.std),
        folder, family.name)
    return
  if (saved.size, saved.mean, saved.std) != (size, image.mean, image.std):
    raise ValueError(
        f'{folder} is for images of {saved.size} pixels with '
        f'mean={saved.mean} and std={saved.std}; those of the model have '
        f'{size} pixels with mean={image.mean} and std={image.std}.')


def _publish(path, write):
  """A file appears once it is complete."""
  private = path.with_name(f'{path.name}.partial')
  private.unlink(missing_ok=True)
  try:
    with open(durable.open_own(private, os.O_WRONLY | os.O_EXCL), 'wb') as file:
      write(file)
    os.rename(private, path)
  finally:
    private.unlink(missing_ok=True)


def _write(
    file: BinaryIO, table: Sequence[tensors.Tensor], arrays: dict[str, Any]
) -> None:
  # The library's own writer would need all tensors at once.
  header: dict[str, Any] = {'__metadata__': {'format': 'pt'}}
  end = 0
  for tensor in table:
    start, end = end, end + 4 * math.prod(tensor.shape)
    header[tensor.name] = {'dtype': 'F32', 'shape': tensor.shape,
                           'data_offsets': (start, end)}
  raw = json.dumps(header).encode()
  raw += b' ' * (-len(raw) % 8)  # values begin at a multiple of 8 bytes
  file.write(len(raw).to_bytes(8, 'little') + raw)
  for tensor in table:
    file.write(tensor.from_parameters(arrays).astype('<f4').tobytes())
