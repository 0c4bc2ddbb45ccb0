"""SigLIP and SigLIP 2 as big_vision publishes them: one `.npz`."""

from collections.abc import Mapping
import lzma
import math
import os
import pathlib
import re
from typing import NamedTuple
import zipfile
import zlib

from flax import nnx
import ml_dtypes
import numpy as np

from mmal_jax.files import downloads
from mmal_jax.files import plain_text
from mmal_jax.models import config as config_lib
from mmal_jax.models import positions
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import tensors

_PREFIX = 'params/'
_BLOCK = 'encoderblock'
_ATTENTION = 'MultiHeadDotProductAttention_0'
_MLP = 'MlpBlock_0'
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}
# NumPy writes bfloat16 as what it knows of it: two bytes.
_BFLOAT16 = np.dtype('V2')
# Bytes that a file may unpack to, whatever it has itself; and times that.
_FREELY_UNPACKED, _MOST_UNPACKED = 1 << 28, 100
_LONGEST = 4000  # letters of what is wrong, names of the file's among them


class _Entry(NamedTuple):
  """Where an array of the file is, and of which shape."""

  member: str
  shape: tuple[int, ...]


_Entries = Mapping[str, _Entry]


def load(
    path: str | os.PathLike[str],
    config: config_lib.DualEncoder | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> tuple[config_lib.DualEncoder, nnx.State]:
  """Reads a SigLIP: big_vision's `two_towers` with a ViT and text transformer.

  Args:
    path: of the `.npz`: names such as `params/img/pos_embedding`, or without
      `params/`. What lies beside `params/`, such as an optimizer's state, is
      not read. Blocks may be stacked (`scan`). Where `txt/head` is missing, as
      in the multilingual models, the text projection becomes the identity.
    config: of the model; None infers it from the shapes. Images are then square
      and of whole patches, so So400m/14 for 384 pixels becomes one for 378,
      which is what it sees of them: give the preset to say 384.
    image_size: of the images, if not as published: positions are interpolated.

  Returns:
    `(config, params)`, the parameters as float32 NumPy arrays in the state that
    `nnx.split(dual_encoder.from_config(config, ...), nnx.Param)` gives.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is damaged, or does not hold such a model.
  """
  path = pathlib.Path(path)
  if not downloads.is_there(path):
    raise FileNotFoundError(f'{path} does not exist.')
  wrong = downloads.wrong(path) or downloads.archive(path, is_zip=True)
  if wrong is not None:
    raise ValueError(f'{path} {wrong}.')
  if not zipfile.is_zipfile(path):
    with path.open('rb') as file:
      is_cut = file.read(4) == b'PK\3\4'
    raise ValueError(f'{path} ' + (
        'is a .npz that was cut off or damaged: download or copy it again.'
        if is_cut else 'is no .npz file of NumPy.'))
  try:
    with zipfile.ZipFile(path) as file:
      config, params = _read(file, config)
  except (EOFError, OSError, RuntimeError, ValueError, lzma.LZMAError,
          zipfile.BadZipFile, zlib.error) as e:
    # A RuntimeError: it is encrypted, or packed by other means.
    raise ValueError(f'{path}: {str(e)[:_LONGEST]}') from e
  return positions.to_size(
      config, tensors.state(config, params), image_size)


def _read(file, config):
  entries = _entries(file)
  if config is None:
    config = _infer(entries)
  elif families.of(config) is not families.SIGLIP:
    raise ValueError('a SigLIP cannot be read as a CLIP.')
  needed = _table(config, entries)
  tensors.check({tensor.name: tensor.shape for tensor in needed},
                {name: entry.shape for name, entry in entries.items()}, 'it')
  params = tensors.read(
      needed, lambda name: _array(file, entries[name]), 'it')
  if not _has_head(config, entries):
    params['text_projection.kernel'] = np.eye(
        config.embed_dim, dtype=np.float32)
    params['text_projection.bias'] = np.zeros(config.embed_dim, np.float32)
  return config, params


def _entries(file: zipfile.ZipFile) -> dict[str, _Entry]:
  """All arrays by name, of which only the headers are read."""
  packed = os.path.getsize(file.filename)
  whole = sum(info.file_size for info in file.infolist())
  if whole > max(_FREELY_UNPACKED, _MOST_UNPACKED * packed):
    raise ValueError(f'its {packed} bytes unpack to {whole}, which no weights '
                     'do.')
  found = {}
  for info in file.infolist():
    member = info.filename
    with file.open(info) as stream:
      version = np.lib.format.read_magic(stream)
      if version not in _HEADERS:
        raise ValueError(f'{member} is of version {version} of .npy.')
      shape, _, dtype = _HEADERS[version](stream)
      size = info.file_size - stream.tell()
    if dtype.kind != 'f' and dtype != _BFLOAT16:
      raise ValueError(f'{plain_text.for_terminal(member)} is of type {dtype}; '
                       'floats are needed.')
    # Before anything is made of a size that is not true.
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
      raise ValueError(f'{member} of shape {shape} and type {dtype} holds '
                       f'{size} bytes of values.')
    name = member.removesuffix('.npy')
    if name in found:
      raise ValueError(f'{plain_text.for_terminal(name)} appears twice.')
    found[name] = _Entry(member, shape)
  if any(name.startswith(_PREFIX) for name in found):
    return {name.removeprefix(_PREFIX): entry for name, entry in found.items()
            if name.startswith(_PREFIX)}
  return found


def _array(file: zipfile.ZipFile, entry: _Entry) -> np.ndarray:
  with file.open(entry.member) as stream:
    values = np.lib.format.read_array(stream, allow_pickle=False)
  return (values.view(ml_dtypes.bfloat16) if values.dtype == _BFLOAT16
          else values)


def _infer(entries: _Entries) -> config_lib.DualEncoder:
  *patch, channels, width = _shape(entries, 'img/embedding/kernel', 4)
  _, count, _ = _shape(entries, 'img/pos_embedding', 3)
  side = math.isqrt(count)
  if patch[0] != patch[1] or channels != 3 or side * side != count:
    raise ValueError(
        f'patches of {patch[0]}x{patch[1]} pixels with {channels} channels, '
        f'and {count} positions of them, are not supported: squares with 3.')
  vocab_size, _ = _shape(entries, 'txt/Embed_0/embedding', 2)
  _, length, _ = _shape(entries, 'txt/pos_embedding', 3)
  return families.SIGLIP.build(
      {'stack': _infer_stack(entries, 'img/Transformer/'),
       'size': (side * patch[0],) * 2, 'patch': patch[0]},
      {'stack': _infer_stack(entries, 'txt/Encoder_0/'),
       'vocab_size': vocab_size, 'length': length},
      embed_dim=width)


def _infer_stack(entries: _Entries, encoder: str) -> config_lib.Stack:
  width, = _shape(entries, f'{encoder}encoder_norm/scale', 1)
  stacked = _is_stacked(entries, encoder)
  block = f'{encoder}{_BLOCK}/' if stacked else f'{encoder}{_BLOCK}_0/'
  kernel = _shape(entries, f'{block}{_ATTENTION}/query/kernel', 3 + stacked)
  hidden = _shape(entries, f'{block}{_MLP}/Dense_0/kernel', 2 + stacked)
  depth = kernel[0] if stacked else len({
      match[0] for name in entries
      if (match := re.match(rf'{re.escape(encoder)}{_BLOCK}_\d+/', name))})
  return config_lib.Stack(width, depth, kernel[-2], hidden[-1])


def _shape(entries: _Entries, name: str, axes: int) -> tuple[int, ...]:
  if name not in entries:
    raise ValueError(f'there is no {name}, as a SigLIP has.')
  shape = entries[name].shape
  if len(shape) != axes:
    raise ValueError(f'{name} of shape {shape} should have {axes} axes.')
  return shape


def _is_stacked(entries: _Entries, encoder: str) -> bool:
  return any(name.startswith(f'{encoder}{_BLOCK}/') for name in entries)


def _has_head(config: config_lib.DualEncoder, entries: _Entries) -> bool:
  return (any(name.startswith('txt/head/') for name in entries)
          or config.text.stack.width != config.embed_dim)


def _table(
    config: config_lib.DualEncoder, entries: _Entries
) -> list[tensors.Tensor]:
  image, text, dim = config.image, config.text, config.embed_dim
  width, patch = image.stack.width, image.patch
  pooling = _layers(image.stack, {'LayerNorm_0': 'norm'})
  same = [
      ('img/embedding/kernel', (patch, patch, 3, width),
       'image_tower.embed.kernel'),
      ('img/embedding/bias', (width,), 'image_tower.embed.bias'),
      ('img/pos_embedding', (1, math.prod(image.grid), width),
       'image_tower.position'),
      ('img/MAPHead_0/probe', (1, 1, width), 'image_tower.pooling.probe'),
      *[(f'img/MAPHead_0/{name}', shape, f'image_tower.pooling.{ours}')
        for name, shape, ours in pooling],
      ('txt/Embed_0/embedding', (text.vocab_size, text.stack.width),
       'text_tower.token.embedding'),
      ('txt/pos_embedding', (1, text.length, text.stack.width),
       'text_tower.position'),
      ('t', (1,), 'logit_scale'), ('b', (1,), 'logit_bias')]
  if _has_head(config, entries):
    same += [('txt/head/kernel', (text.stack.width, dim),
              'text_projection.kernel'),
             ('txt/head/bias', (dim,), 'text_projection.bias')]
  return [
      *[tensors.Tensor(name, shape, (ours,)) for name, shape, ours in same],
      *_encoder(entries, 'img/Transformer/', 'image_tower', image.stack),
      *_encoder(entries, 'txt/Encoder_0/', 'text_tower', text.stack)]


def _encoder(entries, encoder, tower, stack):
  ours = f'{tower}.transformer.'
  for name in ('scale', 'bias'):
    yield tensors.Tensor(f'{encoder}encoder_norm/{name}', (stack.width,),
                         (f'{ours}norm.{name}',))
  for name, shape, parameter in _layers(
      stack, {'LayerNorm_0': 'norm_attention', 'LayerNorm_1': 'norm_mlp'}):
    each = [f'{ours}blocks.{i}.{parameter}' for i in range(stack.depth)]
    if _is_stacked(entries, encoder):
      yield tensors.Tensor(f'{encoder}{_BLOCK}/{name}', (stack.depth, *shape),
                           tuple(each))
    else:
      for i, one in enumerate(each):
        yield tensors.Tensor(f'{encoder}{_BLOCK}_{i}/{name}', shape, (one,))


def _layers(stack, norms):
  """Names, shapes and our names of what a block and the pooling share."""
  width, heads = stack.width, (stack.heads, stack.width // stack.heads)
  return [
      *[(f'{_ATTENTION}/{side}/kernel', (width, *heads),
         f'attention.{side}.kernel') for side in ('query', 'key', 'value')],
      *[(f'{_ATTENTION}/{side}/bias', heads, f'attention.{side}.bias')
        for side in ('query', 'key', 'value')],
      (f'{_ATTENTION}/out/kernel', (*heads, width), 'attention.out.kernel'),
      (f'{_ATTENTION}/out/bias', (width,), 'attention.out.bias'),
      *[(f'{name}/{side}', (width,), f'{ours}.{side}')
        for name, ours in norms.items() for side in ('scale', 'bias')],
      (f'{_MLP}/Dense_0/kernel', (width, stack.mlp_width), 'mlp.expand.kernel'),
      (f'{_MLP}/Dense_0/bias', (stack.mlp_width,), 'mlp.expand.bias'),
      (f'{_MLP}/Dense_1/kernel', (stack.mlp_width, width),
       'mlp.contract.kernel'),
      (f'{_MLP}/Dense_1/bias', (width,), 'mlp.contract.bias')]
