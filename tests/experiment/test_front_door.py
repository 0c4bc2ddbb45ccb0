"""What `import mmal_jax` gives."""

import importlib
import subprocess
import sys

import jax
import ml_collections
import numpy as np
import pytest

from experiments.configs import features
import mmal_jax
from mmal_jax.models import config as config_lib
from tests.support import published_files
from tests.support import tiny
from tests.support import torch_models


@pytest.fixture(name='checkpoint', scope='module')
def _checkpoint(tmp_path_factory):
  return published_files.publish(
      torch_models.siglip(vocab=300), tmp_path_factory.mktemp('published'),
      'SiglipImageProcessor')


@pytest.fixture(name='photos', scope='module')
def _photos(tmp_path_factory):
  return published_files.photos(tmp_path_factory.mktemp('photos'))


@pytest.mark.parametrize('name', mmal_jax.__all__)
def test_every_name_is_there_and_listed(name):
  assert getattr(mmal_jax, name) is not None
  assert name in dir(mmal_jax)


def test_another_name_is_none():
  with pytest.raises(AttributeError, match="no attribute 'nope'"):
    mmal_jax.nope  # pylint: disable=pointless-statement


def test_no_name_is_that_of_a_subpackage():
  """The import of a subpackage puts it in the place of the name."""
  for name in mmal_jax.__all__:
    with pytest.raises(ModuleNotFoundError):
      importlib.import_module(f'mmal_jax.{name}')


def test_import_takes_no_time():
  code = ('import time; start = time.perf_counter(); import mmal_jax;'
          'print(time.perf_counter() - start)')
  times = [float(subprocess.run(
      [sys.executable, '-c', code], check=True, capture_output=True,
      text=True).stdout) for _ in range(3)]
  assert min(times) < 0.5  # Of a machine that does other work, too.


def test_a_checkpoint_by_its_folder(checkpoint):
  model = mmal_jax.load_pretrained(checkpoint)
  assert isinstance(model.config, config_lib.DualEncoder)
  assert model.config.dtype == 'float32'
  tokens = model.tokenizer(['a red cat'])
  assert tokens.shape == (1, model.config.text.length)
  assert model.preprocess.size == torch_models.IMAGE_SIZE
  assert all(isinstance(leaf, np.ndarray)
             for leaf in jax.tree.leaves(model.params))
  large = mmal_jax.load_pretrained(
      checkpoint, image_size=48, dtype='bfloat16')
  assert (large.config.dtype, large.config.image.size) == (
      'bfloat16', (48, 48))


@pytest.mark.parametrize('options,said', [
    ({'model': 'nope'}, "model='nope' is none of clip_"),
    ({'dtype': 'int8'}, "dtype='int8' is none of float32"),
    ({'model': 'siglip_b16'}, 'is')])
def test_a_checkpoint_that_is_no_such_is_refused(checkpoint, options, said):
  with pytest.raises(ValueError, match=said):
    mmal_jax.load_pretrained(checkpoint, **options)


@pytest.mark.long
def test_items_that_are_embedded_are_asked_about(checkpoint, photos):
  model = mmal_jax.load_pretrained(checkpoint)
  images = mmal_jax.embed_items(
      model, sorted(photos.glob('*.png')), 'image', batch_size=8)
  texts = mmal_jax.embed_items(
      model, [f'a red cat number {i}' for i in range(24)], 'text')
  assert images.shape == texts.shape and images.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)
  query = mmal_jax.ask(images, texts, None, None, batch=4)
  assert isinstance(query, mmal_jax.Query) and len(query.indices) == 4
  with pytest.raises(ValueError, match="modality='sound' must be"):
    mmal_jax.embed_items(model, ['x'], 'sound')


def test_rows_of_files_over_devices(tmp_path):
  values = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
  np.save(tmp_path / 'a.npy', values)
  rows = mmal_jax.open_rows(tmp_path / 'a.npy')
  np.testing.assert_array_equal(rows.take(np.arange(16)), values)
  sharding = mmal_jax.row_sharding()
  query = mmal_jax.ask(values, values[::-1].copy(), values[:2], values[:2],
                       batch=3, strategy='coreset', rows=sharding)
  assert len(query.indices) == 3


@pytest.mark.long
def test_a_run_from_python(tmp_path, monkeypatch):
  """With a cache of one's own, and a config that stays as it is."""
  for name, values in tiny.feature_pairs(40, 0).items.items():
    np.save(tmp_path / f'{name}.npy', values)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.chdir(tmp_path)
  config = features.get_config()
  config.dataset.images, config.dataset.texts = 'image.npy', 'text.npy'
  config.strategies, config.seeds = ('random', 'mmal'), (0,)
  config.rounds, config.batch, config.whole_pool = 2, 3, False
  before, said = config.to_dict(), []
  tables = mmal_jax.run(config, 'run', notify=said.append)
  assert 'random' in tables and 'mmal' in tables and said
  assert (tmp_path / 'run' / 'summary.json').exists()
  assert config.to_dict() == before
  with pytest.raises(ValueError, match='workdir'):
    mmal_jax.run(config, 'run')
  assert mmal_jax.run(config, 'run', resume=True) == tables
  config.metric = 'nope'
  with pytest.raises(ValueError, match='unknown'):
    mmal_jax.run(config, 'other')
  assert not (tmp_path / 'other').exists()


def test_a_config_is_of_ml_collections():
  assert mmal_jax.Config is ml_collections.ConfigDict
