"""A run that was stopped anywhere ends as if it had not been."""

import json
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments import preemption
from experiments import workdir
from mmal_jax.align import journal as journal_lib

_CONFIG = os.path.join(os.path.dirname(workdir.__file__), 'configs',
                       'features.py')
_ROUNDS, _STRATEGIES = 3, ('random', 'mmal_plus')
# Killed in any second of these: of a start, of rounds, of writing.
_KILLS = 6


@pytest.fixture(name='data', scope='module')
def _data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(120, 8))
  for name in ('image', 'text'):
    np.save(folder / f'{name}.npy',
            (hidden @ rng.normal(size=(8, 12))).astype(np.float32))
  return folder


def _command(data, work, *flags):
  return [
      sys.executable, '-m', 'experiments.run', f'--config={_CONFIG}',
      f'--config.dataset.images={data / "image.npy"}',
      f'--config.dataset.texts={data / "text.npy"}', f'--workdir={work}',
      f'--cache_dir={data / "cache"}', '--config.train.steps_per_round=3',
      '--config.model.width=16', '--batch=8', f'--rounds={_ROUNDS}',
      '--seeds=3', f'--strategies={",".join(_STRATEGIES)}',
      '--config.train.unaligned=1.0', *flags]


def _run(data, work, *flags):
  done = subprocess.run(_command(data, work, *flags), capture_output=True,
                        text=True, check=False)
  assert not done.returncode, done.stderr
  return done.stdout


def _essence(work):
  """All that a run comes to, but for how long it took and what came first."""
  def by_run(lines):
    return sorted(lines, key=lambda line: (line['strategy'], line['round']))

  metrics = [
      {k: v for k, v in line.items()
       if k not in ('seconds', 'compilations', 'embedded_per_second')}
      for line in workdir.read_lines(work / workdir.METRICS)]
  journals = {path.name: journal_lib.read(path)
              for path in sorted((work / workdir.JOURNALS).iterdir())
              if path.suffix == '.journal'}
  summary = json.loads((work / workdir.SUMMARY).read_text())
  del summary['seconds']
  return (by_run(metrics), by_run(workdir.read_lines(work / workdir.QUERIES)),
          journals, summary)


@pytest.fixture(name='undisturbed', scope='module')
def _undisturbed(data):
  work = data / 'undisturbed'
  started = time.perf_counter()
  table = _run(data, work)
  return work, table, time.perf_counter() - started


def _kill_until_done(data, work, rng, seconds, kills):
  """Starts it again and again; how often it was killed."""
  for kill in range(kills):
    with subprocess.Popen(
        _command(data, work, '--resume'), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True) as process:
      try:
        process.wait(rng.uniform(0.3, 0.65) * seconds)
      except subprocess.TimeoutExpired:
        process.kill()
      else:
        assert not process.returncode, process.stderr.read()
        return kill
  return kills


def _same_end(work, undisturbed):
  for one, other in zip(_essence(work), _essence(undisturbed)):
    assert one == other
  for strategy in _STRATEGIES:
    ends = [
        workdir.state_path(w, strategy, 3) / str(_ROUNDS)
        for w in (work, undisturbed)]
    one, other = map(_values, ends)
    assert one.keys() == other.keys() and len(one) > 20
    for name, value in one.items():
      np.testing.assert_array_equal(value, other[name], err_msg=name)


def _values(path):
  from orbax.checkpoint import v1 as ocp  # pylint: disable=g-import-not-at-top
  return {k: np.asarray(v) for k, v in ocp.load(path).items()}


def test_a_run_that_is_killed_ends_as_if_it_had_not_been(
    data, undisturbed, tmp_path):
  before, _, seconds = undisturbed
  work = tmp_path / 'w'
  kills = _kill_until_done(data, work, random.Random(0), seconds, _KILLS)
  assert kills > 1
  _run(data, work, '--resume')
  _same_end(work, before)


def test_a_finished_one_says_it_again(data, undisturbed):
  work, table, _ = undisturbed
  before = {p: p.read_bytes() for p in work.rglob('*')
            if p.is_file() and p.suffix in ('.jsonl', '.journal')}
  assert _run(data, work, '--resume') == table
  assert {p: p.read_bytes() for p in before} == before


def test_a_signal_to_end_leaves_all_that_was_done(
    data, undisturbed, tmp_path):
  before, _, seconds = undisturbed
  work = tmp_path / 'w'
  with subprocess.Popen(_command(data, work), stderr=subprocess.PIPE,
                        text=True) as process:
    metrics = work / workdir.METRICS
    until = time.monotonic() + 10 * seconds
    while not metrics.exists() or len(workdir.read_lines(metrics)) < 2:
      assert process.poll() is None and time.monotonic() < until
      time.sleep(0.01)
    process.terminate()
    said = process.stderr.read()
  assert process.returncode == preemption.PREEMPTED == 75, said
  assert '--resume goes on' in said
  _run(data, work, '--resume')
  _same_end(work, before)


def test_what_is_damaged_is_computed_again(data, undisturbed, tmp_path):
  before, _, _ = undisturbed
  work = tmp_path / 'w'
  shutil.copytree(before, work)
  states = workdir.state_path(work, 'mmal_plus', 3)
  (states / f'{_ROUNDS}.sha256.json').write_text('{}')
  # ... and of the other strategy there is not even that.
  shutil.rmtree(workdir.state_path(work, 'random', 3))
  _run(data, work, '--resume')
  _same_end(work, before)
  assert (states / f'damaged_{_ROUNDS}').is_dir()


def test_another_config_is_refused_line_by_line(data, undisturbed):
  work, _, _ = undisturbed
  done = subprocess.run(
      _command(data, work, '--resume', '--batch=7'), capture_output=True,
      text=True, check=False)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == '  batch: 8 there, 7 now'
