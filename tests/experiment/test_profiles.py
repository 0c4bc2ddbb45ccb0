"""A trace of a round: it is there, and all else is as without it."""

from unittest import mock

import jax
import pytest

from experiments import diagnose
from experiments import run
from experiments import sweep
from mmal_jax.experiment import preemption
from mmal_jax.experiment import profiles
from mmal_jax.files import durable
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.workdir import layout
from mmal_jax.workdir import provenance
from tests.support import outcomes
from tests.support import programs

_ID = mock.Mock(hex='0123456789abcdef')  # of every experiment here


@pytest.fixture(name='features', scope='module')
def _features(tmp_path_factory):
  return programs.save_features(tmp_path_factory.mktemp('data'))


def _run(features, work, *flags):
  """Runs two rounds; its own flags come last, and win."""
  with mock.patch.object(provenance.uuid, 'uuid4', lambda: _ID):
    programs.call(run, *features, *programs.SMALL, f'--workdir={work}',
                  f'--cache_dir={work}.cache', *flags)


def _traces(work):
  """Names of the folders that hold a trace, by `xprof --logdir`."""
  return sorted({
      path.parents[3].relative_to(work / layout.PROFILE).as_posix()
      for path in work.rglob('*.xplane.pb')})


def _results(work):
  """All that lies there: bytes, of which times alone are left out."""
  state = layout.state_path(work, 'mmal', 0) / '2'
  return {
      'queries': (work / layout.QUERIES).read_bytes(),
      'config': (work / layout.CONFIG).read_bytes(),
      'items': (work / layout.ITEMS).read_bytes(),
      'provenance': (work / layout.PROVENANCE).read_bytes(),
      'journal': layout.journal_path(work, 'mmal', 0).read_bytes(),
      'metrics': outcomes.metrics(work), 'summary': outcomes.summary(work),
      'compilations': [line['compilations'] for line in layout.read_lines(
          work / layout.METRICS)],
      'state': {k: v.tobytes() for k, v in outcomes.state(state).items()}}


@pytest.fixture(name='plain', scope='module')
def _plain(features, tmp_path_factory):
  """A run without a trace, which compiles all its programs."""
  jax.clear_caches()
  work = tmp_path_factory.mktemp('plain') / 'w'
  _run(features, work)
  return work


@pytest.mark.long
@pytest.mark.parametrize('number', [0, 1, 2])
def test_a_round_is_traced_and_the_results_stay(
    number, features, plain, tmp_path, capsys):
  jax.clear_caches()
  capsys.readouterr()
  work = tmp_path / 'a run'
  _run(features, work, f'--profile={number}')
  name = f'round{number}-mmal-seed0/process0'
  assert _traces(work) == [name]
  line, = (line for line in capsys.readouterr().err.splitlines()
           if 'xprof' in line)
  assert f"xprof --logdir='{work / layout.PROFILE / name}'" in line
  assert _results(work) == _results(plain)
  more = {p.name for p in work.iterdir()} - {p.name for p in plain.iterdir()}
  assert more == {layout.PROFILE}


@pytest.mark.long
def test_a_second_start_goes_on_beside_a_trace(features, tmp_path, capsys):
  work = tmp_path / 'w'
  _run(features, work, '--profile=1')
  traced = sorted(work.rglob('*.xplane.pb'))
  results = _results(work)
  # The same flags again, as `babysit` gives them.
  (work / layout.SUMMARY).unlink()
  capsys.readouterr()
  _run(features, work, '--profile=1', '--resume')
  said = capsys.readouterr().err
  assert 'Round 1 was computed by an earlier start' in said
  assert f'Its trace is in {work / layout.PROFILE}/round1-mmal' in said
  assert sorted(work.rglob('*.xplane.pb')) == traced
  assert _results(work) == results
  programs.call(diagnose, f'--workdir={work}', f'--cache_dir={work}.cache')
  # Without states the round is computed once more; it has its trace.
  durable.remove(work / layout.STATES)
  _run(features, work, '--profile=1', '--resume')
  assert sorted(work.rglob('*.xplane.pb')) == traced
  # Traces are of the experiment that is replaced.
  _run(features, work, '--overwrite')
  assert not (work / layout.PROFILE).exists()


@pytest.mark.long
def test_of_several_runs_the_first_is_traced(features, tmp_path):
  work = tmp_path / 'w'
  _run(features, work, '--profile=2', '--strategies=random,mmal', '--seeds=3,4')
  assert _traces(work) == ['round2-random-seed3/process0']
  # Round 1 is computed by the first strategy for all.
  _run(features, work, '--profile=1', '--strategies=random,mmal', '--overwrite')
  assert _traces(work) == ['round1-random-seed0/process0']


@pytest.mark.parametrize('number', ['-1', '3', '30'])
def test_a_round_that_the_run_does_not_have_is_refused(
    number, features, tmp_path):
  with programs.ends() as e:
    _run(features, tmp_path / 'w', f'--profile={number}')
  assert f'profile={number}: the run has no such round. Give one of 1 to 2' in (
      str(e.value.code))
  assert not (tmp_path / 'w').exists()


def test_a_sweep_takes_no_profile(tmp_path):
  with programs.ends() as e:
    programs.call(sweep, f'--workdir={tmp_path / "w"}', '--profile=1')
  assert '--profile is not for sweeps' in str(e.value.code)


class _State:
  params = ()


def _watched(profile, count=3):
  return list(profile.watched(iter([_State] * count), 'mmal-seed0', 0))


def test_no_trace_is_worth_a_run(tmp_path, monkeypatch, caplog):
  """Another trace is being taken, for one; or the disk is full."""
  said = []
  profile = profiles.Profile(1, tmp_path / 'p', said.append)
  with jax.profiler.trace(tmp_path / 'mine'):
    assert len(_watched(profile)) == 3
  assert 'round 1 is not traced: Profile has already been started' in (
      caplog.text)
  full = profiles.Profile(1, tmp_path / 'q', said.append)
  stop = jax.profiler.stop_trace

  def failing():
    stop()
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(jax.profiler, 'stop_trace', failing)
  assert len(_watched(full)) == 3
  assert 'round 1 is not traced: No space left on device' in caplog.text
  profile.close()
  full.close()
  assert not said and not any((tmp_path / 'q').iterdir())


@pytest.mark.parametrize('error', [
    preemption.Preempted(), KeyboardInterrupt(), oracle_lib.Waiting('wait')
], ids=lambda error: type(error).__name__)
def test_a_round_that_does_not_end_leaves_no_trace(error, tmp_path):
  """And the next start traces it, also after a kill."""
  def states():
    yield _State
    raise error

  said = []
  profile = profiles.Profile(1, tmp_path, said.append)
  with pytest.raises(type(error)):
    list(profile.watched(states(), 'mmal-seed0', 0))
  assert not said and not any(tmp_path.iterdir())
  killed = tmp_path / '.round1-mmal-seed0.process0.draft'
  killed.mkdir()
  (killed / 'half').write_text('x')
  assert len(_watched(profiles.Profile(1, tmp_path, said.append))) == 3
  assert [path.name for path in tmp_path.iterdir()] == ['round1-mmal-seed0']
  assert len(said) == 1 and not list(tmp_path.rglob('half'))
