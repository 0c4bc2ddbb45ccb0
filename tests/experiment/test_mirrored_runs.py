"""A run whose machines vanish goes on from its mirror, on an empty one."""

import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support import damaged_runs
from tests.support import programs

pytestmark = pytest.mark.long
_SECONDS = 1800  # Of one start, on a machine that is busy with others.
_STRATEGIES = 'random,mmal_plus'
# What a run goes on from: answers, states and what makes them count.
_KEPT = 'journal', 'checkpoint being written', 'sha256', 'in_use'


class Run:
  """One experiment with a mirror in a folder, or in a bucket.

  Attributes:
    root: with the mirror, `w`.
    work: the workdir.
    moments: of the undisturbed run.
    before: results of that.
  """

  def __init__(self, home, kind):
    self.root, self.work = home / 'buckets' / 'b', home / 'work'
    mirror = 'gs://b/w' if kind == 'gs' else self.root / 'w'
    self._asked, self._home = home / 'asked', home
    self._flags = [
        *programs.save_features(home / 'data'), f'--mirror={mirror}',
        f'--workdir={self.work}', f'--cache_dir={home / "cache"}',
        '--config.train.steps_per_round=3', '--config.model.width=8',
        '--config.train.learner=gradient', '--config.whole_pool=True',
        '--batch=4', '--rounds=3', '--seeds=3', f'--strategies={_STRATEGIES}']
    done = self.run(0, 0)
    assert not done.returncode, done.stderr
    self.moments = int(re.search(r'^moments: (\d+)$', done.stderr, re.M)[1])
    self.before = damaged_runs.results(self.root)
    self.asked = self.calls()

  def run(self, moment, seed, *more):
    environment = os.environ | {
        'BUCKETS': str(self.root.parent), 'ASKED': str(self._asked),
        'JAX_COMPILATION_CACHE_DIR': str(self._home / 'compiled'),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}
    return subprocess.run(
        [sys.executable, '-m', 'tests.support.killed_run', str(moment),
         str(seed), *map(str, self._flags), *more], capture_output=True,
        text=True, check=False, timeout=_SECONDS, env=environment)

  def calls(self):
    return list(map(json.loads, self._asked.read_text().splitlines()))

  def begin_anew(self):
    for path in (self.work, self.root):
      shutil.rmtree(path)
    self._asked.unlink()

  def kill_until_done(self, rng, kills):
    """Kills it, mostly with the machine; returns in what moments it died."""
    died = []
    for kill in range(kills + 1):
      moment = rng.randint(1, self.moments // 2) if kill < kills else 0
      if moment and rng.randrange(2):  # What matters most is rare otherwise.
        moment = f'{rng.randint(1, 6)}:{rng.choice(_KEPT)}'
      done = self.run(moment, rng.randrange(10**6), '--resume')
      if done.returncode != -signal.SIGKILL:
        assert not done.returncode, (moment, died, done.stderr)
        return died
      died += re.findall(r'^died: (.*)$', done.stderr, re.M)[-1:]
      if rng.randrange(3):
        shutil.rmtree(self.work)
    raise AssertionError('it was killed once too often')

  def check(self):
    """It came to what the undisturbed one came to, and asked no more."""
    found = damaged_runs.results(self.root)
    assert damaged_runs.difference(found, self.before) == ''
    assert len(self.before) > 10 and any('states/' in name for name in found)
    # Asked twice is at most what a process asked last, before it died.
    calls = self.calls()
    asked, before = (collections.Counter(
        json.dumps(query) for _, *query in x) for x in (calls, self.asked))
    last = {process: json.dumps(query) for process, *query in calls}
    assert asked.keys() == before.keys()
    assert asked - before <= collections.Counter(last.values()), (calls, last)


@pytest.fixture(name='mirrored', scope='module', params=['local', 'gs'])
def _mirrored(request, tmp_path_factory):
  return Run(tmp_path_factory.mktemp(request.param), request.param)


def test_killed_with_its_machine_it_ends_as_if_undisturbed(mirrored):
  mirrored.begin_anew()
  assert mirrored.kill_until_done(random.Random(2), 3)
  mirrored.check()


@pytest.mark.slow
def test_twenty_kills(mirrored):
  killed, seed = [], 0
  while len(killed) < 20:
    seed += 1
    mirrored.begin_anew()
    killed += mirrored.kill_until_done(random.Random(seed), 5)
    mirrored.check()
  print(f'killed {len(killed)} times in {seed} runs:')
  for where, times in sorted(collections.Counter(killed).items()):
    print(f'{times:3d}  {where}')
