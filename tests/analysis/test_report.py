"""Reports of experiments whose records are written by hand."""

import json
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import ml_collections
import numpy as np
import pytest

from experiments import report
from experiments.configs import features
from mmal_jax.analysis import figures
from mmal_jax.analysis import records
from mmal_jax.analysis import significance
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.data import schema
from mmal_jax.experiment import datasets
from mmal_jax.experiment import gallery
from mmal_jax.experiment import report as report_lib
from mmal_jax.pools import pools
from mmal_jax.workdir import layout
from tests.support import tiny

_CURVES = {  # by strategy and seed: mean_r10 after 0, 4 and 8 annotations
    ('random', 0): [10, 20, 30], ('random', 1): [10, 22, 33],
    ('random', 2): [10, 18, 31], ('mmal', 0): [10, 25, 36],
    ('mmal', 1): [10, 31, 36], ('mmal', 2): [10, 16, 38]}


@pytest.fixture(name='config')
def _config(tmp_path):
  pairs = tiny.feature_pairs(40, 0)
  for name in pairs.items:
    np.save(tmp_path / f'{name}.npy', pairs.items[name])
  config = features.get_config()
  config.dataset.images = str(tmp_path / 'image.npy')
  config.dataset.texts = str(tmp_path / 'text.npy')
  config.missing = 0.25
  return config


def _write(folder, config, curves, costs=None, asked='image'):
  """A finished experiment; `costs` by seed, of an answer."""
  folder.mkdir(parents=True)
  layout.write(folder / layout.CONFIG, config.to_dict())
  for (strategy, seed), curve in curves.items():
    run = {'strategy': strategy, 'seed': seed}
    for t, score in enumerate(curve):
      cost = 4.0 * t * (costs or {}).get(seed, 1.0)
      layout.append(folder / layout.METRICS, run | {
          'round': t, 'annotations': 4 * t, 'cost': cost, 'aligned': 4 * t,
          'scores': {'i2t_r1': score / 2, 'mean_r10': float(score)}})
      if t:
        names = [asked, 'image', 'text', asked]
        layout.append(folder / layout.QUERIES, run | {
            'round': t, 'asked': [[m, 4 * t + i] for i, m in enumerate(names)],
            'answers': [[4 * t + i] * 2 if i < 3 else [-1, -1]
                        for i in range(4)]})
  layout.write(folder / layout.SUMMARY, {})
  return folder


def _report(tmp_path, folders, **options):
  table = report_lib.write(
      folders, tmp_path / 'out', str(tmp_path / 'cache'), **options)
  summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
  return table, (tmp_path / 'out' / 'report.md').read_text(), summary


def _rows(markdown, name):
  return [[cell.strip() for cell in line.split('|')[1:-1]]
          for line in markdown.splitlines() if line.startswith(f'| {name} ')]


def test_all_of_a_report(tmp_path, config):
  folder = _write(tmp_path / 'a', config, _CURVES)
  table, text, summary = _report(tmp_path, [folder])
  entry = summary['strategies']['mmal']
  differences = np.array([6.0, 3.0, 7.0])
  found = entry['minus_baseline']['mean_r10']
  assert found['mean'] == pytest.approx(16 / 3)
  # The 97.5 % quantile of Student's t with two degrees of freedom: 4.303.
  assert found['ci95'] == pytest.approx(
      4.3027 * differences.std(ddof=1) / np.sqrt(3), rel=1e-4)
  assert found['p_paired_t'] == significance.paired_t(differences)
  assert found['p_sign_flips'] == 2 / 8
  # Of each curve, (first + 2 * second + third) / 4.
  areas = [(10 + 2 * b + c) / 4 for b, c in ((25, 36), (31, 36), (16, 38))]
  assert entry['mean_score']['mean_r10']['mean'] == pytest.approx(
      np.mean(areas))
  assert entry['saving']['needed'] == pytest.approx(
      4 + 4 * (94 / 3 - 24) / (110 / 3 - 24))
  assert summary['strategies']['random']['saving']['percent'] == 0
  # What is drawn and written.
  for name in ('curves.png', 'modalities.png'):
    assert (tmp_path / 'out' / name).read_bytes().startswith(b'\x89PNG')
  # Of rows of features there is nothing to see.
  assert not (tmp_path / 'out' / 'asked.png').exists()
  assert 'there is no picture' in text
  assert 'no picture' in (tmp_path / 'out' / 'asked.md').read_text()
  scores, compared, curve, *by_modality = _rows(text, 'mmal')
  assert scores == ['mmal', '18.3 ± 1.4', '36.7 ± 2.9']
  assert compared[1:5] == ['random', '+5.3 ± 5.2', '0.047', '0.250']
  savings = np.array(entry['saving']['per_seed'])
  assert compared[-1] == (
      f'{savings.mean():.1f} ± '
      f'{4.3027 * savings.std(ddof=1) / np.sqrt(3):.1f} %')
  assert curve == ['mmal', '10.0 ± 0.0', '24.0 ± 18.8', '36.7 ± 2.9']
  assert by_modality == [['mmal', 'image', '75', '75'],
                         ['mmal', 'text', '25', '25']]
  assert _rows(table, 'mmal') == [scores, compared]
  assert _rows(text, 'random')[1][2:5] == ['-'] * 3
  assert _rows(text, 'zero-shot') == [['zero-shot', '5.0 ± 0.0', '10.0 ± 0.0']]
  assert 'What mmal asked with seed 0' in text
  # The same again takes its place; what is not a report does not go.
  _report(tmp_path, [folder], asked=False, metric='i2t_r1')
  assert not (tmp_path / 'out' / 'asked.md').exists()
  (tmp_path / 'out' / 'notes.txt').write_text('mine')
  with pytest.raises(ValueError, match='notes.txt'):
    _report(tmp_path, [folder])


def test_settings_tell_strategies_apart(tmp_path, config):
  folders = []
  for value in (0.0, 1.0):
    config.train.pseudo_pairs = value
    curves = {key: [s + 5 * value for s in curve]
              for key, curve in _CURVES.items()}
    folders.append(_write(tmp_path / f'{value}', config, curves))
  _, text, summary = _report(tmp_path, folders, asked=False)
  labels = list(summary['strategies'])
  assert labels == [f'{s}, train.pseudo_pairs={v}' for v in (0, 1)
                    for s in ('random', 'mmal')]
  # Each against random in the same settings ...
  for label in labels[1::2]:
    entry = summary['strategies'][label]
    assert entry['baseline'] == label.replace('mmal', 'random')
    assert entry['minus_baseline']['mean_r10']['mean'] == pytest.approx(16 / 3)
  assert _rows(text, f'zero-shot of {labels[2]}')[0][2] == '15.0 ± 0.0'
  # ... or all against one.
  _, _, summary = _report(tmp_path, folders, asked=False, baseline=labels[0])
  assert summary['strategies'][labels[3]]['minus_baseline']['mean_r10'][
      'mean'] == pytest.approx(16 / 3 + 5)
  with pytest.raises(ValueError, match="baseline='margin' is none of the runs"):
    _report(tmp_path, folders, asked=False, baseline='margin')


def test_without_random_nothing_is_compared(tmp_path, config):
  some = {key: curve for key, curve in _CURVES.items() if key[0] == 'mmal'}
  folder = _write(tmp_path / 'a', config, some)
  _, text, summary = _report(tmp_path, [folder], asked=False)
  assert 'no run of random: nothing is compared' in text
  assert 'saving' not in summary['strategies']['mmal']


def test_only_common_seeds_count(tmp_path, config):
  some = {key: curve for key, curve in _CURVES.items() if key[0] == 'random'}
  others = {key: curve for key, curve in _CURVES.items() if key[0] == 'mmal'}
  del others['mmal', 1]
  folders = [_write(tmp_path / 'a', config, some),
             _write(tmp_path / 'b', config, others)]
  _, text, summary = _report(tmp_path, folders, asked=False)
  assert summary['seeds'] == [0, 2] and 'with the seeds [1]' in text
  assert summary['strategies']['random']['curves']['mean_r10'] == [
      [10, 20, 30], [10, 18, 31]]
  with pytest.raises(ValueError, match='mmal with seed 0 is both in'):
    _report(tmp_path, [folders[1], _write(
        tmp_path / 'c', config, {('mmal', 0): [1, 2, 3]})])
  with pytest.raises(ValueError, match='no seed was run with all of: '):
    _report(tmp_path, [folders[0], _write(
        tmp_path / 'd', config, {('mmal', 7): [1, 2, 3]})])


def test_costs_that_differ_are_compared_where_all_have_been(tmp_path, config):
  folder = _write(tmp_path / 'a', config, {
      ('random', 0): [10, 20, 30], ('mmal', 1): [10, 30, 40],
      ('mmal', 0): [10, 20, 40], ('random', 1): [10, 15, 25]},
      costs={0: 1.0, 1: 2.0})
  _, text, summary = _report(tmp_path, [folder], x='cost', asked=False)
  assert summary['annotations'] == [0, 4, 8] and 'read off' in text
  assert summary['strategies']['mmal']['curves']['mean_r10'] == [
      [10, 20, 40], [10, 20, 30]]
  assert 'Scores after a cost of 8' in text
  _, text, _ = _report(tmp_path, [folder], asked=False)
  assert 'read off' not in text


@pytest.mark.parametrize('missing', [0.0, 0.3])
def test_what_is_shown_is_what_was_hidden(tmp_path, config, missing):
  config.missing = missing
  data = datasets.load(config, '')
  hidden_pools, hidden = pools.hide_pairing(data.pool, 5, missing)
  found = gallery.of_seed(datasets.load_seen(config, '').pool, 5, missing)
  for modality, items in hidden_pools.items.items():
    assert len(found.rows[modality]) == len(items)
    np.testing.assert_array_equal(
        items.values, found.items[modality].values[found.rows[modality]])
  loose = gallery.of_seed(
      schema.Loose({'text': ['a', 'b'], 'sound': 'xyz'}), 5, missing)
  assert loose.text('text', 1) == 'b' and len(loose.rows['sound']) == 3
  image, text = next(pair for pair in hidden.tuples if min(pair) >= 0)
  of_image = found.text('image', image)
  assert of_image.replace('image.npy', 'text.npy') == found.text('text', text)


def test_images_and_texts_are_shown_as_such(tmp_path):
  pixels = np.random.default_rng(0).integers(
      256, size=(4, 5, 5, 3)).astype(np.uint8)
  texts = ['a $1 note', 'two\nlines', 'a | b', 'last']
  pairs = schema.image_text(pixels, texts, schema.no_groups(4))
  found = gallery.RawItems(dict(pairs.items), {
      'image': np.array([2, 0, 3, 1]), 'text': np.array([1, 0, 2, 3])})
  np.testing.assert_array_equal(found.picture('image', 2), pixels[3])
  assert found.picture('text', 2) is None
  records_of_run = [
      {'round': 1, 'asked': [['text', 0], ['image', 1]],
       'answers': [[3, 0], [-1, -1]]},
      {'round': 2, 'asked': [], 'answers': []},
      {'round': 3, 'asked': [['image', 0]], 'answers': [[0, 2]]}]
  gallery.write(found, records_of_run, 'Title', tmp_path)
  assert (tmp_path / 'asked.png').read_bytes().startswith(b'\x89PNG')
  text = (tmp_path / 'asked.md').read_text()
  assert 'Round 2' not in text
  cells = [' '.join(line.split()) for line in text.splitlines()]
  assert '| text | 3: row 1 | 0: two lines |' in cells
  assert '| image | 1: row 0 | no answer |' in cells
  assert '| image | 0: row 2 | 2: a \\| b |' in cells


def test_what_cannot_be_reported(tmp_path, config):
  folder = _write(tmp_path / 'a', config, _CURVES)
  for options, what in (
      ({'metric': 'group'}, "metric='group' is unknown; all runs have i2t_r1"),
      ({'show': 'margin'}, "show='margin' is none of"),
      ({'show_seed': 9}, 'show_seed=9 is none of')):
    with pytest.raises(ValueError, match=what):
      _report(tmp_path, [folder], **options)
  (tmp_path / 'empty').mkdir()
  for path, what in (
      (tmp_path / 'nowhere', 'nowhere is no folder: there is nothing'),
      (folder / layout.METRICS, 'metrics.jsonl is no folder, but a file'),
      (tmp_path / 'empty', 'empty holds no experiment: there is no config.json '
       'in it.'),
      (tmp_path, f'holds no experiment: .*, but in {folder}.')):
    with pytest.raises(ValueError, match=what):
      _report(tmp_path, [path])
  assert not (tmp_path / 'out').exists()
  free = _write(
      tmp_path / 'b', config, {('random', 0): [10, 20]}, costs={0: 0.0})
  with pytest.raises(ValueError, match='a run has no cost: there is no curve'):
    _report(tmp_path, [free], x='cost')


@pytest.mark.parametrize('curves,waits,what', [
    ({}, False, '0 of 6 rounds of random, seed 0, are done. --resume goes on'),
    ({('random', 0): range(7), ('mmal', 0): range(3)}, False,
     '2 of 6 rounds of mmal, seed 0, are done. --resume goes on'),
    ({(s, 0): range(7) for s in ('random', 'mmal')} | {
        ('random', 1): range(2)}, True,
     '1 of 6 rounds of random, seed 1, are done. It waits for people\'s '
     'answers: --resume'),
    ({(s, i): range(7) for s in ('random', 'mmal') for i in (0, 1)}, False,
     'all rounds are done, but there is no summary.json yet. --resume'),
])
def test_an_unfinished_experiment_says_where_it_is(
    tmp_path, config, curves, waits, what):
  config.rounds, config.seeds, config.strategies = 6, (0, 1), ('random', 'mmal')
  folder = _write(tmp_path / 'a', config, curves)
  (folder / layout.SUMMARY).unlink()
  if waits:
    layout.write(folder / layout.WAITING, {'seed': 1, 'queries': []})
  with pytest.raises(ValueError, match=f'holds no finished experiment: {what}'):
    _report(tmp_path, [folder])
  assert not (tmp_path / 'out').exists()


def _write_whole(folder, scores, seeds=(0, 1, 2)):
  for seed in seeds:
    layout.append(folder / layout.WHOLE_POOL, {
        'seed': seed, 'aligned': 30, 'scores': {
            'i2t_r1': 1.0, 'mean_r10': scores + seed}})
  layout.write(folder / layout.SUMMARY, {})  # Finished with these.


def test_the_whole_pool_is_in_reports(tmp_path, config):
  parts = [{key: curve for key, curve in _CURVES.items() if key[0] == strategy}
           for strategy in ('random', 'mmal')]
  folders = [_write(tmp_path / name, config, part)
             for name, part in zip('ab', parts)]
  # One of two experiments in the same settings has it, of more seeds.
  _write_whole(folders[1], 60.0, range(4))
  table, text, summary = _report(tmp_path, folders, asked=False)
  assert summary['whole_pool']['final']['mean_r10']['mean'] == 61
  for said in (table, text):
    # The 97.5 % quantile of Student's t with two degrees of freedom: 4.303.
    assert _rows(said, 'all 30 pairs') == [
        ['all 30 pairs', '1.0 ± 0.0', '61.0 ± 2.5']]
  with mock.patch.object(figures, 'save', wraps=figures.save) as save:
    _report(tmp_path, folders, asked=False, x='cost')
  scores = save.call_args_list[0].args[0].axes[0]
  assert 'all 30 pairs 61.0' in [words.get_text() for words in scores.texts]


@pytest.mark.parametrize('other', [60.0, 70.0, None])
def test_the_whole_pool_of_several_settings(tmp_path, config, other):
  folders = []
  for value, score in ((0.0, 60.0), (1.0, other)):
    config.train.pseudo_pairs = value
    folders.append(_write(tmp_path / f'{value}', config, _CURVES))
    if score is not None:
      _write_whole(folders[-1], score)
  _, text, summary = _report(tmp_path, folders, asked=False)
  assert bool(_rows(text, 'all 30 pairs')) == (other == 60)
  assert ('whole_pool' in summary) == (other == 60)
  if other != 60:
    said = 'train.pseudo_pairs=0: 61.0 % with all 30 pairs'
    assert said in text
    assert (said.replace('=0: 61', '=1: 71') in text) == (other is not None)


def test_the_whole_pool_of_some_seeds_is_not_shown(tmp_path, config):
  folder = _write(tmp_path / 'a', config, _CURVES)
  _write_whole(folder, 60.0, (0, 2))
  assert 'pairs' not in _report(tmp_path, [folder], asked=False)[0]


def test_the_program(tmp_path, config, capsys):
  _write(tmp_path / 'a', config, _CURVES)

  def main(*arguments):
    # Other programs' flag, needed once any of them was imported.
    others = ['--workdir=unused'] if 'workdir' in flags.FLAGS else []
    argv = ['report', *others, *arguments]
    with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
      flags.FLAGS.unparse_flags()
      report.main(flags.FLAGS(argv))

  main(f'--workdirs={tmp_path / "a"}', f'--out={tmp_path / "out"}',
       '--show=random', '--show_seed=2')
  assert '+5.3 ± 5.2' in capsys.readouterr().out
  assert 'What random asked with seed 2' in (
      tmp_path / 'out' / 'asked.md').read_text()
  with pytest.raises(SystemExit, match='error: --out is needed'):
    main(f'--workdirs={tmp_path / "a"}')


def test_modalities_by_round(tmp_path, config):
  folder = _write(tmp_path / 'a', config, {('mmal', 0): [1, 2, 3]})
  _write(tmp_path / 'b', config, {('mmal', 1): [1, 2, 3]}, asked='text')
  found = records.shares(records.read([folder]))
  np.testing.assert_array_equal(found['mmal']['image'], [75, 75])
  both = {'mmal': [run for name in 'ab' for run in records.read(
      [tmp_path / name]).runs['mmal']]}
  found = records.shares(records.Records(both, [0, 1], []))
  np.testing.assert_array_equal(found['mmal']['text'], [50, 50])


def test_a_curve_of_many_points_shows_some():
  points = np.arange(41) * 2.5
  found = summary_lib.summarise(
      points, {'mmal': {'mean_r10': np.tile(points, (2, 1))}}, 'mean_r10')
  header, _, row = [[cell.strip() for cell in line.split('|')[2:-1]]
                    for line in tables.curve_table(found, 5).splitlines()]
  assert header == ['0', '25', '50', '75', '100']
  assert row == [f'{p}.0 ± 0.0' for p in header]


def test_the_config_of_a_report_is_that_of_its_run(config):
  """As JSON it has lost its types, which the data does not need."""
  read = ml_collections.ConfigDict(json.loads(json.dumps(config.to_dict())))
  seen, expected = (
      gallery.of_seed(datasets.load_seen(of, '').pool, 0).rows['text']
      for of in (read, config))
  np.testing.assert_array_equal(seen, expected)


def test_scores_stand_as_in_the_tables_of_readme():
  curve = np.array([[1.0, 2.0]])
  names = ('text', 'image', 'group', 'i2t_r1', 'mean_r10')
  for headline, expected in (
      ('group', ['group', 'text', 'image', 'mean_r10']),
      ('i2t_r1', ['group', 'text', 'image', 'mean_r10', 'i2t_r1'])):
    found = summary_lib.summarise(
        np.array([0, 4]), {'mmal': dict.fromkeys(names, curve)}, headline)
    header = tables.score_table(found).splitlines()[0]
    assert [cell.strip() for cell in header.split('|')[2:-1]] == expected
