"""What README shows can be run."""

import pathlib
import re

_README = (pathlib.Path(__file__).parent.parent / 'README.md').read_text()


def test_python_examples_run():
  examples = re.findall(r'^```python\n(.*?)^```$', _README, re.S | re.M)
  assert examples
  for example in examples:
    exec(example, {})


def test_every_module_of_the_house_is_in_the_picture():
  root = pathlib.Path(__file__).parent.parent / 'mmal_jax'
  rooms = [p.name.removesuffix('.py') for p in root.iterdir()
           if p.suffix == '.py' or (p / '__init__.py').exists()]
  for room in set(rooms) - {'__init__'}:
    assert f'`{room}`' in _README, room
