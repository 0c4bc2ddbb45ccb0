"""SentencePiece models of published checkpoints: SigLIP's and Gemma's."""

from __future__ import annotations  # `tokenizers` is optional.

from collections.abc import Iterable, Iterator, Mapping, Sequence
import re
import string
from typing import Any

from mmal_jax import extras

tokenizers = extras.Lazy('tokenizers', 'to cut texts into tokens')

_SPACE = '▁'
_PUNCTUATION = str.maketrans('', '', string.punctuation)
_BPE = 2  # trainer_spec.model_type
_CONTROL, _USER_DEFINED = 3, 4  # types of pieces
_LONGEST = 512  # letters of a piece


def processor(model: bytes) -> Any:
  """SentencePiece itself, ready to cut texts.

  Args:
    model: content of `spiece.model`.

  Raises:
    ImportError: if sentencepiece is not installed.
    ValueError: if it is no such model.
  """
  sentencepiece = extras.load('sentencepiece', 'to read spiece.model')
  if not model:
    raise ValueError('it is empty.')
  try:
    return sentencepiece.SentencePieceProcessor(model_proto=model)
  except RuntimeError as e:
    raise ValueError(f'it is no SentencePiece model: {e}') from e


def vocab(processor: Any) -> dict[str, int]:
  """The number of each piece."""
  return {processor.id_to_piece(i): i
          for i in range(processor.get_piece_size())}


class Siglip:
  """Texts as SigLIP's tokenizer cuts them, with SentencePiece itself.

  Not with the `tokenizers` library: its form of the character map works on
  whole grapheme clusters, and so drops combining marks that SentencePiece
  keeps.

  Attributes:
    ids: of every piece and special token.
  """

  def __init__(
      self,
      processor: Any,
      eos: str,
      unk: str,
      special: Iterable[str],
      added: Mapping[int, tokenizers.AddedToken],
      lower_case: bool,
  ):
    """Combines a model with what its users' files say.

    Args:
      processor: the model.
      eos: ends every text.
      unk: stands for what the model has no piece for.
      special: what is found in texts as a whole, `eos` and `unk` among them.
      added: likewise, by number. Whether they take the white space around them
        makes no difference, as it is stripped in any case.
      lower_case: whether texts are put in lower case.
    """
    self._processor = processor
    self.ids = vocab(processor)
    self.ids |= {token.content: i for i, token in added.items()}
    self._unk, self._eos = unk, self.ids[eos]
    self._unk_id = self._processor.unk_id()
    self._special = frozenset(special)
    whole = sorted(self._special | {token.content for token in added.values()},
                   key=len, reverse=True)
    self._split = re.compile('(' + '|'.join(map(re.escape, whole)) + ')')
    self._lower_case = lower_case
    # Every stretch of text follows the unknown token, or SentencePiece would
    # drop the space that it starts with; these pieces are then cut off.
    self._prefix = len(self._processor.encode(unk, out_type=str))

  def encode(
      self, texts: Sequence[str], length: int, left: bool
  ) -> Iterator[tuple[list[int], bool]]:
    """Yields each text's tokens, at most `length`, and whether it was cut.

    Args:
      texts: what to cut into tokens.
      length: how many tokens there may be, the last of them `eos`.
      left: whether too long texts lose their beginning, not their end.
    """
    split = [self._split.split(_SPACE + text.replace(_SPACE, ' '))
             for text in texts]  # Every second part is a special token.
    pieces = iter(self._processor.encode(
        [self._unk + self._canonical(part) for parts in split
         for part in parts[::2] if part], out_type=str))
    for parts in split:
      tokens = []
      for i, part in enumerate(parts):
        if i % 2:
          tokens.append(part)
        elif not part:
          continue
        else:
          tokens += next(pieces)[self._prefix:]
      if len(tokens) > 1 and tokens[0] == _SPACE and tokens[1] in self._special:
        del tokens[0]
      ids = [self.ids.get(token, self._unk_id) for token in tokens]
      too_many = len(ids) + 1 - length
      if too_many > 0:
        ids = ids[too_many:] if left else ids[:-too_many]
      if not ids or ids[-1] != self._eos:
        ids.append(self._eos)
      yield ids, too_many > 0

  def _canonical(self, text: str) -> str:
    if self._lower_case:
      text = text.lower()
    return re.sub(r'\s+', ' ', text.translate(_PUNCTUATION)).strip()


def read_bpe(
    model: bytes,
) -> tuple[dict[str, int], list[tuple[str, str]], list[tokenizers.AddedToken]]:
  """Pieces of a byte-pair model, as the `tokenizers` library wants them.

  Args:
    model: content of `tokenizer.model`.

  Returns:
    The number of each piece; the pairs that are joined, first ones first; the
    pieces that are found in texts as a whole.

  Raises:
    ImportError: if sentencepiece or protobuf is not installed.
    ValueError: if it is no such model.
  """
  models = extras.load(
      'sentencepiece.sentencepiece_model_pb2', 'to read tokenizer.model')
  proto = models.ModelProto()
  try:
    proto.ParseFromString(model)
  except Exception as e:  # DecodeError, from one of several implementations
    raise ValueError(f'it is no SentencePiece model: {e}') from e
  if not proto.pieces or proto.trainer_spec.model_type != _BPE:
    raise ValueError('it is no SentencePiece model of byte pairs.')
  vocab = {piece.piece: i for i, piece in enumerate(proto.pieces)}
  if len(vocab) < len(proto.pieces):
    raise ValueError('a piece appears twice.')
  if max(map(len, vocab)) > _LONGEST:  # All ways to cut it are looked up.
    raise ValueError(f'it has a piece of more than {_LONGEST} letters.')
  # Pieces are numbered in the order in which they were joined.
  merges = [(piece[:i], piece[i:]) for piece in vocab
            for i in range(1, len(piece))
            if piece[:i] in vocab and piece[i:] in vocab]
  whole = [
      tokenizers.AddedToken(
          piece.piece, normalized=False, special=piece.type == _CONTROL)
      for piece in proto.pieces if piece.type in (_CONTROL, _USER_DEFINED)]
  return vocab, merges, whole
