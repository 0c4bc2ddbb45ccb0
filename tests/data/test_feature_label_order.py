"""A folder labels rows by its names in order: which orders are in doubt."""

import hashlib
import re
import uuid

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import feature_rows


def _images(folder, names):
  for i, name in enumerate(names):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new('L', (4, 4), i).save(folder / name, 'PNG')
  return folder


def _digests(rng):
  return [hashlib.sha1(rng.bytes(4)).hexdigest() for _ in range(300)]


@pytest.mark.parametrize('make', [
    _digests, lambda rng: [name[:7] for name in _digests(rng)],
    lambda rng: [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(300)],
    # As Flickr names photos, and as tools that shard by the digest do.
    lambda rng: [f'{rng.integers(1, 10**int(rng.integers(4, 11)))}_{name[:10]}'
                 for name in _digests(rng)],
    lambda rng: [f'{name[:2]}/{name[2:4]}/{name}' for name in _digests(rng)],
    lambda rng: [f'{i:03}' for i in range(300)],
    lambda rng: [f'img_{i}' for i in range(100, 400)],
    lambda rng: [f'shard{i // 10:02}/img_{i % 10}' for i in range(300)]],
    ids=['sha1', 'short', 'uuid', 'flickr', 'shards', 'padded', 'long',
         'folders'])
@pytest.mark.parametrize('ending', ['.png', '.wav'])
def test_names_whose_order_is_no_matter_label_rows(tmp_path, make, ending):
  names = sorted({f'{name}{ending}' for name in make(
      np.random.default_rng(3))})
  assert len(names) > 290
  if ending == '.png':
    _images(tmp_path, names)
    found = feature_rows.read(tmp_path, len(names), 'image').paths
    assert [str(path.relative_to(tmp_path)) for path in found] == names
    return
  for name in names:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b'RIFF')
  assert feature_rows.read(tmp_path, len(names), 'sound') == names


@pytest.mark.parametrize('names,pair', [
    (['0', '1', '10', '2'], ('10', '2')),
    (['img_1', 'img_2', 'img_10'], ('img_10', 'img_2')),
    (['a', 'b7', 'frame 99 of 9', 'frame 100 of 9'],
     ('frame 100 of 9', 'frame 99 of 9')),
    (['10/cat', '9/cat', '9/dog'], ('10/cat', '9/cat')),
    (['s1e9 x', 's1e10 x', 's2e1 x'], ('s1e10 x', 's1e9 x')),
    (['1_kite', '2_boat', '10_dog', '11_cat'], ('11_cat', '1_kite')),
    (['0-kite', '1-emu', '2-ox', '10-cow'], ('10-cow', '2-ox')),
    (['a1/x', 'a2/y', 'a10/z'], ('a10/z', 'a2/y')),
    (['p0_100x50', 'p2_91x61', 'p11_177x61'], ('p11_177x61', 'p2_91x61')),
    (['2024-1-5 9.00', '2024-2-1 7.22', '2024-10-3 8.11'],
     ('2024-10-3 8.11', '2024-2-1 7.22'))])
@pytest.mark.parametrize('ending', ['.png', '.wav'])
def test_names_that_differ_in_a_number_alone_are_in_its_order(
    tmp_path, names, pair, ending):
  """1.png, 10.png, 2.png: by name, the second is not that of row 1."""
  names, pair = ([f'{name}{ending}' for name in some] for some in (names, pair))
  if ending == '.png':
    _images(tmp_path, names)
  for name in names:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
  with pytest.raises(ValueError, match=re.escape(
      f'{pair[0]!r} comes before {pair[1]!r} by name, but not by number. Which '
      'row does each one label?')):
    feature_rows.read(tmp_path, len(names), 'image')
  # A wrong count is the first thing to mend.
  with pytest.raises(ValueError, match=f'has {len(names)} .*have 7 rows'):
    feature_rows.read(tmp_path, 7, 'image')
  # A list of the paths says which row each one labels.
  (tmp_path / 'list.txt').write_text('\n'.join(names))
  found = feature_rows.read(tmp_path / 'list.txt', len(names), 'image')
  if ending == '.png':
    found = [str(path.relative_to(tmp_path)) for path in found.paths]
  assert found == names
