"""Compiled programs that are kept on disk, so that the next start finds them.

JAX keeps them by itself once it has a folder. Here is decided which, if any.
"""

from collections.abc import Callable, MutableMapping
import os
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from mmal_jax.files import cache_folder
from mmal_jax.files import durable
from mmal_jax.parallel import processes

OFF = 'off'  # In the place of a folder: nothing is kept.
# Programs that compile faster are not kept. A folder on a network file system
# gives a small file in some ten milliseconds, so what takes longer to compile
# is worth one; JAX's own second leaves out most of the programs of a run.
LEAST_SECONDS = 0.1
# Backends on which programs are kept by default. On CPUs they compile fast, and
# are of one kind of processor: what another one wrote may not run.
_TPU, _GPU = 'tpu', 'gpu'
# Recorded by JAX when a program is lowered: the backend is there by then, and
# no folder has been looked into.
_LOWERED = '/jax/core/compile/jaxpr_to_mlir_module_duration'


def default_folder(backend: str, count: int = 1) -> str | None:
  """Where compiled programs are kept unless the user says otherwise.

  Args:
    backend: that programs are compiled for, as `jax.default_backend` has it.
    count: of the program's processes.

  Returns:
    The folder; None if nothing is to be kept.
  """
  # Processes tune programs for GPUs together: one that finds a program would
  # leave those waiting that do not. Only the first one writes, so all find the
  # same in a common folder alone, and whether this one is common is not known.
  if backend == _TPU or backend == _GPU and count == 1:
    return os.path.join(cache_folder.default(), 'compiled')
  return None


def check(given: str) -> None:
  """Refuses a folder that is not on a disk.

  Raises:
    ValueError: then.
  """
  if '://' in given:
    raise ValueError(
        f'compilation_cache={given!r} is a remote address: every program would '
        'be a request there, and storage such as gs:// answers many at once '
        'with errors (429), or lets a program hang. Give a folder of this '
        'machine, or of a disk that all hosts share, or --compilation_cache='
        f'{OFF}.')


def begin(
    given: str | None,
    notify: Callable[[str], None],
    environment: MutableMapping[str, str] = os.environ,
) -> None:
  """Has compiled programs kept from now on.

  No backend is initialized: where all depends on it, it is asked for when the
  first program is about to be compiled.

  Args:
    given: a folder or `OFF`; None: JAX's own setting, as of
      `JAX_COMPILATION_CACHE_DIR`, else `default_folder`.
    notify: called with why nothing is kept, where that was not asked for.
    environment: of this process; gets what is given, for those that it starts.

  Raises:
    ValueError: if a remote folder is given, or one that cannot be made.
  """
  if given is None:
    if jax.config.jax_compilation_cache_dir is None:
      _before_the_first_compilation(lambda: _by_default(notify, environment))
    return
  check(given)
  if given == OFF:
    settings = {'jax_enable_compilation_cache': False}
  else:
    path = os.path.abspath(given)
    try:
      os.makedirs(path, exist_ok=True)
    except OSError as e:
      raise ValueError(f'compilation_cache={given!r} cannot be made: '
                       f'{durable.reason(e)}.') from e
    settings = _settings(path, environment)
  for name, value in settings.items():
    jax.config.update(name, value)
    environment[name.upper()] = str(value)
  compilation_cache.reset_cache()  # Of an earlier folder, if there is one.


def _settings(path, environment) -> dict[str, Any]:
  """JAX's settings by name, which in capitals are variables, too."""
  least = 'jax_persistent_cache_min_compile_time_secs'
  settings = {'jax_compilation_cache_dir': path}
  return settings if least.upper() in environment else settings | {
      least: LEAST_SECONDS}


def _by_default(notify, environment) -> None:
  path = default_folder(jax.default_backend(), processes.count())
  if path is None:
    return
  try:
    # What lies there is run: only this user may put anything there.
    os.makedirs(path, mode=0o700, exist_ok=True)
  except OSError as e:
    notify(f'Compiled programs are not kept: {path!r} cannot be made: '
           f'{durable.reason(e)}. --compilation_cache=FOLDER takes another.')
    return
  for name, value in _settings(path, environment).items():
    jax.config.update(name, value)


def _before_the_first_compilation(work: Callable[[], None]) -> None:
  is_done = False

  def listen(event, duration, **kwargs):
    nonlocal is_done
    del duration, kwargs
    if event == _LOWERED and not is_done:
      is_done = True
      work()

  jax.monitoring.register_event_duration_secs_listener(listen)
