"""A real run of two processes, whose slice is lost in the midst of it."""

import pathlib
import shlex
import shutil

import pytest

from mmal_jax.oracles import journal as journal_lib
from mmal_jax.workdir import layout
from tests.support import hosts_config
from tests.support import outcomes
from tests.support import ports
from tests.tpu_scripts import cloud as cloud_lib
from tests.tpu_scripts import fake_gcloud

# Enough rounds for a slice to be lost well before the last.
_ROUNDS = 12
_STRATEGY, _SEED = 'mmal', 3  # as in hosts_config
# Of the longest step, on a machine that is very busy.
_SECONDS = 3600
# Where the run lies, by settings in which SHARED outlives the hosts.
_STORAGES = {
    'shared': {'STORAGE': 'shared', 'WORKDIR': 'SHARED/run'},
    'mirror': {'STORAGE': 'local', 'WORKDIR': 'run', 'MIRROR': 'SHARED/mirror'},
}


@pytest.fixture(name='data', scope='module')
def _data(tmp_path_factory):
  return outcomes.save_features(tmp_path_factory.mktemp('data'), 100)


def _cloud(folder, data, storage):
  folder.mkdir()
  cloud = cloud_lib.Cloud(folder)
  cloud.copy_scripts()
  for name in ('experiments', 'mmal_jax'):
    shutil.copytree(cloud_lib.ROOT / name, cloud.repository / name,
                    ignore=shutil.ignore_patterns('__pycache__'))
  (cloud.repository / '.gitignore').write_text('__pycache__/\n', 'utf-8')
  cloud_lib.commit_all(cloud.repository)
  spec = f'{hosts_config.__file__}:{data}'
  variables = {
      'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': 4,
      'OPENBLAS_NUM_THREADS': 1, 'JAX_COORDINATOR_PORT': ports.free(),
      # A program is compiled once for all runs.
      'JAX_COMPILATION_CACHE_DIR': data / 'compiled',
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': 0}
  cloud.settings |= {
      'CACHE_DIR': data / 'cache',
      'RUN_ARGS': (f'--config={shlex.quote(spec)} --heartbeat_seconds=10 '
                   f'--rounds={_ROUNDS} --config.train.steps_per_round=20'),
      'ENV': ' '.join(shlex.quote(f'{k}={v}') for k, v in variables.items())
  } | {k: v.replace('SHARED', str(cloud.shared))
       for k, v in _STORAGES[storage].items()}
  return cloud


def _workdir(cloud):
  """Where process 0 writes."""
  home = fake_gcloud.home_of(cloud.folder, cloud_lib.NAME, 0)
  return home / pathlib.Path(cloud.settings['WORKDIR'])


def _queries(work):
  path = work / layout.QUERIES
  return layout.read_lines(path) if path.exists() else []


def _results(cloud):
  """All that a run has found, without its times."""
  work = _workdir(cloud)
  state = outcomes.state(layout.state_path(
      pathlib.Path(cloud.settings.get('MIRROR', work)), _STRATEGY, _SEED
  ) / str(_ROUNDS))
  return {
      'queries': _queries(work), 'metrics': outcomes.metrics(work),
      'answers': journal_lib.read(
          layout.journal_path(work, _STRATEGY, _SEED)),
      'summary': outcomes.summary(work),
      'state': {k: v.tobytes() for k, v in state.items()}}


def _babysat(cloud, process):
  said = cloud.ended(process, _SECONDS)[1]
  log = fake_gcloud.home_of(
      cloud.folder, cloud_lib.NAME, 0) / 'mmal_tpu' / 'log'
  assert process.returncode == 0, (
      said, log.read_text('utf-8') if log.exists() else '')
  return said


@pytest.mark.slow
@pytest.mark.parametrize('storage', _STORAGES)
def test_preempted_after_round_2_it_ends_as_if_undisturbed(
    data, storage, tmp_path):
  cloud, quiet = (_cloud(tmp_path / name, data, storage)
                  for name in ('lost', 'undisturbed'))
  try:
    _babysat(quiet, quiet.begin('babysit', '--poll=0.5'))
    process = cloud.begin('babysit', '--poll=0.5')
    cloud.until(lambda: len(_queries(_workdir(cloud))) >= 2, _SECONDS)
    fake_gcloud.preempt(cloud.folder, cloud_lib.NAME)
    assert len(_queries(_workdir(cloud))) < _ROUNDS
    said = _babysat(cloud, process)
    assert 'SUSPENDED' in said
    assert len(cloud.calls('queued-resources', 'create')) == 2
    results = _results(cloud)
    assert len(results['metrics']) == _ROUNDS + 1
    assert len(results['queries']) == _ROUNDS and len(results['state']) > 20
    assert results == _results(quiet)
    fetched = tmp_path / 'fetched'
    cloud.tpu('fetch', str(fetched))
    assert _queries(fetched) == results['queries']
  finally:
    cloud.close()
    quiet.close()
