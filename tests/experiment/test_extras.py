"""What works without the packages of extras, and what is said of the rest."""

import configparser
import inspect
import pathlib
import re
import subprocess
import sys

import pytest

from mmal_jax import extras

_ROOT = pathlib.Path(__file__).parents[2]
_INSTALLED_AS = {'umap': 'umap-learn'}  # under other names than imported
# Blocks all that is optional, also for what others would import of it.
_WITHOUT = f'''
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path=None, target=None):
    if name.partition('.')[0] in {sorted(extras.EXTRAS)!r}:
      raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Block())
'''
_ASK = '''
import numpy as np
import mmal_jax
rng = np.random.default_rng(0)
hidden = rng.normal(size=(60, 8))
images, texts = hidden @ rng.normal(size=(8, 12)), hidden
rest = np.arange(60) >= 20
for other in (texts, images[::-1].copy()):
  query = mmal_jax.ask(
      images, other, images[:20], other[:20], batch=3, image_remaining=rest,
      text_remaining=rest)
  assert len(query.indices) == 3
'''


def _run(code, *arguments):
  return subprocess.run(
      [sys.executable, '-c', _WITHOUT + code, *arguments], text=True,
      capture_output=True, timeout=300, check=False)


@pytest.mark.long
def test_ask_needs_no_extra():
  done = _run(_ASK)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('code,said', [
    ('import mmal_jax; mmal_jax.run',
     'ml_collections is needed for mmal_jax.run: pip install '
     '"mmal_jax[experiments]"'),
    ('from mmal_jax.files import parquet_column; '
     'parquet_column.read(__import__("os").devnull)',
     'pyarrow is needed to read Parquet files: pip install "mmal_jax[data]"'),
    ('from mmal_jax.data.tokenizers import tokenizer; tokenizer.train(["a"])',
     'tokenizers is needed to cut texts into tokens: pip install '
     '"mmal_jax[data]"'),
    ('from mmal_jax.analysis import figures; figures.new(1, 1, (2, 2))',
     'matplotlib is needed to draw figures: pip install '
     '"mmal_jax[experiments]"'),
    ('from mmal_jax.models.pretrained import published; '
     'published.folder_of("owner/name")',
     'huggingface_hub is needed to fetch owner/name, which does not exist here:'
     ' pip install "mmal_jax[pretrained]"')])
def test_what_is_missing_is_named_with_its_extra(code, said):
  done = _run(code)
  assert done.stderr.splitlines()[-1] == f'ImportError: {said}'


def test_a_command_names_it_in_a_line():
  done = _run('from experiments import commands; commands.run()', '--workdir=w')
  assert done.returncode == 1 and not done.stdout
  assert done.stderr == (
      'error: ml_collections is needed for mmal-run: pip install '
      '"mmal_jax[experiments]"\n')


def test_another_module_that_is_missing_is_an_error_of_its_own():
  with pytest.raises(ModuleNotFoundError, match='mmal_jax.nope'):
    extras.load('mmal_jax.nope', 'for nothing')


def test_the_extras_that_are_named_hold_the_packages():
  parser = configparser.ConfigParser(interpolation=None)
  parser.read(_ROOT / 'setup.cfg')
  packages_of = {extra: re.findall(r'^\w[\w-]*', packages, re.M)
          for extra, packages in parser['options.extras_require'].items()}
  # By whole names: tensorflow-datasets is not datasets.
  core = re.findall(
      r'^\w[\w-]*', parser['options']['install_requires'], re.M)
  assert 'numpy' in core
  for package, extra in extras.EXTRAS.items():
    package = _INSTALLED_AS.get(package, package)
    assert package in packages_of[extra]
    assert package not in core


@pytest.mark.long
def test_no_figure_of_a_notebook_is_switched_off():
  """Figures are drawn without pyplot, whose backend is the notebook's."""
  done = subprocess.run(
      [sys.executable, '-c', 'import sys; from mmal_jax.analysis import plot, '
       'calibrated; from mmal_jax.experiment import gallery, report; '
       'assert "matplotlib.pyplot" not in sys.modules;'
       'assert "matplotlib" not in sys.modules'],
      capture_output=True, text=True, timeout=300, check=False)
  assert done.returncode == 0, done.stderr


def test_doctest_looks_at_a_module_that_is_missing():
  """As it looks at every name of a module whose examples it runs."""
  missing = extras.Lazy('wandb_that_is_nowhere', 'for a test')
  assert inspect.unwrap(missing) is missing
  with pytest.raises(ModuleNotFoundError):
    missing.init
