"""Tar shards as DataComp has them: read in place, refused where odd."""

import io
import json
import os
import tarfile

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import registry
from mmal_jax.data import webdataset
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess


def _image(value, fmt='PNG'):
  file = io.BytesIO()
  Image.new('L', (8, 8), value).save(file, fmt)
  return file.getvalue()


def _shard(path, members):
  """Writes (name, bytes) members, or a `TarInfo` as it stands."""
  with tarfile.open(path, 'w') as tar:
    for member in members:
      if isinstance(member, tarfile.TarInfo):
        tar.addfile(member)
      else:
        info = tarfile.TarInfo(member[0])
        info.size = len(member[1])
        tar.addfile(info, io.BytesIO(member[1]))
  return path


def _pair(shard, i, value=None, suffix='jpg'):
  key = f'{shard:05d}{i:04d}'
  fmt = {'jpg': 'JPEG', 'png': 'PNG', 'webp': 'WEBP'}[suffix]
  value = 40 * shard + 10 * i if value is None else value
  return [(f'{key}.{suffix}', _image(value, fmt)),
          (f'{key}.json', json.dumps({'caption': 'x', 'key': key}).encode()),
          (f'{key}.txt', f'caption {shard} {i} \u00e9'.encode())]


def _shards(folder, n=3, pairs=4):
  for shard in range(n):
    members = [m for i in range(pairs) for m in _pair(
        shard, i, suffix=('jpg', 'png', 'webp')[shard % 3])]
    _shard(folder / f'{shard:05d}.tar', members)
  return folder


def _values(images):
  return (np.round(images[:, 0, 0, 0] / 10)).astype(int).tolist()


def _said(text):
  _, shard, i, _ = text.split()
  return 4 * int(shard) + int(i)


def test_images_and_texts_of_several_shards(tmp_path):
  pattern = str(_shards(tmp_path) / '0*.tar')
  data = registry.DATASETS['webdataset'](
      pattern, image_size=8, test_fraction=0.25, seed=1)
  assert len(data.pool) == 9 and len(data.test) == 3
  numbers = []
  for pairs in (data.pool, data.test):
    images = pairs.items['image']
    assert images.shape == (len(pairs), 8, 8, 3) and images.dtype == np.uint8
    said = [_said(text) for text in pairs.items['text']]
    assert _values(images) == said and (pairs.groups == -1).all()
    numbers.append(said)
  assert sorted(sum(numbers, [])) == list(range(12))
  assert numbers[0] == sorted(numbers[0])  # in the order of the shards
  other = webdataset.load(pattern, test_fraction=0.25, seed=2)
  assert other.test.items['text'] != data.test.items['text']


@pytest.mark.long
def test_images_that_stay_in_their_shards(tmp_path):
  _shards(tmp_path)
  paths = [tmp_path / f'{i:05d}.tar' for i in range(3)]
  before = sorted(os.listdir(tmp_path))
  data = webdataset.load(paths[:2], paths[2:],
                         preprocess=preprocess.Preprocess(4, 4))
  images = data.pool.items['image']
  assert isinstance(images, image_files.ImageFiles)
  assert images.shape == (8, 4, 4, 3) and len(data.test) == 4
  assert all(isinstance(path, image_files.Part) for path in images.paths)
  assert _values(images.take(np.array([7, 0, 3]))) == [7, 0, 3]
  assert _values(images.select(np.array([5])).take(np.array([0]))) == [5]
  assert image_files.item_ids(images).tolist() == list(range(8))
  assert sorted(os.listdir(tmp_path)) == before
  content = paths[1].read_bytes()
  paths[1].write_bytes(content[:2000])
  with pytest.raises(ValueError, match='00001.tar:0000.*has been cut'):
    images.take(np.array([7]))
  paths[1].unlink()
  with pytest.raises(ValueError, match='cannot be read'):
    images.take(np.array([7]))


def test_pairs_of_one_image_are_never_parted(tmp_path):
  _shard(tmp_path / 'a.tar', [
      m for i in range(12) for m in _pair(0, i, value=20 * (i // 3))])
  for seed in range(4):
    data = webdataset.load(tmp_path / 'a.tar', seed=seed, test_fraction=0.3)
    pool, test = (set(_values(pairs.items['image']))
                  for pairs in (data.pool, data.test))
    assert len(pool) + len(test) == 4 and not pool & test


def test_keys_and_other_members(tmp_path, caplog):
  info = tarfile.TarInfo('./deep')
  info.type = tarfile.DIRTYPE
  _shard(tmp_path / 'a.tar', [
      info, ('./deep/1.JPG', _image(0, 'JPEG')), ('deep/1.txt', b'one'),
      ('other/1.txt', b'two'), ('other/1.png', _image(10)),
      ('other/1.cls', b'3'), ('other/1.seg.png', _image(99)),
      ('README.md', b'x'), ('.hidden', b'x')])
  data = webdataset.load(tmp_path / 'a.tar', test_fraction=0.5)
  assert {*data.pool.items['text'], *data.test.items['text']} == {'one', 'two'}
  assert '4 members of 1 shard(s) are no image' in caplog.text


def test_members_of_no_use_are_reported_once(tmp_path, caplog):
  for shard in range(5):
    _shard(tmp_path / f'{shard}.tar',
           _pair(shard, 0) + [(f'{shard}.cls', b'3'), ('README', b'x')])
  webdataset.load(str(tmp_path / '[0-3].tar'), tmp_path / '4.tar')
  said = [r.getMessage() for r in caplog.records if 'members' in r.message]
  assert said == [
      '10 members of 5 shard(s) are no image, text or JSON of a pair: 0.tar '
      "member '0.cls', 0.tar member 'README', 1.tar member '1.cls', ...."]


def test_a_shard_that_may_not_be_read_says_so_in_words(tmp_path, monkeypatch):
  def refuses(*_):
    raise PermissionError(13, 'Permission denied', str(tmp_path / 'a.tar'))

  _shard(tmp_path / 'a.tar', _pair(0, 0))
  monkeypatch.setattr(webdataset.downloads, 'wrong', refuses)
  with pytest.raises(ValueError, match='tar: Permission denied') as e:
    webdataset.load(tmp_path / 'a.tar')
  assert 'Errno' not in str(e.value)


def _link(name, kind, target='00000.tar'):
  info = tarfile.TarInfo(name)
  info.type, info.linkname = kind, target
  return info


def test_every_problem_is_said(tmp_path):
  good = _pair(0, 0)
  _shard(tmp_path / 'a.tar', good + [
      ('/abs.txt', b'x'), ('../up.jpg', b'x'), ('a/../b.txt', b'x'),
      _link('soft.jpg', tarfile.SYMTYPE), _link('hard.jpg', tarfile.LNKTYPE),
      _link('pipe.jpg', tarfile.FIFOTYPE),
      good[0], ('000000000.png', _image(3)), good[2],
      ('alone.jpg', _image(1)), ('words.txt', b'x'), ('meta.json', b'{}'),
      ('bad.jpg', b'nonsense'), ('bad.txt', b'x'),
      ('blank.png', _image(1)), ('blank.txt', b' \n'),
      ('latin.png', _image(1)), ('latin.txt', b'\xe9'),
      ('long.png', _image(1)), ('long.txt', b'x' * (2**20 + 1)),
      ('null.png', _image(1)), ('null.txt', b'\0')])
  (tmp_path / 'b.tar').write_bytes(b'nonsense' * 100)
  content = _shard(tmp_path / 'c.tar', good).read_bytes()
  (tmp_path / 'c.tar').write_bytes(content[:700])
  second = 512 + -(-len(good[0][1]) // 512) * 512
  (tmp_path / 'd.tar').write_bytes(
      content[:second] + b'x' * 512 + content[second + 512:])
  with tarfile.open(tmp_path / 'e.tar', 'w:gz') as tar:
    tar.addfile(tarfile.TarInfo('x.txt'))
  _shard(tmp_path / 'f.tar', _pair(5, 0))
  with pytest.raises(ValueError) as e:
    webdataset.load(sorted(tmp_path.glob('?.tar')))
  for what in (
      "'/abs.txt': its name leads out", "'../up.jpg': its name leads out",
      "'a/../b.txt': its name leads out", "'soft.jpg': it is no plain file",
      "'hard.jpg': it is no plain file", "'pipe.jpg': it is no plain file",
      "'000000000.jpg': '000000000' has another image",
      "'000000000.png': '000000000' has another image",
      "'000000000.txt': '000000000' has another text",
      "a.tar: 'alone' has no text", "a.tar: 'words' has no image",
      "a.tar: 'meta' has no image", "'bad.jpg': image 'bad.jpg' cannot be read",
      "'blank.txt': 'text' is ' \\n'", "'latin.txt': it is not UTF-8",
      "'long.txt': 1048577 bytes", "'null.txt': 'text' holds a NUL",
      'b.tar: it cannot be read as', 'c.tar: it has no end: it was cut',
      f'd.tar: damaged from byte {second} on', "d.tar: '000000000' has no text",
      'e.tar: it cannot be read as'):
    assert what in str(e.value), (what, e.value)
  assert 'f.tar' not in str(e.value) and '22 problem(s)' in str(e.value)


def test_a_shard_cut_between_members_is_refused(tmp_path):
  whole = _shard(tmp_path / 'a.tar', _pair(0, 0) + _pair(0, 1))
  content = whole.read_bytes()
  with tarfile.open(whole) as tar:
    after_first = tar.getmembers()[3].offset
    end = tar.offset
  for cut in (after_first, end, end + 100):
    whole.write_bytes(content[:cut])
    with pytest.raises(ValueError, match='a.tar: it has no end: it was cut'):
      webdataset.load(whole)


def test_a_size_below_zero_ends_the_reading(tmp_path):
  content = bytearray(_shard(tmp_path / 'a.tar', _pair(0, 0)).read_bytes())
  content[124:136] = b'\xff' * 10 + b'\xfe\x00'  # base 256, two's complement
  header = content[:148] + b' ' * 8 + content[156:512]
  content[148:156] = f'{sum(header):06o}'.encode() + b'\0 '
  (tmp_path / 'a.tar').write_bytes(content)
  with pytest.raises(ValueError, match='its size is -|cannot be read'):
    webdataset.load(tmp_path / 'a.tar')


@pytest.mark.parametrize('shards,test_shards,what', [
    ('none*.tar', None, 'shards=.*finds no file'), ([], None, 'finds no file'),
    (['00000.tar', '00000.tar'], None, 'names one twice'),
    ('0000?.tar', '00001.tar', 'among both'),
    ('00000.tar', 'gone.tar', 'test_shards=.*finds no file'),
    ('00000.tar', 'empty.tar', 'hold no pairs'),
    ('empty.tar', None, 'they hold no pairs')])
def test_bad_arguments(tmp_path, monkeypatch, shards, test_shards, what):
  _shard(_shards(tmp_path, 2) / 'empty.tar', [])
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ValueError, match=what):
    webdataset.load(shards, test_shards)


def test_a_test_image_in_the_pool_is_said(tmp_path, caplog):
  _shard(tmp_path / 'a.tar', _pair(0, 0) + _pair(0, 1))
  _shard(tmp_path / 'b.tar', _pair(1, 0, value=10))
  webdataset.load(tmp_path / 'a.tar', tmp_path / 'b.tar')
  assert '1 of 1 test images are in the pool' in caplog.text
