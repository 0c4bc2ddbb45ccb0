"""What README shows can be run."""

import importlib
import importlib.util
import pathlib
import re

from absl import flags
import pytest

from mmal_jax.acquire import registry
from mmal_jax.config import differences

_ROOT = pathlib.Path(__file__).parent.parent
_README = (_ROOT / 'README.md').read_text()
_COMMANDS = re.findall(
    r'python -m (experiments[\w.]+)((?: +--[^\n`]*)?)',
    _README + (_ROOT / 'experiments' / 'RESULTS.md').read_text())


def test_python_examples_run():
  examples = re.findall(r'^```python\n(.*?)^```$', _README, re.S | re.M)
  assert examples
  for example in examples:
    exec(example, {})


def test_strategies_that_commands_name_are_there():
  named = re.findall(
      r'--strategies=([\w@,]*\w)', _README + '\n'.join(a for _, a in _COMMANDS))
  assert named
  for name in {n for names in named for n in names.split(',')}:
    registry.find(name)


def _config(argument):
  """The config that a command's `--config=PATH:ARGUMENT` stands for."""
  path, _, argument = argument.partition(':')
  spec = importlib.util.spec_from_file_location('config', _ROOT / path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(*filter(None, [argument]))


@pytest.mark.parametrize('module,arguments', sorted(set(_COMMANDS)))
def test_flags_that_commands_name_are_there(module, arguments):
  importlib.import_module(module)
  known = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)}
  config = re.findall(r'--config=(\S+)', arguments)
  default = 'pretrained' if '--init=' in arguments else 'colorswap'
  values = dict(differences.flat(_config(
      config[0] if config else f'experiments/configs/{default}.py').to_dict()))
  for name in re.findall(r'--(?:no)?([\w.]+)', arguments):
    part, _, value = name.partition('.')
    assert part in known or part == 'help', name
    assert not value or value in values, name
  for value in re.findall(r'--set=([\w.]+)=', arguments):
    assert value in values


def test_files_that_it_links_or_names_are_there():
  names = re.findall(r'\]\(([^):#]+)\)', _README) + re.findall(
      r'(?<![/\w])((?:experiments|mmal_jax|tests)/[\w/]+\.\w+)', _README)
  assert names
  for name in set(names) - {'mmal_jax/data/NAME.py'}:
    assert (_ROOT / name).exists(), name


def test_every_module_of_the_house_is_in_the_picture():
  root = _ROOT / 'mmal_jax'
  rooms = [p.name.removesuffix('.py') for p in root.iterdir()
           if p.suffix == '.py' or (p / '__init__.py').exists()]
  for room in set(rooms) - {'__init__'}:
    assert f'`{room}`' in _README, room
