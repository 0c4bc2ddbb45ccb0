"""What the files of a published tokenizer say about it."""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import functools
import os
import pathlib
from typing import Any

import tokenizers

from mmal_jax.data import json_object

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
# With the flags of how it is found in texts, where the files say so.
Token = str | tokenizers.AddedToken


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
  """

  path: pathlib.Path
  files: Mapping[str, bytes]

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
    """What `config.json` names."""
    path = self.path / 'config.json'
    if not path.is_file():
      return None
    return json_object.parse(path.read_bytes(), path).get('model_type')

  @functools.cached_property
  def class_name(self) -> str:
    """One of `CLASSES`, as the model was trained."""
    named = self.config.get('tokenizer_class')
    if named is None:
      if self.model_type not in _BY_MODEL:
        raise ValueError(
            f'{self.path}: {CONFIG} names no tokenizer_class, and the '
            f'model_type of config.json is {self.model_type!r}, none of '
            f'{", ".join(_BY_MODEL)}.')
      return _BY_MODEL[self.model_type]
    if named in ('PreTrainedTokenizerFast', 'TokenizersBackend'):
      name = PLAIN
    else:
      name = str(named).removesuffix('Fast')
    if name not in CLASSES:
      raise ValueError(
          f'{self.path / CONFIG}: tokenizer_class={named!r} is not supported; '
          f'{", ".join(CLASSES)} are.')
    # The class that the files of these models name is known to be wrong.
    wrong = self.model_type == 'siglip2' or (
        self.model_type == 'siglip' and name == GEMMA)
    return SIGLIP2 if wrong else name

  def side(self, what: str, default: str) -> bool:
    """Whether `padding` or `truncation` is done on the left."""
    stored = self.json('tokenizer.json').get(what) or {}
    value = self.config.get(f'{what}_side') or str(
        stored.get('direction', default)).lower()
    if value not in ('left', 'right'):
      raise ValueError(f'{self.path}: {what}_side={value!r} must be left or '
                       'right.')
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
      added = {int(i): _added(fields, self.path / CONFIG)
               for i, fields in config['added_tokens_decoder'].items()}
    else:  # as transformers wrote it until 4.33
      stored = self.json(_MAP)
      named |= _roles(stored, self.path / _MAP, special=True)
      if extra is None:
        extra = _extra(stored, self.path / _MAP, special=True)
      texts = {str(token) for token in [*named.values(), *(extra or [])]}
      added = {
          i: tokenizers.AddedToken(
              text, normalized=text not in texts, special=text in texts)
          for text, i in self.json('added_tokens.json').items()}
      where = self.path / 'tokenizer.json'
      added |= {fields['id']: _added(fields, where) for fields in
                self.json('tokenizer.json').get('added_tokens', [])}
    # In this order, as later tokens of the same text count.
    order = [role for role in _ROLES if role in named]
    order += [role for role in named if role not in _ROLES]
    named = {role: named[role] for role in order if named[role] is not None}
    known = vocab.keys() | {token.content for token in added.values()}
    for role, token in [*named.items(), *(('', t) for t in extra or [])]:
      if str(token) not in known:
        raise ValueError(f'{self.path}: {role or "the special token"} '
                         f'{str(token)!r} is not among the tokens.')
    return SpecialTokens(named, added, extra)


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
  """Turns what the `tokenizers` library raises into a ValueError with a path.

  Args:
    path: what cannot be read then.
  """
  try:
    yield
  except ImportError:
    raise
  except Exception as e:  # It raises no narrower class.
    raise ValueError(f'{path} cannot be read: {e}') from e


def read(path: str | os.PathLike[str]) -> TokenizerFolder:
  """Reads the files.

  Raises:
    FileNotFoundError: if there is no such folder.
  """
  path = pathlib.Path(path)
  if not path.is_dir():
    raise FileNotFoundError(f'{path} is no folder.')
  return TokenizerFolder(path, {
      name: (path / name).read_bytes() for name in FILES
      if (path / name).is_file()})


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
  value = value.values() if isinstance(value, dict) else value
  return [_token(token, path, **flags) for token in value]


def _token(value: Any, path: pathlib.Path, **flags: bool) -> Token | None:
  if value is None or isinstance(value, str):
    return value
  return _added(value, path, **flags)


def _added(
    fields: Any, path: pathlib.Path, **flags: bool
) -> tokenizers.AddedToken:
  try:
    return tokenizers.AddedToken(fields['content'], **{
        k: v for k, v in (fields | flags).items()
        if k not in ('content', '__type', 'id')})
  except (KeyError, TypeError) as e:
    raise ValueError(f'{path}: {fields!r} is no token: {e}') from e
