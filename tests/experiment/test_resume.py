"""A run that was stopped anywhere ends as if it had not been."""

import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmal_jax.experiment import preemption
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.workdir import layout
from tests.support import outcomes
from tests.support import programs

_CONFIG = os.path.join(programs.CONFIGS, 'features.py')
_ROUNDS, _STRATEGIES = 3, ('random', 'mmal_plus')
# What a run goes on from: answers, states and what makes them count.
_KEPT = 'journal', 'checkpoint being written', 'sha256'
# A run on a disk of its own, which grows by a step after each try.
_ON_SMALL_DISKS = '''
mount -t tmpfs none "$1" || exit 99
work=$1; copy=$2; sizes=$3; shift 3; resume=
for size in $sizes; do
  mount -o "remount,size=${size}k" "$work"
  "$@" $resume; echo "status $?" >&2; resume=--resume
done
cp -r "$work" "$copy"
'''
# To be waited for at most, however busy the machine is.
_SECONDS = 300


@pytest.fixture(name='data', scope='module')
def _data(tmp_path_factory):
  return outcomes.save_features(tmp_path_factory.mktemp('data'), 120)


@pytest.fixture(name='environment', scope='module', autouse=True)
def _environment(tmp_path_factory):
  """Programs are compiled once for all processes."""
  with pytest.MonkeyPatch.context() as patch:
    for name, value in (('COMPILATION_CACHE_DIR', tmp_path_factory.mktemp('c')),
                        ('PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', 0),
                        ('PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', -1)):
      patch.setenv(f'JAX_{name}', str(value))
    yield


_CLOSED_FORM = ('--config.train.learner=closed_form',
                '--config.train.unaligned=0.0')


def _command(data, work, *flags, moment=0, seed=0):
  return [
      sys.executable, '-m', 'tests.support.killed_run', str(moment), str(seed),
      f'--config={_CONFIG}', f'--config.dataset.images={data / "image.npy"}',
      f'--config.dataset.texts={data / "text.npy"}', f'--workdir={work}',
      f'--cache_dir={data / "cache"}', '--config.train.steps_per_round=3',
      '--config.model.width=16', '--batch=8', f'--rounds={_ROUNDS}',
      '--seeds=3', f'--strategies={",".join(_STRATEGIES)}',
      '--config.train.learner=gradient', '--config.train.unaligned=1.0', *flags]


def _run(*args, status=0, **kwargs):
  done = subprocess.run(
      _command(*args, **kwargs), capture_output=True, text=True, check=False,
      timeout=_SECONDS)
  assert done.returncode == status, done.stderr
  return done


def _people(work):
  """Flags of a run that asks people, of one strategy."""
  return ('--strategies=mmal_plus', '--oracle=files',
          f'--config.oracle.folder={work.with_name(work.name + "_asked")}',
          '--config.oracle.wait_seconds=1e6', '--config.oracle.enough=0.5')


def _essence(work):
  """All that a run comes to, but for how long it took and what came first."""
  def by_run(lines):
    return sorted(lines, key=lambda line: (line['strategy'], line['round']))

  journals = {path.name: journal_lib.read(path)
              for path in (work / layout.JOURNALS).glob('*.journal')}
  return (by_run(outcomes.metrics(work)),
          by_run(layout.read_lines(work / layout.QUERIES)),
          journals, outcomes.summary(work))


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _asked_of_people(work):
  """By query, what was answered; and all queries, as often as they went out."""
  folder, = work.with_name(f'{work.name}_asked').iterdir()
  ledger = _lines(folder / 'ledger.jsonl')
  queries = [line['query'] for path in folder.glob('round_*/queries.jsonl')
             for line in _lines(path)]
  return {x['query']: x['answer'] for x in ledger}, len(ledger), sorted(queries)


@pytest.fixture(name='undisturbed', scope='module')
def _undisturbed(data):
  work = data / 'undisturbed'
  return work, _run(data, work)


@pytest.fixture(name='with_people', scope='module')
def _with_people(data):
  work = data / 'with_people'
  return work, _run(data, work, *_people(work))


@pytest.fixture(name='in_closed_form', scope='module')
def _in_closed_form(data):
  work = data / 'in_closed_form'
  return work, _run(data, work, *_CLOSED_FORM)


def _same_end(work, undisturbed):
  for one, other in zip(_essence(work), _essence(undisturbed), strict=True):
    assert one == other
  runs = [path.name for path in (undisturbed / layout.STATES).iterdir()]
  assert runs
  for run in runs:
    one, other = (outcomes.state(w / layout.STATES / run / str(_ROUNDS))
                  for w in (work, undisturbed))
    assert one.keys() == other.keys() and len(one) > 20
    for name, value in one.items():
      np.testing.assert_array_equal(value, other[name], err_msg=name)
  for path in (work / layout.JOURNALS).glob('*.journal'):
    answered = [(record.modality, row)
                for record in journal_lib.read(path) for row in record.answers
                if max(row) >= 0]
    assert answered and len(answered) == len(set(answered))


def _moments(done):
  """How many moments there were to die in."""
  return int(re.search(r'^moments: (\d+)$', done.stderr, re.M)[1])


def _kill_until_done(work, command, moments, rng, kills):
  """Starts it again and again until it gets to its end.

  Args:
    work: folder of the run.
    command: of flags, moment and seed.
    moments: of an undisturbed run.
    rng: of the moments in which it dies.
    kills: after this number of them it is not disturbed again.

  Returns:
    In what moments it was killed.
  """
  died = []
  for kill in range(kills + 1):
    moment = rng.randint(1, moments // 2) if kill < kills else 0
    if moment and not rng.randrange(2):  # What matters most is rare otherwise.
      moment = f'{rng.randint(1, 4)}:{rng.choice(_KEPT)}'
    elif moment and died and not rng.randrange(4):  # Any time, in milliseconds.
      moment = -rng.randint(1500, 4500)
    done = subprocess.run(
        command('--resume', moment=moment, seed=rng.randrange(10**6)),
        capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != -signal.SIGKILL:
      assert not done.returncode, (moment, died, done.stderr)
      return died
    died += re.findall(r'^died: (.*)$', done.stderr, re.M)[-1:]
  raise AssertionError(f'{work} was killed once too often')


def _check_killed(data, before, tmp_path, seed, kills, people, flags=()):
  rng = random.Random(seed)
  work, (whole, done) = tmp_path / f'w{seed}', before
  flags = _people(work) if people else flags
  killed = _kill_until_done(
      work, lambda *more, **how: _command(data, work, *flags, *more, **how),
      _moments(done), rng, kills)
  _same_end(work, whole)
  if people:
    (answers, count, queries), other = map(_asked_of_people, (work, whole))
    assert len(answers) == count and len(queries) == len(set(queries))
    assert (answers, count, queries) == other
  return killed


@pytest.mark.long
@pytest.mark.parametrize('kind', ['undisturbed', 'with_people'])
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(
    data, kind, request, tmp_path):
  killed = _check_killed(data, request.getfixturevalue(kind), tmp_path, 0, 4,
                         kind == 'with_people')
  assert killed


@pytest.mark.long
def test_a_killed_run_in_closed_form_ends_as_if_it_had_not_been(
    data, in_closed_form, tmp_path):
  assert _check_killed(
      data, in_closed_form, tmp_path, 0, 3, False, _CLOSED_FORM)


@pytest.mark.slow
def test_sixty_kills(data, undisturbed, with_people, tmp_path):
  killed, seed = [], 0
  while len(killed) < 60:
    seed += 1
    people = seed % 2 == 0
    killed += _check_killed(
        data, with_people if people else undisturbed, tmp_path, seed, 8, people)
  print(f'killed {len(killed)} times in {seed} runs:')
  for where, times in sorted(collections.Counter(killed).items()):
    print(f'{times:3d}  {where}')


@pytest.mark.long
def test_a_finished_one_says_it_again(data, undisturbed):
  work, done = undisturbed
  before = {p: p.read_bytes() for p in work.rglob('*')
            if p.is_file() and p.suffix in ('.jsonl', '.journal')}
  assert _run(data, work, '--resume').stdout == done.stdout
  assert {p: p.read_bytes() for p in before} == before


@pytest.mark.long
def test_a_signal_to_end_leaves_all_that_was_done(
    data, undisturbed, tmp_path):
  before, _ = undisturbed
  work = tmp_path / 'w'
  with subprocess.Popen(_command(data, work), stderr=subprocess.PIPE,
                        text=True) as process:
    metrics = work / layout.METRICS
    until = time.monotonic() + _SECONDS
    while not metrics.exists() or len(layout.read_lines(metrics)) < 2:
      assert process.poll() is None and time.monotonic() < until
      time.sleep(0.01)
    process.terminate()
    said = process.stderr.read()
  assert process.returncode == preemption.PREEMPTED == 75, said
  assert '--resume goes on' in said
  _run(data, work, '--resume')
  _same_end(work, before)


@pytest.mark.long
@pytest.mark.parametrize('sizes', [
    (100, 9000),
    pytest.param((16, 24, 32, 48, 64, 80, *range(100, 1000, 50), 9000),
                 marks=pytest.mark.slow)])
def test_a_full_disk_is_named_and_costs_nothing(
    data, undisturbed, tmp_path, sizes):
  before, _ = undisturbed
  work, copy = tmp_path / 'w', tmp_path / 'copy'
  work.mkdir()
  done = subprocess.run(
      ['unshare', '--mount', 'sh', '-c', _ON_SMALL_DISKS, 'sh', work, copy,
       ' '.join(map(str, sizes)), *_command(data, work)],
      capture_output=True, text=True, check=False)
  if 'status' not in done.stderr:
    pytest.skip(f'no disk can be mounted here: {done.stderr}')
  *failed, whole = re.split('^status ', done.stderr, flags=re.M)[:-1]
  ends = re.findall(r'^status (\d+)$', done.stderr, re.M)
  full = [said for said, end in zip(failed, ends) if end != '0']
  assert full and '\nerror: ' not in whole and ends[-1] == '0'
  for said in full:
    # Orbax may complain of the same after that.
    error, hint = re.search('^(error: .*)\n(.*)', said, re.M).groups()
    assert f'{work}/' in error, said
    assert re.search('No space left|RESOURCE_EXHAUSTED', error), said
    assert '--resume goes on' in hint, said
  print(f'{len(full)} times full')
  _same_end(copy, before)


@pytest.mark.long
def test_what_is_damaged_is_computed_again(data, undisturbed, tmp_path):
  before, _ = undisturbed
  work = tmp_path / 'w'
  shutil.copytree(before, work)
  states = layout.state_path(work, 'mmal_plus', 3)
  (states / f'{_ROUNDS}.sha256.json').write_text('{}')
  # ... and of the other strategy there is not even that.
  shutil.rmtree(layout.state_path(work, 'random', 3))
  _run(data, work, '--resume')
  _same_end(work, before)
  assert (states / f'damaged_{_ROUNDS}').is_dir()


def test_another_config_is_refused_line_by_line(data, undisturbed):
  work, _ = undisturbed
  done = _run(data, work, '--resume', '--batch=7', status=1)
  assert '  batch: 8 there, 7 now' in done.stderr.splitlines()


def test_a_journal_that_is_gone_is_missed(data, undisturbed, tmp_path):
  before, _ = undisturbed
  work = tmp_path / 'w'
  shutil.copytree(before, work)
  (work / layout.JOURNALS / 'random-seed3.journal').unlink()
  said = _run(data, work, '--resume', status=1).stderr
  assert 'random-seed3.journal lacks 24 of the 24 answers that' in said
