"""The notebooks are built from their sources, and install what they need."""

import json
import re
import subprocess
import sys
import types

import pytest

from experiments.notebooks import build

_INSTALL = (build.FOLDER / 'install.py').read_text()


@pytest.mark.parametrize('name', build.NAMES)
def test_files_are_what_is_built_of_their_sources(name):
  file = json.loads((build.FOLDER / f'{name}.ipynb').read_text('utf-8'))
  again = build.notebook(name, build.outputs_of(file))
  assert file == again, 'python -m experiments.notebooks.build'


@pytest.mark.parametrize('name', build.NAMES)
def test_what_files_show_is_small_and_of_no_machine(name):
  text = (build.FOLDER / f'{name}.ipynb').read_text('utf-8')
  assert len(text) < 300_000
  shown = build.outputs_of(json.loads(text)).values()
  assert not re.search('/tmp|/home|/root|Warning|WARNING', json.dumps([
      one for cell in shown for one in cell['outputs']]))
  nbformat = pytest.importorskip('nbformat')
  nbformat.validate(nbformat.reads(text, as_version=4))


def test_every_source_is_built():
  parts = {'__init__.py', 'build.py', 'install.py'}
  assert {path.name for path in build.FOLDER.glob('*.py')} - parts == {
      f'{name}.py' for name in build.NAMES}
  assert {path.stem for path in build.FOLDER.glob('*.ipynb')} == set(
      build.NAMES)


@pytest.mark.parametrize('name', build.NAMES)
def test_a_notebook_is_valid_and_opens_in_colab(name):
  built = build.notebook(name)
  first, *cells = built['cells']
  assert ''.join(first['source']).startswith('# ')
  assert f'/blob/main/experiments/notebooks/{name}.ipynb)' in ''.join(
      first['source'])
  code = [''.join(cell['source']) for cell in cells
          if cell['cell_type'] == 'code']
  assert _INSTALL.strip() in code[0]
  for cell in code:
    compile(cell, name, 'exec')
    assert 'matplotlib.use' not in cell and 'pyplot' not in cell
  nbformat = pytest.importorskip('nbformat')
  nbformat.validate(nbformat.reads(build.written(built), as_version=4))


@pytest.mark.parametrize('name', build.NAMES)
def test_all_notebooks_name_one_repository(name):
  text = build.written(build.notebook(name))
  assert len(set(re.findall(
      r'github(?:\.com)?/([\w-]+/mmal_jax)\b', text))) == 1


def test_outputs_of_cells_that_have_not_changed_stay():
  built = build.notebook('ask_quickstart')
  cell = next(c for c in built['cells'] if c['cell_type'] == 'code')
  shown = {'execution_count': 1, 'outputs': [
      {'output_type': 'stream', 'name': 'stdout', 'text': ['JAX\n']}]}
  cell.update(shown)
  again = build.notebook('ask_quickstart', build.outputs_of(built))
  assert again == built
  cell['outputs'] = shown['outputs'] + [
      {'output_type': 'stream', 'name': 'stderr', 'text': ['50 %|#####']}]
  assert build.notebook('ask_quickstart', build.outputs_of(built)) == again
  other = {f'{code}\n': of for code, of in build.outputs_of(built).items()}
  assert build.notebook('ask_quickstart', other) == build.notebook(
      'ask_quickstart')


class _Machine:
  """A machine on which cells of installation run."""

  def __init__(self, monkeypatch, gpu, backend):
    self.commands = []
    self._backend = backend
    monkeypatch.delenv('JAX_PLATFORMS', raising=False)
    monkeypatch.setattr('shutil.which', lambda name: gpu)
    monkeypatch.setattr('glob.glob', lambda pattern: [])
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    monkeypatch.setattr(subprocess, 'run', self._install)
    self._monkeypatch = monkeypatch

  def _install(self, command, check):
    assert check and 'jax' not in sys.modules
    self.commands.append(command)
    device = types.SimpleNamespace(device_kind='it')
    self._monkeypatch.setitem(sys.modules, 'jax', types.SimpleNamespace(
        __version__='1', devices=lambda: [device],
        default_backend=lambda: self._backend))

  def run(self):
    exec(_INSTALL, {'EXTRAS': ['experiments']})


@pytest.mark.parametrize('gpu,backend,extras', [
    ('/usr/bin/nvidia-smi', 'gpu', 'experiments,cuda'),
    (None, 'cpu', 'experiments')])
def test_the_extra_of_the_device_is_installed(
    monkeypatch, capsys, gpu, backend, extras):
  machine = _Machine(monkeypatch, gpu, backend)
  monkeypatch.delitem(sys.modules, 'jax')
  machine.run()
  (command, ) = machine.commands
  assert command[-1].startswith(f'mmal_jax[{extras}] @ git+https://')
  assert 'on it' in capsys.readouterr().out


def test_a_gpu_that_jax_does_not_use_is_an_error(monkeypatch):
  machine = _Machine(monkeypatch, '/usr/bin/nvidia-smi', 'cpu')
  monkeypatch.delitem(sys.modules, 'jax')
  with pytest.raises(AssertionError, match='has a gpu, and JAX uses the cpu'):
    machine.run()


def test_nothing_is_installed_once_jax_is_imported(monkeypatch):
  machine = _Machine(monkeypatch, None, 'cpu')
  monkeypatch.setitem(sys.modules, 'jax', types.SimpleNamespace())
  with pytest.raises(AssertionError, match='Restart the runtime'):
    machine.run()
  assert not machine.commands
