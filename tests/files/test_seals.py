"""Seals tell what was changed in a folder, and whose it is."""

import shutil

from etils import epath
import pytest

from mmal_jax.files import seals

_RUN = {'experiment': 'e', 'strategy': 'mmal', 'seed': 0}


@pytest.fixture(name='folder')
def _folder(tmp_path):
  folder = epath.Path(tmp_path / 'mmal-seed0')
  (folder / 'in').mkdir(parents=True)
  (folder / 'a').write_text('one')
  (folder / 'in' / 'b').write_text('two')
  seals.write(folder, _RUN, {'more': '1'})
  return folder


def test_what_is_as_it_was_written(folder):
  assert seals.wrong_with(folder, _RUN, {'more': '1'}) is None
  assert seals.wrong_with(folder, None, {'more': '1'}) is None


@pytest.mark.parametrize('change,more,wrong', [
    (lambda f: (f / 'in' / 'b').write_text('twp'), '1',
     'in/b is not as it was written'),
    (lambda f: (f / 'a').unlink(), '1', 'a is missing'),
    (lambda f: (f / 'c').write_text(''), '1', 'c is not as it was written'),
    (lambda f: f.rmtree(), '1', 'a is missing'),
    (lambda f: None, '2', 'more is not as it was written'),
    (lambda f: seals.path(f).unlink(), '1', 'it has no seal'),
    (lambda f: seals.path(f).write_bytes(b'\xff'), '1', 'its seal is broken'),
    (lambda f: seals.path(f).write_text(
        seals.path(f).read_text().replace('\n', '')), '1',
     'its seal is broken')])
def test_what_was_changed(folder, change, more, wrong):
  change(folder)
  assert seals.wrong_with(folder, _RUN, {'more': more}) == wrong


def test_a_copy_with_its_seal_passes_for_no_other_folder(folder):
  other = folder.with_name('2')
  shutil.copytree(folder, other)
  seals.path(folder).copy(seals.path(other))
  assert seals.wrong_with(other, _RUN, {'more': '1'}) == (
      'it was sealed as mmal-seed0')


def test_a_seal_of_an_earlier_version_holds_no_name_and_is_taken(folder):
  path = seals.path(folder)
  text = path.read_text()
  path.write_text(text.replace(' "name": "mmal-seed0",\n', ''))
  assert path.read_text() != text
  assert seals.wrong_with(folder, _RUN, {'more': '1'}) is None
  path.write_text(text.replace('"mmal-seed0",', 'null,'))
  assert seals.wrong_with(folder, _RUN, {'more': '1'}) == 'its seal is broken'


@pytest.mark.parametrize('name,value', [
    ('experiment', 'f'), ('strategy', 'random'), ('seed', 1)])
def test_what_is_of_another_run(folder, name, value):
  with pytest.raises(seals.OfAnother, match=(
      'mmal-seed0 holds states of experiment e, strategy mmal, seed 0, not of '
      f'.*{name} {value}.*: nothing of it is used.* Move it.')):
    seals.wrong_with(folder, _RUN | {name: value}, {'more': '1'}, 'states',
                     'Move it.')


def test_what_is_quarantined_is_kept(folder, caplog):
  seals.quarantine(folder, 'The model', 'a is missing')
  assert not folder.exists() and not seals.path(folder).exists()
  assert (folder.parent / 'damaged_mmal-seed0' / 'a').read_text() == 'one'
  assert 'The model in' in caplog.text and 'a is missing' in caplog.text
