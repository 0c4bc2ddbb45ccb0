"""The loop over devices: what each holds of a pool, and the same picks."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.evaluate import evaluate
from mmal_jax.learn.closed_form import make
from mmal_jax.models import partition
from mmal_jax.oracles import exact
from mmal_jax.parallel import sharding
from mmal_jax.pools import pools as pools_lib
from tests.support import tiny

_N, _ROUNDS, _BATCH, _WIDTH = 203, 3, 6, 7


@pytest.fixture(name='data', scope='module')
def _data():
  return encode.encode(schema.Dataset(
      'tiny', tiny.feature_pairs(_N, 1), tiny.feature_pairs(20, 2)))


class _Held:
  """What the devices have been seen to hold of whole pools."""

  def __init__(self):
    self._before = jax.live_arrays()  # Kept, so that no other has their ids.
    self.most = {}  # bytes a device, by name of the moment
    self.rows = 0  # of an array that is as long as a pool, on one device

  def look(self, moment):
    bytes_of, before = {}, {id(x) for x in self._before}
    for x in jax.live_arrays():
      if id(x) in before or x.ndim < 2 or len(x) < _N:
        continue
      for part in x.addressable_shards:
        self.rows = max(self.rows, len(part.data))
        bytes_of[part.device] = (
            bytes_of.get(part.device, 0) + part.data.nbytes)
    self.most[moment] = max(
        self.most.get(moment, 0), max(bytes_of.values(), default=0))


class _Watched(NamedTuple):
  """A strategy, before which devices are looked at."""

  strategy: views_lib.AcquisitionFunction
  one_device: bool
  look: Callable[[str], None]

  def __call__(self, *arguments):
    self.look('acquired')
    return self.strategy(*arguments)


def _rounds(data, devices, strategy, look, reference=False):
  """The states of a run."""
  mesh = sharding.make_mesh(devices, 1)
  learner, params = make.heads(
      dict.fromkeys(data.pool.items, _WIDTH), mesh, False, 8, True)
  pools, hidden = pools_lib.hide_pairing(data.pool, 0)
  oracle = exact.exact(hidden.tuples, tuple(pools.items))

  def ask(*arguments):
    look('asked')
    return oracle(*arguments)

  state = state_lib.initial_state(
      params, learner.init(params), pools.sizes,
      evaluate.metric_names(data.test), _ROUNDS, _BATCH, 0, False)
  for state in loop.run_rounds(
      state, learner, strategy, ask, pools, data.test,
      loop.Plan(reference=reference), lambda *_: look('embedded')):
    look('learnt')
    assert partition.mesh_of(state.params) == mesh
    yield state


def _run(data, devices, name):
  """The last state of a run, and what devices held meanwhile."""
  strategy, held = registry.find(name), _Held()
  *_, last = _rounds(
      data, devices, _Watched(strategy, strategy.one_device, held.look),
      held.look, strategy.needs_reference)
  return last, held


def _check(data, name, counts):
  alone, held = _run(data, 1, name)
  assert held.rows == _N
  for devices in counts:
    state, parts = _run(data, devices, name)
    np.testing.assert_array_equal(state.queries, alone.queries)
    np.testing.assert_array_equal(
        state.query_modalities, alone.query_modalities)
    assert state.scores.keys() == alone.scores.keys()
    share = -(-_N // devices)
    print(name, devices, parts.rows, parts.most, held.most)
    assert parts.rows == share
    for moment, most in parts.most.items():
      assert most <= held.most[moment] * share / _N, moment


@pytest.mark.long
@pytest.mark.parametrize('name', ['mmal', 'mmal_plus'])
def test_each_device_holds_its_share_and_picks_are_the_same(data, name):
  _check(data, name, [8])


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mmal', 'mmal_plus', 'random', 'coreset',
                                  'margin', 'plan_margin'])
def test_on_any_number_of_devices(data, name):
  _check(data, name, [2, 4, 8])


def test_what_needs_one_device_gets_it(data):
  seen = []

  def strategy(views, batch, key):
    seen.extend(views.values())
    return registry.find('kmeans')(views, batch, key)

  queries = []
  for devices in (1, 8):
    *_, last = _rounds(data, devices, strategy, lambda moment: None)
    queries.append(last.queries)
  np.testing.assert_array_equal(*queries)
  for view in seen:
    assert view.rows is None and len(view.pool) == len(view.remaining) == _N
    assert len(view.pool.sharding.device_set) == 1
