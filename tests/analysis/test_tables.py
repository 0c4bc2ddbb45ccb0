"""What tables and their legends say: intervals, references, costs, labels."""

import numpy as np
import pytest

from mmal_jax.analysis import records
from mmal_jax.analysis import run_labels
from mmal_jax.analysis import saved_answers
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables

_X = np.array([0, 10, 20, 30])


def _summary(strategies, headline='r10', **options):
  return summary_lib.summarise(_X, {
      name: {headline: np.array(curves, float)}
      for name, curves in strategies.items()}, headline, **options)


def _cells(table):
  return [[cell.strip() for cell in line.split('|')[1:-1]]
          for line in table.splitlines() if line.startswith('|')]


def test_an_interval_is_of_95_percent_everywhere():
  scores = np.array([40.0, 42.0, 47.0])
  # The 97.5 % quantile of Student's t with two degrees of freedom: 4.3027.
  width = 4.3027 * scores.std(ddof=1) / np.sqrt(3)
  expected = f'43.0 ± {width:.1f}'
  found = _summary({'random': [[1, 2, 3, s] for s in scores]})
  assert _cells(tables.table(found))[3][1] == expected
  assert _cells(tables.score_table(found))[3][1] == expected
  assert _cells(tables.curve_table(found))[2][-1] == expected
  assert tables.mean(scores) == expected
  assert '95 %' in tables.legend(3) and '3 seeds' in tables.legend(3)


@pytest.mark.parametrize('strategies', [
    {'random': [[1, 2, 3, 4]]}, {'mmal': [[1, 2, 3, 4]]},
    {'random': [[1, 2, 3, 4]], 'mmal': [[1, 4, 3, 2]]}])
def test_one_seed_has_no_interval_and_says_so(strategies):
  found = _summary(strategies)
  for text in (tables.table(found), tables.score_table(found),
               tables.comparison_table(found), tables.curve_table(found),
               saved_answers.in_words(found)):
    assert '±' not in text and 'nan' not in text
  assert tables.legend(1).startswith('One seed: there are no intervals')


@pytest.mark.parametrize('baseline,reference,cell', [
    # It falls at its end, it is level, it only rises.
    ([10, 40, 50, 40], 'ends at 40.0 % (r10) with 30 annotations. Its mean '
     'curve first reaches that score with 10 annotations, and ends no higher: '
     'savings are measured against 10.', '10 of 30'),
    ([10, 40, 50, 50], 'first reaches that score with 20 annotations, and ends '
     'no higher', '20 of 30'),
    ([10, 40, 50, 60], 'ends at 60.0 % (r10) with 30 annotations.', '30'),
    ([10, 40, 50, 5], 'ends at 5.0 % (r10) with 30 annotations, no higher than '
     'before any answer (10.0 %): there is nothing to save', '0 of 30'),
])
def test_what_savings_are_measured_against(baseline, reference, cell):
  found = _summary({'random': [baseline] * 2, 'mmal': [[10, 35, 45, 70]] * 2})
  sentence, = saved_answers.references(found)
  assert reference in sentence
  assert saved_answers.in_words(found).splitlines()[0] == sentence
  header, _, _, of_random, of_mmal = _cells(tables.table(found))
  assert header[3] == (
      f'annotations to reach random\'s final r10 of {baseline[-1]:.1f}')
  assert of_random[2:] == ['-', cell, '-', '-']
  assert of_mmal[3].endswith(f'(random: {cell.split()[0]})')
  compared = _cells(tables.comparison_table(found))[2:]
  assert [row[9] for row in compared] == [cell, of_mmal[3]]


def test_a_saving_of_nothing_is_no_contradiction():
  """A baseline that fell: to need as many as it did is not to save."""
  found = _summary({'random': [[10, 20, 40, 30]], 'mmal': [[10, 20, 40, 60]]})
  row = _cells(tables.table(found))[-1]
  assert row[3:5] == ['15 (random: 15)', '0 %']
  words = saved_answers.in_words(found)
  assert 'measured against 15' in words and '15 annotations: 0 % saved' in words


def test_costs_stand_before_annotations():
  answers = {'random': np.array([[0, 8, 16, 24]] * 2),
             'mmal': np.array([[0, 6, 12, 18]] * 2)}
  found = _summary({'random': [[10, 20, 30, 40], [10, 22, 32, 42]],
                    'mmal': [[10, 30, 50, 60], [10, 32, 52, 62]]},
                   answers=answers)
  assert found['x'] == 'cost'
  header, _, zero_shot, of_random, of_mmal = _cells(tables.table(found))
  assert header[1] == 'annotations'
  assert [zero_shot[1], of_random[1], of_mmal[1]] == ['0', '24', '18']
  assert header[4] == 'cost to reach random\'s final r10 of 41.0'
  assert of_random[4] == '30 (24 annotations)'
  # Half way between 10 and 20: 9 answers.
  assert of_mmal[4:6] == ['15 (9 annotations, random: 30)', '50 %']
  curves = _cells(tables.curve_table(found))
  assert curves[0] == ['r10 after a cost of', '0', '10', '20', '30']
  assert curves[3] == ['annotations of random', '0', '8', '16', '24']
  words = saved_answers.in_words(found)
  assert 'random ends at 41.0 % (r10) at a cost of 30 (24 annotations)' in words
  assert 'mmal gets there at a cost of 15 (9 annotations): 50 % saved' in words


@pytest.mark.parametrize('costs,x', [
    (None, 'annotations'), ({}, 'annotations'),
    ({'image': None, 'text': None, 'spread': 0.0, 'budget': None},
     'annotations'),
    ({'image': 2.0, 'text': None, 'spread': 0.0, 'budget': None}, 'cost'),
    ({'image': None, 'spread': 0.5}, 'cost'), ({'budget': 9.0}, 'cost')])
def test_what_curves_are_drawn_over(costs, x):
  assert records.axis([{'costs': None}, {'costs': costs}]) == x


def _set(name, **more):
  return {f'dataset.{key}': f'/home/me/data/embedded/{name}/{key}.npy'
          for key in ('images', 'texts', 'split')} | more


@pytest.mark.parametrize('flats,expected', [
    ([_set('flickr'), _set('icons')],
     [', dataset.images=flickr', ', dataset.images=icons']),
    ([_set('flickr', batch=60), _set('icons', batch=41)],
     [', batch=60, dataset.images=flickr', ', batch=41, dataset.images=icons']),
    ([{'path': '/a/x.npz'}, {'path': '/a/b/x.npz'}, {'path': None}],
     [', path=x.npz', ', path=b/x.npz', ', path=None']),
    ([{'a': 1, 'b': 1}, {'a': 1, 'b': 2.5}, {'a': 1}],
     [', b=1', ', b=2.5', ', b=None']),
    ([{'a': a, 'b': b} for a in (0, 1) for b in (0, 1)],
     [', a=0, b=0', ', a=0, b=1', ', a=1, b=0', ', a=1, b=1']),
    ([{'a': 1}, {'a': 1}], ['', '']),
])
def test_labels_hold_what_differs(flats, expected):
  assert run_labels.suffixes(flats) == expected


_PHOTOS = {'dataset.name': 'paired_folder', 'dataset.image_size': 32,
           'dataset.folder': '/home/me/photos of birds', 'model.name': 'small',
           'text.max_tokens': 16, 'warm_start.steps': 400}
_ROWS = {'dataset.name': 'features', 'dataset.images': '/home/me/f/image.npy',
         'dataset.texts': '/home/me/f/text.npy', 'model.name': 'linear',
         'warm_start.learner': 'closed_form'}
_COSTS = {'costs.spread': 0.5, 'costs.image': 2.0, 'train.peak_lr': 0.001,
          'acquisition.neighbours': 50, 'oracle.temperature': 0.25}
_STREAM = {'costs.spread': 0.0, 'stream.buffer': 64, 'train.peak_lr': 0.002,
           'acquisition.neighbours': 51, 'oracle.temperature': 0.75}


@pytest.mark.parametrize('flats,expected', [
    ([_PHOTOS, _ROWS],
     [', dataset.name=paired_folder', ', dataset.name=features']),
    # Other data are named by what they are, a sweep over them by its values.
    ([_PHOTOS, _PHOTOS | {'dataset.folder': '/home/me/boats', 'seed_set': 1,
                          'dataset.image_size': 64, 'model.name': 'large',
                          'text.max_tokens': 17, 'warm_start.steps': 401}],
     [', dataset.folder=photos of birds', ', dataset.folder=boats']),
    ([_PHOTOS, _ROWS, _ROWS | {'train.peak_lr': 0.1}],
     [', dataset.name=paired_folder', ', dataset.name=features',
      ', dataset.name=features, train.peak_lr=0.1']),
    ([_COSTS, _STREAM], [', stream.buffer=None', ', stream.buffer=64']),
    # A value that one lacks says less than two that differ.
    ([{'a': None, 'batch.of.questions': 1000, 'the.other.rate.of.it': 0.125,
       'note': 'some words of some length'},
      {'a': 1, 'batch.of.questions': 2000, 'the.other.rate.of.it': 0.25,
       'note': 'other words of length'}],
     [', batch.of.questions=1000', ', batch.of.questions=2000']),
])
def test_labels_name_what_matters(flats, expected):
  assert run_labels.suffixes(flats) == expected


def test_labels_are_short_and_different():
  long = [{'note': 'a' * 90 + middle + 'b' * 90} for middle in 'xyz']
  many = [_set(f'set{i}') | {f'key{j}': f'value{i + j}' for j in range(30)}
          for i in range(7)]
  for flats in (long, many):
    found = run_labels.suffixes(flats)
    assert len(set(found)) == len(flats)
    assert max(map(len, found)) <= 60
