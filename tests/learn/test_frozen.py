"""The closed form on what frozen towers make of a dataset."""

import numpy as np
import pytest

from experiments.configs import colorswap
from experiments.configs import trio
from mmal_jax.data import encode
from mmal_jax.experiment import build
from mmal_jax.experiment import check
from mmal_jax.learn.closed_form import learner as closed_form


def _built(config, tmp_path):
  config.train.learner = 'closed_form'
  config.warm_start.steps = 3
  config.rounds, config.batch, config.seeds = 2, 6, (0,)
  check.check(config)
  return build.build(config, str(tmp_path))


@pytest.mark.long
@pytest.mark.parametrize('name', ['colorswap', 'trio'])
def test_towers_are_frozen_and_what_they_know_is_the_prior(name, tmp_path):
  config = {'colorswap': colorswap, 'trio': trio}[name].get_config()
  config.dataset.pretrain, config.dataset.pool = 40, 30
  config.dataset.test = 10
  config.model.width = config.model.embed_dim = 16
  config.model.depth, config.model.heads = 1, 2
  experiment = _built(config, tmp_path)
  assert isinstance(experiment.learner, closed_form.ClosedForm)
  assert experiment.learner.has_prior
  assert all(map(encode.is_features, experiment.data.pool.items.values()))
  # What is shown to people, and has a digest, stays as it was.
  before = experiment.encoded.pool.items.values()
  assert not any(map(encode.is_features, before))
  np.testing.assert_array_equal(
      experiment.data.pool.groups, experiment.encoded.pool.groups)
  pools, _, oracle = build.annotators_of(experiment, 0)
  start = build.initial_state(experiment, pools.sizes, 0)
  states = list(build.rounds(experiment, 'mmal_plus', pools, oracle, start))
  assert int(states[-1].round) == 2
  assert all(np.isfinite(curve).all() for curve in states[-1].scores.values())


@pytest.mark.parametrize('key,value', [
    ('freeze', 'lit'), ('lr_factors', '*=0.1'), ('ema', 0.9),
    ('pseudo_pairs', 1.0), ('unaligned', 1.0)])
def test_what_only_training_by_gradient_does_is_refused(key, value):
  config = colorswap.get_config()
  config.train.learner = 'closed_form'
  check.check(config)
  with config.unlocked():
    config.train[key] = value
  with pytest.raises(ValueError, match=f'train.{key}.*closed_form'):
    check.check(config)
