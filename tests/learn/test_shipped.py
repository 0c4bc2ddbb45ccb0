"""The warm start that comes with the package: taken, checked, or not taken."""

import configparser
import hashlib
import json
import pathlib
import re

import jax
import numpy as np
import pytest

from experiments.configs import colorswap
from experiments.configs import colorswap_siglip
from mmal_jax.experiment import build
from mmal_jax.experiment import datasets
from mmal_jax.experiment import ship_warm_start
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import shipped
from mmal_jax.models import fingerprint
from mmal_jax.models import names

_JSON = sorted(shipped.FOLDER.glob('*.json'))
_ROOT = pathlib.Path(__file__).parents[2]


class _Trained(Exception):
  pass


@pytest.fixture(name='cache', scope='module')
def _cache(tmp_path_factory):
  return str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(name='none_is_trained')
def _none_is_trained(monkeypatch):
  def raising(*_, **__):
    raise _Trained

  monkeypatch.setattr(fit, 'fit', raising)


@pytest.fixture(name='tiny')
def _tiny(tiny_run, tmp_path):
  """A shipped warm start of the tiny model, and what it is made of."""
  made_of = shipped.describe(
      {'name': 'mlp'}, {'steps': 3}, tiny_run.data.pool, tiny_run.params)
  shipped.save(tmp_path / 'tiny', made_of, tiny_run.params, 'make it')
  return made_of, tiny_run.params, tmp_path


@pytest.mark.parametrize('path', _JSON, ids=lambda path: path.stem)
def test_every_file_is_what_its_description_says(path):
  described = json.loads(path.read_text())
  content = path.with_suffix('.npz').read_bytes()
  assert hashlib.sha256(content).hexdigest() == described['sha256']
  assert len(content) <= shipped.MOST_BYTES == 2**20
  with np.load(path.with_suffix('.npz'), allow_pickle=False) as arrays:
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.float16)}
    assert {n: str(list(a.shape)) for n, a in arrays.items()} == (
        described['made_of']['parameters'])
  module, flags = re.fullmatch(
      r'python -m (experiments\.\w+)((?: --[\w.]+=\S+)*)',
      described['command']).groups()
  assert module == 'experiments.warm_start' and f'--name={path.stem}' in flags


def test_the_files_are_part_of_the_package():
  parser = configparser.ConfigParser()
  parser.read(_ROOT / 'setup.cfg')
  patterns = parser['options.package_data']['mmal_jax'].split()
  folder = shipped.FOLDER.name
  assert {f'{folder}/*.json', f'{folder}/*.npz'} <= set(patterns)
  assert _JSON and len(list(shipped.FOLDER.iterdir())) == 2 * len(_JSON)


@pytest.mark.long
@pytest.mark.usefixtures('none_is_trained')
def test_the_default_config_takes_it_and_another_recipe_does_not(cache):
  starts = [build.build(module.get_config(), cache).warm
            for module in (colorswap, colorswap_siglip)]
  for leaf in jax.tree.leaves(starts):
    assert leaf.dtype == np.float32 and isinstance(leaf, jax.Array)
  assert any(not np.array_equal(a, b)
             for a, b in zip(*map(jax.tree.leaves, starts)))
  for key, value in (
      ('warm_start.steps', 2999), ('warm_start.seed', 1),
      ('model.embed_dim', 32), ('dataset.seed', 1)):
    config = colorswap.get_config()
    if key == 'dataset.seed':  # Small: it is rendered.
      config.dataset.update({'pretrain': 8, 'pool': 500, 'test': 8})
    section, name = key.split('.')
    config[section][name] = value
    with pytest.raises(_Trained):
      build.build(config, cache)


def test_it_comes_back_as_it_was_but_for_float16(tiny):
  made_of, params, folder = tiny
  found = shipped.find(made_of, params, folder)
  assert jax.tree.structure(found) == jax.tree.structure(params)
  for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(params)):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, np.asarray(other).astype(np.float16))


def test_neither_libraries_nor_sources_count(tiny, tiny_run, monkeypatch):
  made_of, params, folder = tiny
  monkeypatch.setattr(jax, '__version__', '99')
  monkeypatch.setattr(fingerprint, 'of', None)
  again = shipped.describe(
      {'name': 'mlp'}, {'steps': 3}, tiny_run.data.pool, params)
  assert again == made_of
  assert shipped.find(again, params, folder) is not None


@pytest.mark.parametrize('change', [
    {'model': {'name': 'other'}}, {'recipe': {'steps': 4}}, {'data': {}},
    {'parameters': {}}])
def test_another_is_not_taken(tiny, change):
  made_of, params, folder = tiny
  assert shipped.find(made_of | change, params, folder) is None


def test_damaged_files_are_refused(tiny):
  made_of, params, folder = tiny
  path = folder / 'tiny.npz'
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  with pytest.raises(
      ValueError, match='tiny.npz is damaged.*package again.*make it'):
    shipped.find(made_of, params, folder)
  path.unlink()
  with pytest.raises(ValueError, match='cannot be read: .*tiny.npz'):
    shipped.find(made_of, params, folder)
  (folder / 'tiny.json').write_text('{"sha256": 3}')
  with pytest.raises(ValueError, match='tiny.json: command is missing'):
    shipped.find(made_of, params, folder)
  (folder / 'tiny.json').write_text('{')
  with pytest.raises(ValueError, match='tiny.json'):
    shipped.find(made_of, params, folder)


def test_what_float16_or_the_limit_cannot_hold_is_refused(tiny, monkeypatch):
  made_of, params, folder = tiny
  with pytest.raises(ValueError, match='is not finite in float16'):
    shipped.save(folder / 'x', made_of,
                 jax.tree.map(lambda leaf: leaf + 1e6, params), '')
  monkeypatch.setattr(shipped, 'MOST_BYTES', 100)
  with pytest.raises(ValueError, match='at most 100 are shipped'):
    shipped.save(folder / 'x', made_of, params, '')
  assert not list(folder.glob('x*'))


@pytest.mark.long
@pytest.mark.usefixtures('quick_compilation')
def test_the_program_makes_one(cache, tmp_path, monkeypatch):
  config = colorswap.get_config()
  config.dataset.update(
      {'pretrain': 8, 'pool': 12, 'test': 8, 'image_size': 16})
  config.model.update({'width': 16, 'depth': 1, 'heads': 2})
  config.warm_start.steps, config.rounds, config.batch = 2, 1, 4
  ship_warm_start.make(config, tmp_path / 'small', cache, 'python -m x')
  experiment = build.build(config, cache)
  data, params = experiment.data, experiment.warm
  found = shipped.find(build.made_of(config, data, params), params, tmp_path)
  for name, one, other in zip(
      names.all_names(params), jax.tree.leaves(found),
      jax.tree.leaves(params)):
    np.testing.assert_allclose(one, other, atol=1e-3, err_msg=name, rtol=1e-3)
  pool_alone = data._replace(pretrain=None)
  monkeypatch.setattr(datasets, 'load', lambda *_: pool_alone)
  with pytest.raises(ValueError, match='has no pretrain split'):
    ship_warm_start.make(config, tmp_path / 'none', cache, '')
