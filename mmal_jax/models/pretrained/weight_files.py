"""The files of weights in a checkpoint's folder, and what is there instead."""

import json
import pathlib
import re

from mmal_jax.files import downloads
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import plain_text

WEIGHTS = 'model.safetensors'
INDEX = WEIGHTS + '.index.json'
ADAPTER = 'adapter_config.json'
_SHARD = re.compile(r'[\w.-]{1,200}\.safetensors', re.ASCII)
_NUMBERED = re.compile(r'model-\d+-of-(\d+)\.safetensors')
_PICKLES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl')
_OTHERS = ('.msgpack', '.h5', '.gguf', '.onnx', '.npz', '.pb', '.tflite')
_MOST_HEADER = 10**8  # bytes; as the library allows
_SHOWN = 5


def find(
    folder: pathlib.Path
) -> tuple[list[pathlib.Path], dict[str, str] | None]:
  """The files that hold the tensors, each as long as its header says.

  Args:
    folder: of a checkpoint.

  Returns:
    Paths, and the file's name of each tensor where the index says it.

  Raises:
    FileNotFoundError: if there are none, or a shard is missing, with what lies
      there instead.
    ValueError: if the index or a file is not what it should be.
  """
  shards = None
  if downloads.is_there(folder / WEIGHTS):
    paths = [folder / WEIGHTS]
  elif downloads.is_there(folder / INDEX):
    shards = _shards(folder / INDEX)
    paths = sorted({folder / name for name in shards.values()})
    missing = [path for path in paths if not downloads.is_there(path)]
    if missing:
      raise FileNotFoundError(
          f'{_names(missing)} does not exist, which {INDEX} names: '
          f'{len(missing)} of {len(paths)} files of weights are missing in '
          f'{folder}.{_unfinished(folder)}')
  else:
    raise FileNotFoundError(f'there is no {WEIGHTS} and no {INDEX} in {folder}.'
                            f' {_instead(folder)}')
  for path in paths:
    _check(path)
  return paths, shards


def adapter(folder: pathlib.Path) -> str | None:
  """What to do with a folder of an adapter alone; None if it is none."""
  path = folder / ADAPTER
  if not path.is_file():
    return None
  base = json_object.parse(durable.read(path), path).get(
      'base_model_name_or_path')
  of = f' of {json_object.quote(base)}' if isinstance(base, str) else ''
  return (f'It holds an adapter (LoRA){of}, not a model. Merge the two: '
          'peft\'s PeftModel.from_pretrained(base_model, folder)'
          '.merge_and_unload().save_pretrained(new_folder).')


def _shards(path: pathlib.Path) -> dict[str, str]:
  shards = json_object.parse(durable.read(path), path).get('weight_map')
  if not isinstance(shards, dict) or not shards:
    raise ValueError(f'{path} has no weight_map.')
  for name in shards.values():
    # An index may name any file of the machine.
    if not isinstance(name, str) or not _SHARD.fullmatch(name):
      raise ValueError(f'{path} names {json_object.quote(name)}, which is no '
                       '.safetensors file in its folder.')
  return shards


def _check(path: pathlib.Path) -> None:
  """Refuses what is no such file, or was cut off."""
  wrong = downloads.wrong(path) or downloads.archive(path, is_zip=True)
  if wrong is not None:
    raise ValueError(f'{path} is damaged: it {wrong}.')
  size = path.stat().st_size
  with path.open('rb') as file:
    head = file.read(8)
    length = int.from_bytes(head, 'little')
    if head.startswith(b'PK'):
      raise ValueError(
          f'{path} is a pickle of PyTorch (or another zip archive) under the '
          f'name of {path.suffix}. {_convert(path.name)}')
    start = file.read(1)
    if length > _MOST_HEADER or length > size - 8 and start != b'{':
      return  # The library says what is wrong.
    needed = 8 + length
    if needed <= size:
      try:
        fields = json.loads(start + file.read(length - 1))
        needed += max((tensor['data_offsets'][1] for name, tensor
                       in fields.items() if name != '__metadata__'), default=0)
      except Exception:  # pylint: disable=broad-except
        return  # Likewise.
  if needed > size:
    raise ValueError(
        f'{path} is damaged: it has {size:,} bytes, but {needed:,} by its '
        'header, so it was cut off: download or copy it again.')


def _instead(folder: pathlib.Path) -> str:
  """What a folder without weights holds in their place, and what to do."""
  found = adapter(folder)
  if found is not None:
    return found
  unfinished = _unfinished(folder).strip()
  if unfinished:
    return unfinished
  paths = sorted(path for path in folder.iterdir()) if folder.is_dir() else []
  numbered = [path for path in paths if _NUMBERED.fullmatch(path.name)]
  if numbered:
    return (f'It holds {_names(numbered)}, shards without their index: '
            f'download {INDEX}, too.')
  other = [path for path in paths if path.suffix == '.safetensors']
  if other:
    return (f'It holds {_names(other)}, which is not looked for: if that is '
            f'the model in the layout of transformers, name it {WEIGHTS}.')
  pickles = [path for path in paths if path.suffix in _PICKLES
             and path.name != 'training_args.bin']
  if pickles or not paths:
    return _convert(_names(pickles) if pickles else 'pytorch_model.bin')
  others = [path for path in paths if path.suffix in _OTHERS]
  if others:
    return (f'It holds {_names(others)}, weights of another framework: '
            'download the repository\'s .safetensors, or convert them by '
            'transformers.')
  return ('It holds no weights at all: download the repository\'s '
          '.safetensors, too.')


def _convert(name: str) -> str:
  return (f'{name}, a pickle, is not read, as it may run any code. Convert it '
          'where you trust it: transformers.AutoModel.from_pretrained(folder)'
          '.save_pretrained(new_folder).')


def _unfinished(folder: pathlib.Path) -> str:
  names = downloads.unfinished(folder)
  shown = plain_text.for_terminal(', '.join(names[:_SHOWN]))
  return (f' A download there is not finished ({shown}): run it again.'
          if names else '')


def _names(paths: list[pathlib.Path]) -> str:
  more = len(paths) - _SHOWN
  return plain_text.for_terminal(
      ', '.join(path.name for path in paths[:_SHOWN])) + (
      f' and {more} more' if more > 0 else '')
