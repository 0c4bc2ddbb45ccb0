"""Eight virtual CPU devices, strict shapes; fixtures that several files use."""

import gc
import importlib.util
import os
import pathlib
import re
import signal

import jax
import pytest

# A shell's `&` has Ctrl-C ignored, programs keep to that, and tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test touches a device. Most of the tests' time goes to compiling
# programs that run once: in one piece, and not by the emitters that became
# XLA's default last, it takes half of the time. Later versions have no others.
_QUICKLY = {'xla_cpu_parallel_codegen_split_count': '1'} | (
    {'xla_cpu_use_fusion_emitters': 'false'}
    if jax.__version_info__ < (0, 11) else {})
_given = os.environ.get('XLA_FLAGS', '')
os.environ['XLA_FLAGS'] = ' '.join([_given, *(
    f'--{name}={value}' for name, value in _QUICKLY.items()
    if name not in _given)]).strip()
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')

# pylint: disable=wrong-import-position
from tests.support import tiny  # noqa: E402

# Where PyTorch is not installed, what compares with it is left out.
_OF_TORCH = re.compile(
    r'import (?:torch|transformers)\b'
    r'|torch_models|published_files|tokenizer_files|damaged_runs')
collect_ignore = [] if importlib.util.find_spec('torch') else [
    str(path) for path in sorted(pathlib.Path(__file__).parent.rglob('*.py'))
    if path != pathlib.Path(__file__) and _OF_TORCH.search(path.read_text())]


def pytest_report_header():
  return f'no PyTorch: {len(collect_ignore)} files of tests are left out' if (
      collect_ignore) else None


@pytest.fixture(autouse=True, scope='session')
def _unsynced():
  """Files are not synced to the disk: no test survives a power cut."""
  patch = pytest.MonkeyPatch()
  patch.setattr(os, 'fsync', lambda descriptor: None)
  yield
  patch.undo()


def pytest_collection_finish():
  """Collects garbage seldom: most objects are modules', which stay."""
  gc.freeze()
  gc.set_threshold(50_000, 20, 20)


def pytest_configure(config):
  """Keeps compiled programs, for other files, other workers, and the next time.

  Most of the tests' time goes to compiling, mostly the same small programs. The
  programs that tests start as processes find them, too.
  """
  if config.pluginmanager.has_plugin('cacheprovider'):
    kept = {'JAX_COMPILATION_CACHE_DIR': str(config.cache.mkdir('jax')),
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}
    for name, value in kept.items():
      os.environ.setdefault(name, value)
    jax.config.update(
        'jax_compilation_cache_dir', os.environ['JAX_COMPILATION_CACHE_DIR'])
    jax.config.update('jax_persistent_cache_min_compile_time_secs', float(
        os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS']))


@pytest.fixture(autouse=True, scope='module')
def _clear_caches():
  """Compiled programs of all files at once would fill the memory."""
  yield
  jax.clear_caches()


@pytest.fixture(scope='module')
def quick_compilation():
  """For files whose time goes to compiling programs, not to running them."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='session')
def tiny_run():
  """A run on 40 feature pairs, small enough for a second a run."""
  return tiny.make_run()
