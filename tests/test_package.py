"""The house rules that a machine can check."""

import ast
import pathlib
import subprocess
import sys

import jax
import pytest

import mmal_jax
from mmal_jax.config import sections

_ROOT = pathlib.Path(mmal_jax.__file__).parent
# Each may import those before it.
_FLOW = ['extras', 'files', 'progress', 'terminal', 'parallel', 'checkpoint',
         'data', 'models', 'embed', 'acquire', 'oracles', 'pools', 'learn',
         'matching', 'asking', 'evaluate', 'state', 'observe', 'loop',
         'all_aligned', 'remaining_matches', 'config', 'workdir', 'session',
         'analysis', 'planning', 'experiment']


def _imports(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize(
    'path', sorted(_ROOT.rglob('*.py')),
    ids=lambda path: str(path.relative_to(_ROOT)))
def test_imports_never_run_back_up(path):
  room = path.relative_to(_ROOT).parts[0].removesuffix('.py')
  if room == '__init__':
    return
  for name in _imports(path):
    assert not name.startswith('experiments')
    assert name not in ('absl.flags', 'absl.app')
    if name.startswith('mmal_jax.'):
      imported = name.split('.')[1]
      assert _FLOW.index(imported) <= _FLOW.index(room), name


def test_few_files_read_a_config():
  """All others are given its values: see `experiment/settings.py`."""
  names = {*sections.names(), *sections.VALUES}
  found = set()
  for path in _ROOT.rglob('*.py'):
    where = path.relative_to(_ROOT)
    if where.parts[0] in ('config', 'models', 'embed'):
      continue  # A model's is a dataclass.
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Attribute) and node.attr in names and (
          ast.unparse(node.value).split('.')[-1] == 'config'):
        found.add(where.as_posix())
  assert 'experiment/settings.py' in found
  assert len(found) <= 18, sorted(found)


def test_programs_print_through_one_module():
  """What others wrote must not act on a terminal: `terminal.messages`."""
  folder = _ROOT.parent / 'experiments'
  for path in folder.rglob('*.py'):
    if path == folder / 'benchmarks' / 'child.py':
      continue  # Its output is read by its parent.
    if path.parent == folder / 'notebooks' and path.stem != 'build':
      continue  # A cell prints into the notebook.
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        assert called != 'print' and not called.startswith((
            'traceback.print', 'sys.stdout.write', 'sys.stderr.write')), path
        assert called != 'sys.exit' or not any(isinstance(
            argument, (ast.Constant, ast.JoinedStr)) and not isinstance(
                getattr(argument, 'value', ''), int)
            for argument in node.args), path


def test_files_stay_short():
  root = _ROOT.parent
  for path in root.rglob('*.py'):
    folder = path.relative_to(root).parts[0]  # Environments are not ours.
    if not folder.startswith('.') and folder not in ('venv', 'build'):
      assert len(path.read_text().splitlines()) <= 400, path


def test_import_is_light_and_starts_no_accelerator():
  code = ('import sys, time; start = time.perf_counter(); import mmal_jax;'
          'print(time.perf_counter() - start);'
          'heavy = {"tensorflow", "matplotlib", "tensorflow_datasets"};'
          'assert not heavy & set(sys.modules);'
          'from jax._src import xla_bridge;'
          'assert not xla_bridge._backends')
  out = subprocess.run(
      [sys.executable, '-c', code], check=True, capture_output=True, text=True)
  # A promise to users, and far from the margin: `__init__` imports nothing.
  assert float(out.stdout) < 2


def test_importing_every_module_starts_no_accelerator():
  names = [
      '.'.join(p.relative_to(_ROOT.parent).with_suffix('').parts)
      for p in _ROOT.rglob('*.py') if p.name != '__init__.py']
  code = (f'import importlib\nfor n in {names!r}: importlib.import_module(n)\n'
          'from jax._src import xla_bridge\nassert not xla_bridge._backends')
  subprocess.run([sys.executable, '-c', code], check=True)


def test_eight_devices():
  assert jax.device_count() == 8
