"""Training that diverges: where it is said to, and what it leaves behind."""

import dataclasses
import json
import re
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import run as run_lib
from experiments.configs import colorswap
from experiments.configs import features
from mmal_jax import loop
from mmal_jax.acquire.strategies import random
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import check
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.gradient import average
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import step
from mmal_jax.learn.gradient import unaligned
from mmal_jax.models import partition
from mmal_jax.oracles import exact
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.parallel import sharding
from mmal_jax.pools import stream
from mmal_jax.workdir import layout
from tests.support import tiny

pytestmark = pytest.mark.usefixtures('quick_compilation')

_STEPS, _CAPACITY = 6, 30


def _same(a, b):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


def _table(seed=0):
  rng = np.random.default_rng(seed)
  return np.stack([rng.permutation(40)[:_CAPACITY] for _ in range(2)],
                  1).astype(np.int32)


def _spoilt(items, modality, row, value=np.nan):
  """The items, of which one has a value that no check has let through."""
  values = items[modality].values.copy()
  values[row, 2] = value
  return items | {modality: dataclasses.replace(items[modality], values=values)}


def _fit(run, items, table=None, params=None, steps=_STEPS, key=0, **options):
  table = _table() if table is None else table
  source = minibatches.Source(items, table, len(table))
  return fit.fit(
      run.learner.recipe, run.params if params is None else params, None,
      jax.random.key(key), source, steps, **options)


def _first_step_with(table, row, key=0):
  """By its own account of the plan: the first step that draws a table row."""
  for i in range(_STEPS):
    key_rows, _ = jax.random.split(jax.random.fold_in(jax.random.key(key), i))
    rows, _ = step.minibatch(key_rows, jnp.int32(len(table)), len(table), 8)
    if row in np.asarray(rows):
      return i
  return None


@pytest.mark.parametrize('loss,parts,on_mesh', [
    ('sigmoid', 1, False), ('softmax', 2, False), ('sigmoid_ring', 1, True)])
def test_the_first_step_that_reads_a_nan_and_the_item_are_named(
    tiny_run, loss, parts, on_mesh):
  mesh = sharding.make_mesh(4, 2) if on_mesh else None
  loss = losses.LOSSES[loss](mesh)
  run = tiny_run.with_recipe(loss=loss, parts=parts, mesh=mesh)
  params, table = partition.place(run.params, mesh), _table()
  # Numbers other than rows, so that they cannot be taken for one another.
  numbers = {'image': np.arange(40) + 100, 'text': np.arange(40) + 500}
  firsts = {}
  for row in range(_CAPACITY):
    firsts.setdefault(_first_step_with(table, row), row)
  for first in (0, 1, None) if loss == 'sigmoid' else (1,):
    row = firsts[first]
    for column, modality in enumerate(('image', 'text')):
      number = table[row, column] + (100, 500)[column]
      items = _spoilt(run.pools.items, modality, table[row, column])
      if first is None:  # No step has seen it.
        _fit(run, items, params=params, numbers=numbers)
        continue
      with pytest.raises(divergence.Diverged, match=(
          rf'^training diverged in step {first + 1} of {_STEPS}: loss nan, '
          'norm of the gradient nan; not finite by themselves: '
          rf'{modality} {number}\.$')):
        _fit(run, items, params=params, numbers=numbers)


def test_several_items_and_one_that_only_fills_up(tiny_run):
  table = np.array([[3, 9], [4, 8], [5, -1]], np.int32)
  padded = np.concatenate([table, np.full((7, 2), -1, np.int32)])
  items = _spoilt(_spoilt(tiny_run.pools.items, 'image', 4), 'text', 8, np.inf)
  source = minibatches.Source(items, padded, 3)
  recipe, params = tiny_run.learner.recipe, tiny_run.params
  arguments = recipe, params, None, jax.random.key(0)
  with pytest.raises(divergence.Diverged, match='selves: image 4; text 8.$'):
    fit.fit(*arguments, source, 2)
  # Item 0 stands in rows that do not count; its gradient is NaN all the same.
  with pytest.raises(divergence.Diverged, match='step 1 .*selves: image 0.$'):
    items = _spoilt(tiny_run.pools.items, 'image', 0)
    fit.fit(*arguments, source._replace(items=items), 2)


def test_items_are_embedded_in_batches_that_fit(tiny_run):
  items = _spoilt(tiny_run.pools.items, 'image', 4)['image']
  rows, embed = np.arange(9), divergence.embed_lib.embed_batches
  read = divergence.Read('image', '', items, rows, rows >= 0, np.arange(40))
  with mock.patch.object(divergence, '_BATCH', 4), mock.patch.object(
      divergence.embed_lib, 'embed_batches', wraps=embed) as called:
    blamed = divergence.blame(
        tiny_run.learner.graphdef, tiny_run.params, [read])
  assert blamed.endswith('image 4') and called.call_args.args[-1] == 4


def test_an_input_that_is_finite_and_whose_embedding_is_not(tiny_run):
  items = _spoilt(tiny_run.pools.items, 'text', _table()[0, 1], 1e30)
  said = f'selves: text {_table()[0, 1]}.$'
  with pytest.raises(divergence.Diverged, match=said):
    _fit(tiny_run, items)


def test_a_learning_rate_beyond_bounds_has_the_whole_minibatch(tiny_run):
  run = tiny_run.with_recipe(
      optimizer=optimizer.make_optimizer(1e30, _STEPS), batch_size=10)
  key_rows, _ = jax.random.split(jax.random.fold_in(jax.random.key(0), 1))
  rows, _ = step.minibatch(key_rows, jnp.int32(_CAPACITY), _CAPACITY, 10)
  images, texts = (
      ', '.join(map(str, column[:8])) for column in _table()[rows].T)
  with pytest.raises(divergence.Diverged, match=(
      rf'step 2 of {_STEPS}: .*; its minibatch: image {images}, ... \(10 in '
      rf'all\); text {texts}, ... \(10 in all\)\.$')):
    _fit(run, run.pools.items)


def test_a_gradient_that_is_nan_where_the_loss_is_not(tiny_run):
  def steep(images, *others):
    # 0, of an infinite slope.
    return loss_lib.sigmoid_loss(images, *others) + jnp.sqrt(
        jnp.sum(jnp.square(images - jax.lax.stop_gradient(images))))

  run = tiny_run.with_recipe(loss=steep)
  with pytest.raises(divergence.Diverged, match=(
      r'step 1 of 6: loss \d[\d.]*, norm of the gradient nan; its minib')):
    _fit(run, run.pools.items)


def _pushing(name, by):  # one parameter by so much, in the second step
  def update(updates, count, params):
    del params
    moved = jax.tree_util.tree_map_with_path(lambda path, x: jnp.where(
        (count == 1) & (name in jax.tree_util.keystr(path)), by, 0*x), updates)
    return moved, count + 1

  return optax.GradientTransformation(lambda params: jnp.int32(0), update)


@pytest.mark.parametrize('name,by,what', [
    ('logit_bias', np.nan, 'params.logit_bias'),
    # Finite, and yet no scale that an acquisition could work with.
    ('logit_scale', 100.0, 'scale')])
def test_what_the_last_step_leaves_must_be_finite(tiny_run, name, by, what):
  run = tiny_run.with_recipe(
      optimizer=_pushing(name, by))
  with pytest.raises(divergence.Diverged, match=(
      rf'step 2 of 2: loss \d[\d.]*, norm of the gradient \d[\d.]*, after which'
      f' {what} are not finite; its minibatch: ')):
    _fit(run, run.pools.items, steps=2)


def test_an_average_that_is_not_finite_is_found(tiny_run):
  opt = optimizer.make_optimizer(1e-2, 3, ema=0.9)
  state = opt.init(tiny_run.params)
  assert not divergence.not_finite(tiny_run.params, state)
  average_ = state.average | {'logit_scale': jnp.float32(np.inf)}
  assert divergence.not_finite(
      tiny_run.params, average.Averaged(state.inner, average_)) == [
          'optimizer.average.logit_scale']


def test_an_unaligned_item_is_named_too(tiny_run):
  run = tiny_run.with_recipe(unaligned=unaligned.Unaligned(1.0, 8))
  items, rows = run.pools.items, {m: np.arange(30, 40) for m in run.pools.items}
  like = {m: x.values / np.linalg.norm(x.values, axis=1, keepdims=True)
          for m, x in items.items()}
  aligned = {m: like[m][_table()[:, i]] for i, m in enumerate(items)}
  for m in items:
    pool = learner_lib.Pool(_spoilt(items, m, 33), rows, like, aligned,
                    dict.fromkeys(items, np.arange(40) + 700))
    source = minibatches.Source(items, _table(), _CAPACITY, pool)
    with pytest.raises(divergence.Diverged, match=(
        f'loss nan, .*by themselves: unaligned {m} 733.$')):
      fit.fit(run.learner.recipe, run.params, None, jax.random.key(0),
              source, _STEPS)


class _Source:
  """The items of another source; those of one round's training are spoilt."""

  def __init__(self, source, at_round):
    self._source, self._at_round, self._round = source, at_round, None
    self.sizes, self.is_fixed, self.fetch = (
        source.sizes, source.is_fixed, source.fetch)
    self.spoilt = None  # The number of the item.

  def arrived(self, at_round):
    self._round = at_round
    return self._source.arrived(at_round)

  def training_items(self, tuples, at_hand):
    items, rows = self._source.training_items(tuples, at_hand)
    if self._round == self._at_round:
      self.spoilt = tuples[1, 1]
      items = _spoilt(items, 'text', rows[1, 1])
    return items, rows


def _source(run, buffer, at_round=1):
  return _Source(run.pools if buffer is None else stream.of_pools(
      run.pools, buffer), at_round)


@pytest.mark.parametrize('buffer', [None, 10])
@pytest.mark.parametrize('restart,options', [
    (False, {}), (True, {'pseudo_pairs': 1.0})])
def test_a_round_that_diverges_is_undone_to_the_bit(
    tiny_run, buffer, restart, options):
  run = tiny_run.with_recipe(
      optimizer=optimizer.make_optimizer(1e-2, tiny.STEPS, ema=0.5))
  source, said = _source(run, buffer), []
  states = list(loop.run_rounds(
      run.start(restart=restart), run.learner, random.random,
      exact.exact(run.hidden.tuples, ('image', 'text')), source, run.data.test,
      loop.Plan(divergence=loop.ROLL_BACK, **options),
      undone=said.append))
  assert len(states) == tiny.ROUNDS + 1 and len(said) == 1
  assert re.match(r'round 2 of 4: training diverged in step \d of 3: loss nan, '
                  r'.*: not finite by themselves: '
                  rf'.*text {source.spoilt}\.', said[0].replace(';', ':'))
  for name in ('params', 'learner_state'):
    _same(getattr(states[2], name), getattr(states[1], name))
  assert np.isnan(states[-1].losses).tolist() == [False, True, False, False]
  for t, state in enumerate(states):
    # What was answered is kept.
    assert state.annotations == t * tiny.BATCH
    for curve in state.scores.values():
      assert np.isfinite(curve[:t + 1]).all()
    assert not divergence.not_finite(state.params, state.learner_state)
  for curve in states[-1].scores.values():
    assert curve[2] == curve[1]
  assert any(not np.array_equal(a, b) for a, b in zip(
      *(jax.tree.leaves(states[t].params) for t in (2, 3))))


def test_a_run_that_stopped_goes_on_with_the_answers_it_has(tiny_run, tmp_path):
  asked = []

  def oracle(modality, numbers, suggest=None):
    asked.extend((modality, n) for n in numbers.tolist())
    return exact.exact(tiny_run.hidden.tuples, ('image', 'text'))(
        modality, numbers, suggest)

  def journal(t):
    opened = journal_lib.Journal(
        tmp_path / 'a.journal', oracle, ('image', 'text'))
    opened.begin(t)
    return opened

  before, book = [], journal(0)
  with pytest.raises(divergence.Diverged, match='^round 2 of 4: training'):
    for state in tiny_run.rounds(
        source=_source(tiny_run, None), oracle=book):
      before.append(state)
      book.begin(int(state.round))
  assert [int(state.round) for state in before] == [0, 1]
  assert len(asked) == 2 * tiny.BATCH
  book, state = journal(1), before[-1]
  for state in tiny_run.rounds(state=state, oracle=book):
    book.begin(int(state.round))
  *_, whole = tiny_run.rounds()
  _same(state.params, whole.params)
  np.testing.assert_array_equal(state.queries, whole.queries)
  assert len(asked) == len(set(asked)) == tiny.ROUNDS * tiny.BATCH


def _with_bad(params, name):
  return jax.tree_util.tree_map_with_path(
      lambda path, x: x * np.nan if name in jax.tree_util.keystr(path) else x,
      params)


@pytest.mark.parametrize('name', ['logit_scale', "text_tower']['hidden"])
@pytest.mark.parametrize('field', ['params', 'start_params'])
def test_parameters_that_are_not_finite_are_refused_first(
    tiny_run, name, field):
  state = tiny_run.start(restart=True)
  state = dataclasses.replace(
      state, **{field: _with_bad(getattr(state, field), name)})
  with pytest.raises(ValueError, match='to start from is NaN or infinite in .*'
                     + name.rpartition("'")[2]):
    next(tiny_run.rounds(
        state=state, oracle=lambda *_: pytest.fail('the oracle was asked')))


def test_nothing_is_scored_by_what_is_not_finite(tiny_run, monkeypatch):
  bad = tiny_run._replace(params=_with_bad(tiny_run.params, 'image_tower'))
  monkeypatch.setattr(divergence, 'not_finite', lambda *_: [])
  with pytest.raises(ValueError, match='20 of 20 image embeddings are NaN'):
    next(bad.rounds())
  test = tiny_run.data.test
  embedded = evaluate.embed_pairs(
      tiny_run.learner.graphdef, tiny_run.params, test)
  embedded['text'] = embedded['text'].copy()
  embedded['text'][7, 0] = np.inf
  with pytest.raises(ValueError, match='text embeddings .* first in row 7'):
    evaluate.evaluate(embedded, test)


def test_nothing_is_asked_by_what_is_not_finite(tiny_run):
  items = _spoilt(tiny_run.pools.items, 'text', 31)
  source = dataclasses.replace(tiny_run.pools, items=items)
  with pytest.raises(ValueError, match='text embeddings .* first in row 31'):
    list(tiny_run.rounds(source=source, oracle=lambda *_: pytest.fail('asked')))


def test_what_to_do_is_one_of_two():
  with pytest.raises(ValueError, match="divergence='retry' is none of stop, "):
    loop.Plan(divergence='retry')
  config = colorswap.get_config()
  for value in (None, 'stop', 'roll_back'):
    config.train.divergence = value
    check.check(config)
  config.train.divergence = 'retry'
  with pytest.raises(ValueError, match="train.divergence='retry' is unknown"):
    check.check(config)


@pytest.mark.long
def test_a_program_says_it_in_a_line_and_can_be_resumed(tmp_path, capsys):
  for name, values in tiny.feature_pairs(60, 0).items.items():
    np.save(tmp_path / f'{name}.npy', values)

  def main(*arguments):
    argv = [
        'run', f'--config={features.__file__}', f'--workdir={tmp_path / "w"}',
        f'--cache_dir={tmp_path / "c"}', '--batch=8', '--rounds=2', '--seeds=0',
        '--strategies=random', '--config.train.learner=gradient',
        '--config.train.steps_per_round=3', '--config.model.width=16',
        '--config.train.peak_lr=1e30',
        f'--config.dataset.images={tmp_path / "image.npy"}',
        f'--config.dataset.texts={tmp_path / "text.npy"}', *arguments]
    with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
      flags.FLAGS.unparse_flags()
      run_lib.main(flags.FLAGS(argv))

  with pytest.raises(SystemExit) as e:
    main()
  journal = layout.journal_path(tmp_path / 'w', 'random', 0)
  asked, = journal_lib.read(journal)
  numbers = ', '.join(map(str, np.array(asked.answers)[:, 0]))
  message, = str(e.value).splitlines()
  said = re.fullmatch(
      r'error: round 1 of 2: training diverged in step 2 of 3: loss .*; its '
      r'minibatch: image ([\d, ]*); text ([\d, ]*)\.', message)
  assert sorted(said[1].split(', ')) == sorted(numbers.split(', '))
  main('--resume', '--config.train.divergence=roll_back')
  first, *rounds = layout.read_lines(tmp_path / 'w' / layout.METRICS)
  assert 'diverged' not in first and len(rounds) == 2
  for t, record in enumerate(rounds, start=1):
    assert f'error: {record["diverged"]}'.startswith(
        f'error: round {t} of 2: training diverged in step 2 of 3: ')
    assert record['loss'] is None and record['scores'] == first['scores']
  assert f'error: {rounds[0]["diverged"]}' == message
  config = json.loads((tmp_path / 'w' / layout.CONFIG).read_text())
  assert config['train']['divergence'] == 'roll_back'
  assert len(journal_lib.read(journal)) >= 2
