"""What README shows can be run."""

import pathlib
import re

from mmal_jax.acquire import registry

_README = (pathlib.Path(__file__).parent.parent / 'README.md').read_text()


def test_python_examples_run():
  examples = re.findall(r'^```python\n(.*?)^```$', _README, re.S | re.M)
  assert examples
  for example in examples:
    exec(example, {})


def test_strategies_that_commands_name_are_there():
  named = re.findall(r'--strategies=([\w@,]*\w)', _README)
  assert named
  for name in {n for names in named for n in names.split(',')}:
    registry.find(name)


def test_files_that_it_links_or_names_are_there():
  root = pathlib.Path(__file__).parent.parent
  names = re.findall(r'\]\(([^):#]+)\)', _README) + re.findall(
      r'(?<![/\w])((?:experiments|mmal_jax|tests)/[\w/]+\.\w+)', _README)
  assert names
  for name in set(names) - {'mmal_jax/data/NAME.py'}:
    assert (root / name).exists(), name


def test_every_module_of_the_house_is_in_the_picture():
  root = pathlib.Path(__file__).parent.parent / 'mmal_jax'
  rooms = [p.name.removesuffix('.py') for p in root.iterdir()
           if p.suffix == '.py' or (p / '__init__.py').exists()]
  for room in set(rooms) - {'__init__'}:
    assert f'`{room}`' in _README, room
