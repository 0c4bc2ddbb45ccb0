"""The smallest valid checkpoints and tokenizers, made without their authors'
libraries."""

import functools
import json
import pathlib

import numpy as np
import safetensors.numpy
from sentencepiece import sentencepiece_model_pb2
import tokenizers

from mmal_jax.models import config as config_lib
from mmal_jax.models.pretrained import big_vision
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import huggingface_config
from mmal_jax.models.pretrained import tensors

_STACK = config_lib.Stack(width=4, depth=1, heads=2, mlp_width=8)
SIGLIP = families.SIGLIP.build(
    {'stack': _STACK, 'size': (4, 4), 'patch': 2},
    {'stack': _STACK, 'vocab_size': 40, 'length': 6}, embed_dim=4)
_IMAGES = {
    'image_processor_type': 'SiglipImageProcessor', 'do_resize': True,
    'size': {'height': 4, 'width': 4}, 'resample': 3, 'do_rescale': True,
    'rescale_factor': 1 / 255, 'do_normalize': True,
    'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
_PIECES = ('a', 'b', 'c', 'ab', '▁', '▁a', '▁ab', 'abc')
_UNIGRAM, _BPE = 1, 2


def write(folder: pathlib.Path, **files) -> pathlib.Path:
  """Writes JSON files, `.json` added to their names."""
  folder.mkdir(exist_ok=True)
  for name, value in files.items():
    (folder / f'{name}.json').write_text(json.dumps(value))
  return folder


def values() -> dict[str, np.ndarray]:
  """The tensors of a SigLIP by transformers' names."""
  return _random(tensors.table(SIGLIP))


def siglip(folder: pathlib.Path, **config) -> pathlib.Path:
  """A SigLIP as transformers writes it, with changes to its config."""
  fields = huggingface_config.to_fields(SIGLIP, 0.0)
  write(folder, config=fields | config, preprocessor_config=_IMAGES)
  safetensors.numpy.save_file(values(), folder / 'model.safetensors')
  return folder


def images(folder: pathlib.Path, **fields) -> pathlib.Path:
  """A folder with a `preprocessor_config.json` that has been changed."""
  return write(folder, preprocessor_config=_IMAGES | fields)


def big_vision_arrays() -> dict[str, np.ndarray]:
  """The arrays of a SigLIP by big_vision's names."""
  table = big_vision._table(SIGLIP, {})  # pylint: disable=protected-access
  return {f'params/{name}': array for name, array in _random(table).items()}


def big_vision_file(path: pathlib.Path) -> pathlib.Path:
  """A SigLIP as big_vision writes it."""
  np.savez(path, **big_vision_arrays())
  return path


def _random(table):
  rng = np.random.default_rng(0)
  return {tensor.name: rng.normal(size=tensor.shape).astype(np.float32)
          for tensor in table}


@functools.cache
def pieces(kind: int = _UNIGRAM) -> bytes:
  """A model of SentencePiece: of unigrams, or of pairs."""
  proto = sentencepiece_model_pb2.ModelProto()
  special = (('<pad>', _CONTROL), ('</s>', _CONTROL), ('<unk>', _UNKNOWN))
  if kind == _BPE:
    special = (('<pad>', _CONTROL), ('<eos>', _CONTROL), ('<bos>', _CONTROL),
               ('<unk>', _UNKNOWN))
  for i, (text, of) in enumerate(
      (*special, *((text, _NORMAL) for text in _PIECES))):
    proto.pieces.add(piece=text, score=-float(i), type=of)
  proto.trainer_spec.model_type = kind
  proto.trainer_spec.unk_id = len(special) - 1
  proto.normalizer_spec.name = 'identity'
  return proto.SerializeToString()


def siglip_tokenizer(folder: pathlib.Path, **config) -> pathlib.Path:
  """Reads by SentencePiece."""
  write(folder, config={'model_type': 'siglip'}, tokenizer_config={
      'tokenizer_class': 'SiglipTokenizer', 'eos_token': '</s>',
      'unk_token': '<unk>', 'pad_token': '</s>'} | config)
  (folder / 'spiece.model').write_bytes(pieces())
  return folder


def gemma_tokenizer(folder: pathlib.Path, **config) -> pathlib.Path:
  """Reads pairs of SentencePiece by the `tokenizers` library."""
  write(folder, config={'model_type': 'siglip2'}, tokenizer_config={
      'tokenizer_class': 'GemmaTokenizer', 'add_eos_token': True,
      'eos_token': '<eos>', 'unk_token': '<unk>', 'pad_token': '<pad>'}
        | config)
  (folder / 'tokenizer.model').write_bytes(pieces(_BPE))
  return folder


def clip_tokenizer(folder: pathlib.Path, **config) -> pathlib.Path:
  """Reads `vocab.json` and `merges.txt`."""
  letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  tokens = [*letters, *(letter + '</w>' for letter in letters), 'ab',
            '<|startoftext|>', '<|endoftext|>']
  write(folder, config={'model_type': 'clip'},
        vocab={token: i for i, token in enumerate(tokens)},
        tokenizer_config={'tokenizer_class': 'CLIPTokenizer'} | config)
  write(folder, special_tokens_map={
      'bos_token': '<|startoftext|>', 'pad_token': {'content': '!'},
      'additional_special_tokens': ['ab']},
        added_tokens={'<new>': len(tokens)})
  (folder / 'merges.txt').write_text('#version: 0.2\na b\n')
  return folder


def plain_tokenizer(folder: pathlib.Path, **changes) -> pathlib.Path:
  """Reads `tokenizer.json` as it stands."""
  made = tokenizers.Tokenizer(tokenizers.models.BPE(
      {'a': 0, 'b': 1, 'ab': 2, '<pad>': 3}, [('a', 'b')]))
  made.add_special_tokens(['<pad>'])
  write(folder, tokenizer=json.loads(made.to_str()) | changes,
        tokenizer_config={'tokenizer_class': 'PreTrainedTokenizerFast',
                          'pad_token': '<pad>'})
  return folder


def sharded_siglip(folder: pathlib.Path) -> pathlib.Path:
  """The same in two files."""
  siglip(folder)
  (folder / 'model.safetensors').unlink()
  shards = {name: f'model-{i % 2}.safetensors'
            for i, name in enumerate(values())}
  for shard in sorted(set(shards.values())):
    safetensors.numpy.save_file(
        {name: array for name, array in values().items()
         if shards[name] == shard}, folder / shard)
  return write(folder, **{'model.safetensors.index': {'weight_map': shards}})
