"""Sweeps that would find out late what is known before the first cell."""

import pytest

from experiments import sweep
from experiments.configs import features
from experiments.configs import images_and_texts
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.experiment import cells
from mmal_jax.experiment import cells_check
from tests.support import programs


@pytest.mark.parametrize('learner,keys,why', [
    ('closed_form', ['train.peak_lr', 'train.steps_per_round', 'train.loss',
                     'train.twins', 'train.shift'],
     "train.learner='closed_form' does not train by gradient"),
    ('closed_form', ['closed_form.rank', 'train.restart', 'train.learner',
                     'rounds', 'batch', 'acquisition.metric', 'missing',
                     'dataset.seed', 'matches.k', 'oracle.wrong'], None),
    ('gradient', ['closed_form.rank', 'closed_form.world'],
     "train.learner='gradient' has no closed form"),
    ('gradient', ['train.peak_lr', 'train.pseudo_pairs', 'train.unaligned',
                  'acquisition.coreset_ratio', 'oracle.wrong'], None),
    ('gradient', ['train.unaligned_size', 'train.unaligned_temperature'],
     'train.unaligned is 0'),
    ('gradient', ['train.twins_size'], 'train.twins is 0'),
    ('gradient', ['oracle.mistake'], 'oracle.wrong is 0'),
    ('fine_tune', ['closed_form.rank', 'train.peak_lr'], None)])
def test_what_a_learner_does_not_read(learner, keys, why):
  config = images_and_texts.get_config()
  config.train.learner = learner
  config.train.unaligned = config.train.twins = config.oracle.wrong = 0.0
  for key in keys:
    assert cells_check.unread(config, key) == why, key


@pytest.mark.parametrize('strategies,is_read', [
    (['mmal'], True), (['mmal@image', 'random'], True), (['random'], False),
    (['coreset', 'random'], False), (['mmal_no_uncertainty'], False)])
def test_what_no_strategy_reads(strategies, is_read):
  config = features.get_config()
  config.strategies = strategies
  found = cells_check.unread(config, 'acquisition.coreset_ratio')
  assert (found is None) == is_read
  assert is_read or ', '.join(strategies) in found


@pytest.mark.parametrize('strategies,is_read', [
    (['mmal', 'typiclust@gap'], True), (['mmal'], False)])
def test_a_strategys_own_values_are_read_by_it_alone(strategies, is_read):
  config = features.get_config()
  config.strategies = strategies
  found = cells_check.unread(config, 'acquisition.typiclust.neighbours')
  assert (found is None) == is_read
  assert cells_check.unread(config, 'acquisition.typiclust.points')


def _sweep(folder, *arguments, learner='closed_form'):
  programs.call(
      sweep, *programs.save_features(folder / 'f'),
      f'--workdir={folder / "s"}', f'--cache_dir={folder / "c"}', '--rounds=2',
      '--seeds=0', '--strategies=mmal,random', '--config.whole_pool=False',
      f'--config.train.learner={learner}', *arguments)


@pytest.mark.parametrize('learner,arguments,said', [
    ('closed_form', ['--set=train.peak_lr=1e-3,1e-2'],
     "set=train.peak_lr=1e-3,1e-2: no cell reads it, as train.learner='closed"
     "_form' does not train by gradient: all would come to the same."),
    ('gradient', ['--set=closed_form.rank=4,8'],
     'set=closed_form.rank=4,8: no cell reads it'),
    ('gradient', ['--set=train.twins_size+train.unaligned_size=4+4,8+8'],
     'set=train.twins_size+train.unaligned_size=4+4,8+8: no cell reads it'),
    ('closed_form', ['--set=acquisition.coreset_ratio=1,2',
                     '--strategies=random'], 'goes into random'),
    ('closed_form', ['--set=batch=2,4,99'],
     'mmal-batch=99-seed0: a budget of rounds * batch = 2 * 99 = 198'),
    ('closed_form', ['--set=rounds+batch=2+4,9+8'],
     'mmal-rounds=9-batch=8-seed0: a budget of rounds'),
    ('closed_form', ['--batch=12', '--set=missing=0,0.8'],
     'mmal-missing=0.8-seed0: a budget of rounds'),
    ('closed_form', ['--batch=4', '--set=stream.buffer=4,30'],
     'mmal-stream.buffer=30-seed0: rounds=2 of stream.buffer=30'),
    ('closed_form', ['--batch=4', '--strategies=mmal,random@cheapest',
                     '--set=rounds=2,3'], 'needs costs')])
def test_is_refused_before_the_first_cell(tmp_path, learner, arguments, said):
  with programs.ends() as e:
    _sweep(tmp_path, *arguments, learner=learner)
  assert said in e.value.code
  assert not (tmp_path / 's').exists()


def test_a_smaller_dataset_of_a_later_cell_is_refused(tmp_path):
  for name, n in (('f', 40), ('small', 12)):
    programs.save_features(tmp_path / name, n)
  images, texts = (','.join(
      f'{tmp_path}/{name}/{kind}.npy' for name in ('f', 'small'))
                   for kind in ('image', 'text'))
  pairs = ','.join('+'.join(both) for both in zip(
      images.split(','), texts.split(',')))
  with programs.ends() as e:
    _sweep(tmp_path, f'--set=dataset.images+dataset.texts={pairs}', '--batch=8')
  assert 'a budget of rounds * batch = 2 * 8 = 16' in e.value.code
  assert 'small' in e.value.code and not (tmp_path / 's').exists()


def test_what_some_cell_reads_is_swept():
  config = features.get_config()
  config.dataset.images = config.dataset.texts = '/x.npy'
  config.strategies, config.seeds = ('mmal', 'random'), (0,)
  for settings in (
      {'acquisition.coreset_ratio': ['1', '2']},  # by mmal
      {'train.learner': ['gradient', 'closed_form'],
       'train.peak_lr': ['1e-3', '1e-2']},
      {'train.learner': ['gradient'], 'train.unaligned': ['0', '1'],
       'train.unaligned_size': ['8', '16']},
      {'train.learner': ['closed_form'], 'train.peak_lr': ['0.5']},  # as a flag
      {'train.learner+train.peak_lr': ['closed_form+1', 'gradient+1']}):
    cells_check.check_read(cells.product(config, settings), settings)


def test_cells_that_ask_the_same_are_not_looked_at(tmp_path):
  """The first one says what is wrong by itself, without a second reading."""
  config = features.get_config()
  config.dataset.images = config.dataset.texts = str(tmp_path / 'none.npy')
  config.batch = 4
  config.strategies, config.seeds = ('mmal', 'random'), (0, 1)
  found = cells.product(config, {'closed_form.rank': ['2', '4']})
  cells_check.check_pools(found, '')
  assert len(found) == 8


def test_a_later_cells_strategy_may_need_costs_by_a_rule_of_its_own(
    tmp_path, monkeypatch):
  by_price = strategies_lib.STRATEGIES['random'].variant(
      'by_price', rule='cheapest')
  monkeypatch.setitem(strategies_lib.STRATEGIES, 'by_price', by_price)
  with programs.ends() as e:
    _sweep(tmp_path, '--batch=4', '--strategies=mmal,by_price')
  assert 'by_price' in e.value.code and 'needs costs' in e.value.code
  assert not (tmp_path / 's').exists()
