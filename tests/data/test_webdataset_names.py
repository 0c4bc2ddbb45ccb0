"""Members of shards are paired by their names, or refused by them."""

import io
import logging
import tarfile

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import webdataset
from mmal_jax.data import webdataset_names


def _jpeg(value):
  file = io.BytesIO()
  Image.new('L', (8, 8), value).save(file, 'JPEG', quality=95)
  return file.getvalue()


def _load(path, names, **options):
  """Pairs of a shard: grey values of images 20 i, texts that say the number."""
  with tarfile.open(path, 'w') as tar:
    for i, name in enumerate(names):
      kind = name.lower().rpartition('.')[2]
      content = (f'text {i}'.encode() if kind in ('txt', 'json', 'cls')
                 else _jpeg(20 * i))
      member = tarfile.TarInfo(name)
      member.size = len(content)
      tar.addfile(member, io.BytesIO(content))
  data = webdataset.load(path, image_size=8, test_fraction=0.5, **options)
  pairs = []
  for part in (data.pool, data.test):
    values = part.items['image'][:, 0, 0, 0].astype(float)
    pairs += [(round(value / 20), int(text.split()[1])) for value, text in zip(
        values, part.items['text'])]
  return sorted(pairs)


@pytest.mark.parametrize('names,expected', [
    # Names with full stops of their own.
    (['mt.rainier.jpg', 'mt.rainier.txt', '3.jpg', '3.txt'], [(0, 1), (2, 3)]),
    (['v1.5-a.jpg', 'v1.5-b.jpg', 'v1.5-b.txt', 'v1.5-a.txt'],
     [(0, 3), (1, 2)]),
    (['a.b.c.JPG', 'a.b.c.TXT', 'a.b.d.Jpeg', 'a.b.d.txt'], [(0, 1), (2, 3)]),
    (['2026.11.28.png', '2026.11.28.txt', '2026.11.29.webp', '2026.11.29.txt',
      '2026.11.28.json'], [(0, 1), (2, 3)]),
    (['www.x.org_1.jpg', 'www.x.org_1.txt', 'www.x.org_2.jpg',
      'www.x.org_2.txt', 'www.x.org_2.cls'], [(0, 1), (2, 3)]),
    (['a..jpg', 'a..txt', 'b.jpg', 'b.txt'], [(0, 1), (2, 3)]),
    # Folders with them, and the same name in two.
    (['v1.5/a.jpg', 'v1.5/a.txt', 'v1.6/a.txt', 'v1.6/a.jpg'],
     [(0, 1), (3, 2)]),
    (['./x.y/a.b.jpg', 'x.y/a.b.txt', 'c.jpg', './c.txt'], [(0, 1), (2, 3)]),
    # Fields of one sample.
    (['1.jpg', '1.txt', '1.seg.png', '1.cls', '2.jpg', '2.txt', '2.seg.png'],
     [(0, 1), (4, 5)]),
    (['1.jpg', '1.txt', '1.json', '1.meta.json', '1.en.txt', '2.jpg', '2.txt',
      '2.thumb.jpg'], [(0, 1), (5, 6)]),
    (['1.left.jpg', '1.left.txt', '1.right.jpg', '1.right.txt'],
     [(0, 1), (2, 3)]),
    # Other endings of JPEG.
    (['1.jfif', '1.txt', '2.jpe', '2.txt'], [(0, 1), (2, 3)]),
    # What macOS adds.
    (['./._1.jpg', './1.jpg', './._1.txt', './1.txt', '__MACOSX/2.jpg',
      '__MACOSX/2.txt', '2.jpg', '2.txt', '.DS_Store.txt'], [(1, 3), (6, 7)]),
])
def test_pairs(tmp_path, names, expected):
  assert _load(tmp_path / 'a.tar', names) == expected


@pytest.mark.parametrize('names,said', [
    (['photo.jpg', 'photo.txt', 'photo.1.jpg', 'photo.1.txt'],
     ["'photo.1.jpg' and 'photo.1.txt' are a pair, or fields of 'photo'"]),
    (['mt.rainier.jpg', '3.jpg', '3.txt'], ["'mt.rainier' has no text."]),
    (['mt.rainier.txt', '3.jpg', '3.txt'], ["'mt.rainier' has no image."]),
    (['1.jpg', '1.en.txt'], ["'1' has no text, but '1.en.txt'."]),
    (['1.jpg', '1.txt.gz'], ["'1' has no text, but '1.txt.gz'."]),
    (['1.left.jpg', '1.txt'], ["'1' has no image, but '1.left.jpg'."]),
    (['mt.a.jpg', 'mt.a.txt', 'mt.a.JPG'],
     ["'mt.a.JPG': 'mt.a' has another image, 'mt.a.jpg'"]),
    (['1.jpg', '1.JPEG', '1.txt'], ["'1.JPEG': '1' has another image"]),
    (['images/1.jpg', 'texts/1.txt'],
     ["'images/1' has no text", "'texts/1' has no image"])])
def test_what_is_not_sure_is_refused_by_its_name(tmp_path, names, said):
  with pytest.raises(ValueError) as e:
    _load(tmp_path / 'a.tar', names)
  for what in said:
    assert f'a.tar: {what}' in str(e.value).replace(': member', ':'), e.value


def test_what_is_not_read_is_named(tmp_path, caplog):
  with caplog.at_level(logging.WARNING):
    _load(tmp_path / 'a.tar', [
        'a.jpg', 'a.txt', 'b.jpg', 'b.txt', 'b.seg.png', 'b.cls', 'b.mp3.jpg',
        'README'])
  assert ('4 members of 1 shard(s) are no image, text or JSON of a pair: a.tar '
          "member 'b.seg.png', a.tar member 'b.cls', a.tar member 'b.mp3.jpg', "
          '....') in caplog.text


def test_against_a_plain_search():
  """Random names: a pair is what no other reading has."""
  rng = np.random.default_rng(0)
  for _ in range(300):
    names = sorted({
        '.'.join(rng.choice(['a', 'b'], rng.integers(1, 3)))
        + rng.choice(['.jpg', '.txt']) for _ in range(rng.integers(1, 9))})
    rng.shuffle(names)
    found = webdataset_names.pair(names)
    stems = {}
    for i, name in enumerate(names):
      stems.setdefault(name[:-4], {})[name[-3:]] = i
    expected, lost = [], False
    for stem, kinds in stems.items():
      first = stem.partition('.')[0]
      if first == stem or first not in stems:
        if len(kinds) == 2:
          expected.append((kinds['jpg'], kinds['txt']))
        else:
          lost = True
      elif len(kinds) == 2:
        lost = True
    assert found.pairs == sorted(expected)
    assert bool(found.problems) == lost
    read = {i for pair in found.pairs for i in pair}
    assert not read & set(found.unread)


def test_texts_with_marks(tmp_path):
  with tarfile.open(tmp_path / 'a.tar', 'w') as tar:
    for i, encoding in enumerate(('utf-8', 'utf-8-sig', 'utf-16', 'utf-32')):
      for name, content in ((f'{i}.jpg', _jpeg(20 * i)),
                            (f'{i}.txt', 'ein Käfer'.encode(encoding))):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
  data = webdataset.load(tmp_path / 'a.tar', test_fraction=0.5)
  assert {*data.pool.items['text'], *data.test.items['text']} == {'ein Käfer'}
