"""The wheel holds what a user needs to run an experiment."""

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from experiments import commands
import mmal_jax

_ROOT = pathlib.Path(__file__).parents[2]
_PACKAGES = ('mmal_jax', 'experiments')
_NEEDED = {
    'absl-py', 'array-record', 'flax', 'importlib_resources', 'jax', 'numpy',
    'optax', 'orbax-checkpoint', 'pillow', 'tensorflow-datasets'}


@pytest.fixture(name='wheel', scope='module')
def _wheel(tmp_path_factory):
  """Built from a copy, without network: setuptools is of the extra `test`."""
  pytest.importorskip('setuptools', minversion='77')
  source, out = (tmp_path_factory.mktemp(name) for name in ('source', 'out'))
  for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(_ROOT / name, source)
  for name in _PACKAGES:
    shutil.copytree(_ROOT / name, source / name,
                    ignore=shutil.ignore_patterns('__pycache__'))
  subprocess.run(
      [sys.executable, '-c', 'import sys; from setuptools import build_meta;'
       'build_meta.build_wheel(sys.argv[1])', str(out)],
      cwd=source, check=True, capture_output=True)
  path, = out.glob('*.whl')
  with zipfile.ZipFile(path) as archive:
    archive.extractall(out / 'site')
  return out / 'site'


def test_all_modules_and_data_are_there(wheel):
  wanted = {
      path.relative_to(_ROOT) for name in _PACKAGES
      for path in (_ROOT / name).rglob('*.py')
      if not {'benchmarks', 'notebooks'} & set(path.parts)}
  wanted |= {
      path.relative_to(_ROOT) for name in (
          'emoji', 'warm_starts', 'oracles/people/page/assets',
          'analysis/report_page/assets')
      for path in (_ROOT / 'mmal_jax' / name).iterdir()}
  wanted.add(pathlib.Path('mmal_jax/py.typed'))
  found = {path.relative_to(wheel) for path in wheel.rglob('*')
           if path.is_file() and path.parts[len(wheel.parts)] in _PACKAGES}
  assert found == wanted


def test_what_it_says_of_itself(wheel):
  about, = wheel.glob('*.dist-info')
  text = (about / 'METADATA').read_text('utf-8')
  assert f'\nVersion: {mmal_jax.__version__}\n' in text
  assert set(re.findall(
      r'^Requires-Dist: ([\w-]+)[^;\n]*$', text, re.M)) == _NEEDED
  parser = configparser.ConfigParser()
  parser.read(about / 'entry_points.txt')
  scripts = parser['console_scripts']
  assert {'mmal-run', 'mmal-sweep', 'mmal-report', 'mmal-embed', 'mmal-export',
          'mmal-match', 'mmal-diagnose', 'mmal-plan', 'mmal-check-answers'
          } == set(scripts)
  for target in scripts.values():
    module, _, name = target.partition(':')
    assert module == commands.__name__
    assert callable(getattr(commands, name))
    assert (wheel / 'experiments' / f'{name}.py').exists()


@pytest.mark.long
@pytest.mark.parametrize('name,flag', [
    ('run', '--show_config'), ('run', '--help'), ('check_answers', '--help')])
def test_a_command_finds_its_default_config_without_a_checkout(
    wheel, tmp_path, name, flag):
  done = subprocess.run(
      [sys.executable, '-c', f'from experiments import commands; '
       f'commands.{name}()', flag],
      cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(wheel)}, text=True,
      capture_output=True, timeout=300, check=False)
  assert done.returncode == 0, done.stderr
  assert '--workdir' in done.stdout or '--config.rounds=4' in done.stdout
  assert ('values of ' in done.stdout) == (flag == '--help' and name == 'run')
  if 'values of ' in done.stdout:
    assert f'values of {wheel}' in done.stdout
