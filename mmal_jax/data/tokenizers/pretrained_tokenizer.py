"""Tokenizers of published CLIP, SigLIP and SigLIP 2 checkpoints."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import dataclasses
import hashlib
import json
import os
import pathlib

from absl import logging
import numpy as np

from mmal_jax import progress
from mmal_jax.data.tokenizers import fast_tokenizer
from mmal_jax.data.tokenizers import sentencepiece
from mmal_jax.data.tokenizers import tokenizer_folder as folders
from mmal_jax.files import durable
from mmal_jax.files import json_object

_BLOCK = 2**13  # texts that are cut into tokens at a time
# From texts to tokens without padding, and whether the text was cut.
_Encode = Callable[[Sequence[str]], Iterable[tuple[list[int], bool]]]


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedTokenizer:
  """Texts to rows of tokens, the same that the checkpoint's processor gives.

  Attributes:
    length: tokens of a row.
    most_tokens: what the checkpoint's files cut texts to; None: to nothing.
    pad_id: the token that fills rows up.
    vocab_size: rows that a table of embeddings needs.
    tokenizer_class: transformers' name for it.
  """

  length: int
  most_tokens: int | None
  pad_id: int
  vocab_size: int
  tokenizer_class: str
  _pads_left: bool
  _encode: _Encode
  _files: Mapping[str, bytes]

  def __call__(self, texts: Sequence[str]) -> np.ndarray:
    """Tokens of n texts; warns of the texts it must cut.

    Args:
      texts: n strings.

    Returns:
      `[n, length]` int32.

    Raises:
      TypeError: if a text is no string.
      ValueError: if one holds half a surrogate pair, or the files are such
        that it has no tokens.
    """
    if isinstance(texts, str):
      raise TypeError('texts is one string; a sequence of them is needed.')
    for row, text in enumerate(texts):
      if not isinstance(text, str):
        raise TypeError(f'texts[{row}] is a {type(text).__name__}, no string.')
      try:
        text.encode()
      except UnicodeEncodeError as e:
        raise ValueError(f'texts[{row}] holds half a surrogate pair, character '
                         f'{e.start}.') from e
    tokens = np.full((len(texts), self.length), self.pad_id, np.int32)
    cut = 0
    firsts = range(0, len(texts), _BLOCK)
    for first in progress.steps(firsts, len(firsts), 'tokenizing texts'):
      for row, (ids, was_cut) in zip(
          tokens[first:], self._encode(list(texts[first:first + _BLOCK]))):
        cut += was_cut
        start = self.length - len(ids) if self._pads_left else 0
        row[start:start + len(ids)] = ids
    if cut:
      logging.warning('%d of %d texts are longer than %d tokens and were cut.',
                      cut, len(texts), _limit(self.length, self.most_tokens))
    return tokens

  def description(self) -> str:
    """Its class, and a digest of the files it was read from."""
    digest = hashlib.sha256()
    for name, content in sorted(self._files.items()):
      digest.update(repr((name, len(content))).encode() + content)
    return (f'{self.tokenizer_class} {digest.hexdigest()[:12]}, {self.length} '
            'tokens')

  def save(self, folder: str | os.PathLike[str]) -> None:
    """Writes the files it came from, as transformers reads them.

    `tokenizer_config.json` says which class that is, should the one it came
    from not have said so.

    Args:
      folder: made if it does not exist.

    Raises:
      FileExistsError: if files of another tokenizer are there already.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in folders.FILES:
      path = folder / name
      if path.exists() and path.read_bytes() != self._files.get(name):
        raise FileExistsError(f'{path} exists and is of another tokenizer.')
    for name, content in self._files.items():
      if not (folder / name).exists():
        # Half a file would be taken for another tokenizer's.
        durable.write(folder / name, content)


def load(
    folder: str | os.PathLike[str], length: int, model: str | None = None
) -> PretrainedTokenizer:
  """Reads the tokenizer of a checkpoint in Hugging Face's layout.

  The tokens are those of transformers 5.24 with `padding='max_length',
  truncation=True, max_length=length`, or cut to `model_max_length` where that
  is less. Which class reads them is said by `tokenizer_class` in
  `tokenizer_config.json`, or else by `model_type` in `config.json`:

  - `CLIPTokenizer` (model `clip`; OpenCLIP's too): `tokenizer.json`, or
    `vocab.json` and `merges.txt` (of which transformers loses all merges where
    lines end at carriage returns). Texts are put in lower case.
  - `SiglipTokenizer` (model `siglip`): `spiece.model`, by sentencepiece, or
    `tokenizer.json` where that is all there is. Lower case, no punctuation.
  - `Siglip2Tokenizer`: `tokenizer.json`, or else `tokenizer.model`. Lower case.
    Also where the model is `siglip2`, or is `siglip` and the class
    `GemmaTokenizer`, as SigLIP 2 of one fixed resolution is published: they
    were trained on lower case, which `AutoTokenizer` leaves to the caller
    there. `save` names this class, which transformers has since 5.1.
  - `GemmaTokenizer` without such a model: likewise, but upper case is kept.
  - `PreTrainedTokenizerFast`: `tokenizer.json` as it stands.

  Args:
    folder: of the checkpoint.
    length: tokens of a row, with those that begin and end each text.
    model: the checkpoint's `model_type`, where the tokenizer lies elsewhere.

  Returns:
    The tokenizer.

  Raises:
    FileNotFoundError: if the folder or the tokenizer's file is missing.
    ImportError: if a `.model` file needs a package that is not installed.
    ValueError: if a file is damaged, the class unknown, a special token not
      among the tokens, or `length` too short for those that each text gets.
  """
  source = folders.read(folder, model)
  name = source.class_name
  if source.switch('split_special_tokens', False):
    raise ValueError(f'{source.path / folders.CONFIG}: '
                     'split_special_tokens is not supported.')
  if name == folders.SIGLIP and 'spiece.model' in source.files:
    return _siglip(source, length)
  if name == folders.SIGLIP:
    source.need('spiece.model', 'tokenizer.json')
    return _fast(source, length, fast_tokenizer.plain(source), folders.PLAIN)
  if name == folders.PLAIN:
    return _fast(source, length, fast_tokenizer.plain(source), folders.PLAIN)
  if name == folders.CLIP:
    return _fast(source, length, fast_tokenizer.clip(source), folders.CLIP)
  made = fast_tokenizer.gemma(source, lower_case=name == folders.SIGLIP2)
  return _fast(source, length, made, name)


def _siglip(
    source: folders.TokenizerFolder, length: int
) -> PretrainedTokenizer:
  """What SentencePiece is to run."""
  config, where = source.config, source.path / folders.CONFIG
  # Of `legacy`, transformers 5 takes null for nothing said.
  if config.get('sp_model_kwargs') or not (
      config.get('legacy') is None or source.switch('legacy', True)):
    raise ValueError(f'{where}: sp_model_kwargs and legacy=False are not '
                     'supported.')
  limit = _limit(length, source.most_tokens)
  _check_length(limit, 1)
  with folders.reading(source.path / 'spiece.model'):
    processor = sentencepiece.processor(source.files['spiece.model'])
    vocab = sentencepiece.vocab(processor)
  special = source.special_tokens(vocab)
  if any(token.single_word for token in special.added.values()):
    raise ValueError(f'{where}: added tokens of single_word are not supported.')
  pieces = sentencepiece.Siglip(
      processor, special.text('eos_token', where),
      special.text('unk_token', where), [str(t) for t in special.special()],
      special.added, source.switch('do_lower_case', True))
  left = source.side('truncation', 'right')
  return PretrainedTokenizer(
      length, source.most_tokens,
      pieces.ids[special.text('pad_token', where)],
      max(pieces.ids.values()) + 1, folders.SIGLIP,
      source.side('padding', 'right'),
      lambda texts: pieces.encode(texts, limit, left),
      _named(source, folders.SIGLIP))


def _fast(
    source: folders.TokenizerFolder,
    length: int,
    made: fast_tokenizer.Made,
    name: str,
) -> PretrainedTokenizer:
  """Finishes what the `tokenizers` library is to run."""
  tokenizer, special = made
  vocab = tokenizer.get_vocab()
  for i, token in special.added.items():
    if vocab.get(token.content) != i:
      raise ValueError(
          f'{source.path}: the added token {json_object.quote(token.content)} '
          f'has the number {i}, but {vocab.get(token.content)} in the '
          'vocabulary.')
  if max(vocab.values()) >= 2**31:
    raise ValueError(f'{source.path}: a token has the number '
                     f'{max(vocab.values())}, beyond 32 bits with a sign.')
  limit = _limit(length, source.most_tokens)
  _check_length(limit, tokenizer.num_special_tokens_to_add(False))
  left = source.side('truncation', 'right')
  with folders.reading(source.path):
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit, direction='left' if left else 'right')

  def encode(texts: Sequence[str]) -> Iterator[tuple[list[int], bool]]:
    with folders.reading(source.path):
      encodings = tokenizer.encode_batch(texts)
    for encoding in encodings:
      yield encoding.ids, bool(encoding.overflowing)

  side = 'left' if name in (folders.GEMMA, folders.SIGLIP2) else 'right'
  return PretrainedTokenizer(
      length, source.most_tokens,
      vocab[special.text('pad_token', source.path)],
      max(vocab.values()) + 1, name, source.side('padding', side), encode,
      _named(source, name))


def _named(
    source: folders.TokenizerFolder, name: str
) -> dict[str, bytes]:
  """The files, where `tokenizer_config.json` names the class."""
  declared = str(source.config.get('tokenizer_class')).removesuffix('Fast')
  if declared == name.removesuffix('Fast') or (
      name == folders.PLAIN and declared == 'TokenizersBackend'):
    return dict(source.files)
  config = source.config | {'tokenizer_class': name}
  return dict(source.files) | {
      folders.CONFIG: json.dumps(config, indent=2).encode()}


def _limit(length: int, most: int | None) -> int:
  return length if most is None else min(length, most)


def _check_length(length: int, ends: int) -> None:
  if length < max(1, ends):
    raise ValueError(f'length={length!r} must be at least {max(1, ends)}: '
                     f'{ends} tokens begin and end each text.')
