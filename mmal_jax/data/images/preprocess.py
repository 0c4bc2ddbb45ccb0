"""Image preprocessing as Hugging Face's CLIP and SigLIP processors do it."""

from collections.abc import Mapping
import dataclasses
import json
import math
import os
import pathlib
import re
from typing import Any

import numpy as np
from PIL import Image

from mmal_jax.data.images import images as images_lib
from mmal_jax.data.images import open_clip
from mmal_jax.files import downloads
from mmal_jax.files import durable
from mmal_jax.files import json_object

FILE = 'preprocessor_config.json'
# Newer checkpoints nest the same fields in this file; it is then read first.
_NESTED_FILE = 'processor_config.json'
KINDS = {'clip': 'CLIPImageProcessor', 'siglip': 'SiglipImageProcessor'}
_RESAMPLE = {1: 'lanczos', 2: 'bilinear', 3: 'bicubic'}
_HALF = (0.5, 0.5, 0.5)
_SQUARE = 'default_to_square'
_MOST_PIXELS = 4096  # of a side; every image is resized to it
# What the two classes take where a file leaves a field out.
_DEFAULTS = {
    'clip': {
        'size': {'shortest_edge': 224}, 'do_center_crop': True,
        'crop_size': {'height': 224, 'width': 224},
        'image_mean': (0.48145466, 0.4578275, 0.40821073),
        'image_std': (0.26862954, 0.26130258, 0.27577711)},
    'siglip': {
        'size': {'height': 224, 'width': 224}, 'do_center_crop': False,
        'crop_size': None, 'image_mean': _HALF, 'image_std': _HALF},
}
_COMMON = {
    'resample': 3, 'do_resize': True, 'do_rescale': True, 'do_normalize': True,
    'rescale_factor': 1 / 255, _SQUARE: False}
_WITH_DEFAULTS = {'size', 'crop_size', 'resample', 'rescale_factor',
                  'image_mean', 'image_std'}
_quote = json_object.quote
# Not `do_convert_rgb`: images are always made RGB. Without it transformers only
# takes those that are RGB already, and they stay the same.
_UNKNOWN = re.compile(r'do_(?!convert_rgb$)|auto_map$|use_square_size$')


@dataclasses.dataclass(frozen=True)
class Preprocess:
  """From an image of any size to a square of uint8 pixels.

  The model itself goes on from there, on its device: its input is
  `(pixels / 255 - mean) / std`.

  Attributes:
    size: height and width of the result.
    edge: what images are resized to, before the centre `size` x `size` is cut
      out; at least `size`.
    resize: `squash` to `edge` x `edge`, or `shortest`: the shorter side becomes
      `edge`, the other keeps the proportions.
    resample: `bicubic`, `bilinear` or `lanczos`, all of them antialiased.
    mean: of each channel, for pixels within [0, 1].
    std: likewise.

  Raises:
    ValueError: if a field is none of these.
  """

  size: int
  edge: int
  resize: str = 'squash'
  resample: str = 'bicubic'
  mean: tuple[float, float, float] = _HALF
  std: tuple[float, float, float] = _HALF

  def __post_init__(self):
    if not 1 <= self.size <= self.edge:
      raise ValueError(f'size={self.size!r} must be within 1 and edge='
                       f'{self.edge!r}: images are cropped, never padded.')
    if self.edge > _MOST_PIXELS:
      raise ValueError(f'edge={json_object.quote(self.edge)} must be at most '
                       f'{_MOST_PIXELS} pixels.')
    if self.resize not in ('squash', 'shortest'):
      raise ValueError(f'resize={self.resize!r} must be squash or shortest.')
    if self.resample not in _RESAMPLE.values():
      raise ValueError(f'resample={self.resample!r} must be one of '
                       f'{", ".join(_RESAMPLE.values())}.')
    for name, values in (('mean', self.mean), ('std', self.std)):
      if (not isinstance(values, tuple) or len(values) != 3
          or not all(map(math.isfinite, values))
          or name == 'std' and min(values) <= 0):
        raise ValueError(f'{name}={values!r} must be a tuple of three finite '
                         'numbers' + ', above 0.' * (name == 'std'))

  @property
  def crops(self) -> bool:
    """Whether it cuts parts of images away, as only CLIP's processor can."""
    return self.resize == 'shortest' or self.edge > self.size

  def description(self) -> str:
    """In words.

    >>> default('siglip', 256).description()
    'squashed to 256 x 256 by bicubic, mean 0.5, 0.5, 0.5, std 0.5, 0.5, 0.5'
    """
    how = (f'squashed to {self.edge} x {self.edge}' if self.resize == 'squash'
           else f'shortest side to {self.edge}')
    cut = f', centre {self.size} x {self.size}' * self.crops
    mean, std = (', '.join(f'{value:.4g}' for value in values)
                 for values in (self.mean, self.std))
    return f'{how} by {self.resample}{cut}, mean {mean}, std {std}'

  def apply(self, image: Image.Image | np.ndarray) -> np.ndarray:
    """Resizes and crops one image.

    Measured on noise, gradients and smooth images, larger and smaller than the
    result, tall and wide, against transformers 5.24: its Pillow-backed
    processors give the same pixels; its torchvision-backed ones are within 2 of
    255, but for noise that `squash` widens while it flattens: up to 28 by
    bicubic and 55 by lanczos, as torchvision rounds between the two directions
    in another order.

    >>> ramp = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> Preprocess(size=2, edge=2).apply(ramp).shape
    (2, 2, 3)

    Args:
      image: as Pillow opens it (of any mode), or `[h, w, 3]` uint8.

    Returns:
      `[size, size, 3]` uint8.

    Raises:
      TypeError: if `image` is neither.
    """
    if isinstance(image, np.ndarray):
      if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise TypeError(f'image is {image.dtype} of shape {image.shape}; '
                        '[h, w, 3] uint8 is needed.')
      image = Image.fromarray(image)
    elif not isinstance(image, Image.Image):
      raise TypeError(f'image is a {type(image).__name__}; a Pillow image or '
                      '[h, w, 3] uint8 is needed.')
    if image.mode != 'RGB':
      image = images_lib.to_rgb(image)
    width, height = image.size
    if self.resize == 'squash':
      target = (self.edge, self.edge)
    elif width <= height:
      target = (self.edge, int(self.edge * height / width))
    else:
      target = (int(self.edge * width / height), self.edge)
    if image.size != target:
      image = image.resize(target, Image.Resampling[self.resample.upper()])
    if target != (self.size, self.size):
      left, top = ((side - self.size) // 2 for side in target)
      image = image.crop((left, top, left + self.size, top + self.size))
    return np.asarray(image)


def load(folder: str | os.PathLike[str]) -> Preprocess:
  """Reads how a published checkpoint wants its images.

  Args:
    folder: holds `preprocessor_config.json`, in any form that the CLIP and
      SigLIP processors of transformers 4 and 5 have written (sizes as numbers
      too), or nested in `processor_config.json`; or else, where there is
      neither, `open_clip_config.json`.

  Returns:
    The same preprocessing.

  Raises:
    FileNotFoundError: if there is no such file; see `default`.
    ValueError: if it cannot be read, is for another processor, or asks for
      anything that `Preprocess` does not do exactly.
  """
  path, fields = _read(pathlib.Path(folder))
  try:
    if path.name == open_clip.FILE:
      return _parse(open_clip.fields(fields), 'clip')
    return _parse(fields, _kind(path.parent, fields))
  except (TypeError, ValueError) as e:
    raise ValueError(f'{path}: {e}') from e


def kind(folder: str | os.PathLike[str]) -> str:
  """`clip` or `siglip`: which processor a folder's file is for.

  Raises:
    FileNotFoundError, ValueError: as `load`.
  """
  path, fields = _read(pathlib.Path(folder))
  return 'clip' if path.name == open_clip.FILE else _kind(path.parent, fields)


def default(kind: str, size: int) -> Preprocess:
  """What a family's processor does by itself, at the size of a model.

  CLIP's resizes the shortest side and takes the centre, SigLIP's squashes; each
  has its own mean and standard deviation.

  >>> default('clip', 336).resize, default('siglip', 384).resize
  ('shortest', 'squash')

  Args:
    kind: `clip` or `siglip`.
    size: height and width of the images that the model takes.
  """
  square = {'height': size, 'width': size}
  return _parse({
      'size': {'shortest_edge': size} if kind == 'clip' else square,
      'crop_size': square}, kind)


def save(
    preprocess: Preprocess, folder: str | os.PathLike[str], kind: str
) -> None:
  """Writes `preprocessor_config.json` as transformers reads it.

  Args:
    preprocess: what to write.
    folder: made if it does not exist.
    kind: `clip` or `siglip`, the processor that is to read it.

  Raises:
    ValueError: if `kind` is unknown, or its processor cannot do this.
    FileExistsError: if the folder says something else already.
  """
  if kind not in KINDS:
    raise ValueError(f'kind={kind!r} must be one of {", ".join(KINDS)}.')
  if kind == 'siglip' and preprocess.crops:
    raise ValueError(f'SiglipImageProcessor only squashes; {preprocess} crops.')
  edge, size = preprocess.edge, preprocess.size
  fields = {
      'image_processor_type': KINDS[kind],
      'do_convert_rgb': True, 'do_resize': True,
      'size': ({'shortest_edge': edge} if preprocess.resize == 'shortest'
               else {'height': edge, 'width': edge}),
      'resample': {v: k for k, v in _RESAMPLE.items()}[preprocess.resample],
      'do_rescale': True, 'rescale_factor': 1 / 255,
      'do_normalize': True, 'image_mean': list(preprocess.mean),
      'image_std': list(preprocess.std)}
  if kind == 'clip':
    fields |= {'do_center_crop': preprocess.crops,
               'crop_size': {'height': size, 'width': size}}
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  try:
    path, _ = _read(folder)
  except FileNotFoundError:
    durable.write(folder / FILE, json.dumps(fields, indent=2) + '\n')
    return
  if load(folder) != preprocess:
    raise FileExistsError(f'{path} exists and says something else.')


def _read(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
  for name in (_NESTED_FILE, FILE, open_clip.FILE):
    path = folder / name
    if not downloads.is_there(path):
      continue
    fields = json_object.parse(durable.read(path), path)
    if name != _NESTED_FILE:
      return path, fields
    if isinstance(fields.get('image_processor'), dict):
      return path, fields['image_processor']
  raise FileNotFoundError(f'{folder / FILE} does not exist.')


def _kind(folder: pathlib.Path, fields: Mapping[str, Any]) -> str:
  """`clip` or `siglip`."""
  named = fields.get('image_processor_type') or fields.get(
      'feature_extractor_type')
  if named is None:
    config = folder / 'config.json'
    try:
      kind = json_object.parse(durable.read(config), config).get('model_type')
    except FileNotFoundError:
      kind = None
    except (OSError, ValueError) as e:
      raise ValueError('no image_processor_type is named, and of config.json '
                       f'no model_type can be read: {durable.reason(e)}'
                       ) from e
    if kind is None:
      raise ValueError('no image_processor_type is named, and config.json '
                       'names no model_type either.')
    if kind in tuple(KINDS):
      return kind
    raise ValueError(f'no image_processor_type is named, and model_type='
                     f'{_quote(kind)} of config.json is not supported; '
                     f'{", ".join(KINDS)} are.')
  for kind, name in KINDS.items():
    if named in (name, name + 'Fast', name + 'Pil',
                 name.replace('ImageProcessor', 'FeatureExtractor')):
      return kind
  raise ValueError(
      f'image_processor_type={_quote(named)} is not supported; those that are: '
      f'{", ".join(KINDS.values())}. (Siglip2ImageProcessor is for NaFlex '
      'models, whose images have no fixed size.)')


def _parse(fields: Mapping[str, Any], kind: str) -> Preprocess:
  # To transformers a switch of null is off.
  given = {k: False if v is None and (k.startswith('do_') or k == _SQUARE)
           else v for k, v in fields.items()}
  full = _COMMON | _DEFAULTS[kind] | given
  idle = {'crop_size'} if full['do_center_crop'] is False else set()
  if full['do_normalize'] is False:
    idle |= {'image_mean', 'image_std'}
  for name in sorted(full.keys() & _WITH_DEFAULTS - idle):
    if full[name] is None:
      raise ValueError(f'{name}=null, which transformers refuses: leave the '
                       'field out for its default, or give a value.')
  for name, wanted in (('do_resize', True), ('do_rescale', True)):
    if full[name] is not wanted:
      raise ValueError(f'{name}={_quote(full[name])} is not supported.')
  for name in ('do_center_crop', 'do_normalize', _SQUARE):
    if not isinstance(full[name], bool):
      raise ValueError(f'{name}={_quote(full[name])} must be true or false.')
  factor = full['rescale_factor']
  if type(factor) is not float or not math.isclose(
      factor, 1 / 255, rel_tol=1e-6):
    raise ValueError(f'rescale_factor={_quote(factor)} is not supported: it is '
                     '1/255 everywhere.')
  known = {*_COMMON, *_DEFAULTS[kind]}
  for name, value in given.items():
    if value not in (False, None) and name not in known and (
        _UNKNOWN.match(name)):
      raise ValueError(f'{name}={_quote(value)} is not supported.')
  if type(full['resample']) is not int or full['resample'] not in _RESAMPLE:
    raise ValueError(f'resample={_quote(full["resample"])} is not supported; '
                     f'{_RESAMPLE} are.')
  size = _size('size', full['size'], full[_SQUARE])
  edge = size.get('shortest_edge') or size['height']
  out = edge
  if full['do_center_crop']:
    out = _size('crop_size', full['crop_size'], True).get('height')
    if out is None:
      raise ValueError(f'crop_size={_quote(full["crop_size"])} has no height.')
  elif 'shortest_edge' in size:
    raise ValueError(f'size={_quote(full["size"])} without do_center_crop '
                     'makes images of different shapes.')
  mean, std = (0., 0., 0.), (1., 1., 1.)
  if full['do_normalize']:
    mean, std = (_channels(n, full[n]) for n in ('image_mean', 'image_std'))
  return Preprocess(
      size=out, edge=edge,
      resize='shortest' if 'shortest_edge' in size else 'squash',
      resample=_RESAMPLE[full['resample']], mean=mean, std=std)


def _size(name: str, value: Any, squares: bool) -> dict[str, int]:
  """Either `shortest_edge`, or equal `height` and `width`."""
  if type(value) is int:  # as transformers wrote it until 4.25
    value = ({'height': value, 'width': value} if squares
             else {'shortest_edge': value})
  elif isinstance(value, (list, tuple)) and len(value) == 2:
    value = dict(zip(('height', 'width'), value))
  if isinstance(value, dict):
    value = {k: v for k, v in value.items() if v is not None}
    if all(type(v) is int and v > 0 for v in value.values()) and (
        set(value) == {'shortest_edge'} or set(value) == {'height', 'width'}
        and value['height'] == value['width']):
      return value
  raise ValueError(f'{name}={_quote(value)} is not supported: a square, or its '
                   'shortest_edge, is needed.')


def _channels(name: str, value: Any) -> tuple[float, ...]:
  values = value if isinstance(value, (list, tuple)) else [value] * 3
  # No float is too large for one, as an integer may be.
  if not all(type(v) in (int, float) and abs(v) < 2**31 for v in values):
    raise ValueError(f'{name}={_quote(value)} must be finite numbers.')
  return tuple(map(float, values))
