"""Tokens of published processors, one by one, on a thousand odd texts."""

import errno
import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import transformers

from mmal_jax.data.tokenizers import pretrained_tokenizer
from tests.support import tokenizer_files
from tests.support.tokenizer_files import FOLDERS
from tests.support.tokenizer_files import TEXTS

LENGTH = 24


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  path = tmp_path_factory.mktemp('tokenizers')
  tokenizer_files.make(path)
  return path


def _reference(tokenizer, length=LENGTH, n=len(TEXTS)):
  return np.array(tokenizer(
      TEXTS[:n], padding='max_length', truncation=True,
      max_length=length)['input_ids'])


def _theirs(folder, name):
  """The class that the model was trained with, which AutoTokenizer takes."""
  if name.startswith('siglip2 fixed'):  # But here, where files name Gemma's.
    return getattr(transformers, FOLDERS[name]).from_pretrained(folder)
  found = transformers.AutoTokenizer.from_pretrained(folder)
  assert type(found).__name__ == FOLDERS[name]
  return found


def _assert_same(got, expected):
  assert got.dtype == np.int32 and got.shape == expected.shape
  wrong = np.flatnonzero((got != expected).any(1))
  shown = [(TEXTS[i], got[i].tolist(), expected[i].tolist())
           for i in wrong[:3]]
  assert not wrong.size, f'{wrong.size} texts differ: {shown}'


@pytest.mark.parametrize('name', FOLDERS)
def test_same_tokens_as_transformers(root, name):
  assert len(set(TEXTS)) > 900 and len(TEXTS) == 1000
  reference = _theirs(root / name, name)
  mine = pretrained_tokenizer.load(root / name, LENGTH)
  assert mine.tokenizer_class == FOLDERS[name] and mine.length == LENGTH
  assert mine.pad_id == reference.pad_token_id
  assert mine.vocab_size == len(reference)
  _assert_same(mine(TEXTS), _reference(reference))


@pytest.mark.parametrize('fields', [
    {}, {'tokenizer_class': 'PreTrainedTokenizerFast', 'pad_token': '<pad>'}])
def test_a_file_as_it_stands(root, tmp_path, fields):
  config = json.loads(
      (root / 'siglip json/tokenizer_config.json').read_text()) | fields
  folder = tokenizer_files.only(
      root / 'siglip json', tmp_path / 'plain', 'tokenizer.json',
      tokenizer_config=config, config={'model_type': 'siglip'})
  reference = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
  mine = pretrained_tokenizer.load(folder, LENGTH)
  assert mine.tokenizer_class == 'PreTrainedTokenizerFast'
  assert mine.vocab_size == len(reference)
  _assert_same(mine(TEXTS), _reference(reference))
  mine.save(tmp_path / 'saved')
  tokenizer_files.dump(tmp_path / 'saved', config={'model_type': 'siglip'})
  again = transformers.AutoTokenizer.from_pretrained(tmp_path / 'saved')
  _assert_same(mine(TEXTS), _reference(again))


@pytest.mark.parametrize('name', [
    'clip words', 'clip json', 'clip bare', 'clip pads !', 'siglip',
    'siglip bare', 'siglip2 fixed', 'siglip2 naflex', 'siglip2 bare',
    'siglip2 both ends json'])
@pytest.mark.parametrize('with_config', [True, False])
def test_saved_and_read_by_transformers(root, tmp_path, name, with_config):
  mine = pretrained_tokenizer.load(root / name, LENGTH)
  mine.save(tmp_path / 'saved')
  if with_config:
    tokenizer_files.only(root / name, tmp_path / 'saved', 'config.json')
  expected = mine(TEXTS)
  again = transformers.AutoTokenizer.from_pretrained(tmp_path / 'saved')
  assert type(again).__name__ == FOLDERS[name]
  _assert_same(expected, _reference(again))
  again = pretrained_tokenizer.load(tmp_path / 'saved', LENGTH)
  np.testing.assert_array_equal(again(TEXTS), expected)
  again.save(tmp_path / 'saved')


def test_a_save_that_fails_leaves_no_half_file(root, tmp_path, monkeypatch):
  mine = pretrained_tokenizer.load(root / 'siglip', 8)
  mine.save(tmp_path / 'whole')

  def full(*_):
    raise OSError(errno.ENOSPC, 'no space left')

  with monkeypatch.context() as patch:
    patch.setattr(os, 'fsync', full)
    mine.save(tmp_path / 'whole')  # There is nothing to write.
    with pytest.raises(OSError, match='no space'):
      mine.save(tmp_path / 'half')
  mine.save(tmp_path / 'half')
  for path in (tmp_path / 'whole').iterdir():
    assert (tmp_path / 'half' / path.name).read_bytes() == path.read_bytes()


def test_nothing_is_overwritten(root, tmp_path):
  pretrained_tokenizer.load(root / 'siglip', 8).save(tmp_path)
  before = {path: path.read_bytes() for path in tmp_path.iterdir()}
  with pytest.raises(FileExistsError, match='spiece.model'):
    pretrained_tokenizer.load(root / 'clip words', 8).save(tmp_path)
  assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize('name,least', [
    ('clip words', 2), ('siglip', 1), ('siglip2 fixed', 1),
    ('siglip2 both ends', 2), ('siglip2 bare', 1)])
def test_short_rows(root, name, least):
  reference = _theirs(root / name, name)
  for length in (least, least + 1, least + 2):
    mine = pretrained_tokenizer.load(root / name, length)
    _assert_same(mine(TEXTS[:200]), _reference(reference, length, 200))
  for length in (least - 1, -3):
    with pytest.raises(ValueError, match=f'length={length}.*least {least}'):
      pretrained_tokenizer.load(root / name, length)


@pytest.mark.parametrize('name', ['clip words', 'siglip', 'siglip2 naflex'])
def test_warns_of_cut_texts(root, name, caplog):
  mine = pretrained_tokenizer.load(root / name, 6)
  with caplog.at_level(logging.WARNING):
    assert mine([]).shape == (0, 6)
    mine(['a dog', 'a'])
    assert not caplog.records
    mine(['a', 'dog ' * 9, 'the cat and the dog and the bird sits', 'cat'])
  assert [r.getMessage() for r in caplog.records] == [
      '2 of 4 texts are longer than 6 tokens and were cut.']


def test_upper_case_of_siglip_2_and_of_a_gemma_alone(root, tmp_path):
  mine = pretrained_tokenizer.load(root / 'siglip2 fixed', 6)
  np.testing.assert_array_equal(mine(['A DOG']), mine(['a dog']))
  folder = tokenizer_files.only(
      root / 'siglip2 fixed', tmp_path / 'gemma', 'tokenizer.model',
      'tokenizer_config.json')
  mine = pretrained_tokenizer.load(folder, LENGTH)
  assert mine.tokenizer_class == 'GemmaTokenizer'
  _assert_same(mine(TEXTS), _reference(
      transformers.GemmaTokenizer.from_pretrained(folder)))
  assert (mine(['A DOG']) != mine(['a dog'])).any()


@pytest.mark.parametrize('name', ['clip words', 'siglip', 'siglip2 naflex'])
def test_what_is_no_text(root, name):
  mine = pretrained_tokenizer.load(root / name, 6)
  with pytest.raises(ValueError, match=r'texts\[1\].*half a surrogate.* 3'):
    mine(['a', 'dog\ud83d', 'b'])
  with pytest.raises(TypeError, match=r'texts\[2\] is a bytes'):
    mine(['a', 'b', b'c'])
  with pytest.raises(TypeError, match='one string'):
    mine('a dog')


def _config(root, name, **fields):
  """A tokenizer_config.json with some fields changed; None removes one."""
  config = json.loads((root / name / 'tokenizer_config.json').read_text())
  return {k: v for k, v in (config | fields).items() if v is not None}


@pytest.mark.parametrize('name,files,fields,message', [
    ('clip words', ['vocab.json'], {}, 'has no tokenizer.json or merges.txt'),
    ('clip words', ['merges.txt'], {}, 'has no tokenizer.json or vocab.json'),
    ('siglip', [], {}, 'has no spiece.model or tokenizer.json'),
    ('siglip2 fixed', [], {}, 'has no tokenizer.json or tokenizer.model'),
    ('siglip', [], {'tokenizer_class': 'TokenizersBackend'},
     'has no tokenizer.json')])
def test_files_that_are_missing(root, tmp_path, name, files, fields, message):
  folder = tokenizer_files.only(
      root / name, tmp_path / 'x', *files,
      tokenizer_config=_config(root, name, **fields))
  with pytest.raises(FileNotFoundError, match=message):
    pretrained_tokenizer.load(folder, 8)
  with pytest.raises(FileNotFoundError, match='is no folder'):
    pretrained_tokenizer.load(tmp_path / 'nowhere', 8)


@pytest.mark.parametrize('name,file,damage', [
    ('clip json', 'tokenizer.json', b'{"model"'),
    ('clip json', 'tokenizer.json', b'[]'),
    ('clip json', 'tokenizer.json', b'{"model": {"type": "WordLevel"}}'),
    ('clip json', 'tokenizer.json',
     b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["ab"]}}'),
    ('clip json', 'tokenizer.json', b'{"model": {"vocab": [], "merges": []}}'),
    ('clip words', 'vocab.json', b'{"a": "b"}'),
    ('clip words', 'vocab.json', b'{"a": 1, "b": 1}'),
    ('clip words', 'merges.txt', b'#version: 0.2\na b c\n'),
    ('clip words', 'merges.txt', b'\xff'),
    ('clip words', 'merges.txt', b'#version: 0.2\nzz qq\n'),
    ('clip words', 'merges.txt', b'c a\rt d\nd o\n'),
    ('clip words', 'merges.txt', 'c a\nd o\n'.encode('utf-16-le')),
    ('clip words', 'tokenizer_config.json', b'{'),
    ('siglip', 'spiece.model', b''), ('siglip', 'spiece.model', b'\0junk'),
    ('siglip json', 'tokenizer.json', b'{}'),
    ('siglip2 fixed', 'tokenizer.model', b'\xff' * 9),
    ('siglip2 fixed', 'tokenizer.model', b''),
    ('siglip2 fixed json', 'tokenizer.json', b'\xff')])
def test_files_that_are_damaged(root, tmp_path, name, file, damage):
  folder = tokenizer_files.only(
      root / name, tmp_path / 'x', *os.listdir(root / name))
  (folder / file).write_bytes(damage)
  with pytest.raises(ValueError, match=f'{file.split(".")[0]}'):
    pretrained_tokenizer.load(folder, 8)


@pytest.mark.parametrize('name,fields,message', [
    ('clip words', {'tokenizer_class': 'BertTokenizer'}, 'BertTokenizer'),
    ('clip words', {'tokenizer_class': None}, 'names no tokenizer_class'),
    ('clip words', {'pad_token': '<nothing>'}, 'pad_token.*<nothing>'),
    ('clip words', {'pad_token': {'text': 'x'}}, 'is no token'),
    ('clip words', {'padding_side': 'top'}, 'padding_side'),
    ('clip words', {'split_special_tokens': True}, 'split_special_tokens'),
    ('clip words', {'added_tokens_decoder': {'3': {'content': '!'}}},
     'number 3'),
    ('siglip', {'sp_model_kwargs': {'enable_sampling': True}},
     'sp_model_kwargs'),
    ('siglip', {'legacy': False}, 'legacy'),
    ('siglip', {'added_tokens_decoder': {'1': {
        'content': '</s>', 'single_word': True}}}, 'single_word'),
    ('siglip', {'additional_special_tokens': ['<x>']}, '<x>'),
    ('siglip2 fixed', {'eos_token': '</s>'}, 'eos_token.*</s>')])
def test_what_the_files_must_not_say(root, tmp_path, name, fields, message):
  names = [file for file in os.listdir(root / name) if file not in (
      'config.json', 'tokenizer_config.json', 'special_tokens_map.json')]
  folder = tokenizer_files.only(
      root / name, tmp_path / 'x', *names,
      tokenizer_config=_config(root, name, **fields))
  with pytest.raises(ValueError, match=message):
    pretrained_tokenizer.load(folder, 8)


_UNSAID = object()


@pytest.mark.parametrize('name', ['siglip', 'clip words'])
@pytest.mark.parametrize('fields', [
    {'do_lower_case': None}, {'model_max_length': None}, {'legacy': None},
    {'do_lower_case': None, 'model_max_length': 30},
    {'model_max_length': None, 'max_len': 20},
    {'model_max_length': _UNSAID, 'max_len': 20},
    {'model_max_length': _UNSAID, 'max_len': None},
    {'model_max_length': 30, 'max_len': 20}])
def test_null_and_the_limit_of_texts(root, tmp_path, name, fields):
  config = json.loads((root / name / 'tokenizer_config.json').read_text())
  config = {k: v for k, v in (config | fields).items() if v is not _UNSAID}
  folder = tokenizer_files.only(
      root / name, tmp_path / 'x', *(
          file for file in os.listdir(root / name)
          if file not in ('tokenizer_config.json', 'special_tokens_map.json')),
      tokenizer_config=config)
  reference = transformers.AutoTokenizer.from_pretrained(folder)
  limit = min(90, reference.model_max_length)
  mine = pretrained_tokenizer.load(folder, 90)
  assert min(90, mine.most_tokens or 90) == limit
  texts = ['The DOG Runs', 'cat ' * 100, *TEXTS[:50]]
  wanted = np.array(reference(
      texts, padding='max_length', truncation=True,
      max_length=limit)['input_ids'])
  np.testing.assert_array_equal(mine(texts)[:, :limit], wanted)
  mine.save(tmp_path / 'saved')  # Null stays null.
  again = pretrained_tokenizer.load(tmp_path / 'saved', 90, 'clip')
  np.testing.assert_array_equal(again(texts), mine(texts))


def test_no_pad_token(root, tmp_path):
  config = {'tokenizer_class': 'PreTrainedTokenizerFast'}
  folder = tokenizer_files.only(
      root / 'siglip json', tmp_path / 'x', 'tokenizer.json',
      tokenizer_config=config)
  with pytest.raises(ValueError, match='names no pad_token'):
    pretrained_tokenizer.load(folder, 8)
  folder = tokenizer_files.only(
      root / 'clip bare', tmp_path / 'y', 'vocab.json', 'merges.txt',
      tokenizer_config={'pad_token': None}, config={'model_type': 'clip'})
  with pytest.raises(ValueError, match='names no pad_token'):
    pretrained_tokenizer.load(folder, 8)


def test_without_the_packages(root, monkeypatch):
  monkeypatch.setitem(sys.modules, 'sentencepiece', None)
  pretrained_tokenizer.load(root / 'clip words', 8)
  pretrained_tokenizer.load(root / 'siglip2 naflex json', 8)
  for name in ('siglip', 'siglip2 naflex'):
    with pytest.raises(ImportError, match=r'mmal_jax\[pretrained\]'):
      pretrained_tokenizer.load(root / name, 8)


def test_importing_is_light():
  code = ('import sys; '
          'from mmal_jax.data.tokenizers import pretrained_tokenizer;'
          'assert not {"sentencepiece", "google.protobuf", "transformers"} & '
          'set(sys.modules)')
  subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('end', ['\r\n', '\r'])
def test_merges_that_git_or_windows_rewrote(root, tmp_path, encoding, end):
  folder = tokenizer_files.only(
      root / 'clip bare', tmp_path / 'x', 'vocab.json', 'merges.txt',
      config={'model_type': 'clip'})
  before = pretrained_tokenizer.load(folder, LENGTH)(TEXTS)
  merges = (folder / 'merges.txt').read_text('utf-8')
  (folder / 'merges.txt').write_bytes(
      merges.replace('\n', end).encode(encoding))
  after = pretrained_tokenizer.load(folder, LENGTH)(TEXTS)
  np.testing.assert_array_equal(after, before)
