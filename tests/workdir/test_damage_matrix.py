"""No damaged, exchanged, older or missing file changes a result silently.

  pytest -m slow -s tests/workdir/test_damage_matrix.py

prints what comes of every file under every damage. `DAMAGE_SEED` draws other
places of flipped bits; `DAMAGE_ONLY` is a pattern of files to be tried;
`DAMAGE_EACH=N` tries every Nth cell, of the hours that all ten thousand take;
`DAMAGE_KIND` is a pattern of damages.
"""

import collections
import itertools
import os
import random
import re
import shutil
from unittest import mock

import pytest

from experiments import export
from experiments import match
from experiments import report
from mmal_jax.analysis import calibrated
from mmal_jax.analysis import plot
from mmal_jax.workdir import layout
from tests.support import damage
from tests.support import damaged_runs
from tests.support import programs

_SEED = int(os.environ.get('DAMAGE_SEED', '0'))
_ONLY = os.environ.get('DAMAGE_ONLY', '')
_KIND = os.environ.get('DAMAGE_KIND', '')
_EACH = int(os.environ.get('DAMAGE_EACH', '1'))
_STRATEGIES, _SEEDS = ('random', 'mmal'), (0, 1)


@pytest.fixture(name='features', scope='module')
def _features(tmp_path_factory):
  home = tmp_path_factory.mktemp('features')
  return damaged_runs.make(
      home, damaged_runs.features(home), _STRATEGIES, _SEEDS,
      ('random-seed1', 2), ('--batch=4',))


@pytest.fixture(name='people', scope='module')
def _people(tmp_path_factory):
  home = tmp_path_factory.mktemp('people')
  return damaged_runs.make(
      home, damaged_runs.asking(home), ('mmal',), _SEEDS, ('mmal-seed1', 2),
      ('--rounds=2',))


@pytest.fixture(name='waiting', scope='module')
def _waiting(tmp_path_factory):
  return damaged_runs.make_waiting(tmp_path_factory.mktemp('waiting'))


@pytest.fixture(name='pretrained', scope='module')
def _pretrained(tmp_path_factory):
  home = tmp_path_factory.mktemp('pretrained')
  return damaged_runs.make(
      home, damaged_runs.pretrained(home), ('mmal',), _SEEDS, ('mmal-seed1', 1),
      ('--batch=3',))


def _programs(made):
  """By name, what is run on a finished experiment: its program and results."""
  work, out = made.live / 'w', made.live.parent / 'out'

  def fresh():
    shutil.rmtree(out, ignore_errors=True)

  def tell():
    fresh()
    programs.call(report, f'--workdirs={work}', f'--out={out}', '--workdir=x',
                  f'--cache_dir={made.live.parent / "cache"}')

  def matched():
    fresh()
    programs.call(match, f'--workdir={work}', f'--matched={out}', '--seed=1',
                  f'--cache_dir={made.live.parent / "cache"}')

  def exported():
    fresh()
    programs.call(export, f'--workdir={work}', f'--export={out}', '--seed=1',
                  '--strategy=mmal')

  has_models = (made.finished / 'w' / layout.MODELS).exists()
  return {
      'run --resume': (
          made.resume, lambda: damaged_runs.results(made.live)),
      **({'export': (exported, lambda: damaged_runs.outputs(out))}
         if has_models else
         {'report': (tell, lambda: damaged_runs.outputs(out)),
          'match': (matched, lambda: damaged_runs.outputs(out))})}


def _outcomes(made, select):
  """Yields `(state, program, file, damage, outcome)`."""
  rng = random.Random(_SEED)
  with (mock.patch.object(plot, 'curves'),  # pictures take long
        mock.patch.object(plot, 'modalities'),
        mock.patch.object(calibrated, 'draw')):
    for state, tree in (('unfinished', made.unfinished),
                        ('finished', made.finished)):
      for title, (program, results) in _programs(made).items():
        if state == 'unfinished' and title != 'run --resume':
          continue
        made.put(tree)
        status, warned = damage.call(program)
        assert not status, warned
        # An unfinished one must end as the one that was not killed.
        whole = results()
        if title == 'run --resume':
          assert not damaged_runs.difference(
              whole, damaged_runs.results(made.finished))
        for name in damage.targets(tree):
          for one in damage.damages(made, tree, name, rng):
            if not select(state, title, name, one.name):
              continue
            one.do(made.put(tree) / name)
            outside = damage.state_of(one.outside)
            status, said = damage.call(program)
            yield state, title, name, one.name, damage.judge(
                name, status, said, warned, lambda: _differ(results, whole),
                outside == damage.state_of(one.outside))


def _differ(results, whole):
  try:
    return damaged_runs.difference(results(), whole)
  except (OSError, ValueError) as e:
    return f'{e}'


def _kind(name):
  """Of files, by which the table counts them."""
  name = re.sub('[0-9a-f]{32}', '*', name)
  name = re.sub(r'[^/]+-seed\d+', 'RUN', name)
  name = re.sub(r'(round_|annotated|/seed|states/RUN/|/)\d+', r'\1N', name)
  return re.sub(r'(states/RUN/N)/.*', r'\1/...', name)


def _check(outcomes):
  """Prints the table, and what fails."""
  table = collections.defaultdict(collections.Counter)
  bad = []
  for state, title, name, what, outcome in outcomes:
    table[state, title, _kind(name)][outcome.verdict.partition(':')[0]] += 1
    if outcome.verdict not in damage.GOOD:
      bad.append(f'{state}, {title}, {name}, {what}: {outcome.verdict}: '
                 f'{outcome.said[:300]}')
  for (state, title, kind), counts in sorted(table.items()):
    print(f'{state:10} {title:12} {kind:34} ' + ', '.join(
        f'{verdict} {count}' for verdict, count in sorted(counts.items())))
  total = sum(table.values(), collections.Counter())
  print(f'all {sum(total.values())}: ' + ', '.join(
      f'{verdict} {count}' for verdict, count in total.items()))
  print('\n'.join(bad))
  assert total
  assert not bad, f'{len(bad)} cells'


@pytest.mark.slow
@pytest.mark.parametrize('kind,files', [
    ('features', ''), ('people', ''), ('waiting', ''),
    # Its other files are as those of features.
    ('pretrained', '^w/(models|pretrained)')])
def test_every_file_under_every_damage(kind, files, request):
  places = itertools.count(_SEED)
  _check(_outcomes(request.getfixturevalue(kind), lambda *cell: all(
      re.search(part, cell[2]) for part in (_ONLY, files)) and (
          re.search(_KIND, cell[3]) is not None
          and next(places) % _EACH == 0)))


# One file of every kind that decides results, and a place in it; what comes of
# it in the unfinished experiment, the finished one, a report and the matches.
_REFUSED, _SAME, _RECOVERED = damage.REFUSED, damage.SAME, damage.RECOVERED
_IMPORTANT = {
    ('w/config.json', 'flip in the middle'): (
        _REFUSED, None, _REFUSED, _REFUSED),
    ('w/items.json', 'from another experiment'): (
        _REFUSED, None, _REFUSED, None),
    ('w/run.json', 'flip in the end'): (_REFUSED, None, _REFUSED, None),
    ('w/metrics.jsonl', 'flip in the middle'): (
        _REFUSED, _REFUSED, _REFUSED, None),
    ('w/queries.jsonl', 'truncation to half'): (
        _REFUSED, None, _REFUSED, None),
    ('w/calibration.jsonl', 'removal'): (_RECOVERED, None, _REFUSED, None),
    ('w/whole_pool.jsonl', 'removal'): (None, _SAME, _REFUSED, None),
    ('w/summary.json', 'flip in the middle'): (None, _SAME, _REFUSED, None),
    ('w/matches/mmal-seed0/pairs.jsonl', 'flip in the middle'): (
        None, _RECOVERED, None, None),
    ('w/matches/mmal-seed0.sha256.json', 'from another strategy'): (
        _REFUSED, None, None, None),
    ('w/journals/random-seed1.journal', 'from another seed'): (
        _REFUSED, None, None, None),
    ('w/states/mmal-seed1', 'from an older copy'): (
        None, _SAME, None, _REFUSED),
    ('w/states/mmal-seed1/3', 'an older state with its seal'): (
        None, _RECOVERED, None, _REFUSED),
    ('w/metrics.jsonl', 'a link to a copy outside'): (
        _SAME, _SAME, _SAME, None),
    ('w/config.json', 'a link to a copy outside'): (
        _SAME, _SAME, None, None)}


@pytest.mark.long
def test_files_that_decide_results(features):
  titles = [('unfinished', 'run --resume'), ('finished', 'run --resume'),
            ('finished', 'report'), ('finished', 'match')]
  wanted = {(*where, *of): verdict for of, verdicts in _IMPORTANT.items()
            for where, verdict in zip(titles, verdicts) if verdict}
  found = {tuple(cell): outcome.verdict for *cell, outcome in _outcomes(
      features, lambda *cell: cell in wanted)}
  assert found == wanted
