"""Tokenizers that would make a text grow until no memory is left."""

import json

import numpy as np
import pytest
import tokenizers

from mmal_jax.data.tokenizers import pretrained_tokenizer
from mmal_jax.data.tokenizers import tokenizer_growth
from tests.support import small_files

_N, _P = tokenizers.normalizers, tokenizers.pre_tokenizers


def _string(old, new):
  return _N.Replace(old, new)


def _regex(old, new):
  return _N.Replace(tokenizers.Regex(old), new)


def _steps(*steps):
  return [json.loads(step.__getstate__()) for step in steps]


def _folder(folder, normalizer=None, pre_tokenizer=None):
  changes = {name: json.loads(part.__getstate__()) for name, part in (
      ('normalizer', normalizer), ('pre_tokenizer', pre_tokenizer)) if part}
  folder.mkdir()
  return small_files.plain_tokenizer(folder, **changes)


@pytest.mark.parametrize('steps', [
    [_string('a', 'a' * 50)] * 4, [_string('a', 'b' * 50),
                                   _string('b', 'a' * 50)],
    [_string('a', 'a' * 300)], [_string('ab', 'ab' * 20)] * 3,
    [_regex('a', 'a' * 50)] * 6, [_regex('.', 'x' * 17)] * 2,
    [_string('a', 'B' * 50), _N.Lowercase(), _string('b', 'c' * 6)],
    [_string('a', 'a' * 50), _N.Sequence([_N.NFC(), _string('a', 'a' * 50)])],
    [_string('', 'x')] * 30, [_regex('(?=.)', 'x')] * 30,
    [_regex('x*', 'yx')] * 30, [_regex(r'\\b', 'a ')] * 30,
    [_N.Prepend('a' * 300)], [_N.Prepend('a' * 20), _string('a', 'b' * 20)],
    [_string('a', '\u00e9' * 9), *[_N.ByteLevel()] * 9],
    [_string('a', 'aa')] * 5000])
def test_growth_that_multiplies_is_refused(tmp_path, steps):
  assert tokenizer_growth.bound(_steps(*steps)) > tokenizer_growth.MOST_GROWTH
  folder = _folder(tmp_path / 'x', _N.Sequence(steps))
  with pytest.raises(ValueError, match=(
      r'tokenizer.json cannot be read: its normalizer may make a text more than'
      ' 256 times as long')):
    pretrained_tokenizer.load(folder, 6)


def test_growth_of_a_pre_tokenizer_counts():
  made = tokenizers.Tokenizer(tokenizers.models.BPE())
  made.pre_tokenizer = _P.Sequence([_P.ByteLevel(use_regex=False)] * 30)
  with pytest.raises(ValueError, match='more than 256 times as long'):
    tokenizer_growth.check(made)
  made.pre_tokenizer = _P.Sequence([_P.Whitespace(), _P.ByteLevel()])
  tokenizer_growth.check(made)


@pytest.mark.parametrize('steps', [
    [], [_string(' ', '\u2581')],
    [_N.Prepend('\u2581'), _string(' ', '\u2581')],
    [_N.NFKC(), _N.Lowercase(), _string('``', '"'), _string("\'\'", '"'),
     _regex(' {2,}', ' '), _regex(r'\s+', ' '), _N.Strip()],
    # Each has its own letter, so that they do not multiply.
    [_string(chr(0x1f600 + i), f':a face of number {i}:') for i in range(80)],
    [_string('a', 'b' * 50)], [_string('a', 'a')] * 500,
    [_regex('[!-/]', '')] * 50, [_regex(r'\s+', ' ')] * 50,
    [_N.BertNormalizer(), _N.StripAccents(), _N.Nmt(), _N.NFD()]])
def test_what_tokenizers_do_is_taken(tmp_path, steps):
  folder = _folder(tmp_path / 'x', _N.Sequence(steps), _P.ByteLevel())
  assert pretrained_tokenizer.load(folder, 6)(['ab']).shape == (1, 6)


def test_no_text_grows_by_more_than_the_bound():
  rng = np.random.default_rng(8)
  letters = list('aab\u00e9 ')

  def word(most):
    return ''.join(rng.choice(letters, rng.integers(most + 1)).tolist())

  def step():
    kind = rng.integers(6)
    if kind < 3:
      return _string(word(2), word(4))
    if kind < 5:
      return _regex(str(rng.choice([
          'a', 'a+', '[ab]', '.', 'a*', '(?=b)', 'a|', '^', '$', r'\b', 'ab?',
          'a{2}', 'a{0,2}', '(?<=a)', '()'])), word(4))
    return _N.Prepend(word(3)) if rng.random() < 0.5 else _N.NFD()

  grown = 0
  for _ in range(2000):
    steps = [step() for _ in range(rng.integers(1, 5))]
    bound = tokenizer_growth.bound(_steps(*steps))
    text = word(12)
    found = text
    for one in steps:
      found = one.normalize_str(found)
    prepends = sum(isinstance(one, _N.Prepend) for one in steps)
    # What may be put before a letter may be put behind the last one.
    assert len(found) <= bound * (len(text) + 1 + prepends) * (
        1 + any(isinstance(one, _N.NFD) for one in steps))
    grown += len(found) > 4 * len(text)
  assert grown > 100


@pytest.mark.parametrize('steps,expected', [
    ([_string('a', 'b' * 50)], 50), ([_string('ab', 'c' * 50)], 25),
    ([_string('a', 'bb'), _string('b', 'ccc'), _string('c', 'dddd')], 24),
    ([_string('b', 'ccc'), _string('a', 'bb')], 3), ([_regex('.', 'xyz')], 3),
    ([_regex('x*', 'ab')], 3), ([_N.Prepend('abc')], 3), ([_N.NFC()], 1)])
def test_bounds_by_hand(steps, expected):
  assert tokenizer_growth.bound(_steps(*steps)) == expected
