"""Tokenizers of any origin: what they may return, and what they may not."""

import numpy as np
import pytest

import mmal_jax
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.data.tokenizers import any_tokenizer
from tests.support import published_files
from tests.support import torch_models

_WORDS = {'a': 1, 'red': 2, 'cat': 3, 'dog': 4}


def _words(texts, length=4):
  rows = np.zeros((len(texts), length), np.int64)
  for row, text in zip(rows, texts):
    ids = [_WORDS[word] for word in text.split()][:length]
    row[:len(ids)] = ids
  return rows


def _dataset(*texts):
  def pairs(of):
    return schema.image_text(
        np.zeros((len(of), 2, 2, 3), np.uint8), of, schema.no_groups(len(of)))
  return schema.Dataset('mine', *map(pairs, texts))


def test_a_dataset_is_cut_into_tokens_by_a_function():
  data = encode.encode(
      _dataset(('a cat', 'a red dog'), ('red cat', 'dog')), tokenizer=_words)
  tokens = data.pool.items['text'].values
  assert tokens.dtype == np.int32
  assert tokens.tolist() == [[1, 3, 0, 0], [1, 2, 4, 0]]
  assert data.test.items['text'].values.tolist() == [[2, 3, 0, 0], [4, 0, 0, 0]]
  assert data.tokenizer is _words


@pytest.mark.parametrize('returned,said', [
    ([[1], [1, 2]], 'has returned list for 2 texts'),
    ([1, 2], r'int64 of shape \(2,\)'), ([[1.0], [2.0]], 'float64 of shape'),
    ([[1]], r'of shape \(1, 1\)'), (None, 'has returned NoneType'),
    ([[], []], r'of shape \(2, 0\)'),
    ({'input_ids': [[1], [2]]}, 'has returned dict .* its input_ids'),
    ([[1], [-1]], 'tokens from -1 to 1; they must be at least 0'),
    ([[1], [2**31]], 'below 2147483648')])
def test_what_is_no_tokens_is_refused(returned, said):
  with pytest.raises(ValueError, match=said):
    any_tokenizer.tokens(lambda _: returned, ('a', 'b'))


@pytest.mark.parametrize('returned,said', [
    ([[1], [7]], 'below 7, the vocabulary of the model'),
    ([[1, 2, 3]] * 2, 'rows of 3 tokens; 1 are needed')])
def test_what_a_model_does_not_take_is_refused(returned, said):
  with pytest.raises(ValueError, match=said):
    any_tokenizer.tokens(lambda _: returned, ('a', 'b'), 1, 7)


def test_splits_of_two_lengths_are_refused():
  def to_longest(texts):
    return _words(texts, max(len(text.split()) for text in texts))
  with pytest.raises(ValueError, match='rows of 3 tokens; 2 are needed'):
    encode.encode(_dataset(('a red cat',), ('a cat',)), tokenizer=to_longest)


@pytest.mark.long
def test_a_checkpoint_reads_texts_by_a_function(tmp_path):
  model = mmal_jax.load_pretrained(published_files.publish(
      torch_models.siglip(vocab=300), tmp_path, 'SiglipImageProcessor'))
  texts = ['a red cat', 'dog']
  length = model.config.text.length
  mine = model._replace(tokenizer=lambda of: _words(of, length))
  rows = mmal_jax.embed_items(mine, texts, 'text')
  theirs = model._replace(tokenizer=lambda of: model.tokenizer(of).tolist())
  assert not np.allclose(rows, mmal_jax.embed_items(model, texts, 'text'))
  np.testing.assert_array_equal(
      mmal_jax.embed_items(theirs, texts, 'text'),
      mmal_jax.embed_items(model, texts, 'text'))
  for wrong, said in ((lambda of: _words(of, 1), 'rows of 1 tokens'),
                      (lambda of: _words(of, length) + 300, 'below 300')):
    with pytest.raises(ValueError, match=said):
      mmal_jax.embed_items(model._replace(tokenizer=wrong), texts, 'text')
