"""Logs beside the records: each round once, whatever happens to a run."""

import json
import pathlib
import sys
import types

from absl import logging
import numpy as np
import pytest

from experiments import run
from mmal_jax.experiment import live_logs
from mmal_jax.experiment import live_tensorboard
from mmal_jax.workdir import layout
from tests.support import programs

_RUN = {'strategy': 'mmal', 'seed': 0}


def _record(at, strategy='mmal', **more):
  return {'strategy': strategy, 'seed': 0, 'round': at, 'annotations': 3 * at,
          'cost': 3.0 * at, 'aligned': 2 * at,
          'scores': {'text': 10.0 * at, 'image': 5.0}} | more


def _rounds(last):
  return {at: live_logs.numbers(_record(at)) for at in range(last + 1)}


def _events(folder):
  """By tag, the steps and values of a folder, in their order in the files."""
  files = pytest.importorskip('tensorboardX.record_writer') and sorted(
      folder.glob('events.*'))
  event_pb2 = pytest.importorskip('tensorboardX.proto.event_pb2')
  found, starts = {}, 0
  for path in files:
    content, at = path.read_bytes(), 0
    while at < len(content):  # Records of TensorFlow: length, CRC, data, CRC.
      size = int.from_bytes(content[at:at + 8], 'little')
      event = event_pb2.Event.FromString(content[at + 12:at + 12 + size])
      at += 16 + size
      starts += event.HasField('session_log')
      for value in event.summary.value:
        found.setdefault(value.tag, []).append((event.step, value.simple_value))
  assert starts == 1
  return found


def test_numbers_of_a_record():
  record = _record(
      2, loss=np.float32(0.5), skill=np.nan, diverged='a NaN', embedded={
          'image': 1}, true=True)
  assert live_logs.numbers(record) == {
      'annotations': 6, 'cost': 6.0, 'aligned': 4, 'scores/text': 20.0,
      'scores/image': 5.0, 'loss': 0.5, 'embedded/image': 1}


def test_a_log_that_is_unknown_is_refused():
  with pytest.raises(ValueError, match=(
      "log='mlflow' is unknown; known are tensorboard, wandb")):
    live_logs.check(['mlflow'])


@pytest.mark.parametrize('name,package', [
    ('tensorboard', 'tensorboardX'), ('wandb', 'wandb')])
def test_a_package_that_is_missing_is_named_with_its_extra(
    name, package, monkeypatch):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(ImportError, match=(
      rf'{package} is needed for --log={name}: pip install '
      rf'"mmal_jax\[{name}\]"')):
    live_logs.check([name])


def test_events_of_a_run_are_written_anew_when_it_goes_on(tmp_path):
  pytest.importorskip('tensorboardX')
  log = live_tensorboard.TensorBoard(tmp_path, {})
  log.begin(_RUN, {})
  for at in range(3):
    log.write(at, live_logs.numbers(_record(at)))
    folder = tmp_path / 'logs' / 'tensorboard' / 'mmal-seed0'
    assert [step for step, _ in _events(folder)['annotations']] == list(
        range(at + 1))  # At once, and not when some buffer is full.
  # Killed: the last round is not recorded, and comes again.
  other = live_tensorboard.TensorBoard(tmp_path, {})
  other.begin(_RUN, _rounds(1))
  for at in (2, 3):
    other.write(at, live_logs.numbers(_record(at)))
  other.end(False)
  found = _events(folder)
  assert set(found) == {'annotations', 'cost', 'aligned', 'scores/text',
                        'scores/image'}
  assert found['scores/text'] == [(at, 10.0 * at) for at in range(4)]
  other.begin({'strategy': 'random', 'seed': 1}, {})
  other.end(False)
  assert {path.name for path in folder.parent.iterdir()} == {
      'mmal-seed0', 'random-seed1'}


def test_tensorboard_reads_the_events(tmp_path):
  """Its own reader, where TensorBoard itself is installed."""
  pytest.importorskip('tensorboardX')
  reader = pytest.importorskip(
      'tensorboard.backend.event_processing.event_accumulator')
  log = live_tensorboard.TensorBoard(tmp_path, {})
  log.begin(_RUN, _rounds(2))
  log.write(3, live_logs.numbers(_record(3)))
  found = reader.EventAccumulator(
      str(tmp_path / 'logs' / 'tensorboard' / 'mmal-seed0'))
  found.Reload()
  # While it looks on, the run is killed, and goes on from round 2.
  log = live_tensorboard.TensorBoard(tmp_path, {})
  log.begin(_RUN, _rounds(2))
  log.write(3, live_logs.numbers(_record(3)))
  found.Reload()
  assert [(event.step, event.value) for event in found.Scalars(
      'scores/text')] == [(at, 10.0 * at) for at in range(4)]


class _Fake:
  """A module `wandb` that records calls, with a server of its own."""

  def __init__(self, offline=False):
    self.calls, self.server, self.offline = [], {}, offline
    self.Settings = lambda **given: given

  def init(self, **given):
    self.calls.append(('init', given))
    steps = {} if self.offline else self.server.setdefault(given['id'], {})
    folder = pathlib.Path(given['dir']) / 'wandb'
    # Of the first two runs the second begins within the same second.
    made = folder / f'offline-run-{len(self.calls) // 5}-{given["id"]}'
    if self.offline:
      made.mkdir(parents=True, exist_ok=True)
      self.server[made.name] = steps

    def log(values, step):
      assert step not in steps
      steps[step] = values

    return types.SimpleNamespace(
        step=max(steps, default=-1) + 1, log=log, dir=str(made / 'files'),
        define_metric=lambda *of, **how: self.calls.append(('metric', of, how)),
        finish=lambda exit_code: self.calls.append(('finish', exit_code)))


@pytest.fixture(name='wandb')
def _wandb(monkeypatch):
  fake = _Fake()
  monkeypatch.setitem(sys.modules, 'wandb', fake)
  return fake


def _write(folder, last):
  (folder / layout.METRICS).write_text('')
  for at in range(last + 1):
    for strategy in ('mmal', 'random'):
      with open(folder / layout.METRICS, 'a') as file:
        file.write(json.dumps(_record(at, strategy)) + '\n')


def _go(folder, begins, until):
  """A program that finds rounds before `begins`, and writes those after."""
  with live_logs.LiveLogs(['wandb'], folder, {'batch': 3}) as live:
    _write(folder, begins - 1)
    live.begin(_RUN)
    for at in range(begins, until):
      live.write(_record(at))


@pytest.mark.parametrize('offline', [False, True])
def test_each_round_is_given_to_wandb_once(tmp_path, wandb, offline):
  wandb.offline = offline
  for begins, until in ((0, 3), (2, 4), (4, 4), (3, 6)):
    _go(tmp_path, begins, until)
  (steps, ) = (wandb.server[path.name] for path in (
      tmp_path / 'logs' / 'wandb').iterdir()) if offline else (
          wandb.server.values())
  assert steps == _rounds(5)
  inits = [given for name, given, *_ in wandb.calls if name == 'init']
  assert len({given['id'] for given in inits}) == 1
  assert all(given['resume'] == 'allow' and given['name'] == 'mmal-seed0'
             and given['config'] == {'batch': 3} | _RUN
             and given['reinit'] == 'create_new'
             and given['dir'] == str(tmp_path / 'logs')
             and given['project'] == 'mmal_jax' for given in inits)
  assert [call for call in wandb.calls if call[0] == 'finish'] == [
      ('finish', 0)] * 4
  assert ('metric', ('*', ), {'step_metric': 'annotations'}) in wandb.calls


def test_the_project_is_the_users(tmp_path, wandb, monkeypatch):
  monkeypatch.setenv('WANDB_PROJECT', 'mine')
  _go(tmp_path, 0, 1)
  assert wandb.calls[0][1]['project'] == 'mine'


def test_a_run_that_fails_is_said_to_have_failed(tmp_path, wandb):
  with pytest.raises(KeyboardInterrupt):
    with live_logs.LiveLogs(['wandb'], tmp_path, {}) as live:
      live.begin(_RUN)
      raise KeyboardInterrupt
  assert wandb.calls[-1] == ('finish', 1)


@pytest.mark.parametrize('where', ['init', 'log', 'finish'])
def test_what_fails_is_given_up_with_one_warning(
    tmp_path, wandb, monkeypatch, where):
  pytest.importorskip('tensorboardX')
  warned, init = [], wandb.init
  monkeypatch.setattr(
      logging, 'warning', lambda text, *of: warned.append(text % of))

  def fail(*_, **__):
    raise OSError('no server')

  def make(**given):
    made = init(**given)
    setattr(made, where, fail)
    return made

  monkeypatch.setattr(wandb, 'init', fail if where == 'init' else make)
  with live_logs.LiveLogs(['wandb', 'tensorboard'], tmp_path, {}) as live:
    for strategy in ('mmal', 'random'):
      live.begin({'strategy': strategy, 'seed': 0})
      for at in range(2):
        live.write(_record(at, strategy))
  assert len(warned) == 1
  assert warned[0].startswith('--log=wandb has failed (OSError: no server). '
                              'The run goes on')
  for strategy in ('mmal', 'random'):
    found = _events(tmp_path / 'logs' / 'tensorboard' / f'{strategy}-seed0')
    assert found['cost'] == [(0, 0.0), (1, 3.0)]


@pytest.mark.long
def test_logs_of_a_program_that_is_resumed_and_replaced(tmp_path, capsys):
  """Asked for late, they hold all; results are as without them."""
  pytest.importorskip('tensorboardX')

  def go(*arguments, workdir='w', rounds=2):
    programs.call(
        run, *programs.save_features(tmp_path / 'f'), *programs.SMALL,
        f'--workdir={tmp_path / workdir}', f'--cache_dir={tmp_path / "c"}',
        f'--rounds={rounds}', *arguments, parse=run.parse_flags)
    return [json.loads(line) for line in (
        tmp_path / workdir / layout.METRICS).read_text().splitlines()]

  plain = go()
  assert not (tmp_path / 'w' / 'logs').exists()
  records = go('--resume', '--log=tensorboard')
  folder = tmp_path / 'w' / 'logs' / 'tensorboard' / 'mmal-seed0'
  for found in (_events(folder), go('--overwrite', '--log=tensorboard')
                and _events(folder)):
    assert found['annotations'] == [(0, 0.0), (1, 3.0), (2, 6.0)]
    assert [step for step, _ in found['loss']] == [1, 2]
    for name in plain[0]['scores']:
      assert [value for _, value in found[f'scores/{name}']] == pytest.approx(
          [record['scores'][name] for record in plain])
  assert records == plain
  with programs.ends() as e:
    go('--resume', '--log=mlflow')
  assert "log='mlflow' is unknown" in e.value.code
