"""Image preprocessing in `open_clip_config.json`, the file of OpenCLIP."""

from collections.abc import Mapping
from typing import Any

from mmal_jax.files import json_object

FILE = 'open_clip_config.json'
_RESAMPLE = {'bilinear': 2, 'bicubic': 3}
_quote = json_object.quote


def fields(content: Mapping[str, Any]) -> dict[str, Any]:
  """What the file says, in the words of transformers' CLIPImageProcessor.

  As OpenCLIP does it in evaluation: the size is that of the model, what
  `preprocess_cfg` leaves out is CLIP's, and what it does not know is ignored.
  One thing is transformers': where an odd number of pixels is cut off, OpenCLIP
  by torchvision rounds the half of it to the even number, transformers down, so
  that the two cuts may lie one pixel apart.

  >>> fields({'preprocess_cfg': {'resize_mode': 'squash'}})['size']
  {'height': 224, 'width': 224}

  Args:
    content: of the file.

  Returns:
    Fields of `preprocessor_config.json`; those left out are CLIP's.

  Raises:
    ValueError: if a value is none that OpenCLIP knows, or pads images.
  """
  vision = _section(_section(content, 'model_cfg'), 'vision_cfg')
  given = {key: value for key, value in _section(
      content, 'preprocess_cfg').items() if value is not None}
  size = vision.get('image_size') or given.get('size') or 224
  if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
    size = size[0]
  if type(size) is not int:
    raise ValueError(f'image_size={_quote(size)} is not supported: a square is '
                     'needed.')
  how = given.get('resize_mode', 'shortest')
  if how not in ('shortest', 'squash'):
    raise ValueError(f'resize_mode={_quote(how)} is not supported; shortest '
                     'and squash are.')
  # For evaluation OpenCLIP takes `random` for bicubic.
  resample = given.get('interpolation', 'bicubic')
  resample = 'bicubic' if resample == 'random' else resample
  if resample not in tuple(_RESAMPLE):
    raise ValueError(f'interpolation={_quote(resample)} is not supported; '
                     f'{", ".join(_RESAMPLE)} are.')
  if given.get('mode', 'RGB') != 'RGB':
    raise ValueError(f'mode={_quote(given["mode"])} is not supported; RGB is.')
  square = {'height': size, 'width': size}
  return {
      'size': square if how == 'squash' else {'shortest_edge': size},
      'do_center_crop': how == 'shortest', 'crop_size': square,
      'resample': _RESAMPLE[resample]} | {
          f'image_{name}': given[name] for name in ('mean', 'std')
          if name in given}


def _section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
  value = content.get(name)
  if value is not None and not isinstance(value, dict):
    raise ValueError(f'{name}={_quote(value)} must be an object.')
  return value or {}
