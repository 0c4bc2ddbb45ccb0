"""Text of others in every place where programs print it, or write it to pages.

Each place of a file, a name or a flag holds text that clears a screen, turns
letters around, begins a line like the program's own, or is a script or a link.
"""

import json
import re
import subprocess
import sys
from unittest import mock

import ml_collections
import numpy as np
from PIL import Image
import pytest

from experiments import check_answers
from experiments import diagnose
from experiments import export
from experiments import feature_sets
from experiments import match
from experiments import program
from experiments import report
from experiments import run
from experiments.configs import features
from mmal_jax.config import differences
from mmal_jax.config import explain
from mmal_jax.data.images import class_folder
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from mmal_jax.data.tokenizers import fast_tokenizer
from mmal_jax.data.tokenizers import tokenizer_folder
from mmal_jax.experiment import gallery
from mmal_jax.experiment import report as report_lib
from mmal_jax.models.pretrained import tensors
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from mmal_jax.workdir import layout
from tests.support import people
from tests.support import programs

_CONTROLS = {
    'escape': 'a\x1b[31m', 'c1': 'a\x9b31m', 'bidi': 'a\u202eb',
    'isolate': 'a\u2066b', 'line': 'a\nerror - all is lost',
    'return': 'a\rerror - all', 'separator': 'a\u2028error - all',
    'hidden': 'a\u200bb\U000e0041'}
_MARKUP = {
    'script': '<script>alert(1)</script>',
    'image': '<img src=x onerror=alert(1)>',
    'link': 'a](javascript:alert(1))', 'picture': '![a](http://x.y/z.png)',
    'table': 'a | 99.9 | b', 'code': '`a` *b* __c__'}
_EVERY = pytest.mark.parametrize('text', _CONTROLS.values(), ids=_CONTROLS)
# What moves a cursor, ends a line or turns letters around; but line breaks.
_RAW = re.compile('[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e'
                  '\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]')


def _check_printed(said, text):
  assert not _RAW.search(said), said
  lines = said.removeprefix('error: ').splitlines()
  assert not any(line.startswith('error -') for line in lines), said
  # repr writes a backslash twice, where there is one: none of these has any.
  assert text.encode('unicode_escape').decode() in said, said


def _check_page(page, text):
  assert not _RAW.search(page), page
  for mark in ('<script', '<img', '](javascript', '![a](', '| 99.9 |', '`a`'):
    assert mark not in page, page
  assert not any(line.startswith('error -') for line in page.splitlines())
  if text in _CONTROLS.values():
    assert text.encode('unicode_escape').decode() in page.replace(
        r'\[', '['), page


def _said(capsys, main, *arguments, parse=program.parse_flags):
  """All that a program prints, with the message that it ends with."""
  code = ''
  try:
    programs.call(main, *arguments, parse=parse)
  except SystemExit as e:
    code = '' if e.code is None else str(e.code)
  out, err = capsys.readouterr()
  return '\n'.join(filter(None, (code, out.strip('\n'), err.strip('\n'))))


def _experiment(folder, strategy='mmal', score='i2t', modality='image', **more):
  """A finished experiment of another program's making."""
  folder.mkdir(parents=True)
  config = features.get_config()
  config.dataset.images, config.dataset.texts = '/no/i.npy', '/no/t.npy'
  layout.write(folder / layout.CONFIG, config.to_dict() | more)
  for name in (strategy, 'random'):
    for t in range(3):
      one = {'strategy': name, 'seed': 0, 'round': t}
      layout.append(folder / layout.METRICS, one | {
          'annotations': 4 * t, 'cost': 4.0 * t, 'aligned': 4 * t,
          'scores': {'mean_r10': 10.0 * t, score: 10.0 * t + len(name)}})
      if t:
        layout.append(folder / layout.QUERIES, one | {
            'asked': [[modality, t]], 'answers': [[t, t]]})
  layout.write(folder / layout.SUMMARY, {})
  return folder


def _report(capsys, tmp_path, *folders, **flags):
  said = _said(
      capsys, report, f'--workdirs={",".join(map(str, folders))}', '--noasked',
      f'--out={tmp_path / "out"}', f'--cache_dir={tmp_path / "c"}',
      '--workdir=unused', *(f'--{key}={value}' for key, value in flags.items()))
  path = tmp_path / 'out' / 'report.md'
  return said, path.read_text() if path.exists() else ''


@pytest.mark.parametrize(
    'text', (_CONTROLS | _MARKUP).values(), ids=_CONTROLS | _MARKUP)
@pytest.mark.parametrize('place', ['strategy', 'score', 'key', 'value',
                                   'modality'])
def test_a_report_of_foreign_records(
    tmp_path, capsys, monkeypatch, place, text):
  if place in ('key', 'value'):  # No figure shows them.
    monkeypatch.setattr(report_lib, 'plot', mock.MagicMock())
    monkeypatch.setattr(report_lib, 'figures', mock.MagicMock())
  folders = [tmp_path / 'a']
  if place in ('key', 'value'):
    folders.append(tmp_path / 'b')
    _experiment(folders[0], **({text: 1} if place == 'key' else {'k': text}))
    _experiment(folders[1], **({text: 2} if place == 'key' else {'k': 'b'}))
  else:
    _experiment(folders[0], **{place: text})
  flags = {'metric': text} if place == 'score' else {}
  said, page = _report(capsys, tmp_path, *folders, **flags)
  assert page, said
  _check_page(page, text)
  # Of HTML its own marks are left; what others wrote is none.
  html = (tmp_path / 'out' / 'report.html').read_text('utf-8')
  assert not _RAW.search(html) and '<script>alert' not in html
  assert '<img' not in html and html.count('<script') == 2
  if text in _CONTROLS.values() and place != 'modality':  # in a page alone
    _check_printed(said, text)
  summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
  if place == 'strategy':
    assert text in summary['strategies']  # Data are exact.
    assert (tmp_path / 'out' / 'curves.png').read_bytes()[1:4] == b'PNG'


@_EVERY
def test_a_report_that_is_refused(tmp_path, capsys, text):
  folders = [_experiment(tmp_path / name, text) for name in 'ab']
  _check_printed(_report(capsys, tmp_path, *folders)[0], text)
  one = _report(capsys, tmp_path, folders[0], baseline='none of them')[0]
  _check_printed(one, text)
  _check_printed(_report(capsys, tmp_path, tmp_path / text)[0], text)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'text', (_CONTROLS | _MARKUP).values(), ids=_CONTROLS | _MARKUP)
def test_what_was_asked(tmp_path, text):
  path = tmp_path / f'{text.replace("/", "")}.png'
  Image.new('RGB', (4, 4)).save(path)
  items = image_files.ImageFiles([path], preprocess.Preprocess(size=4, edge=4))
  for modality, of in (('caption', [text]), (text, ['x']), ('file', items)):
    found = gallery.RawItems({'a': ['x'], modality: of}, {
        'a': np.array([0]), modality: np.array([0])})
    gallery.write(
        found, [{'round': 1, 'asked': [['a', 0]], 'answers': [[0, 0]]}],
        f'What {text} asked', tmp_path)
    page = (tmp_path / 'asked.md').read_text()
    _check_page(page, text.replace('/', '') if modality == 'file' else text)


@_EVERY
@pytest.mark.parametrize('place', ['key', 'train key', 'dataset', 'value'])
def test_a_config_of_others(tmp_path, capsys, place, text):
  more = {'key': {text: 1}, 'train key': {'train': {text: 1}},
          'dataset': {'dataset': {'name': text}}, 'value': {'rounds': text}}
  config = features.get_config().to_dict()
  for key, value in more[place].items():
    config[key] = config[key] | value if isinstance(value, dict) else value
  _experiment(tmp_path / 'w', **config)
  for main, *flags in (
      (diagnose, ), (match, '--strategy=mmal', '--seed=0', '--matched=m'),
      (export, '--strategy=mmal', '--seed=0', '--export=e')):
    _check_printed(_said(capsys, main, f'--workdir={tmp_path / "w"}', *flags),
                   text)
  known = ml_collections.ConfigDict(config)
  _check_printed('\n'.join(differences.lines({text: 1}, {text: 2})), text)
  if place == 'key':
    _check_printed(explain.table(known), text)


@_EVERY
def test_words_of_the_command_line(tmp_path, capsys, text):
  folder = _experiment(tmp_path / 'w')
  for main, *flags in (
      (diagnose, f'--workdir={tmp_path / text}'),
      (diagnose, f'--workdir={folder}', f'--moved={text}=x'),
      # A path with a [ is a pattern of paths.
      *[(diagnose, f'--workdir={folder}', f'--moved=dataset.images={text}')
        for _ in range('[' not in text)],
      (diagnose, f'--workdir={folder}', text),
      (match, f'--workdir={folder}', f'--seed={text}'),
      (match, f'--workdir={folder}', f'--k={text}'),
      (check_answers, f'--workdir={folder}', f'--{text}=1')):
    _check_printed(_said(capsys, main, *flags), text)
  for flags in ([f'--config={text}'], [f'--config.{text}=1'],
                [f'--config.train.{text}=1'], [f'--config.rounds={text}'],
                [f'--rounds={text}'], [f'--strategies={text}']):
    _check_printed(_said(capsys, run, f'--workdir={folder}', *flags,
                         parse=run.parse_flags), text)


@_EVERY
def test_what_is_written_to_a_folder_of_this_name(tmp_path, capsys, text):
  folder = _experiment(tmp_path / 'a')
  said = _said(capsys, report, f'--workdirs={folder}', '--noasked',
               f'--out={tmp_path / text}', '--workdir=unused')
  assert (tmp_path / text / 'report.md').exists()
  _check_printed(said, text)


@_EVERY
@pytest.mark.parametrize('place', [
    'file', 'stray', 'field', 'header', 'annotator', 'answer', 'query'])
def test_answers(tmp_path, place, text):
  folder = tmp_path / 'people'
  oracle = files.files(folder, people.shown())
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [0])
  answer = people.line('image-0', 3)
  if place == 'file':
    people.give(folder, f'{text}.jsonl', '{')
  elif place == 'stray':
    people.give(folder, f'{text}.pdf', 'x')
  elif place == 'field':
    people.give(folder, 'a.jsonl', answer | {text: 1})
  elif place == 'header':
    people.give(folder, 'a.csv', f'query,answer,"{text}"', 'image-0,3,x')
  elif place == 'annotator':
    people.give(folder, 'a.jsonl', people.line('image-0', 3, text),
                people.line('image-0', 4, 'another'))
  else:
    people.give(folder, 'a.jsonl', answer | {place: text})
  with pytest.raises((ValueError, oracle_lib.Waiting)) as e:
    people.asks(oracle, [0])
  said = str(e.value)
  assert not _RAW.search(said) and '\nerror -' not in said, said
  if place != 'annotator':  # Of names, invisible letters are no part.
    _check_printed(said, text)


@_EVERY
def test_a_model_of_others(tmp_path, text):
  (tmp_path / 'tokenizer.json').write_text(json.dumps(
      {'model': {'type': text, 'vocab': {}, 'merges': []}}))
  (tmp_path / 'config.json').write_text(json.dumps({'model_type': text}))
  source = tokenizer_folder.TokenizerFolder(tmp_path, {
      'tokenizer.json': (tmp_path / 'tokenizer.json').read_bytes()})
  with pytest.raises(ValueError) as e:
    fast_tokenizer._read_json(source)
  _check_printed(str(e.value), text)
  with pytest.raises(ValueError) as e:
    source.class_name
  _check_printed(str(e.value), text)
  with pytest.raises(ValueError) as e:
    tensors.check({'a': (2, )}, {text: (2, )}, 'weights')
  _check_printed(str(e.value), text)


@_EVERY
def test_class_folders(tmp_path, text):
  (tmp_path / 'a' / text).mkdir(parents=True)
  with pytest.raises(ValueError) as e:
    class_folder.load_labelled(tmp_path / 'a')
  _check_printed(str(e.value), text)
  with pytest.raises(ValueError) as e:
    class_folder.load_labelled(tmp_path / 'a' / text)
  _check_printed(str(e.value), text)


@_EVERY
def test_feature_sets(tmp_path, capsys, text):
  np.savez(tmp_path / 'set.npz', **{'image': np.ones(3), text: np.ones(3)})
  flags = [f'--sets={tmp_path}', f'--workdir={tmp_path / "w"}']
  _check_printed(_said(capsys, feature_sets, *flags), text)
  (tmp_path / 'set.npz').rename(tmp_path / f'{text}.npz')
  said = _said(capsys, feature_sets, *flags, '--names=other')
  _check_printed(said, text)


@_EVERY
def test_answers_in_doubt(tmp_path, text):
  folder = tmp_path / 'people'
  oracle = files.files(folder, people.shown())
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [0, 1])
  people.give(folder, f'{text}.jsonl', people.line('image-0', 3),
              people.line('image-1', 3))
  with pytest.raises(oracle_lib.Waiting, match='may be a slip') as e:
    people.asks(oracle, [0, 1])
  _check_printed(str(e.value), text)
  line, *_ = (folder / 'conflicts.jsonl').read_text().split('\n')
  assert text in json.loads(line)['sources'][0]  # Data are exact.


# What a program prints beside what its work returns.
_PROGRAM = """
import json, sys, warnings
from absl import app, flags, logging
from experiments import program
from mmal_jax import progress
flags.DEFINE_string('text', None, '')
def work():
  text = json.loads(flags.FLAGS.text)
  logging.warning('log of %s', text)
  logging.warning('log of two\\nlines')
  sys.stderr.isatty = lambda: True
  warnings.warn('warning of ' + text)
  for _ in progress.bar(range(2), 2, 'bar of ' + text):
    import time
    time.sleep(1.1)
  if flags.FLAGS.verbosity < 0:
    raise RuntimeError('stack of ' + text)
  raise ValueError('refusal of ' + text)
app.run(lambda argv: program.call(work, argv),
        flags_parser=program.parse_flags)
"""


@pytest.mark.long
@pytest.mark.parametrize('verbosity', [-1, 0])
def test_logs_warnings_bars_and_stacks(verbosity):
  texts = list(_CONTROLS.values())
  text = '; '.join(texts)
  done = subprocess.run(
      [sys.executable, '-c', _PROGRAM, f'--text={json.dumps(text)}',
       f'--verbosity={verbosity}'], capture_output=True, timeout=100,
      check=False)
  assert done.returncode == 1
  said = done.stderr.decode()
  # The bar's own: it goes back to where its line begins.
  said = said.replace('\r', '\n')
  assert not _RAW.search(said), said
  assert not any(line.startswith('error -') for line in said.splitlines()), said
  kinds = ['log of', 'warning of', 'bar of'] + [
      'stack of' if verbosity < 0 else 'error: refusal of']
  for kind in kinds:
    found = said[said.index(kind):][:400]
    for one in texts:
      if '\n' not in one or kind == 'bar of':
        assert one.encode('unicode_escape').decode() in found, (kind, said)
  assert ('two\n  lines' in said)
