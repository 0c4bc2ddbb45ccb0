"""Every knob once: completed by its default, checked and explained by it."""

import json

import ml_collections
import pytest

from experiments import run
from experiments.configs import colorswap
from experiments.configs import features
from experiments.configs import pretrained
from mmal_jax.acquire import registry as strategies
from mmal_jax.config import config as config_lib
from mmal_jax.config import explain
from mmal_jax.config import knobs
from mmal_jax.config import sections
from mmal_jax.experiment import check
from mmal_jax.experiment import earlier
from mmal_jax.workdir import layout
from tests.support import programs

# What configs got later than the runs that an earlier version saved.
_LATER = (
    'init', 'states', 'mirror', 'sweep', 'text', 'warm_start', 'mesh',
    'train.clip', 'train.ema', 'train.freeze', 'train.loss',
    'train.lr_factors', 'train.parts', 'train.warmup_fraction')


def test_every_knob_is_explained_and_its_default_allowed():
  for config in (colorswap.get_config(), features.get_config(),
                 pretrained.get_config('paired_folder')):
    for key, knob in config_lib.knobs_of(config).items():
      assert knob.help.endswith('.'), key
      if knob.default is knobs.REQUIRED:
        continue
      if knob.default is None:
        assert knob.optional or key.startswith('dataset.'), key
      else:
        knob.check_type(key, knob.default)
        knob.check_choice(key, knob.default)


def test_a_config_is_completed_and_a_complete_one_stays():
  config = ml_collections.ConfigDict({
      'dataset': {'name': 'features'}, 'model': {'name': 'mlp'},
      'train': {'peak_lr': 0.5, 'optimizer': None},
      'strategies': ('mmal',), 'rounds': 2})
  found = config_lib.complete(config)
  assert 'seeds' not in config and found.train.peak_lr == 0.5
  assert (found.seeds, found.train.learner, found.train.optimizer,
          found.train.ema, found.stream.beyond) == (
              (0,), 'gradient', None, 0.0, True)
  assert config_lib.complete(found) is found
  assert config_lib.completed(config.to_dict())['model'] == {
      'name': 'mlp', 'width': 512, 'embed_dim': 256}
  found.dataset.images = found.dataset.texts = 'x'
  check.check(found)
  found.train.loss = 'softmax'  # A None knows of which type it is.
  with pytest.raises(TypeError):
    found.train.loss = 3


@pytest.mark.parametrize('damaged', [
    {}, {'train': 3}, {'dataset': []}, {'model': {'name': ['x']}},
    {'dataset': {'name': 7}}, {'acquisition': {'badge': 'no'}},
    {'costs': 'all'}, {'stream': None},
    {'train': {'ema': None}}])
def test_what_is_no_config_is_left_to_be_refused(damaged):
  config = config_lib.complete(ml_collections.ConfigDict(damaged))
  with pytest.raises(ValueError):
    check.check(config)
  assert config_lib.completed(damaged)['missing'] == 0.0


@pytest.mark.parametrize('key,value,said', [
    ('acquisition.badge', 3, 'acquisition.badge=3 must be a section'),
    ('acquisition.badge', {'negative': 3}, 'acquisition.badge.negative is unk'),
    ('acquisition.badge.negatives', 'x', 'must be a finite number'),
    ('acquisition.metric', 'l1', 'acquisition.metric=\'l1\' is unknown'),
    ('oracle.conflicts', 'fight', 'known are ask, majority'),
    ('train.clip', None, 'the config lacks train.clip'),
    ('mesh.fsdp', 0, 'mesh.fsdp=0 must be'),
    ('closed_form.rank', 0, 'closed_form.rank=0 must be')])
def test_one_table_says_what_is_refused(key, value, said):
  fields = colorswap.get_config().to_dict()
  *parts, name = key.split('.')
  part = fields
  for step in parts:
    part = part[step]
  part[name] = value
  with pytest.raises(ValueError, match=said):
    check.check(ml_collections.ConfigDict(fields))


def test_images_of_a_published_model_are_bounded():
  config = pretrained.get_config()
  config.init, config.model.image_size = 'x', 10**9
  with pytest.raises(ValueError, match='image_size=1000000000 must be at most'):
    check.check(config)


def test_a_strategys_own_values_are_set():
  config = colorswap.get_config()
  for name in strategies.STRATEGIES:
    own = sections.strategy_values(name)
    taken = strategies.configured(name, config.acquisition.to_dict())
    assert all(taken.values[value] == knob.default
               for value, knob in own.items())
  assert set(sections.strategy_values('typiclust')) == {
      'most_clusters', 'neighbours'}
  assert not sections.strategy_values('similarity')  # A switch: a variant's.
  config.acquisition.typiclust.neighbours = 5
  config.acquisition.probcover.delta = 0.3
  section = config.acquisition.to_dict()
  assert strategies.configured(
      'typiclust@image', section).values['neighbours'] == 5
  assert strategies.configured('probcover', section).values == {
      'delta': 0.3, 'points': 4096}
  assert explain.allowed(config, 'acquisition.probcover.delta') == 'a number'


def _earlier(saved):
  """A config as an earlier version saved it."""
  found = json.loads(json.dumps(saved))
  for key in _LATER:
    *parts, name = key.split('.')
    part = found
    for step in parts:
      part = part[step]
    del part[name]
  found['acquisition'] = {
      name: found['acquisition'][name] for name in ('coreset_ratio', 'metric')}
  return found


@pytest.mark.long
def test_a_run_of_an_earlier_version_goes_on(tmp_path):
  arguments = [
      *programs.save_features(tmp_path / 'f'), *programs.SMALL,
      f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}']
  programs.call(run, *arguments)
  path = tmp_path / 'w' / layout.CONFIG
  complete, metrics = layout.read(path), (
      tmp_path / 'w' / layout.METRICS).read_text()
  assert complete['acquisition']['probcover'] == {'delta': None, 'points': 4096}
  earlier = _earlier(complete)
  layout.write(path, earlier)
  (tmp_path / 'w' / layout.SUMMARY).unlink()
  with programs.ends() as e:
    programs.call(run, *arguments, '--config.train.clip=0.5', '--resume')
  assert '\n  train.clip: 1.0 there, 0.5 now' in e.value.code
  assert e.value.code.count(' there, ') == 1
  assert layout.read(path) == earlier
  programs.call(run, *arguments, '--resume')
  assert layout.read(path) == complete
  assert (tmp_path / 'w' / layout.METRICS).read_text() == metrics


def test_null_that_an_earlier_version_saved_for_matches_means_none(tmp_path):
  arguments = [
      *programs.save_features(tmp_path / 'f'), *programs.SMALL,
      f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}']
  programs.call(run, *arguments, '--config.matches.k=0')
  path = tmp_path / 'w' / layout.CONFIG
  complete = layout.read(path)
  layout.write(path, complete | {'matches': None})
  assert earlier.of_folder(tmp_path / 'w').settings.matches.k == 0
  (tmp_path / 'w' / layout.SUMMARY).unlink()
  with programs.ends() as e:
    programs.call(run, *arguments, '--resume')
  assert '\n  matches.k: 0 there, 5 now' in e.value.code
  programs.call(run, *arguments, '--config.matches.k=0', '--resume')
  assert layout.read(path) == complete


@pytest.mark.parametrize('name,key,value', [
    ('features', 'dataset.name', 'features'),
    ('features:sound', 'dataset.others.sound', None),
    ('paper/streaming', 'rounds', 4),
    ('colorswap_siglip', 'warm_start.steps', 8000)])
def test_a_config_by_its_name(capsys, name, key, value):
  for given in ([f'--config={name}'], ['--config', name]):
    with programs.ends(None):
      programs.call(run, '--show_config', *given, parse=run.parse_flags)
    assert f'--config.{key}={value!r}\n' in capsys.readouterr().out
