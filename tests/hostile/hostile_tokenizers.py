"""Bad tokenizers."""

from collections.abc import Callable
import json

from sentencepiece import sentencepiece_model_pb2

from mmal_jax.data.tokenizers import pretrained_tokenizer
from tests.hostile import hostile
from tests.support import small_files


def _tokens(folder, text='ab') -> str:
  made = pretrained_tokenizer.load(folder, 6)
  return f'{text!r} is {made([text])[0].tolist()}'


def _config(make: Callable, wrong: str, says: str | None, **fields):
  """Fields of `tokenizer_config.json` changed."""
  return hostile.Case('tokenizer_config', wrong, lambda folder: _tokens(
      make(folder, **fields)), says)


def _file(make: Callable, name: str, wrong: str, content: bytes, says: str):
  """A file in place of another."""
  def read(folder):
    (make(folder) / name).write_bytes(content)
    return _tokens(folder)
  return hostile.Case(name, wrong, read, says)


def _json(make: Callable, name: str, wrong: str, value, says: str | None):
  return _file(make, name, wrong, json.dumps(value).encode(), says)


def _plain(wrong: str, says: str, text='ab', **changes):
  """Fields of `tokenizer.json` changed."""
  return hostile.Case('tokenizer.json', wrong, lambda folder: _tokens(
      small_files.plain_tokenizer(folder, **changes), text), says)


def _pieces(wrong: str, change: Callable, says: str):
  """Pieces of `tokenizer.model` changed."""
  proto = sentencepiece_model_pb2.ModelProto()
  proto.ParseFromString(small_files.pieces(2))
  change(proto)
  return _file(_gemma, 'tokenizer.model', wrong, proto.SerializeToString(),
               says)


def _lying(content: bytes) -> bytes:
  """The first piece claims to be longer than the file."""
  return content[:1] + b'\xff\xff\xff\xff\x07' + content[2:]


_clip, _gemma, _siglip = (small_files.clip_tokenizer,
                          small_files.gemma_tokenizer,
                          small_files.siglip_tokenizer)
_BPE = {'type': 'BPE', 'vocab': {'a': 0, 'b': 1, 'ab': 2}}

CASES = [
    _file(_siglip, 'spiece.model', 'cut off', small_files.pieces()[:40],
          'spiece.model cannot be read'),
    _file(_siglip, 'spiece.model', 'lengths that lie',
          _lying(small_files.pieces()), 'spiece.model cannot be read'),
    _file(_siglip, 'spiece.model', 'pieces that are no UTF-8',
          small_files.pieces().replace(b'abc', b'\xff\xff\xff'),
          'spiece.model cannot be read'),
    _file(_gemma, 'tokenizer.model', 'lengths that lie',
          _lying(small_files.pieces(2)), 'tokenizer.model cannot be read'),
    _file(_gemma, 'tokenizer.model', 'no pairs', small_files.pieces(),
          'it is no SentencePiece model of byte pairs'),
    _pieces('a piece of a megabyte', lambda proto: proto.pieces.add(
        piece='x' * 10**6), 'a piece of more than 512 letters'),
    _pieces('a piece twice', lambda proto: proto.pieces.add(piece='a'),
            'a piece appears twice'),
    _file(_clip, 'tokenizer_config.json', 'nested 100,000 deep',
          b'{"a":' * 100_000, 'nested more than 100 deep'),
    _file(_clip, 'vocab.json', 'no JSON', b'{', 'vocab.json is not JSON'),
    _json(_clip, 'vocab.json', 'a number beyond 32 bits', {'a': 2**70},
          'is not among the tokens'),
    _json(_clip, 'vocab.json', 'a list', ['a'], 'holds no JSON object'),
    _file(_clip, 'vocab.json', 'a token twice', b'{"a": 0, "a": 1}',
          'a field appears twice'),
    _file(_clip, 'merges.txt', 'tokens that do not exist', b'x\xc3\xa9 yy\n',
          'cannot be read'),
    _json(_clip, 'added_tokens.json', 'a number that is a list', {'x': [1]},
          'added_tokens.json: [1] is no number of a token'),
    _json(_clip, 'added_tokens.json', 'a negative number', {'x': -1},
          'added_tokens.json: -1 is no number of a token'),
    _json(_clip, 'added_tokens.json', 'an empty token', {'': 515},
          'is no token: it is empty'),
    _json(_clip, 'special_tokens_map.json', 'a number for a list',
          {'additional_special_tokens': 5}, '5 must be a list of tokens'),
    _json(_clip, 'special_tokens_map.json', 'unknown flags',
          {'bos_token': {'content': 'a', 'run': 1}}, "unknown are ['run']"),
    _config(_siglip, 'a list of added tokens', '[1] must be an object',
            added_tokens_decoder=[1]),
    _config(_siglip, 'a number of 5000 digits', 'is no number of a token',
            added_tokens_decoder={'9' * 5000: {'content': 'a'}}),
    _config(_siglip, 'half a surrogate pair', 'is no token',
            added_tokens_decoder={'1': {'content': '\ud800'}}),
    _config(_siglip, 'a text for a switch', "do_lower_case='no' must be true",
            do_lower_case='no'),
    _config(_gemma, 'a number for a switch', 'add_eos_token=7 must be true',
            add_eos_token=7),
    _config(_siglip, 'a list for a class', 'is not supported',
            tokenizer_class=[1]),
    _config(_siglip, 'a list for a side', 'must be left or right',
            padding_side=['left']),
    _json(_siglip, 'config.json', 'a model that is a list',
          {'model_type': ['siglip']}, None),
    _plain('a prefix longer than a token', 'tokenizer.json cannot be read',
           model=_BPE | {'merges': [['a', 'b']],
                         'continuing_subword_prefix': 'xyz'}),
    _plain('no token for what is unknown', 'WordLevel error', text='zz',
           model={'type': 'WordLevel', 'vocab': {'a': 0, '<pad>': 3},
                  'unk_token': '?'}),
    _plain('a token of number 2^32 - 1', 'beyond 32 bits with a sign',
           model=_BPE | {'vocab': {'a': 2**32 - 1, '<pad>': 3},
                         'merges': []}),
    _plain('a text for a padding', 'tokenizer.json cannot be read',
           padding='left'),
    _json(_clip, 'tokenizer.json', 'added tokens without numbers',
          {'model': _BPE | {'merges': []}, 'added_tokens': [{'content': 'x'}]},
          'None is no number of a token'),
    _json(_clip, 'tokenizer.json', 'a text for added tokens',
          {'model': _BPE | {'merges': []}, 'added_tokens': 'x'},
          "'x' must be a list of tokens"),
]
