"""Where compiled programs are kept, and that the next process finds them."""

import os
import subprocess
import sys
from unittest import mock

import jax
from jax.experimental.compilation_cache import compilation_cache as of_jax
import pytest

from experiments import embed
from experiments import run
from mmal_jax.experiment import compilation_cache
from mmal_jax.workdir import layout
from tests.support import outcomes
from tests.support import programs

_NAMES = ('jax_compilation_cache_dir', 'jax_enable_compilation_cache',
          'jax_persistent_cache_min_compile_time_secs')
_MINE = '/home/me/.cache/mmal_jax/compiled'
# What a process kept, and found, of one program on a backend of some name.
_PROCESS = '''
import sys
from unittest import mock
import jax
from jax._src import xla_bridge
from mmal_jax.experiment import compilation_cache
backend, given = sys.argv[1:]
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
with mock.patch.object(jax, 'default_backend', lambda: backend):
  compilation_cache.begin(given or None, print)
  assert not xla_bridge._backends
  x = jax.jit(lambda x: x * 2 + 1)(jax.numpy.arange(3))
assert x.tolist() == [1, 3, 5]
print(events.count('/jax/compilation_cache/cache_hits'))
'''


@pytest.fixture(autouse=True)
def _as_before():
  """Settings of this process are put back."""
  before = {name: getattr(jax.config, name) for name in _NAMES}
  with mock.patch.dict(os.environ):
    yield
  for name, value in before.items():
    jax.config.update(name, value)
  of_jax.reset_cache()


@pytest.fixture(name='unset')
def _unset(monkeypatch):
  """As in a shell that says nothing of the cache."""
  for name in _NAMES:
    monkeypatch.delenv(name.upper(), raising=False)
  jax.config.update('jax_compilation_cache_dir', None)


@pytest.mark.parametrize('backend, count, kept', [
    ('tpu', 1, _MINE), ('tpu', 4, _MINE), ('gpu', 1, _MINE), ('gpu', 2, None),
    ('cpu', 1, None), ('cpu', 2, None)])
def test_by_default_it_is_on_accelerators(backend, count, kept, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', '/home/me/.cache')
  assert compilation_cache.default_folder(backend, count) == kept


@pytest.mark.parametrize('own', ['/own', 'gs://own', ''])
def test_jaxs_own_setting_comes_before_the_default(own, unset, monkeypatch):
  """On any backend: none is asked for."""
  monkeypatch.setattr(
      compilation_cache, '_before_the_first_compilation', pytest.fail)
  jax.config.update('jax_compilation_cache_dir', own)
  started = {}
  compilation_cache.begin(None, pytest.fail, started)
  assert jax.config.jax_compilation_cache_dir == own and not started


@pytest.mark.parametrize('given', ['given', 'off'])
def test_what_is_given_comes_before_jaxs_own(
    given, unset, monkeypatch, tmp_path):
  """A relative folder is of where the program began."""
  monkeypatch.chdir(tmp_path)
  jax.config.update('jax_compilation_cache_dir', '/own')
  compilation_cache.begin(given, pytest.fail, {})
  assert jax.config.jax_enable_compilation_cache == (given != 'off')
  assert jax.config.jax_compilation_cache_dir == (
      '/own' if given == 'off' else str(tmp_path / 'given'))


@pytest.mark.parametrize('url', ['gs://b/c', 's3://b/c', 'file:///c', 'hf://c'])
def test_an_address_is_refused_with_the_reason(url):
  with pytest.raises(ValueError, match='remote address.*429.*hang.*Give a fol'):
    compilation_cache.begin(url, pytest.fail, {})


def test_what_is_given_is_jaxs_setting_also_of_programs_started(
    unset, tmp_path):
  started = {}
  compilation_cache.begin(str(tmp_path / 'c'), pytest.fail, started)
  assert (tmp_path / 'c').is_dir()
  assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'c')
  least = jax.config.jax_persistent_cache_min_compile_time_secs
  assert least == compilation_cache.LEAST_SECONDS
  assert started == {
      'JAX_COMPILATION_CACHE_DIR': str(tmp_path / 'c'),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': str(least)}
  compilation_cache.begin('off', pytest.fail, started)
  assert not jax.config.jax_enable_compilation_cache
  assert started['JAX_ENABLE_COMPILATION_CACHE'] == 'False'


def test_a_limit_that_the_environment_sets_stays(unset, tmp_path):
  name = 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'
  started = {name: '7'}
  jax.config.update(name.lower(), 7.0)
  compilation_cache.begin(str(tmp_path), pytest.fail, started)
  assert jax.config.jax_persistent_cache_min_compile_time_secs == 7
  assert started[name] == '7'


def test_a_folder_that_cannot_be_made_is_refused(unset, tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(ValueError, match="file/c' cannot be made: Not a direct"):
    compilation_cache.begin(str(tmp_path / 'file/c'), pytest.fail, {})


def _process(folder, backend, given='', **variables):
  """Lines that a process of its own printed, in the end its number of hits."""
  environment = {
      name: value for name, value in os.environ.items()
      if 'CACHE' not in name} | {
          'XDG_CACHE_HOME': str(folder), 'JAX_PLATFORMS': 'cpu',
          'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0', **variables}
  done = subprocess.run(
      [sys.executable, '-c', _PROCESS, backend, given], env=environment,
      text=True, capture_output=True, check=False)
  assert done.returncode == 0, done.stderr
  return done.stdout.splitlines(), done.stderr


def _programs(folder):
  return sorted(path.name for path in folder.rglob('*-cache'))


@pytest.mark.long
@pytest.mark.parametrize('backend', ['gpu', 'tpu'])
def test_by_default_the_next_process_on_an_accelerator_finds_them(
    backend, tmp_path):
  """No backend is initialized before the first program needs it."""
  assert _process(tmp_path, backend) == (['0'], '')
  folder = tmp_path / 'mmal_jax/compiled'
  kept = _programs(folder)
  assert kept and folder.stat().st_mode & 0o777 == 0o700
  (hits,), _ = _process(tmp_path, backend)
  assert int(hits) == len(kept) and _programs(folder) == kept
  # What a full disk or a kill left is compiled anew.
  for name in kept:
    os.truncate(folder / name, 20)
  (hits,), errors = _process(tmp_path, backend)
  assert hits == '0' and 'Error reading persistent compilation' in errors


@pytest.mark.long
def test_nothing_is_kept_where_it_is_not_asked_for(tmp_path):
  assert _process(tmp_path, 'cpu') == (['0'], '')
  own = tmp_path / 'own'
  assert _process(tmp_path, 'gpu', 'off', JAX_COMPILATION_CACHE_DIR=str(
      own)) == (['0'], '')
  assert not list(tmp_path.iterdir())
  # JAX's own setting is as it was.
  _process(tmp_path, 'gpu', JAX_COMPILATION_CACHE_DIR=str(own))
  assert list(tmp_path.iterdir()) == [own] and _programs(own)


@pytest.mark.long
def test_a_home_without_room_is_no_failure(tmp_path):
  (tmp_path / 'mmal_jax').write_text('x')
  (said, hits), _ = _process(tmp_path, 'tpu')
  assert hits == '0' and said.startswith('Compiled programs are not kept: ')
  assert '--compilation_cache=FOLDER' in said


@pytest.mark.parametrize('program', [run, embed])
def test_programs_refuse_an_address_before_all_else(program, tmp_path):
  with programs.ends() as e:
    programs.call(program, f'--config={programs.CONFIGS}/features.py',
                  f'--workdir={tmp_path / "w"}', '--compilation_cache=gs://b/c')
  assert "compilation_cache='gs://b/c' is a remote" in str(e.value.code)
  assert not (tmp_path / 'w').exists()


@pytest.mark.long
def test_a_run_keeps_its_programs_and_ends_the_same(
    unset, tmp_path, monkeypatch):
  monkeypatch.setattr(compilation_cache, 'LEAST_SECONDS', 0.0)
  features = programs.save_features(tmp_path / 'f')

  def results(name, *flags):
    jax.clear_caches()
    work = tmp_path / name
    programs.call(run, *features, *programs.SMALL, f'--workdir={work}',
                  f'--cache_dir={tmp_path / "c"}', *flags)
    return outcomes.metrics(work), layout.read_lines(work / layout.QUERIES)

  kept = tmp_path / 'compiled'
  plain = results('plain')
  assert not kept.exists()
  first = results('first', f'--compilation_cache={kept}')
  found = _programs(kept)
  assert len(found) > 5
  again = results('again', f'--compilation_cache={kept}')
  assert plain == first == again and _programs(kept) == found
