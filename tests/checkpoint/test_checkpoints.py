"""The newest checkpoints of a run, among damaged and unfinished ones."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.checkpoint import newest as checkpoints_lib
from mmal_jax.files import seals


def _tree(step):
  rng = np.random.default_rng(step)
  return {'w': jnp.asarray(rng.normal(size=(16, 4)).astype(np.float32)),
          'round': np.asarray(step, np.int32), 'key': jax.random.key(step)}


def _fill(folder, steps, keep=2):
  kept = checkpoints_lib.Checkpoints(folder, keep)
  for step in steps:
    kept.save(step, _tree(step))
  kept.wait()
  return kept


def _newest(folder):
  found = checkpoints_lib.Checkpoints(folder).newest(_tree(99))
  if found is None:
    return None
  step, tree = found
  for name, value in _tree(step).items():
    if name == 'key':
      value, tree[name] = map(jax.random.key_data, (value, tree[name]))
    np.testing.assert_array_equal(tree[name], value)
  return step


def test_the_newest_two_are_kept(tmp_path):
  folder = tmp_path / 'runs' / 'states'
  assert _newest(folder) is None
  kept = _fill(folder, [0, 1, 2, 10])
  assert kept.steps() == [2, 10] and _newest(folder) == 10
  assert sorted(os.listdir(folder)) == [
      '10', '10.sha256.json', '2', '2.sha256.json']
  with pytest.raises(ValueError, match='there is a checkpoint of step 10'):
    kept.save(10, _tree(10))


def test_one_of_another_step_is_known_by_what_it_holds(tmp_path, caplog):
  kept = _fill(tmp_path, [1, 2])
  shutil.rmtree(tmp_path / '2')
  shutil.copytree(tmp_path / '1', tmp_path / '2')
  fields = json.loads((tmp_path / '1.sha256.json').read_text())
  del fields['name']  # An earlier version wrote none.
  (tmp_path / '2.sha256.json').write_text(json.dumps(fields, indent=1) + '\n')
  step, tree = kept.newest(_tree(99), lambda tree: int(tree['round']))
  assert (step, tree['round']) == (1, 1)
  assert 'step 2 in' in caplog.text and 'it holds step 1' in caplog.text
  assert (tmp_path / 'damaged_2').is_dir() and kept.steps() == [1]


def test_what_is_saved_may_change_at_once(tmp_path):
  kept = checkpoints_lib.Checkpoints(tmp_path)
  tree = _tree(3)
  kept.save(3, tree)
  tree['round'] += 1
  jax.jit(lambda x: x + 1, donate_argnums=0)(tree['w'])
  kept.wait()
  assert _newest(tmp_path) == 3


def test_what_has_no_seal_was_not_finished(tmp_path):
  kept = _fill(tmp_path, [0, 1])
  (tmp_path / '1.sha256.json').unlink()
  assert _newest(tmp_path) == 0
  kept.save(1, _tree(1))  # begun anew
  kept.wait()
  assert _newest(tmp_path) == 1


def _files(folder):
  return sorted(path for path in folder.rglob('*') if path.is_file())


def test_what_a_crash_left_of_removing_an_old_one_is_removed(tmp_path):
  kept = _fill(tmp_path, range(3))
  # Its seal had gone, and then the program.
  shutil.copytree(tmp_path / '1', tmp_path / '0')
  kept.save(3, _tree(3))
  kept.wait()
  assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ['2', '3']


@pytest.mark.long
def test_damage_to_any_file_is_seen_and_the_one_before_is_used(
    tmp_path, caplog):
  whole, rng = tmp_path / 'whole', np.random.default_rng(0)
  _fill(whole, [4, 5])
  names = [p.relative_to(whole) for p in _files(whole / '5')]
  assert len(names) > 3
  for name in [*names, '5.sha256.json']:
    for damage in ('flip', 'cut', 'gone'):
      if damage == 'gone' and name == '5.sha256.json':
        continue  # Then it was not finished.
      folder = tmp_path / 'copy'
      shutil.copytree(whole, folder)
      content = bytearray((folder / name).read_bytes())
      if damage == 'gone':
        (folder / name).unlink()
      elif damage == 'cut' or not content:
        (folder / name).write_bytes(content[:-1] or b'more')
      else:
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (folder / name).write_bytes(content)
      caplog.clear()
      assert _newest(folder) == 4, (name, damage)
      assert 'step 5' in caplog.text and 'damaged_5' in caplog.text
      assert (folder / 'damaged_5').is_dir()
      assert _newest(folder) == 4  # and that is all it takes
      shutil.rmtree(folder)


def test_all_damaged_is_none_at_all(tmp_path):
  _fill(tmp_path, [0, 1])
  for step in '01':
    shutil.rmtree(tmp_path / step)
  assert _newest(tmp_path) is None


def test_a_file_too_many_is_damage(tmp_path):
  _fill(tmp_path, [0, 1])
  (tmp_path / '1' / 'more').write_text('x')
  assert _newest(tmp_path) == 0


def test_an_older_one_copied_over_a_newer_one_is_damage(tmp_path, caplog):
  _fill(tmp_path, [2, 3])
  shutil.rmtree(tmp_path / '3')
  shutil.copytree(tmp_path / '2', tmp_path / '3')
  shutil.copy(tmp_path / '2.sha256.json', tmp_path / '3.sha256.json')
  assert _newest(tmp_path) == 2
  assert 'step 3' in caplog.text and 'it was sealed as 2' in caplog.text
  assert (tmp_path / 'damaged_3').is_dir()


def test_another_structure_is_refused(tmp_path):
  kept = _fill(tmp_path, [0])
  with pytest.raises(ValueError):
    kept.newest({'v': np.zeros(2)})


def test_an_error_of_the_writer_is_raised_at_the_latest_by_the_next(
    tmp_path, monkeypatch):
  kept = checkpoints_lib.Checkpoints(tmp_path)

  def full(*_):
    raise OSError('No space left on device')

  monkeypatch.setattr(seals.durable, 'write', full)
  kept.save(0, _tree(0))
  with pytest.raises(OSError, match='No space left'):
    kept.save(1, _tree(1))
  assert kept.steps() == []


def test_keep_none_is_refused(tmp_path):
  with pytest.raises(ValueError, match='keep=0 must be at least 1'):
    checkpoints_lib.Checkpoints(tmp_path, 0)


def test_a_folder_that_orbax_takes_for_a_pattern_is_refused(tmp_path):
  with pytest.raises(ValueError, match=r'must not hold \*, \? or \['):
    checkpoints_lib.Checkpoints(tmp_path / 'run[1]')
