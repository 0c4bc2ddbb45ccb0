"""Eight virtual CPU devices, strict shapes; fixtures that several files use."""

import signal

import jax
import pytest

# A shell's `&` has Ctrl-C ignored, programs keep to that, and tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test touches a device.
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')

# pylint: disable=wrong-import-position
from tests import tiny  # noqa: E402


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
