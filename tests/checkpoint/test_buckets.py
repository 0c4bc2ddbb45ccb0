"""Checkpoints in a bucket, for which a folder stands here."""

import os

import numpy as np
import pytest

from mmal_jax.checkpoint import newest
from tests.support import bucket

_TREE = {'small': np.arange(3.0), 'large': np.ones((400, 400))}


def test_they_are_written_sealed_found_and_quarantined(tmp_path, monkeypatch):
  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  with bucket.in_place_of_gs(tmp_path / 'buckets'):
    kept = newest.Checkpoints('gs://b/states', run={'seed': 0})
    for step in range(3):
      kept.save(step, {**_TREE, 'step': np.array(step)})
    kept.wait()
    assert kept.steps() == [1, 2]
    like = {**_TREE, 'step': np.array(0)}
    step, tree = kept.newest(like)
    assert step == tree['step'] == 2 and tree['large'].sum() == 400 * 400
    # None of it lies in a folder `gs:` of this one.
    assert not os.listdir('.')
    folder = tmp_path / 'buckets' / 'b' / 'states'
    parts = [p for p in (folder / '2').rglob('*') if p.is_file()]
    max(parts, key=lambda p: p.stat().st_size).write_bytes(b'damaged')
    step, tree = kept.newest(like)
    assert step == tree['step'] == 1
    assert (folder / 'damaged_2').is_dir()


def test_what_is_wrong_before_a_seal_leaves_none(tmp_path):
  def fails():
    raise OSError('the mirror is full')

  kept = newest.Checkpoints(tmp_path, before_seal=fails)
  kept.save(0, _TREE)
  with pytest.raises(OSError, match='step 0 .* the mirror is full'):
    kept.wait()
  assert newest.Checkpoints(tmp_path).newest(_TREE) is None
  # It makes room for the same one.
  kept = newest.Checkpoints(tmp_path, before_seal=lambda: None)
  kept.save(0, _TREE)
  kept.wait()
  assert kept.steps() == [0]
