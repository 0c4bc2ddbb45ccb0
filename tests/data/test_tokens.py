"""Tokens of a user's texts: lossless, whole up to the limit that is set."""

import logging

import numpy as np
import pytest

from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.data.tokenizers import tokenizer


def test_tokenizer_is_lossless_and_pads(tmp_path):
  texts = ['a red circle', 'a red star', 'é😀 [PAD] \n tab\t']
  bpe = tokenizer.train(texts * 3, 300)
  longest = tokenizer.longest(bpe, texts)
  tokens = tokenizer.tokenize(bpe, texts, longest + 2)
  assert tokens.dtype == np.int32 and (tokens[:, -2:] == 0).all()
  assert 0 < tokens.max() < tokenizer.num_tokens(bpe)
  for row, text in zip(tokens, texts):
    assert bpe.decode((row[row > 0] - 1).tolist()).lstrip() == text
  unseen = tokenizer.tokenize(bpe, ['Ж ≠ 9'], 20)
  assert bpe.decode((unseen[unseen > 0] - 1).tolist()).lstrip() == 'Ж ≠ 9'
  bpe.save(str(tmp_path / 't.json'))
  from_file = type(bpe).from_file(str(tmp_path / 't.json'))
  np.testing.assert_array_equal(
      tokenizer.tokenize(from_file, texts, longest + 2), tokens)
  with pytest.raises(ValueError, match='vocab_size=9'):
    tokenizer.train(texts, 9)


def test_cut_texts_are_counted(caplog):
  bpe = tokenizer.train(['ab'], 256)
  with caplog.at_level(logging.WARNING):
    tokens = tokenizer.tokenize(bpe, ['abcdefgh', 'a'], 4)
  assert tokens.shape == (2, 4) and (tokens[0] > 0).all()
  assert '1 of 2 texts' in caplog.text and "'abcdefgh'" in caplog.text
  assert 'raise length, to 9 for all' in caplog.text


def test_test_texts_are_whole_up_to_max_tokens(caplog):
  def pairs(*texts):
    n = len(texts)
    return schema.image_text(
        np.arange(n * 12, dtype=np.uint8).reshape(n, 2, 2, 3), texts,
        schema.no_groups(n))
  data = schema.Dataset('x', pairs('ab', 'b'), pairs('xyz' * 4, 'ab'))
  with caplog.at_level(logging.WARNING):
    encoded = encode.encode(data, vocab_size=256, max_tokens=16)
  assert encoded.test.items['text'].values.shape == (2, 13)
  assert (encoded.test.items['text'].values[0] > 0).all()
  assert not caplog.text
  with caplog.at_level(logging.WARNING):
    cut = encode.encode(data, vocab_size=256, max_tokens=5)
  np.testing.assert_array_equal(cut.test.items['text'].values,
                                encoded.test.items['text'].values[:, :5])
  said = caplog.text
  assert ('1 of 2 test texts are longer than 5 tokens and were cut, the first '
          "of them 'xyzxyzxyzxyz'... (13 tokens): raise max_tokens "
          '(text.max_tokens of a config), to 13 for all of them.') in said
  assert 'pool' not in said


def test_encode_learns_nothing_from_the_test_texts():
  def pairs(texts):
    n = len(texts)
    return schema.image_text(
        np.arange(n * 12, dtype=np.uint8).reshape(n, 2, 2, 3), tuple(texts),
        schema.no_groups(n))
  pool = pairs(['a cat', 'a dog', 'a cat'])
  one, other = (
      encode.encode(schema.Dataset('x', pool, pairs(texts)))
      for texts in (['a cat', 'zz'], ['yyyyyyyyyyyyyyyyyyy'] * 9))
  # Longer texts of the test alone add padding.
  tokens, padded = (e.pool.items['text'].values for e in (one, other))
  np.testing.assert_array_equal(tokens, padded[:, :tokens.shape[1]])
  assert padded.shape[1] > tokens.shape[1]
  assert (padded[:, tokens.shape[1]:] == 0).all()
  assert one.tokenizer.to_str() == other.tokenizer.to_str()
  assert one.pool.items['text'].ids.tolist() == [0, 1, 0]
  assert one.pool.items['image'].ids.tolist() == [0, 1, 2]
