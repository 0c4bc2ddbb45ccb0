"""Configs that Python files make: found by a path or a name, and refused."""

import pytest

from mmal_jax.config import python_file

_FILE = '''"""A config
of words."""
import ml_collections
def get_config(words):
  if words == 'none':
    raise ValueError('no words')
  return ml_collections.ConfigDict({'rounds': len(words)})
'''


@pytest.fixture(name='folder')
def _folder(tmp_path):
  (tmp_path / 'within').mkdir()
  (tmp_path / 'words.py').write_text(_FILE)
  (tmp_path / 'within/plain.py').write_text(
      'import ml_collections\nget_config = ml_collections.ConfigDict\n')
  (tmp_path / 'parts.py').write_text('def part():\n  pass\n')
  return tmp_path


@pytest.mark.parametrize('spec,found', [
    ('words', '{}/words.py'), ('words:ab:c', '{}/words.py:ab:c'),
    ('within/plain', '{}/within/plain.py'), ('nothing:a', 'nothing:a'),
    ('$FOLDER/words.py:a', '{}/words.py:a')])
def test_a_name_is_a_file_of_the_folder(folder, monkeypatch, spec, found):
  monkeypatch.setenv('FOLDER', str(folder))
  assert python_file.expand(spec, folder) == found.format(folder)


def test_a_file_in_this_folder_comes_before_a_name(folder, monkeypatch):
  monkeypatch.chdir(folder / 'within')
  (folder / 'within/words').write_text(_FILE)
  assert python_file.expand('words:a', folder) == 'words:a'


def test_a_config_is_complete(folder):
  config = python_file.load(f'{folder}/words.py:abc', folder)
  assert (config.rounds, config.seeds) == (3, (0,))


@pytest.mark.parametrize('spec,said', [
    ('{}/words.py', 'words.py:ARGUMENT. A config of words.'),
    ('{}/words.py:none', 'words.py:none\': no words'),
    ('{}/within/plain.py:a:b', 'plain.py:a:b\': '),
    ('{}/parts.py', 'has no attribute \'get_config\''),
    ('wrods', 'no config of that name; names are words. Did you mean '
     '{}/words.py?'),
    ('{}/within', 'there is no file')])
def test_what_is_no_config_is_refused(folder, spec, said):
  with pytest.raises(ValueError) as e:
    python_file.load(spec.format(folder), folder)
  assert said.format(folder) in str(e.value)
