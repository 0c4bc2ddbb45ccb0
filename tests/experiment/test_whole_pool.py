"""The whole pool as a reference, and the first round that strategies share."""

import json
import pathlib

import jax
import numpy as np
import pytest

from experiments.configs import features
from mmal_jax import all_aligned
from mmal_jax.analysis import saved_answers
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import build
from mmal_jax.experiment import run
from mmal_jax.experiment import whole_pool
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import minibatches
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.pools import stream
from mmal_jax.workdir import layout
from mmal_jax.workdir import records_file
from tests.support import outcomes
from tests.support import tiny


def _align(tiny_run, state, tuples=None, source=None):
  return all_aligned.align_whole_pool(
      state, tiny_run.learner._replace(steps=60), source or tiny_run.pools,
      tiny_run.hidden.tuples if tuples is None else tuples,
      tiny_run.data.test)


def test_it_trains_once_on_all_true_pairs(tiny_run):
  state = tiny_run.start()
  got = _align(tiny_run, state)
  assert set(got) == set(state.scores)
  before = evaluate.evaluate(evaluate.embed_pairs(
      tiny_run.learner.graphdef, state.params, tiny_run.data.test),
      tiny_run.data.test)
  assert got['mean_r10'] > before['mean_r10']
  # The same by hand.
  params, _, _ = fit.fit(
      tiny_run.learner.recipe, tiny_run.params, None,
      jax.random.fold_in(state.key, tiny.ROUNDS),
      minibatches.Source(tiny_run.pools.items, tiny_run.hidden.tuples, 40), 60)
  assert got == evaluate.evaluate(evaluate.embed_pairs(
      tiny_run.learner.graphdef, params, tiny_run.data.test),
      tiny_run.data.test)


def test_nothing_of_it_gets_into_the_state(tiny_run):
  state, again = tiny_run.start(), tiny_run.start()
  _align(tiny_run, state)
  tiny.assert_same(state, again)


def test_it_starts_where_a_run_starts(tiny_run):
  *_, last = tiny_run.rounds('random', state=tiny_run.start(restart=True))
  assert _align(tiny_run, last) == _align(tiny_run, tiny_run.start())


def test_items_without_a_counterpart_do_not_count(tiny_run):
  tuples = tiny_run.hidden.tuples.copy()
  tuples[3:6, 1] = -1
  state = tiny_run.start()
  assert _align(tiny_run, state, tuples) == _align(
      tiny_run, state, np.delete(tuples, [3, 4, 5], axis=0))
  with pytest.raises(ValueError, match='no two items belong together'):
    _align(tiny_run, state, np.full((4, 2), -1, np.int32))


def test_a_stream_is_refused(tiny_run):
  with pytest.raises(ValueError, match='not all at hand'):
    _align(tiny_run, tiny_run.start(),
           source=stream.of_pools(tiny_run.pools, 8))


@pytest.fixture(name='config')
def _config(tmp_path, quick_compilation):
  del quick_compilation
  for name, values in tiny.feature_pairs(60, 0).items.items():
    np.save(tmp_path / f'{name}.npy', values)
  config = features.get_config()
  config.dataset.images = str(tmp_path / 'image.npy')
  config.dataset.texts = str(tmp_path / 'text.npy')
  config.train.learner = 'gradient'
  config.train.steps_per_round, config.model.width = 3, 16
  config.rounds, config.batch, config.seeds = 3, 4, (5, 6)
  with config.unlocked():
    config.whole_pool = True
  return config


def _records(folder: pathlib.Path, strategy):
  metrics = [
      {k: v for k, v in line.items() if k not in outcomes.TIMES}
      for line in records_file.metrics(folder / layout.METRICS)
      if line['strategy'] == strategy]
  queries = [line for line in records_file.queries(folder / layout.QUERIES)
             if line['strategy'] == strategy]
  journals = {path.name: journal_lib.read(path)
              for path in (folder / layout.JOURNALS).glob(f'{strategy}-*')}
  return metrics, queries, journals


@pytest.mark.long
def test_a_shared_first_round_changes_nothing(config, tmp_path, monkeypatch):
  cache = str(tmp_path / 'c')
  config.strategies = 'random', 'mmal', 'mmal_plus'
  trained = []
  plain = fit.fit
  monkeypatch.setattr(
      fit, 'fit', lambda *args, **kw: trained.append(1) or plain(*args, **kw))
  run.run(config, tmp_path / 'together', cache)
  # Of each seed: one first round, two more of each strategy, the whole pool.
  assert len(trained) == 2 * (1 + 3 * 2 + 1)
  for strategy in config.strategies:
    alone = config.copy_and_resolve_references()
    alone.strategies, alone.whole_pool = (strategy,), False
    run.run(alone, tmp_path / strategy, cache)
    assert _records(tmp_path / 'together', strategy) == _records(
        tmp_path / strategy, strategy)
    assert not (tmp_path / strategy / layout.WHOLE_POOL).exists()


@pytest.mark.long
def test_answers_that_may_differ_are_not_shared(
    config, tmp_path, monkeypatch):
  config.strategies, config.seeds = ('random', 'mmal'), (5,)
  config.oracle.wrong = 0.3
  trained, plain = [], fit.fit
  monkeypatch.setattr(
      fit, 'fit', lambda *args, **kw: trained.append(1) or plain(*args, **kw))
  run.run(config, tmp_path / 'w', str(tmp_path / 'c'))
  # All three rounds of both strategies, and the whole pool.
  assert len(trained) == 2 * 3 + 1


def test_pairs_that_lack_an_item_are_not_counted(config, tmp_path):
  config.strategies, config.seeds, config.missing = ('random',), (5,), 0.25
  run.run(config, tmp_path / 'w', str(tmp_path / 'c'))
  record, = records_file.whole_pool(tmp_path / 'w' / layout.WHOLE_POOL)
  assert record['aligned'] == 36


@pytest.mark.long
def test_it_is_written_once_a_seed_and_resumed(
    config, tmp_path, monkeypatch):
  config.strategies = ('random',)
  said = run.run(config, tmp_path / 'w', str(tmp_path / 'c'))
  path = tmp_path / 'w' / layout.WHOLE_POOL
  records = records_file.whole_pool(path)
  assert [r['seed'] for r in records] == [5, 6]
  assert all(r['aligned'] == 48 for r in records)
  assert '| all 48 pairs ' in said
  summary = json.loads((tmp_path / 'w' / layout.SUMMARY).read_text())
  assert summary['whole_pool']['final']['mean_r10']['mean'] == pytest.approx(
      np.mean([r['scores']['mean_r10'] for r in records]))
  content = path.read_bytes()
  monkeypatch.setattr(fit, 'fit', None)  # From here on it cannot train.
  again = run.run(
      config, tmp_path / 'w', str(tmp_path / 'c'), resume=True)
  assert again == said and path.read_bytes() == content


@pytest.mark.parametrize('change', [
    {'oracle': {'name': 'files'}}, {'stream': {'buffer': 8}},
    {'whole_pool': False}])
def test_it_is_left_out_where_not_all_pairs_are_at_hand(
    config, tmp_path, change):
  experiment = build.build(config, str(tmp_path / 'c'))
  assert whole_pool.is_asked_for(experiment)
  config.update(change)
  assert not whole_pool.is_asked_for(experiment._replace(config=config))


def _found(strategies, **more):
  return summary_lib.summarise(np.array([0, 10, 20]), {
      name: {'group': np.array(curves, float)}
      for name, curves in strategies.items()}, 'group', **more)


def test_words_tell_of_gains_and_of_losses():
  baseline = [[1, 5, 9], [1, 6, 10], [1, 5, 10]]
  words = saved_answers.in_words(_found({
      'random': baseline, 'good': [[1, 9, 12], [1, 10, 13], [1, 11, 12]],
      'bad': [[1, 2, 3]] * 3, 'mixed': [[1, 2, 9], [1, 2, 13], [1, 2, 8]]}))
  first, good, bad, mixed = words.splitlines()
  assert first == 'random ends at 9.7 % (group) with 20 annotations.'
  assert good.startswith('good gets there with 10 annotations: 52 % saved (5')
  assert '% seed by seed); it ends at 12.3 % (+2.7 ± ' in good
  assert bad.startswith('bad does not get there: it saves nothing; it ends at '
                        '3.0 % (-6.7 ± ')
  assert 'mixed gets there with 20 annotations: 2 % saved (2 of 3 s' in mixed
  one = saved_answers.in_words(
      _found({'random': baseline[:1], 'x': [[1, 9, 9]]}))
  assert '±' not in one and '50 % saved; it ends' in one
  assert not saved_answers.in_words(_found({'x': baseline}))


def test_the_table_has_the_whole_pool_last():
  table = tables.table(_found(
      {'random': [[1, 5, 9]]},
      whole_pool=[{'seed': 0, 'aligned': 30, 'scores': {'group': 77.0}}]))
  assert [cell.strip() for cell in table.splitlines()[-1].split('|')[1:-1]] == [
      'all 30 pairs', '77.0', '-', '-', '-', '-']
