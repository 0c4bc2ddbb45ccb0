"""The versions that hosts get."""

import configparser
from importlib import metadata
import re

from packaging import requirements
from packaging import utils

from tests.tpu_scripts.cloud import ROOT
from tests.tpu_scripts.cloud import SCRIPTS

_EXTRAS = ('experiments', 'pretrained', 'tpu')


def _pins():
  lines = (SCRIPTS / 'constraints.txt').read_text('utf-8').splitlines()
  pins = dict(line.split('==') for line in lines if line[0] != '#')
  return {utils.canonicalize_name(name): pin for name, pin in pins.items()}


def _wanted():
  config = configparser.ConfigParser(interpolation=None)
  config.read(ROOT / 'setup.cfg', 'utf-8')
  extras = config['options.extras_require']
  texts = [config['options']['install_requires'], *map(extras.get, _EXTRAS)]
  for line in '\n'.join(texts).splitlines():
    if line and not line.startswith(('#', '%')):
      yield requirements.Requirement(line)


def test_they_are_of_all_that_is_installed_and_fit():
  pins, seen = _pins(), set()
  queue = [(wanted, '') for wanted in _wanted()]
  assert len(queue) > 15
  while queue:
    wanted, by = queue.pop()
    name = utils.canonicalize_name(wanted.name)
    assert name in pins, f'{name}, wanted by {by or "setup.cfg"}'
    if not by:
      assert wanted.specifier.contains(pins[name]), str(wanted)
    for extra in {'', *wanted.extras} - {e for n, e in seen if n == name}:
      seen.add((name, extra))
      try:
        more = metadata.requires(name) or []
      except metadata.PackageNotFoundError:
        continue  # libtpu, for one, is on TPUs alone.
      for line in more:
        needed = requirements.Requirement(line)
        if not needed.marker or (
            extra and needed.marker.evaluate({'extra': extra})) or (
                needed.marker.evaluate({'extra': ''})):
          queue.append((needed, name))


def test_they_are_of_tools_and_tpus_too():
  pins = _pins()
  assert {'uv', 'gcsfs', 'libtpu', 'jaxlib'} <= pins.keys()
  assert pins['jax'] == pins['jaxlib']
  assert all(re.fullmatch(r'[0-9][0-9a-z.]*', pin) for pin in pins.values())
