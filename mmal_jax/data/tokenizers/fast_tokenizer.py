"""Builds what the `tokenizers` library runs from a checkpoint's files."""

from __future__ import annotations  # `tokenizers` is optional.

from collections.abc import Iterable, Sequence
import dataclasses
import json
from typing import Any

from mmal_jax import extras
from mmal_jax.data.tokenizers import sentencepiece
from mmal_jax.data.tokenizers import tokenizer_folder
from mmal_jax.data.tokenizers import tokenizer_growth
from mmal_jax.files import plain_text
from mmal_jax.files import text_file

tokenizers = extras.Lazy('tokenizers', 'to cut texts into tokens')

# A tokenizer, and what of its tokens is found in texts as a whole.
Made = tuple[Any, tokenizer_folder.SpecialTokens]
# CLIP's words. That its special tokens are there too counts for those in upper
# case only, which are no special tokens.
_CLIP_WORDS = (r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|"
               r'\p{L}+|\p{N}|[^\s\p{L}\p{N}]+')


def plain(source: tokenizer_folder.TokenizerFolder) -> Made:
  """`tokenizer.json` as it stands."""
  source.need('tokenizer.json')
  with tokenizer_folder.reading(source.path / 'tokenizer.json'):
    tokenizer = tokenizers.Tokenizer.from_buffer(source.files['tokenizer.json'])
    tokenizer_growth.check(tokenizer)
  special = source.special_tokens(tokenizer.get_vocab())
  with tokenizer_folder.reading(source.path):
    _add(tokenizer, special)
  return tokenizer, special


def clip(source: tokenizer_folder.TokenizerFolder) -> Made:
  """CLIP's: pairs of bytes, of which the last of a word are of their own."""
  for name in ('vocab.json', 'merges.txt'):
    source.need('tokenizer.json', name)
  if 'tokenizer.json' in source.files:
    vocab, merges, _ = _read_json(source)
    said_by = 'tokenizer.json'
  else:
    said_by = 'merges.txt'
    with tokenizer_folder.reading(source.path / 'vocab.json'):
      vocab = _numbers(source.json('vocab.json'))
    with tokenizer_folder.reading(source.path / 'merges.txt'):
      problems: list[str] = []
      lines = text_file.lines(source.files['merges.txt'], problems)
      if problems:
        raise ValueError(problems[0])
      merges = _pairs(line for line in lines
                      if line and not line.startswith('#version'))
  special = source.special_tokens(vocab)
  bos, eos, unk = (special.text(role, source.path) for role in (
      'bos_token', 'eos_token', 'unk_token'))
  with tokenizer_folder.reading(source.path / said_by):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
        vocab, merges, unk_token=unk, continuing_subword_prefix='',
        end_of_word_suffix='</w>'))
  tokenizer.normalizer = tokenizers.normalizers.Sequence([
      tokenizers.normalizers.NFC(),
      tokenizers.normalizers.Replace(tokenizers.Regex(r'\s+'), ' '),
      tokenizers.normalizers.Lowercase()])
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
      tokenizers.pre_tokenizers.Split(
          tokenizers.Regex(_CLIP_WORDS), 'removed', invert=True),
      tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)])
  _add(tokenizer, special)
  tokenizer.post_processor = tokenizers.processors.RobertaProcessing(
      (eos, tokenizer.token_to_id(eos)), (bos, tokenizer.token_to_id(bos)),
      trim_offsets=False, add_prefix_space=False)
  return tokenizer, special


def gemma(
    source: tokenizer_folder.TokenizerFolder, lower_case: bool
) -> Made:
  """Gemma's: pairs of characters, and bytes for those that are no token."""
  source.need('tokenizer.json', 'tokenizer.model')
  whole, processor = None, None
  if 'tokenizer.json' in source.files:
    vocab, merges, processor = _read_json(source)
  else:
    with tokenizer_folder.reading(source.path / 'tokenizer.model'):
      vocab, merges, whole = sentencepiece.read_bpe(
          source.files['tokenizer.model'])
  special = source.special_tokens(vocab)
  if special.extra is None:
    special = dataclasses.replace(special, extra=whole)
  with tokenizer_folder.reading(source.path):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
        vocab, merges, unk_token=special.text('unk_token', source.path),
        fuse_unk=True, byte_fallback=True))
  spaces = tokenizers.normalizers.Replace(' ', '▁')
  tokenizer.normalizer = (
      tokenizers.normalizers.Sequence(
          [tokenizers.normalizers.Lowercase(), spaces])
      if lower_case else spaces)
  _add(tokenizer, special)
  if 'tokenizer.json' in source.files:
    # There the file decides, not the switches of tokenizer_config.json.
    if processor is not None:
      tokenizer.post_processor = processor
    return tokenizer, special
  ends = {role: special.text(f'{role}_token', source.path)
          for role in ('bos', 'eos')
          if source.switch(f'add_{role}_token', False)}
  tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
      single=[t for t in (ends.get('bos'), '$A', ends.get('eos')) if t],
      special_tokens=[(t, tokenizer.token_to_id(t)) for t in ends.values()])
  return tokenizer, special


def _read_json(source: tokenizer_folder.TokenizerFolder):
  """Vocabulary, merges and post-processor of `tokenizer.json`."""
  stored = source.json('tokenizer.json')
  with tokenizer_folder.reading(source.path / 'tokenizer.json'):
    model = stored['model']
    if model.get('type', 'BPE') != 'BPE':
      kind = plain_text.for_terminal(str(model['type'])[:100])
      raise ValueError(f'its model is {kind}, not BPE.')
    vocab, merges = _numbers(model['vocab']), _pairs(model['merges'])
    # The file with nothing else in it, as only so it can be parsed.
    rest = {'version': '1.0', 'added_tokens': [],
            'model': {'type': 'BPE', 'vocab': {}, 'merges': []},
            'post_processor': stored.get('post_processor')}
    processor = tokenizers.Tokenizer.from_str(json.dumps(rest)).post_processor
    return vocab, merges, processor


def _numbers(vocab: Any) -> dict[str, int]:
  if not isinstance(vocab, dict) or not vocab:
    raise ValueError('it has no tokens.')
  numbers = {i for i in vocab.values() if type(i) is int and i >= 0}
  if len(numbers) < len(vocab):
    raise ValueError('not every token has a number of its own.')
  return vocab


def _pairs(merges: Iterable[str | Sequence[str]]) -> list[tuple[str, str]]:
  pairs = [tuple(merge.rstrip('\r').split(' ') if isinstance(merge, str)
                 else merge) for merge in merges]
  wrong = next((pair for pair in pairs if len(pair) != 2), None)
  if wrong is not None:
    raise ValueError(f'{wrong!r} is no pair of tokens.')
  return pairs


def _add(
    tokenizer: tokenizers.Tokenizer, special: tokenizer_folder.SpecialTokens
) -> None:
  """Adds special tokens; of those with equal text, the last one counts."""
  tokens: list[Any] = [special.added[i] for i in sorted(special.added)]
  known = {token.content for token in [
      *tokens, *tokenizer.get_added_tokens_decoder().values()]}
  for token in special.special():
    if str(token) not in known and token not in tokens:
      tokens.append(token)
  tokenizer.add_tokens([
      tokenizers.AddedToken(token, special=True) if isinstance(token, str)
      else token for token in tokens])
