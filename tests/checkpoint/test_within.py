"""Checkpoints of how far the work has come that leads to one of a run."""

import os
import shutil

import jax
import numpy as np
import pytest

from mmal_jax.checkpoint import newest
from mmal_jax.files import seals

_RUN = {'experiment': 'e', 'strategy': 'mmal', 'seed': 0}
_LIKE = {'w': np.zeros(3)}


def _tree(value):
  return {'w': np.full(3, value, float)}


def _open(folder, run=None):
  return newest.Checkpoints(folder, run=run or _RUN)


def _filled(folder, parts=(2, 4), step=3, run=None):
  kept = _open(folder, run)
  kept.save(step - 1, _tree(0))
  for part in parts:
    kept.within(step).save(part, _tree(part))
  kept.wait()
  return kept


def _newest(folder, step=3):
  found = _open(folder).within(step).newest(_LIKE)
  if found is None:
    return None
  part, tree = found
  np.testing.assert_array_equal(tree['w'], part)
  return part


def test_the_newest_is_kept_until_what_it_leads_to_is_sealed(tmp_path):
  kept = _filled(tmp_path)
  assert sorted(os.listdir(tmp_path / 'within_3')) == ['4', '4.sha256.json']
  assert _newest(tmp_path) == 4 and _newest(tmp_path, 4) is None
  assert kept.steps() == [2] and kept.newest(_LIKE)[0] == 2
  kept.within(4).save(1, _tree(1))
  kept.save(3, _tree(3))
  kept.wait()
  assert _newest(tmp_path) is None and _newest(tmp_path, 4) == 1
  assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [
      '2', '3', 'within_4']


def test_what_a_crash_left_to_remove_is_removed_by_the_next_start(tmp_path):
  kept = _filled(tmp_path)
  shutil.copytree(tmp_path / 'within_3', tmp_path / 'copy')
  kept.save(3, _tree(3))
  kept.wait()
  (tmp_path / 'copy').rename(tmp_path / 'within_3')
  (tmp_path / 'within_4').mkdir()
  kept = _open(tmp_path)
  assert kept.newest(_LIKE)[0] == 3
  # Of a program that only reads it, nothing.
  assert (tmp_path / 'within_3').exists()
  kept.drop_within(3)
  assert not (tmp_path / 'within_3').exists()
  assert (tmp_path / 'within_4').exists()


def test_the_one_before_counts_until_the_next_is_sealed(tmp_path, monkeypatch):
  kept, write = _filled(tmp_path, [2]), seals.write

  def full(*_):
    raise OSError('No space left')

  monkeypatch.setattr(seals, 'write', full)
  kept.within(3).save(4, _tree(4))
  with pytest.raises(OSError, match='step 4 in .*within_3.* No space left'):
    kept.wait()
  monkeypatch.setattr(seals, 'write', write)
  assert _newest(tmp_path) == 2
  kept.within(3).save(4, _tree(4))  # begun anew
  kept.wait()
  assert _newest(tmp_path) == 4


def _flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


@pytest.mark.parametrize('damage', [
    lambda folder: _flip(max(
        (p for p in (folder / '4').rglob('*') if p.is_file()),
        key=lambda p: p.stat().st_size)),
    lambda folder: shutil.rmtree(folder / '4'),
    lambda folder: (folder / '4.sha256.json').write_text('{}')],
    ids=['a bit', 'gone', 'its seal'])
def test_where_it_is_damaged_the_work_begins_anew(tmp_path, damage, caplog):
  kept = _filled(tmp_path)
  damage(tmp_path / 'within_3')
  assert _newest(tmp_path) is None
  assert 'step 4 in' in caplog.text and 'damaged_4' in caplog.text
  assert 'begins anew' in caplog.text
  assert kept.newest(_LIKE)[0] == 2
  kept.within(3).save(4, _tree(4))
  kept.wait()
  assert _newest(tmp_path) == 4
  kept.save(3, _tree(3))
  kept.wait()
  assert not (tmp_path / 'within_3').exists()


def test_of_another_structure_it_is_put_aside(tmp_path, caplog):
  kept = _filled(tmp_path)
  assert kept.within(3).newest({'v': np.zeros(3)}) is None
  assert 'another structure' in caplog.text and 'damaged_4' in caplog.text


def test_of_another_run_or_step_it_is_refused(tmp_path):
  for name, run, step in (('seed', _RUN | {'seed': 1}, 3), ('step', _RUN, 4)):
    _filled(tmp_path / name, step=step, run=run)
    _filled(tmp_path / f'{name}_mine', [2])
    mine = tmp_path / f'{name}_mine' / 'within_3'
    shutil.rmtree(mine)
    shutil.copytree(tmp_path / name / f'within_{step}', mine)
    with pytest.raises(ValueError, match='within_3/4 holds a state of'):
      _newest(mine.parent)
    assert (mine / '4').is_dir()


def test_none_passes_for_a_state_of_the_run_nor_the_other_way(tmp_path):
  kept = _filled(tmp_path, [4])
  for name in ('4', '4.sha256.json'):
    os.rename(tmp_path / 'within_3' / name, tmp_path / name)
  with pytest.raises(ValueError, match='holds a state of .* within 3, not of'):
    kept.newest(_LIKE)
  for name in ('2', '2.sha256.json'):
    os.rename(tmp_path / name, tmp_path / 'within_3' / name)
  with pytest.raises(ValueError, match='holds a state of'):
    _newest(tmp_path)


def test_what_is_read_lies_where_shapes_say(tmp_path):
  mesh = jax.make_mesh((8,), ('data',))
  rows = jax.NamedSharding(mesh, jax.P('data'))
  tree = {'large': jax.device_put(np.arange(2.0**16, dtype=np.float32), rows),
          'small': jax.device_put(np.arange(8, dtype=np.int32))}
  kept = _open(tmp_path)
  kept.save(0, _tree(0))
  kept.within(1).save(1, tree)
  kept.wait()
  like = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
      tree)
  _, found = kept.within(1).newest(like)
  for name, value in tree.items():
    assert found[name].sharding == value.sharding
    np.testing.assert_array_equal(found[name], value)
