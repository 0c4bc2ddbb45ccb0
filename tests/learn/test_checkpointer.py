"""Training that ends at any step goes on from there to the same bits."""

import contextlib
import shutil

import jax
import numpy as np
import pytest

from mmal_jax.checkpoint import pytrees
from mmal_jax.experiment import preemption
from mmal_jax.experiment import within_round
from mmal_jax.files import lock
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import replay
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.learn.gradient import unaligned
from mmal_jax.learn.gradient import warm_start
from mmal_jax.parallel import processes
from tests.support import tiny

_STEPS = 7


class _Ends(BaseException):
  """A program ends."""


class _Checkpointer:
  """Keeps every second step on disk; ends the program after some step."""

  def __init__(self, folder, every=2):
    self.every, self.end, self.begun_after = every, None, None
    self.kept = {}  # by step, of which training
    self.of, self._folder = None, folder

  @contextlib.contextmanager
  def training(self, of, like):
    self.of, self.begun_after = of, max(self.kept, default=None)
    if self.begun_after is None:
      yield None
    else:
      assert self.kept[self.begun_after] == of
      yield pytrees.load(self._folder / str(self.begun_after), like)

  def is_due(self, step, steps):
    if step == self.end:
      raise _Ends
    return step % self.every == 0 and step < steps

  def save(self, step, tree):
    assert tree.step == step == np.count_nonzero(~np.isnan(tree.losses))
    pytrees.save(self._folder / str(step), tree)
    self.kept[step] = self.of


def _run(tiny_run, **recipe):
  return tiny_run.with_recipe(**{
      'optimizer': optimizer.make_optimizer(1e-2, _STEPS, ema=0.9)} | recipe)


def _last(run, checkpointer=None, restart=True, **more):
  run = run._replace(learner=run.learner._replace(steps=_STEPS))
  *_, last = run.rounds(
      state=run.start(restart=restart), checkpointer=checkpointer, **more)
  return last


def _checkpointers(folder):
  return {t: _Checkpointer(folder / str(t)) for t in range(1, tiny.ROUNDS + 1)}


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


@pytest.mark.long
@pytest.mark.parametrize('kind', ['plain', 'all', 'goes on'])
def test_what_ends_at_any_step_goes_on_to_the_same_bits(
    tiny_run, tmp_path, kind):
  run, more = _run(tiny_run), {}
  if kind == 'all':
    run = _run(tiny_run, unaligned=unaligned.Unaligned(1.0, 8, 0.05))
    run = run._replace(learner=run.learner._replace(
        replay=replay.Replay(run.data.test.items, 20.0)))
    more = {'reference': True, 'strategy': 'mmal_plus'}
  if kind == 'goes on':
    more = {'restart': False}
  whole = _last(run, **more)
  for end in (1, 4, _STEPS):
    checkpointers = _checkpointers(tmp_path / str(end))
    checkpointers[3].end = end
    with pytest.raises(_Ends):
      _last(run, checkpointers.get, **more)
    before = [step for step in (2, 4, 6) if step < end]
    assert sorted(checkpointers[3].kept) == before
    # A program that begins anew has what was kept of that round.
    again = _checkpointers(tmp_path / f'{end} again') | {3: checkpointers[3]}
    checkpointers[3].end = None
    tiny.assert_same(_last(run, again.get, **more), whole)
    assert checkpointers[3].begun_after == max(before, default=None)


def test_training_of_no_more_steps_is_not_kept(tiny_run, tmp_path):
  checkpointer = _Checkpointer(tmp_path, every=_STEPS)
  tiny.assert_same(_last(_run(tiny_run), lambda _: checkpointer),
                   _last(_run(tiny_run)))
  assert not checkpointer.kept and checkpointer.begun_after is None


def test_a_step_is_compiled_once(tiny_run, tmp_path):
  run = _run(tiny_run, optimizer=optimizer.make_optimizer(1e-2, _STEPS))
  # As after a start from a checkpoint.
  run = run._replace(params=jax.tree.map(
      lambda x: jax.device_put(x, jax.devices()[0]), run.params))
  checkpointers = _checkpointers(tmp_path)
  before = step_lib.train_step._cache_size()
  checkpointers[1].end = 5
  with pytest.raises(_Ends):
    _last(run, checkpointers.get)
  checkpointers[1].end = None
  _last(run, checkpointers.get)
  assert checkpointers[1].begun_after == 4
  assert step_lib.train_step._cache_size() == before + 1


class _KnowsNothing:
  """A learner of a user's, from before there were checkpointers."""

  needs_reference = False

  def __init__(self, learner):
    self._learner, self.graphdef = learner, learner.graphdef

  def init(self, params):
    return self._learner.init(params)

  def learn(self, params, state, start, key, known):
    return self._learner.learn(params, state, start, key, known)

  def encoder(self, params, state):
    return self._learner.encoder(params, state)

  def embeds_anew(self, modality, params):
    return self._learner.embeds_anew(modality, params)


def test_a_learner_that_knows_of_no_keeper_learns_as_before(
    tiny_run, tmp_path):
  checkpointer = _Checkpointer(tmp_path)
  run = _run(tiny_run)
  *_, last = run._replace(learner=_KnowsNothing(run.learner)).rounds(
      checkpointer=lambda _: checkpointer)
  tiny.assert_same(last, list(run.rounds())[-1])
  assert not checkpointer.kept


def test_the_digest_is_of_all_that_decides_which_steps_are_taken(tiny_run):
  found = set()
  pool, rows = tiny_run.data.pool, np.arange(16, dtype=np.int32)
  source = minibatches.Source(pool.items, np.stack([rows, rows], 1), 16)
  other = source.aligned.copy()
  other[3, 1] = 4
  for seed, given, steps in (
      (0, source, 4), (1, source, 4), (0, source._replace(num_aligned=15), 4),
      (0, source._replace(aligned=other), 4), (0, source, 5)):
    checkpointer = _Checkpointer(None, every=3)
    checkpointer.end = 1
    with pytest.raises(_Ends):
      fit.fit(tiny_run.learner.recipe, tiny_run.params, None,
              jax.random.key(seed), given, steps, checkpointer=checkpointer)
    found.add(checkpointer.of)
  assert len(found) == 5


def _keep(kept, end=None):
  notice = preemption.Notice()
  checkpointer = within_round.Checkpointer(kept, 2, notice)
  due = checkpointer.is_due

  def is_due(step, steps):
    notice.given = step == end
    return due(step, steps)

  checkpointer.is_due = is_due
  return checkpointer


@pytest.mark.long
def test_a_warm_start_goes_on_from_within(tiny_run, tmp_path, monkeypatch):
  def start(folder, **more):
    return warm_start.warm_start(
        tiny_run.learner.graphdef, tiny_run.params, tiny_run.data.pool,
        steps=_STEPS, batch_size=8, cache_dir=tmp_path / folder, **more)

  whole, steps, step = start('whole'), [], step_lib.train_step
  monkeypatch.setattr(step_lib, 'train_step', lambda *args: (
      steps.append(0) or step(*args)))
  with pytest.raises(preemption.Preempted):
    start('a', make_checkpointer=lambda kept: _keep(kept, 5))
  within, = (tmp_path / 'a').glob('*.within')
  assert (within / 'within_1' / '5').is_dir() and len(steps) == 5
  # Another program that trains the same does not write there.
  with lock.exclusive(tmp_path / 'a', f'.{within.name}{lock.NAME}'):
    seen = []
    monkeypatch.setattr(fit, 'fit', lambda *args, checkpointer, **more: (
        seen.append(checkpointer) or (whole, None, 0.0)))
    start('a', make_checkpointer=_keep)
    monkeypatch.undo()
  assert seen == [None]
  shutil.rmtree(tmp_path / 'a' / within.stem)
  monkeypatch.setattr(step_lib, 'train_step', lambda *args: (
      steps.append(0) or step(*args)))
  tiny.assert_same(start('a', make_checkpointer=_keep), whole)
  assert len(steps) == _STEPS
  assert [p.name for p in (tmp_path / 'a').iterdir()
          if not p.name.startswith('.')] == [within.stem]


@pytest.mark.parametrize('why', ['another program', 'a cache of each host'])
def test_a_warm_start_that_cannot_be_kept_leaves_no_folder_for_it(
    tiny_run, tmp_path, monkeypatch, why):
  seen, all_processes = [], processes.all_processes

  def of_two(value):
    # What lies in the cache of one host alone.
    return all_processes(value) and not any(
        path.is_dir() for path in tmp_path.iterdir())

  @contextlib.contextmanager
  def in_use(*_):
    raise lock.InUse('by another program')
    yield  # pylint: disable=unreachable

  if why == 'another program':
    monkeypatch.setattr(lock, 'exclusive', in_use)
  else:
    monkeypatch.setattr(processes, 'all_processes', of_two)
  monkeypatch.setattr(fit, 'fit', lambda *args, checkpointer, **more: (
      seen.append(checkpointer) or (tiny_run.params, None, 0.0)))
  monkeypatch.setattr(warm_start, '_publish', lambda *_: None)
  warm_start.warm_start(
      tiny_run.learner.graphdef, tiny_run.params, tiny_run.data.pool,
      steps=_STEPS, batch_size=8, cache_dir=tmp_path,
      make_checkpointer=_keep)
  assert seen == [None]
  assert all(path.name.startswith('.') for path in tmp_path.iterdir())


def test_nothing_is_kept_of_a_warm_start_that_diverges(tiny_run, tmp_path):
  with pytest.raises(divergence.Diverged, match='^warm start: '):
    warm_start.warm_start(
        tiny_run.learner.graphdef, tiny_run.params, tiny_run.data.pool, steps=3,
        batch_size=8, peak_lr=1e30, cache_dir=tmp_path,
        make_checkpointer=_keep)
  assert all(path.name.startswith('.') for path in tmp_path.iterdir())
