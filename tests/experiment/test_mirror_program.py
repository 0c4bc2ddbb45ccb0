"""`--mirror`: what a run does with it, from its first start to its end."""

import contextlib
import json
import pathlib
import shutil

import pytest

from experiments import run
from mmal_jax.experiment import preemption
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout
from mmal_jax.workdir import mirror_folder
from mmal_jax.workdir import mirrored
from mmal_jax.workdir import provenance
from tests.support import bucket
from tests.support import damaged_runs
from tests.support import programs

pytestmark = pytest.mark.long
# Of the writes to a mirror, the one that fails; and the last one of the begin.
_FAULTS, _AT_BEGINNING = (0, 3, 9, 14), 3


class Home:
  """Data, and where one experiment runs again and again.

  Attributes:
    work: the workdir.
    root: what `damaged_runs.results` reads.
  """

  def __init__(self, home, kind):
    self.work = home / 'w'
    self.root = home if kind == 'memory' else home / 'buckets' / 'b'
    self.mirror = {'local': self.root / 'w', 'gs': 'gs://b/w',
                   'memory': 'memory://b/w'}[kind]
    self._flags = [
        *programs.save_features(home / 'data'), *programs.SMALL,
        '--config.train.learner=closed_form', '--strategies=mmal,random',
        f'--workdir={self.work}', f'--cache_dir={home / "cache"}']
    # Orbax has arrays on disks and in buckets alone.
    self._more = [f'--states={home / "states"}'] if kind == 'memory' else []
    self._states = home / 'states'
    self.run()
    self.before = damaged_runs.results(self.root)

  def run(self, *more, mirror=None):
    programs.call(run, *self._flags, *self._more,
                  f'--mirror={mirror or self.mirror}', *more)

  def refused(self, *more, **how):
    with programs.ends() as e:
      self.run(*more, **how)
    return e.value.code

  def refused_without(self, *more):
    with programs.ends() as e:
      programs.call(run, *self._flags, *more)
    return e.value.code

  def lose(self):
    """As with the machine."""
    shutil.rmtree(self.work, ignore_errors=True)

  def check(self):
    found = damaged_runs.results(self.root)
    assert damaged_runs.difference(found, self.before) == ''


@pytest.fixture(name='home', params=['local', 'gs', 'memory'])
def _home(request, tmp_path):
  with contextlib.ExitStack() as stack:
    stack.enter_context(
        bucket.in_memory() if request.param == 'memory' else
        bucket.in_place_of_gs(tmp_path / 'buckets'))
    yield Home(tmp_path, request.param)


@pytest.fixture(name='local')
def _local(tmp_path):
  return Home(tmp_path, 'local')


def _fail_at(monkeypatch, n):
  """Lets the n-th write to a mirror fail, and all after it."""
  put, left = mirror_folder.Folder._put, [n]

  def fails(self, name, content):
    left[0] -= 1
    if left[0] < 0:
      raise OSError(28, 'No space left on device')
    put(self, name, content)

  monkeypatch.setattr(mirror_folder.Folder, '_put', fails)


def test_a_mirror_that_fails_is_named_and_the_run_goes_on(
    home, monkeypatch, capsys):
  for n in _FAULTS:
    with monkeypatch.context() as patch:
      _fail_at(patch, n)
      said = home.refused('--overwrite')
    assert f'mirror={str(home.mirror)!r}: ' in said and (
        'cannot be written: No space left on device' in said), said
    if n > _AT_BEGINNING:
      assert '--resume goes on' in said
    # On the same machine, or, without a word, on an empty one.
    if n % 2:
      home.lose()
      home.run()
      assert 'came back' in capsys.readouterr().err or n <= _AT_BEGINNING
    else:
      home.run('--resume')
    home.check()


def test_what_is_finished_comes_back_whole(home, capsys):
  before = {p.relative_to(home.work): p.read_bytes()
            for p in home.work.rglob('*') if p.is_file()}
  capsys.readouterr()
  home.lose()
  home.run('--resume')
  assert f'files came back to {str(home.work)!r}; the exp' in (
      capsys.readouterr().err)
  home.check()
  after = {p.relative_to(home.work): p.read_bytes()
           for p in home.work.rglob('*') if p.is_file()}
  changing = {pathlib.Path(name) for name in (
      layout.SUMMARY, layout.CURVES, layout.CONFIG)}
  assert after.keys() == before.keys() and not {
      path for path in after if after[path] != before[path]} - changing


def test_another_config_is_refused_on_an_empty_workdir(local):
  local.lose()
  said = local.refused('--batch=4')
  assert 'holds another experiment; choose another mirror, or undo:' in said
  assert '  batch: 3 there, 4 now' in said
  assert {p.name for p in local.work.iterdir()} == {'.owner'}
  local.run()
  local.check()


def test_of_other_settings_and_versions_it_is_said_what_differs(
    local, monkeypatch, caplog):
  """Nothing comes back to what a run would refuse."""
  local.lose()
  settings = provenance._settings
  with monkeypatch.context() as patch:
    patch.setattr(provenance, '_settings', lambda names: settings(names) | {
        'jax_random_seed_offset': 7})
    said = local.refused()
  assert f"'{local.mirror}' was begun with other settings of JAX" in said
  assert 'jax_random_seed_offset is 7 now, and was 0.' in said
  config = layout.read(local.mirror / layout.CONFIG)
  layout.write(local.mirror / layout.CONFIG, {
      k: v for k, v in config.items() if k != checksums.KEY} | {'later': 3})
  assert '\n  later: 3 there, no such value now' in local.refused()
  assert {p.name for p in local.work.iterdir()} == {'.owner'}
  layout.write(local.mirror / layout.CONFIG, {
      k: v for k, v in config.items() if k not in (checksums.KEY, 'missing')})
  rounding = provenance._rounding
  monkeypatch.setattr(
      provenance, '_rounding', lambda: rounding() | {'jax': '0.99'})
  local.run()
  assert "jax is '0.99' now, and was " in caplog.text
  local.check()


def test_a_network_that_fails_for_a_while_costs_nothing(
    home, monkeypatch, caplog):
  put, writes, pauses = mirror_folder.Folder._put, [], []

  def fails(self, name, content):
    writes.append(name)
    if len(writes) % 3:
      raise ConnectionResetError(104, 'Connection reset by peer')
    put(self, name, content)

  with monkeypatch.context() as patch:
    patch.setattr(mirror_folder.Folder, '_put', fails)
    patch.setattr(mirror_folder, '_LONGEST_PAUSE', 0)
    patch.setattr(mirror_folder.time, 'sleep', pauses.append)
    home.run('--overwrite')
  home.check()
  assert len(writes) > 30 and 'Connection reset by peer' in caplog.text
  assert 'It is tried again, for ' in caplog.text and pauses


def test_a_network_that_stays_away_ends_a_run_that_goes_on_later(
    home, monkeypatch, capsys):
  """As a preemption does: what looks after runs starts it again."""
  put, writes = mirror_folder.Folder._put, []

  def fails(self, name, content):
    writes.append(name)
    if len(writes) > 12:
      raise ConnectionResetError(104, 'Connection reset by peer')
    put(self, name, content)

  with monkeypatch.context() as patch:
    patch.setattr(mirror_folder.Folder, '_put', fails)
    patch.setattr(mirror_folder, 'PATIENCE_SECONDS', 0)
    with pytest.raises(SystemExit) as ended:
      home.run('--overwrite')
  assert ended.value.code == preemption.PREEMPTED
  said = capsys.readouterr().err
  assert 'Connection reset by peer' in said and '--resume goes on' in said
  home.run('--resume')
  home.check()


def test_states_in_a_mirror_are_not_cleared_from_a_copied_workdir(
    local, tmp_path):
  """They are those of the workdir with that mirror."""
  shutil.copytree(local.work, tmp_path / 'copy')
  states = local.mirror / layout.STATES
  before = sorted(states.rglob('*'))
  said = local.refused_without(
      f'--workdir={tmp_path / "copy"}', f'--states={states}', '--overwrite')
  assert f"but of that in '{local.work}'" in said
  assert sorted(states.rglob('*')) == before
  # Nor is the mirror.
  said = local.refused(f'--workdir={tmp_path / "copy"}', '--overwrite')
  assert f"but of that in '{local.work}'" in said
  assert sorted(states.rglob('*')) == before
  local.run('--resume')
  local.check()
  # They take turns otherwise.
  local.run(f'--workdir={tmp_path / "copy"}', '--resume')
  local.run('--resume')
  local.check()


def test_the_mirror_is_not_the_folder_of_the_states(local):
  said = local.refused('--overwrite', f'--states={local.mirror}')
  assert 'must be two folders. Without --states, states lie in the' in said
  local.run('--resume')
  local.check()


def test_items_that_are_others_are_refused_and_the_mirror_left(
    local, tmp_path):
  before = {path: path.read_bytes() for path in local.mirror.rglob('*')
            if path.is_file()}
  shutil.copytree(tmp_path / 'data', tmp_path / 'kept')
  programs.save_features(tmp_path / 'data', seed=1)
  local.lose()
  assert ': not those with which the experiment in' in local.refused()
  after = {path: path.read_bytes() for path in local.mirror.rglob('*')
           if path.is_file()}
  assert {path.name for path in before if after[path] != before[path]} <= {
      mirrored.OWNER, '.owner'}
  shutil.rmtree(tmp_path / 'data')
  (tmp_path / 'kept').rename(tmp_path / 'data')
  local.run('--resume')
  local.check()


def test_an_experiment_stays_with_its_mirror(local, tmp_path):
  said = local.refused_without('--resume')
  assert f'give --config.mirror={local.mirror} to go on with it' in said
  said = local.refused('--resume', mirror=tmp_path / 'new')
  assert f"move '{local.mirror}' there as a whole" in said
  shutil.rmtree(tmp_path / 'new')  # A lock lies there.
  local.mirror.rename(tmp_path / 'new')
  local.run('--resume', mirror=tmp_path / 'new')
  local.lose()
  local.run('--resume', mirror=tmp_path / 'new')
  assert layout.read(local.work / layout.CONFIG)['mirror'] == str(
      tmp_path / 'new')


def test_one_begun_without_a_mirror_goes_on_without(local, tmp_path):
  shutil.rmtree(local.mirror)
  local.refused_without('--resume')
  local.lose()
  programs.call(run, *local._flags)  # pylint: disable=protected-access
  said = local.refused('--resume', mirror=tmp_path / 'new')
  assert 'leave --config.mirror out to go on with it' in said


def test_a_mirror_that_was_emptied_is_filled_again(local, capsys):
  shutil.rmtree(local.mirror)
  capsys.readouterr()
  local.run('--resume')
  local.check()
  assert sorted(p.name for p in (local.mirror / layout.STATES).iterdir()) == [
      '.owner', 'experiment.json', 'mmal-seed0', 'random-seed0']


def test_overwrite_replaces_what_the_mirror_holds_of_it(local):
  before = json.loads((local.mirror / layout.PROVENANCE).read_text())
  local.run('--overwrite')
  after = json.loads((local.mirror / layout.PROVENANCE).read_text())
  assert before['experiment'] != after['experiment']
  local.check()
  local.lose()
  said = local.refused('--overwrite')
  assert 'holds another experiment' in said and '(none)' in said
  local.run()
  local.check()


def test_people_answer_while_the_machine_is_gone(tmp_path):
  flags = [
      *damaged_runs.features(tmp_path, '--rounds=2', '--oracle=files'),
      f'--config.oracle.folder={tmp_path}/asked', '--strategies=mmal',
      '--seeds=0', f'--cache_dir={tmp_path / "cache"}',
      f'--workdir={tmp_path / "w"}', f'--mirror={tmp_path / "m"}', '--resume']
  ends = 0
  while not (tmp_path / 'm' / layout.SUMMARY).exists():
    with contextlib.suppress(SystemExit):
      programs.call(run, *flags)
    if (tmp_path / 'm' / layout.SUMMARY).exists():
      break
    ends += 1
    assert layout.waiting(tmp_path / 'm')['seed'] == 0 and ends < 10
    shutil.rmtree(tmp_path / 'w')
    # Answers lie with the user, not on the machine.
    damaged_runs.answer(tmp_path / 'asked' / 'seed0', 0)
  assert ends == 2
  ledger = (tmp_path / 'asked' / 'seed0' / 'ledger.jsonl').read_text()
  assert len(ledger.splitlines()) == 10


@pytest.mark.slow
def test_models_lie_in_the_mirror_and_are_exported_from_there(tmp_path):
  from experiments import export  # pylint: disable=g-import-not-at-top
  flags = [*damaged_runs.pretrained(tmp_path), '--strategies=mmal', '--seeds=0',
           f'--cache_dir={tmp_path / "cache"}', f'--workdir={tmp_path / "w"}',
           f'--mirror={tmp_path / "m"}']
  programs.call(run, *flags)
  assert not (tmp_path / 'w' / layout.MODELS).exists()
  shutil.rmtree(tmp_path / 'w')
  programs.call(run, *flags)
  programs.call(export, f'--workdir={tmp_path / "w"}',
                f'--export={tmp_path / "exported"}')
  assert (tmp_path / 'exported' / 'model.safetensors').exists()
