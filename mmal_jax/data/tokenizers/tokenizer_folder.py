"""What the files of a published tokenizer say about it."""

from __future__ import annotations  # `tokenizers` is optional.

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from typing import Any

from mmal_jax import extras
from mmal_jax.files import downloads
from mmal_jax.files import durable
from mmal_jax.files import hub_cache
from mmal_jax.files import json_object

tokenizers = extras.Lazy('tokenizers', 'to cut texts into tokens')

FILES = (
    'tokenizer.json', 'vocab.json', 'merges.txt', 'spiece.model',
    'tokenizer.model', 'tokenizer_config.json', 'special_tokens_map.json',
    'added_tokens.json')
CONFIG = 'tokenizer_config.json'
_MAP = 'special_tokens_map.json'
CLIP, SIGLIP, SIGLIP2, GEMMA, PLAIN = CLASSES = (
    'CLIPTokenizer', 'SiglipTokenizer', 'Siglip2Tokenizer', 'GemmaTokenizer',
    'PreTrainedTokenizerFast')
_BY_MODEL = {'clip': CLIP, 'siglip': SIGLIP, 'siglip2': SIGLIP2}
_GEMMA_TOKENS = {
    'bos_token': '<bos>', 'eos_token': '<eos>', 'unk_token': '<unk>',
    'pad_token': '<pad>', 'mask_token': '<mask>'}
# What the classes take where the files name no token for a role.
_DEFAULTS = {
    CLIP: {'bos_token': '<|startoftext|>', 'eos_token': '<|endoftext|>',
           'unk_token': '<|endoftext|>', 'pad_token': '<|endoftext|>'},
    SIGLIP: {'eos_token': '</s>', 'unk_token': '<unk>', 'pad_token': '</s>'},
    SIGLIP2: _GEMMA_TOKENS, GEMMA: _GEMMA_TOKENS, PLAIN: {}}
_ROLES = ('bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token',
          'cls_token', 'mask_token')
# What the classes take where the files name no model_max_length.
_MOST_TOKENS = {SIGLIP: 64}
_UNLIMITED = 10**9
_LONGEST = 1000  # letters of what another library says
# Of a token: what counts as its place in a text.
_FLAGS = ('single_word', 'lstrip', 'rstrip', 'normalized', 'special')
_quote = json_object.quote
# With the flags of how it is found in texts, where the files say so.
Token = 'str | tokenizers.AddedToken'


@dataclasses.dataclass(frozen=True)
class SpecialTokens:
  """Tokens that are found in texts as a whole.

  Attributes:
    named: by their role, `pad_token` for one.
    added: by their number.
    extra: further ones; None where the files do not speak of such.
  """

  named: dict[str, Token]
  added: dict[int, tokenizers.AddedToken]
  extra: list[Token] | None

  def special(self) -> list[Token]:
    """Those with a role, and the further ones."""
    return [*self.named.values(), *(self.extra or [])]

  def text(self, role: str, where: pathlib.Path) -> str:
    """A role's token; ValueError, naming `where`, if nothing has that role."""
    if role not in self.named:
      raise ValueError(f'{where} names no {role}.')
    return str(self.named[role])


@dataclasses.dataclass(frozen=True)
class TokenizerFolder:
  """The tokenizer's files in one folder.

  Attributes:
    path: of the folder.
    files: their contents by name, of those in `FILES` that exist.
    model: the `model_type` of the checkpoint, where no config.json lies there.
  """

  path: pathlib.Path
  files: Mapping[str, bytes]
  model: str | None = None

  def need(self, *names: str) -> None:
    """Raises FileNotFoundError unless one of the files exists."""
    if not any(name in self.files for name in names):
      raise FileNotFoundError(
          f'{self.path} has no {" or ".join(names)}, which {self.class_name} '
          'needs.')

  def json(self, name: str) -> dict[str, Any]:
    """A file's JSON object; empty where there is no file."""
    if name not in self.files:
      return {}
    return json_object.parse(self.files[name], self.path / name)

  @functools.cached_property
  def config(self) -> dict[str, Any]:
    """Content of `tokenizer_config.json`."""
    return self.json(CONFIG)

  @functools.cached_property
  def model_type(self) -> str | None:
    """What `config.json` names, or else that of the checkpoint."""
    path = self.path / 'config.json'
    if not downloads.is_there(path):
      return self.model
    return json_object.parse(durable.read(path), path).get(
        'model_type') or self.model

  @functools.cached_property
  def class_name(self) -> str:
    """One of `CLASSES`, as the model was trained."""
    named = self.config.get('tokenizer_class')
    if named is None:
      if self.model_type not in tuple(_BY_MODEL):
        raise ValueError(
            f'{self.path}: {CONFIG} names no tokenizer_class, and config.json '
            + ('no model_type either.' if self.model_type is None else
               f'the model_type {_quote(self.model_type)}, none of '
               f'{", ".join(_BY_MODEL)}.'))
      if self.model_type == 'siglip' and self._is_gemma:
        return SIGLIP2
      return _BY_MODEL[self.model_type]
    if named in ('PreTrainedTokenizerFast', 'TokenizersBackend'):
      name = PLAIN
    else:
      name = str(named).removesuffix('Fast')
    if name not in CLASSES:
      raise ValueError(
          f'{self.path / CONFIG}: tokenizer_class={_quote(named)} is not '
          f'supported; '
          f'{", ".join(CLASSES)} are.')
    # The class that the files of these models name is known to be wrong.
    wrong = self.model_type == 'siglip2' or (
        self.model_type == 'siglip' and name == GEMMA)
    return SIGLIP2 if wrong else name

  @property
  def _is_gemma(self) -> bool:
    """Whether the files are Gemma's, as SigLIP 2 takes them, not SigLIP's."""
    if 'spiece.model' in self.files:
      return False
    stored = self.json('tokenizer.json').get('model')
    return 'tokenizer.model' in self.files or isinstance(
        stored, dict) and stored.get('byte_fallback') is True

  @property
  def most_tokens(self) -> int | None:
    """What texts are cut to; None where the files set no limit."""
    name = 'model_max_length'
    if name not in self.config:
      if self.class_name in _MOST_TOKENS:
        return _MOST_TOKENS[self.class_name]
      name = 'max_len'  # Its name of old, which the other classes still take.
    value = self.config.get(name)
    if value is None:  # Null lifts the limit of a class, too.
      return None
    if type(value) not in (int, float) or not value >= 1:
      raise ValueError(f'{self.path / CONFIG}: {name}={_quote(value)} must be '
                       'a number of tokens, at least 1.')
    # For none transformers writes 10**30.
    return int(value) if value < _UNLIMITED else None

  def switch(self, name: str, default: bool) -> bool:
    """What `tokenizer_config.json` says is so, or not; null is not."""
    value = self.config.get(name, default)
    if value is None:
      return False
    if not isinstance(value, bool):
      raise ValueError(f'{self.path / CONFIG}: {name}={_quote(value)} must be '
                       'true or false.')
    return value

  def side(self, what: str, default: str) -> bool:
    """Whether `padding` or `truncation` is done on the left."""
    stored = self.json('tokenizer.json').get(what)
    if isinstance(stored, dict):
      default = stored.get('direction', default)
    value = self.config.get(f'{what}_side') or str(default).lower()
    if value not in ('left', 'right'):
      raise ValueError(f'{self.path}: {what}_side={_quote(value)} must be left '
                       'or right.')
    return value == 'left'

  def special_tokens(self, vocab: Mapping[str, int]) -> SpecialTokens:
    """Special tokens, with their flags from wherever they are said.

    Args:
      vocab: the numbers of the other tokens (and maybe of these too).

    Raises:
      ValueError: if the files name a token that has no number.
    """
    config = self.config
    named: dict[str, Token | None] = {
        role: text for role, text in _DEFAULTS[self.class_name].items()
        if text in vocab}
    named |= _roles(config, self.path / CONFIG)
    extra = _extra(config, self.path / CONFIG)
    if 'added_tokens_decoder' in config:
      where = self.path / CONFIG
      added = {_number(i, where): _added(fields, where) for i, fields in
               _object(config['added_tokens_decoder'], where).items()}
    else:  # as transformers wrote it until 4.33
      stored = self.json(_MAP)
      named |= _roles(stored, self.path / _MAP, special=True)
      if extra is None:
        extra = _extra(stored, self.path / _MAP, special=True)
      texts = {str(token) for token in [*named.values(), *(extra or [])]}
      where = self.path / 'added_tokens.json'
      added = {
          _number(i, where): _added({
              'content': text, 'normalized': text not in texts,
              'special': text in texts}, where)
          for text, i in self.json('added_tokens.json').items()}
      where = self.path / 'tokenizer.json'
      added |= {
          _number(_object(fields, where).get('id'), where): _added(
              fields, where) for fields in _list(
                  self.json('tokenizer.json').get('added_tokens', []), where)}
    # In this order, as later tokens of the same text count.
    order = [role for role in _ROLES if role in named]
    order += [role for role in named if role not in _ROLES]
    named = {role: named[role] for role in order if named[role] is not None}
    known = vocab.keys() | {token.content for token in added.values()}
    for role, token in [*named.items(), *(('', t) for t in extra or [])]:
      if str(token) not in known:
        raise ValueError(f'{self.path}: {role or "the special token"} '
                         f'{_quote(str(token))} is not among the tokens.')
    return SpecialTokens(named, added, extra)


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
  """Turns what the `tokenizers` library raises into a ValueError with a path.

  What it does for a file it may still refuse for a text.

  Args:
    path: what cannot be read then.
  """
  try:
    yield
  except ImportError:
    raise
  except BaseException as e:  # It raises no narrower class than Exception,
    # and where its Rust panics not even that.
    if not isinstance(e, Exception) and type(e).__name__ != 'PanicException':
      raise
    raise ValueError(f'{path} cannot be read: '
                     f'{durable.reason(e)[:_LONGEST]}') from e


def read(
    path: str | os.PathLike[str], model: str | None = None
) -> TokenizerFolder:
  """Reads the files.

  Args:
    path: of the folder, or of one of the cache of huggingface_hub.
    model: as `TokenizerFolder` holds it.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if it is a file, or one of its files is what a failed download
      left.
  """
  path = pathlib.Path(path)
  if path.is_file():
    raise ValueError(f'{path} is a file: give the folder of the tokenizer, '
                     f'{path.parent}')
  if not path.is_dir():
    raise FileNotFoundError(f'{path} is no folder.')
  path = hub_cache.snapshot(path)
  files = {name: durable.read(path / name) for name in FILES
           if downloads.is_there(path / name)}
  for name, content in files.items():
    # A list of merges may be empty.
    wrong = (downloads.wrong(path / name, content)
             if content or name != 'merges.txt' else None)
    if wrong is not None:
      raise ValueError(f'{path / name} {wrong}.')
  return TokenizerFolder(path, files, model)


def _roles(
    fields: Mapping[str, Any], path: pathlib.Path, **flags: bool
) -> dict[str, Token | None]:
  """The entries `pad_token` and so on (but not the switch `add_bos_token`)."""
  return {name: _token(value, path, **flags) for name, value in fields.items()
          if name.endswith('_token') and (
              value is None or isinstance(value, (str, dict)))}


def _extra(
    fields: Mapping[str, Any], path: pathlib.Path, **flags: bool
) -> list[Token] | None:
  given = [fields[name] for name in (
      'extra_special_tokens', 'additional_special_tokens') if name in fields]
  if not given:
    return None
  value = next(filter(None, given), [])
  value = list(value.values()) if isinstance(value, dict) else value
  return [_token(token, path, **flags) for token in _list(value, path)]


def _token(value: Any, path: pathlib.Path, **flags: bool) -> Token | None:
  if value is None or isinstance(value, str):
    return value
  return _added(value, path, **flags)


def _added(
    fields: Any, path: pathlib.Path, **flags: bool
) -> tokenizers.AddedToken:
  try:
    given = {k: v for k, v in (fields | flags).items()
             if k not in ('content', '__type', 'id')}
    unknown = sorted(set(given) - set(_FLAGS))
    if unknown:
      raise TypeError(f'unknown are {unknown[:3]}')
    token = tokenizers.AddedToken(fields['content'], **given)
  except (KeyError, TypeError, UnicodeError) as e:
    raise ValueError(f'{path}: {_quote(fields)} is no token: '
                     f'{_quote(str(e))}.') from e
  if not token.content:
    raise ValueError(f'{path}: {_quote(fields)} is no token: it is empty.')
  return token


def _number(value: Any, path: pathlib.Path) -> int:
  """Of a token: written as such, or in letters where it is a key."""
  text = str(value) if type(value) is int else value
  if not isinstance(text, str) or not re.fullmatch('0|[1-9][0-9]{0,8}', text):
    raise ValueError(f'{path}: {_quote(value)} is no number of a token.')
  return int(text)


def _object(value: Any, path: pathlib.Path) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise ValueError(f'{path}: {_quote(value)} must be an object.')
  return value


def _list(value: Any, path: pathlib.Path) -> list[Any]:
  if not isinstance(value, list):
    raise ValueError(f'{path}: {_quote(value)} must be a list of tokens.')
  return value
