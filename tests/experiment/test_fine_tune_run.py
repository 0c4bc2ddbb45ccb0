"""Fine-tuning from closed-form heads, as experiments run it."""

import json
import pathlib
import shutil

import jax
import numpy as np
from PIL import Image
import pytest

from experiments.configs import colorswap
from experiments.configs import features
from experiments.configs import images_and_texts
from mmal_jax.checkpoint import newest
from mmal_jax.experiment import build
from mmal_jax.experiment import check
from mmal_jax.experiment import run
from mmal_jax.learn import fine_tune
from mmal_jax.workdir import layout
from tests.support import tiny


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _config(**train):
  config = colorswap.get_config()
  config.dataset.update(pretrain=40, pool=30, test=10, image_size=16)
  config.model.update(width=16, embed_dim=16, depth=1, heads=2)
  config.warm_start.steps = 3
  config.strategies, config.seeds = ('random',), (0,)
  config.rounds, config.batch = 3, 6
  with config.unlocked():
    config.train.update(
        {'learner': 'fine_tune', 'steps_per_round': 3, 'batch_size': 8} | train)
  check.check(config)
  return config


@pytest.fixture(name='finished', scope='module')
def _finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp('run')
  said = run.run(_config(), folder / 'w', str(folder / 'c'))
  return folder, said


@pytest.mark.long
def test_it_runs_and_learns_towers_and_heads(finished):
  folder, said = finished
  assert 'random ends at' in said
  record, = layout.read_lines(folder / 'w' / layout.WHOLE_POOL)
  assert record['aligned'] == 60  # 30 examples of two pairs
  lines = layout.read_lines(folder / 'w' / layout.METRICS)
  assert [line['round'] for line in lines] == [0, 1, 2, 3]
  for line in lines[1:]:
    assert np.isfinite([line['loss'], line['skill']]).all()
  experiment = build.build(_config(), str(folder / 'c'))
  assert isinstance(experiment.learner, fine_tune.FineTune)
  pools, _, _ = build.annotators_of(experiment, 0)
  start = build.initial_state(experiment, pools.sizes, 0)
  kept = newest.Checkpoints(layout.state_path(folder / 'w', 'random', 0))
  _, last = kept.newest(start)
  for m in ('image', 'text'):
    for part in ('tower', 'projection', 'head'):
      name = f'{m}_{part}'
      assert any(not np.array_equal(a, b) for a, b in zip(
          jax.tree.leaves(start.params[name]),
          jax.tree.leaves(last.params[name])))


@pytest.mark.long
def test_what_was_stopped_ends_as_if_it_had_not_been(finished, tmp_path):
  folder, said = finished
  shutil.copytree(folder / 'w', tmp_path / 'w')
  states = pathlib.Path(layout.state_path(tmp_path / 'w', 'random', 0))
  at = sorted(int(p.name) for p in states.iterdir() if p.name.isdigit())
  assert at[-1] == 3 and len(at) > 1
  for path in states.iterdir():  # The last round's state is gone.
    if path.name.split('.')[0] == '3':
      shutil.rmtree(path) if path.is_dir() else path.unlink()
  (tmp_path / 'w' / layout.SUMMARY).unlink()
  again = run.run(_config(), tmp_path / 'w', str(folder / 'c'), resume=True)
  assert again == said
  experiment = build.build(_config(), str(folder / 'c'))
  pools, _, _ = build.annotators_of(experiment, 0)
  start = build.initial_state(experiment, pools.sizes, 0)
  tiny.assert_same(*(
      newest.Checkpoints(
          layout.state_path(w, 'random', 0)).newest(start)[1]
      for w in (tmp_path / 'w', folder / 'w')))


@pytest.mark.long
def test_recipes_and_factors_know_the_heads(tmp_path):
  config = _config(freeze='heads', lr_factors='*_head.*=0.1')
  experiment = build.build(config, str(tmp_path))
  pools, _, oracle = build.annotators_of(experiment, 0)
  state = build.initial_state(experiment, pools.sizes, 0)
  *_, last = build.rounds(experiment, 'random', pools, oracle, state)
  for m in ('image', 'text'):
    tiny.assert_same(last.params[f'{m}_tower'], state.params[f'{m}_tower'])
    assert not np.array_equal(
        *(x.params[f'{m}_projection']['kernel'][...] for x in (last, state)))


def test_features_have_no_towers(tmp_path):
  config = features.get_config()
  rng = np.random.default_rng(0)
  for name, key in (('image', 'images'), ('text', 'texts')):
    np.save(tmp_path / f'{name}.npy',
            rng.normal(size=(40, 6)).astype(np.float32))
    config.dataset[key] = str(tmp_path / f'{name}.npy')
  config.train.learner, config.rounds, config.batch = 'fine_tune', 1, 4
  check.check(config)
  with pytest.raises(ValueError, match='fine_tune.*features alone: give'):
    build.build(config, str(tmp_path))


def test_nothing_pretrained_is_refused(tmp_path):
  config = images_and_texts.get_config()
  pixels = np.random.default_rng(0).integers(
      256, size=(20, 8, 8, 3)).astype(np.uint8)
  rows = []
  for i, image in enumerate(pixels):
    Image.fromarray(image).save(tmp_path / f'{i}.png')
    rows.append({'image': f'{i}.png', 'text': f'noise {i}'})
  (tmp_path / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  config.dataset.folder = str(tmp_path)
  config.train.learner, config.rounds, config.batch = 'fine_tune', 1, 4
  check.check(config)
  with pytest.raises(ValueError, match='no pretrain split.*give --init='):
    build.build(config, str(tmp_path))


def test_pseudo_pairs_would_be_taken_for_answers():
  with pytest.raises(ValueError, match='train.pseudo_pairs=1.0 does not go'):
    _config(pseudo_pairs=1.0)
