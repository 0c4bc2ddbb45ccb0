"""The images of a folder are the same, in the same order, for every program."""

import json
import logging
import os
import pathlib

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import paired_folder
from mmal_jax.data import unpaired_folder
from mmal_jax.data.images import class_folder
from mmal_jax.data.images import image_listing
from mmal_jax.experiment import embed_files
from tests.support import bad_images

_HEIC = b'\0\0\0\x20ftypheic\0\0\0\0mif1heic' + bytes(60)
_APPLE = b'\0\x05\x16\x07\0\2\0\0Mac OS X        ' + bytes(90)


def _put(folder, name, content):
  path = folder / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)


def _jpeg(i):
  return bad_images.encoded('JPEG', size=(8 + i, 8))


def _for_all(folder):
  """Paths of the images as three programs number them."""
  problems, left_out = [], []
  listed = image_listing.listed(folder, folder, problems, left_out)
  assert not problems
  assert embed_files.paths_of(folder) == listed
  beside = folder.parent / 'beside'
  _put(beside, 't.png', bad_images.noise(99))
  _put(beside, 'test.jsonl', b'{"image": "t.png", "text": "t"}')
  _put(beside, 'texts.txt', b'one\ntwo\n')
  loose = unpaired_folder.load(
      folder, beside / 'texts.txt', beside / 'test.jsonl', image_size=8)
  for path, pixels in zip(listed, loose.pool.items['image'], strict=True):
    with Image.open(path) as image:
      np.testing.assert_array_equal(
          np.asarray(image.convert('RGB').resize((8, 8), 3)), pixels)
  classes = folder.parent / 'classes'
  classes.mkdir()
  (folder.parent / 'photos').rename(classes / 'photos')
  _put(classes, 'other/x.png', bad_images.noise(98))
  labelled = class_folder.load_labelled(classes, image_size=8)
  assert (labelled.labels == 1).sum() == len(listed)
  (classes / 'photos').rename(folder)
  return [str(path.relative_to(folder)) for path in listed]


def test_images_by_their_endings_or_else_by_their_first_bytes(tmp_path):
  folder = tmp_path / 'photos'
  names = ['a.jpg', 'b.JPEG', 'c.jfif', 'd.jpe', 'e.JIF', 'f.pjpeg', 'g.pjp',
           'h.jpg_large', 'i', 'j.HEIC', 'k.jpg.1', 'l.mpo', 'm.tif',
           'n.photo.png', 'o.webp', 'p.dat']
  for i, name in enumerate(names):
    _put(folder, name, _jpeg(i))
  _put(folder, 'deep/er/q.apng', bad_images.encoded('PNG', size=(40, 8)))
  _put(folder, 'deep/r.gif', bad_images.encoded('WEBP', size=(41, 8)))
  assert _for_all(folder) == [*names[:4], 'deep/er/q.apng', 'deep/r.gif',
                                   *names[4:]]


@pytest.mark.parametrize('name', [
    '._a.jpg', '.DS_Store', '.ipynb_checkpoints/a-checkpoint.jpg',
    '__MACOSX/a.jpg', '__MACOSX/._a.jpg', '@eaDir/a.jpg/THUMB.jpg',
    'Thumbs.db', 'desktop.ini', 'Desktop.ini', '.thumbnails/a.png', '.a.jpg',
    '.hidden/a.jpg', '.git/a.jpg', '$RECYCLE.BIN/a.jpg', '#recycle/a.jpg',
    'System Volume Information/a.jpg', '.Trash-1000/files/a.jpg', '~$a.jpg',
    '@__thumb/a.jpg', '.@__thumb/a.jpg'])
def test_hidden_files_are_hidden_from_all(tmp_path, name):
  folder = tmp_path / 'photos'
  for i in range(3):
    _put(folder, f'{i}.jpg', _jpeg(i))
    _put(folder, f'deep/{i}.jpg', _jpeg(i + 3))
  for content in (_jpeg(0), _APPLE):
    _put(folder, name, content)
    _put(folder, f'deep/{name}', content)
    assert _for_all(folder) == [
        *(f'{i}.jpg' for i in range(3)), *(f'deep/{i}.jpg' for i in range(3))]
    (tmp_path / 'classes' / 'other' / 'x.png').unlink()
    (tmp_path / 'classes' / 'other').rmdir()
    (tmp_path / 'classes').rmdir()


def test_hidden_folders_are_no_classes(tmp_path):
  for name in ('cat', 'dog', '__MACOSX', '@eaDir', '.cache'):
    _put(tmp_path, f'{name}/x.jpg', _jpeg(len(name)))
  assert class_folder.load_labelled(tmp_path).classes == ('cat', 'dog')


def _left_out(folder, caplog, load):
  with caplog.at_level(logging.WARNING):
    load(folder)
  said = [r.getMessage() for r in caplog.records if 'left out' in r.message]
  assert len(said) == 1
  return said[0].replace(str(folder), 'DIR')


def _made(tmp_path):
  folder = tmp_path / 'photos'
  _put(folder, 'a.jpg', _jpeg(0))
  _put(folder, 'b.heic', _HEIC)
  _put(folder, 'c.HEIF', _HEIC)
  _put(folder, 'd.avif', b'\0\0\0\x1cftypavif' + bytes(20))
  _put(folder, 'e.tif', bad_images.encoded('TIFF'))
  _put(folder, 'f.bmp', bad_images.encoded('BMP'))
  _put(folder, 'g.gif', bad_images.encoded('GIF', 'P'))
  _put(folder, 'h.NEF', b'MM\0*' + bytes(20))
  _put(folder, 'i.jxl', b'\xff\x0a' + bytes(20))
  _put(folder, 'j.mp4', b'\0\0\0\x18ftypisom' + bytes(20))
  for i in range(5):
    _put(folder, f'k{i}.txt', b'a caption')
  _put(folder, 'l', b'')
  _put(folder, 'm.jpg_original', _jpeg(0))
  _put(folder, 'n.jpg.part', _jpeg(0)[:99])
  _put(folder, 'o.jpg~', _jpeg(0))
  _put(folder, '.cache/x.jpg', _jpeg(1))
  _put(folder, '.DS_Store', b'x')
  (folder / 'p').symlink_to(folder, target_is_directory=True)
  os.mkfifo(folder / 'q')
  return folder


@pytest.mark.parametrize(
    'load', [embed_files.paths_of, class_folder.load_labelled])
def test_what_is_left_out_is_counted_with_its_reason(tmp_path, caplog, load):
  folder = _made(tmp_path)
  prefix = ''
  if load is not embed_files.paths_of:
    _put(tmp_path, 'other/x.png', bad_images.noise(1))
    prefix, folder = 'photos/', tmp_path
  said = _left_out(folder, caplog, load)
  assert said.startswith('21 entries of DIR are left out: ')
  how = ': convert to JPEG or PNG'
  for what in (f'2 are HEIC{how} (b.heic, c.HEIF)', f'1 is AVIF{how} (d.avif)',
               f'2 are TIFF or a raw photo{how} (e.tif, h.NEF)',
               f'1 is BMP{how} (f.bmp)', f'1 is GIF{how} (g.gif)',
               f'1 is JPEG XL{how} (i.jxl)',
               '3 are a backup or not finished, by its ending (m.jpg_original, '
               'n.jpg.part, o.jpg~)', '1 is hidden (.cache)',
               '1 is a linked folder, which is not followed (p)',
               '1 is no regular file (q)'):
    head, _, names = what.rpartition('(')
    assert f'{head}({prefix}' + names.replace(', ', f', {prefix}') in said, (
        what, said)
  assert '7 are no pictures (.txt, .mp4, ' in said


def test_nothing_is_said_of_what_systems_write(tmp_path, caplog):
  for name in ('a.jpg', '.DS_Store', '._a.jpg', 'Thumbs.db', '__MACOSX/x'):
    _put(tmp_path, name, _jpeg(0))
  with caplog.at_level(logging.WARNING):
    assert len(embed_files.paths_of(tmp_path)) == 1
  assert not caplog.text


def test_many_names_fill_no_screen(tmp_path):
  left_out = [image_listing.LeftOut(f'{i}.{i}', 'is no picture',
                                    'are no pictures') for i in range(5000)]
  left_out.append(image_listing.LeftOut('\x1b[2J.x', 'is odd', 'are odd'))
  said = image_listing.summary(tmp_path, left_out)
  assert len(said) < 300 and r'\x1b[2J.x' in said
  assert said.startswith('5001 entries')


def test_files_that_cannot_be_read_are_named(tmp_path, monkeypatch):
  for name in ('a.jpg', 'notes', 'locked/b.jpg'):
    _put(tmp_path, name, _jpeg(0))

  def refuses(real, name):
    def call(self, *arguments, **options):
      if self.name == name:
        raise PermissionError(13, 'Permission denied', str(self))
      return real(self, *arguments, **options)
    return call

  path = pathlib.Path
  monkeypatch.setattr(path, 'open', refuses(path.open, 'notes'))
  monkeypatch.setattr(path, 'iterdir', refuses(path.iterdir, 'locked'))
  problems, left_out = [], []
  found = image_listing.listed(tmp_path, tmp_path, problems, left_out)
  assert found == [tmp_path / 'a.jpg']
  assert [(x.name, x.one) for x in left_out] == [
      ('notes', 'cannot be read: Permission denied')]
  assert len(problems) == 1 and 'locked' in problems[0]
  assert 'Permission denied.' in problems[0] and 'Errno' not in problems[0]


def test_damaged_images_of_embed_and_links_out_of_it(tmp_path):
  folder = tmp_path / 'photos'
  _put(folder, 'a.jpg', _jpeg(0))
  _put(tmp_path, 'secret.jpg', _jpeg(1))
  (folder / 'out.jpg').symlink_to(tmp_path / 'secret.jpg')
  (folder / 'loop.jpg').symlink_to('loop.jpg')
  with pytest.raises(ValueError, match='2 problem') as e:
    embed_files.paths_of(folder)
  assert "image 'out.jpg' lies outside the folder" in str(e.value)
  assert "image 'loop.jpg' cannot be found" in str(e.value)


def test_a_file_of_another_name_is_listed_by_its_link_alone(tmp_path):
  folder = tmp_path / 'photos'
  _put(folder, 'blobs/0a1b', _jpeg(0))
  _put(folder, 'blobs/2c3d', _jpeg(1))
  (folder / 'a.jpg').symlink_to('blobs/0a1b')
  assert _for_all(folder) == ['a.jpg', 'blobs/2c3d']


def test_a_folder_of_none_says_so(tmp_path):
  (tmp_path / 'notes.txt').write_text('x')
  with pytest.raises(ValueError, match='it holds no JPEG, PNG or WebP file'):
    embed_files.paths_of(tmp_path)
  with pytest.raises(ValueError, match='is no folder'):
    embed_files.paths_of(tmp_path / 'gone')


def test_rows_that_a_table_names_need_no_ending(tmp_path):
  rows = []
  for i, name in enumerate(['.hidden.jpg', 'x.bin', 'y', 'z.HEIC']):
    _put(tmp_path, name, _jpeg(i))
    rows.append(json.dumps({'image': name, 'text': name}))
  (tmp_path / 'pairs.jsonl').write_text('\n'.join(rows))
  data = paired_folder.load(tmp_path)
  assert len(data.pool) + len(data.test) == 4
