"""Bad weights, configs of models, and image preprocessing."""

from collections.abc import Callable
import io
import json
import os
import pathlib
import struct
import zipfile

import numpy as np
import safetensors.numpy

from mmal_jax.data.images import preprocess
from mmal_jax.models.pretrained import big_vision
from mmal_jax.models.pretrained import huggingface
from tests.hostile import hostile
from tests.support import small_files

_WEIGHTS = 'model.safetensors'
_SCALE = 'logit_scale'


class _Bomb:
  """If anything unpickles it, a file appears."""

  def __init__(self, path):
    self._path = str(path)

  def __reduce__(self):
    return os.mkdir, (self._path,)


def _load(folder) -> str:
  config, _ = huggingface.load(folder)
  return f'a model for images of {config.image.size[0]} pixels'


def _weights(wrong: str, change: Callable[[bytes], bytes], says: str):
  """Bytes of `model.safetensors` changed."""
  def read(folder):
    path = small_files.siglip(folder) / _WEIGHTS
    path.write_bytes(change(path.read_bytes()))
    return _load(folder)
  return hostile.Case('weights', wrong, read, says)


def _header(wrong: str, change: Callable[[dict], None], says: str):
  """The header of `model.safetensors` changed."""
  def rewrite(content):
    end = 8 + int.from_bytes(content[:8], 'little')
    fields = json.loads(content[8:end])
    change(fields)
    header = json.dumps(fields).encode()
    return len(header).to_bytes(8, 'little') + header + content[end:]
  return _weights(wrong, rewrite, says)


def _tensors(wrong: str, change: Callable[[dict], None], says: str | None):
  """Tensors changed."""
  def read(folder):
    small_files.siglip(folder)
    values = small_files.values()
    change(values)
    safetensors.numpy.save_file(values, folder / _WEIGHTS)
    return _load(folder)
  return hostile.Case('weights', wrong, read, says)


def _set(values, value, dtype=np.float32):
  values[_SCALE] = np.full(values[_SCALE].shape, value, dtype)


def _config(
    wrong: str, says: str | None, vision: dict | None = None, **fields):
  """Fields of `config.json` changed, or of its `vision_config`."""
  def read(folder):
    small_files.siglip(folder, **fields)
    if vision is not None:
      path = folder / 'config.json'
      config = json.loads(path.read_text())
      config['vision_config'] |= vision
      path.write_text(json.dumps(config))
    return _load(folder)
  return hostile.Case('config.json', wrong, read, says)


def _text(wrong: str, content: bytes, says: str | None):
  """Another `config.json` altogether."""
  def read(folder):
    (small_files.siglip(folder) / 'config.json').write_bytes(content)
    return _load(folder)
  return hostile.Case('config.json', wrong, read, says)


def _with_bom(folder):
  path = small_files.siglip(folder) / 'config.json'
  path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
  return _load(folder)


def _huge_config(folder):
  path = small_files.siglip(folder) / 'config.json'
  with path.open('ab') as file:
    file.truncate(1 << 40)  # It takes no room on the disk.
  return _load(folder)


def _pipe(folder):
  path = small_files.siglip(folder) / 'config.json'
  path.unlink()
  os.mkfifo(path)
  return _load(folder)


def _shard(wrong: str, name: object, says: str, error=ValueError):
  """A tensor that the index has in another file."""
  def read(folder):
    path = small_files.sharded_siglip(folder) / f'{_WEIGHTS}.index.json'
    fields = json.loads(path.read_text())
    fields['weight_map'][_SCALE] = name
    path.write_text(json.dumps(fields))
    return _load(folder)
  return hostile.Case('index of weights', wrong, read, says, error)


def _pickle(folder):
  (small_files.siglip(folder) / _WEIGHTS).rename(folder / 'pytorch_model.bin')
  return _load(folder)


def _npz(wrong: str, change: Callable[[dict], None], says: str):
  """Arrays of a `.npz` changed."""
  def read(folder):
    arrays = small_files.big_vision_arrays()
    change(arrays)
    np.savez(folder / 'a.npz', **arrays)
    return big_vision.load(folder / 'a.npz')[0].embed_dim
  return hostile.Case('big_vision', wrong, read, says)


def _pickled(folder):
  arrays = small_files.big_vision_arrays()
  arrays['params/t'] = np.array([_Bomb(folder / 'unpickled')], object)
  np.savez(folder / 'a.npz', **arrays)
  try:
    return big_vision.load(folder / 'a.npz')
  finally:
    assert not (folder / 'unpickled').exists()


def _npy(shape: str, content: bytes = b'') -> bytes:
  """A `.npy` that claims a shape."""
  header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n"
  return (b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header))
          + header.encode() + content)


def _member(wrong: str, content: bytes, says: str, name='params/t.npy'):
  """A member of the `.npz` that is written by hand."""
  def read(folder):
    with zipfile.ZipFile(folder / 'a.npz', 'w') as file:
      file.writestr('params/b.npy', _npy('(1,)', b'\0' * 4))
      file.writestr(name, content)
    return big_vision.load(folder / 'a.npz')
  return hostile.Case('big_vision', wrong, read, says)


def _bomb(folder):
  path = folder / 'a.npz'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    size = 17 << 24
    with file.open('params/t.npy', 'w') as member:
      member.write(_npy(f'({size // 4},)'))
      for _ in range(size >> 24):
        member.write(bytes(1 << 24))
  return big_vision.load(path)


def _packed_by(method):
  def read(folder):
    with zipfile.ZipFile(folder / 'a.npz', 'w', method) as file:
      file.writestr('params/t.npy', _npy('(1,)', b'\0' * 4))
    content = bytearray((folder / 'a.npz').read_bytes())
    at = content.index(b'params/t.npy') + len(b'params/t.npy')
    at += 9  # of the properties
    content[at:at + 9] = b'\xff' * 9
    (folder / 'a.npz').write_bytes(content)
    return big_vision.load(folder / 'a.npz')
  return read


def _encrypted(folder):
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w') as file:
    file.writestr('params/t.npy', _npy('(1,)', b'\0' * 4))
  content = bytearray(stream.getvalue())
  for mark, offset in ((b'PK\3\4', 6), (b'PK\1\2', 8)):
    content[content.index(mark) + offset] |= 1
  (folder / 'a.npz').write_bytes(content)
  return big_vision.load(folder / 'a.npz')


def _images(wrong: str, says: str | None, **fields):
  """Fields of `preprocessor_config.json` changed."""
  def read(folder):
    return preprocess.load(small_files.images(folder, **fields)).size
  return hostile.Case('preprocessor', wrong, read, says)


def _deep_model_type(folder: pathlib.Path):
  small_files.images(folder, image_processor_type=None)
  (folder / 'config.json').write_bytes(b'[' * 100_000)
  return preprocess.load(folder)


CASES = [
    _weights('cut off', lambda content: content[:-5], 'is damaged'),
    _weights('a header beyond the file',
             lambda content: b'\xff\xff\xff\xff' + content[4:], 'is damaged'),
    _weights('a header of 2^63 bytes',
             lambda content: b'\0' * 7 + b'\x80' + content[8:], 'is damaged'),
    _weights('a header that is no JSON',
             lambda content: content[:8] + b'}' + content[9:], 'is damaged'),
    _weights('empty', lambda content: b'', 'is damaged'),
    _header('offsets beyond the file', lambda fields: fields[_SCALE].update(
        data_offsets=[0, 10**12]), 'is damaged'),
    _header('offsets that overlap', lambda fields: fields[_SCALE].update(
        data_offsets=[0, 4]), 'is damaged'),
    _header('a negative shape', lambda fields: fields[_SCALE].update(
        shape=[-1]), 'is damaged'),
    _header('a shape whose size overflows', lambda fields: fields[
        _SCALE].update(shape=[2**32, 2**32]), 'is damaged'),
    _header('an unknown type', lambda fields: fields[_SCALE].update(
        dtype='F31'), 'is damaged'),
    _tensors('a NaN', lambda values: _set(values, np.nan),
             'holds NaN, or an infinite number, in logit_scale'),
    _tensors('an infinite number', lambda values: _set(values, np.inf),
             'holds NaN, or an infinite number'),
    _tensors('64 bits beyond 32', lambda values: _set(
        values, 1e300, np.float64), 'holds NaN, or an infinite number'),
    _tensors('integers', lambda values: _set(values, 1, np.int8),
             'is of type I8; F16, BF16, F32, F64 are supported'),
    _tensors('one missing', lambda values: values.pop(_SCALE),
             'missing: logit_scale (1,)'),
    _tensors('one too many', lambda values: values.update(
        more=np.zeros(1)), 'unexpected: more (1,)'),
    _tensors('thousands too many', lambda values: values.update(
        {f'more{i}': np.zeros(1) for i in range(2000)}), '1980 more'),
    _tensors('another shape', lambda values: values.update(
        logit_scale=np.zeros(3)), 'logit_scale is (3,), not (1,)'),
    _shard('the path of another folder', '../../x.safetensors',
           'is no .safetensors file in its folder'),
    _shard('an absolute path', '/etc/passwd', 'is no .safetensors file in its'),
    _shard('half a surrogate pair', '\ud800.safetensors',
           'is no .safetensors file in its folder'),
    _shard('a name of a megabyte', 'x' * 10**6 + '.safetensors',
           'is no .safetensors file in its folder'),
    _shard('a number for a name', 7, 'is no .safetensors file in its folder'),
    _shard('a file that is not there', 'gone.safetensors', 'does not exist',
           FileNotFoundError),
    hostile.Case('weights', 'a pickle', _pickle, 'may run any code',
                 FileNotFoundError),
    _config('10^9 layers', 'model.depth=1000000000 must be at most 1000',
            {'num_hidden_layers': 10**9}),
    _config('a layer of 10^9', 'does not hold what its configuration needs',
            {'intermediate_size': 10**9}),
    _config('a width of 10^400', 'must be a whole number within [0, 2147483648',
            {'hidden_size': 10**400}),
    _config('a width that is a text', "hidden_size='4' must be a whole number",
            {'hidden_size': '4'}),
    _config('true for a number', 'patch_size=True must be a whole number',
            {'patch_size': True}),
    _config('NaN for a number', 'layer_norm_eps=nan must be a finite number',
            {'layer_norm_eps': float('nan')}),
    _config('an integer beyond all floats', 'must be a finite number',
            {'layer_norm_eps': 10**400}),
    _config('a negative epsilon', 'must be a finite number, at least 0',
            {'layer_norm_eps': -1.0}),
    _config('a list for a tower', 'vision_config=[1] must be an object',
            vision_config=[1]),
    _config('a list for an activation', 'hidden_act=[[]] is not supported',
            {'hidden_act': [[]]}),
    _config('another model', "model_type='bert' is not supported",
            model_type='bert'),
    _text('nested 100,000 deep', b'[' * 100_000, 'nested more than 100 deep'),
    _text('nested 500 deep', b'{"model_type":' + b'[' * 500 + b']' * 500 + b'}',
          'nested more than 100 deep'),
    _text('a field twice', b'{"model_type": "clip", "model_type": "siglip"}',
          "a field appears twice: 'model_type'"),
    _text('not UTF-8', b'{"model_type": "\xff"}', 'is not JSON'),
    _text('an integer of 5000 digits', b'{"a": ' + b'9' * 5000 + b'}',
          'is not JSON'),
    hostile.Case('config.json', 'begins with a byte order mark', _with_bom,
                 None),
    hostile.Case('config.json', 'a terabyte', _huge_config,
                 '1099511627776 bytes; at most 268435456 are read'),
    hostile.Case('config.json', 'a pipe', _pipe, 'does not exist',
                 FileNotFoundError),
    hostile.Case('big_vision', 'pickled', _pickled, 'is of type object'),
    hostile.Case('big_vision', 'a zip bomb', _bomb, 'which no weights do'),
    hostile.Case('big_vision', 'damaged LZMA', _packed_by(zipfile.ZIP_LZMA),
                 'a.npz: '),
    hostile.Case('big_vision', 'encrypted', _encrypted, 'is encrypted'),
    _member('a shape beyond the file', _npy('(1000000000,)', b'\0' * 4),
            'holds 4 bytes of values'),
    _member('a negative shape', _npy('(-1,)', b'\0' * 4),
            'holds 4 bytes of values'),
    _member('an array twice', _npy('(1,)', b'\0' * 4),
            'params/b appears twice', 'params/b'),
    _member('no array', b'import os', 'a.npz: '),
    _npz('a NaN', lambda arrays: arrays.update({
        'params/t': np.array([np.nan], np.float32)}), 'it holds NaN'),
    _npz('10,000 blocks', lambda arrays: arrays.update({
        f'params/img/Transformer/encoderblock_{i}/x': np.zeros(
            1, np.float32) for i in range(10_000)}),
         'must be at most 1000'),
    _images('an edge of 10^9 pixels', 'must be at most 4096 pixels',
            size={'height': 10**9, 'width': 10**9}),
    _images('an edge of 10^400 pixels', 'must be at most 4096 pixels',
            size={'height': 10**400, 'width': 10**400}),
    _images('a crop beyond the image', 'images are cropped, never padded',
            do_center_crop=True, crop_size={'height': 9, 'width': 9}),
    _images('a factor beyond all floats', 'rescale_factor=1000',
            rescale_factor=10**400),
    _images('means that are no numbers', "image_mean=['a'] must be finite",
            image_mean=['a']),
    _images('a mean beyond all floats', 'must be finite numbers',
            image_mean=[10**400, 0, 0]),
    _images('a deviation of 0', 'must be a tuple of three finite numbers',
            image_std=[0, 0, 0]),
    _images('a list for a switch', 'do_normalize=[[]] must be true or false',
            do_normalize=[[]]),
    _images('true for a number', 'resample=True is not supported',
            resample=True),
    hostile.Case('preprocessor', 'a config.json nested 100,000 deep',
                 _deep_model_type, 'of config.json no model_type can be read'),
]
