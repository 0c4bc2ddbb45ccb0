"""JSON files of an experiment have a checksum that is of it alone."""

import json

import numpy as np
import pytest

from mmal_jax.workdir import json_files

_RUN, _CONFIG = {'experiment': 'a1', 'settings': {}}, {
    'batch': 3, 'seeds': (0, 1), 'rate': float('nan'), 'mean': np.float32(0.1)}


@pytest.fixture(name='folder')
def _folder(tmp_path):
  json_files.write(tmp_path / 'run.json', _RUN)
  json_files.write(tmp_path / 'config.json', _CONFIG)
  return tmp_path


def test_what_was_written_is_read(folder):
  assert json_files.read(folder / 'run.json') == _RUN
  found = json_files.read(folder / 'config.json')
  assert found == {'batch': 3, 'seeds': [0, 1], 'rate': None,
                   'mean': float(np.float32(0.1))}
  json_files.write(folder / 'config.json', found)  # once more
  assert json_files.read(folder / 'config.json') == found


def test_elsewhere_there_is_none(tmp_path):
  json_files.write(tmp_path / 'config.json', {'batch': 3})
  assert json.loads((tmp_path / 'config.json').read_text()) == {'batch': 3}
  (tmp_path / 'config.json').write_text('{"batch": 4}')
  assert json_files.read(tmp_path / 'config.json') == {'batch': 4}


@pytest.mark.parametrize('name', ['config.json', 'run.json'])
def test_any_bit_that_changes_what_it_says(folder, name):
  path = folder / name
  content, said = path.read_bytes(), json_files.read(path)
  for at in range(len(content)):
    for bit in range(8):
      changed = bytearray(content)
      changed[at] ^= 1 << bit
      path.write_bytes(changed)
      try:
        assert json_files.read(path) == said  # blanks, say
      except ValueError as e:
        assert name in str(e)
  path.write_bytes(content)


@pytest.mark.parametrize('old,new', [
    ('"batch": 3', '"batch": 4'), ('"seeds"', '"seedz"'),
    ('"crc32"', '"crc33"'), (',\n  "crc32": "', ',\n  "crc32": "f')])
def test_edits_are_named(folder, old, new):
  path = folder / 'config.json'
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))
  with pytest.raises(ValueError, match=(
      'config.json was changed .* experiment that run.json beside it names')):
    json_files.read(path)


def test_another_experiment(folder, tmp_path_factory):
  other = tmp_path_factory.mktemp('other')
  json_files.write(other / 'run.json', _RUN | {'experiment': 'b2'})
  json_files.write(other / 'config.json', _CONFIG)
  for name in ('config.json', 'run.json'):
    mine = (folder / name).read_bytes()
    (folder / name).write_bytes((other / name).read_bytes())
    with pytest.raises(ValueError, match='config.json was changed'):
      json_files.read(folder / 'config.json')
    (folder / name).write_bytes(mine)
  (folder / 'run.json').write_text('{"experiment": "a1"}')
  with pytest.raises(ValueError, match='run.json is damaged'):
    json_files.read(folder / 'config.json')
