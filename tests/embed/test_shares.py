"""Pools that several processes embed: shares, what is left of them, the end."""

import shutil

import jax
import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import encode
from mmal_jax.embed import shares
from mmal_jax.embed import to_disk
from mmal_jax.experiment import embed_files
from tests.support import small_files
from tests.support import together


@pytest.fixture(name='items')
def _items(tiny_run):
  return tiny_run.data.pool.items['image']


@pytest.fixture(name='model')
def _model(tiny_run):
  return tiny_run.learner.graphdef, tiny_run.params


@pytest.fixture(name='note')
def _note(model):
  return to_disk.note_of(*model, 'image')


def _take(items, rows):
  return encode.Items(items.values[rows], items.ids[rows])


def _rows(embedded):
  return np.concatenate(list(embedded.rows.chunks()))[:len(embedded.rows)]


def test_one_process_alone_makes_the_same_files(
    tmp_path, items, model, note):
  there = [tmp_path / name for name in ('shares', 'alone')]
  found = shares.embed(
      there[0], *model, items, 'image', 16,
      to_disk.find(there[0], 'image', note))
  expected = to_disk.embed_to_disk(there[1], *model, items, 'image', 16)
  np.testing.assert_array_equal(_rows(found), _rows(expected))
  assert not found.is_kept.any()
  shares.remove(there[0], 'image')
  names = sorted(path.name for path in there[0].iterdir())
  assert names == ['image.items', 'image.json', 'image.npy']
  for name in names:
    assert (there[0] / name).read_bytes() == (there[1] / name).read_bytes()
  # The same again, in another order, and without some.
  less = _take(items, [5, 30, 2, 7])
  found = shares.embed(
      there[0], *model, less, 'image', 16,
      to_disk.find(there[0], 'image', note))
  assert found.is_kept.all()
  np.testing.assert_array_equal(_rows(found), _rows(expected)[[5, 30, 2, 7]])


def test_what_shares_are_left_is_taken_in(
    tmp_path, items, model, note):
  expected = _rows(to_disk.embed_to_disk(
      tmp_path / 'alone', *model, items, 'image', 16))
  out = tmp_path / 'out'
  to_disk.embed_to_disk(out, *model, _take(items, [3, 1]), 'image', 16)
  for share, rows in enumerate(([0, 1, 2], [20, 21], [39])):
    to_disk.embed_to_disk(
        out / shares.FOLDER / str(share), *model, _take(items, rows), 'image',
        16)
  # One row was not written whole.
  torn = np.load(out / shares.FOLDER / '1' / 'image.npy', mmap_mode='r+')
  torn[1] += 1
  torn.flush()
  left = shares.left(out, 'image', note)
  digests = encode.digests(items, np.arange(len(items)))
  shares.take_in(out, 'image', digests,
                 to_disk.find(out, 'image', note), left)
  shares.remove(out, 'image')
  assert not (out / shares.FOLDER).exists()
  before = to_disk.find(out, 'image', note)
  assert [row for row, item in enumerate(before.items) if item] == [
      0, 1, 2, 3, 20, 39]
  found = to_disk.embed_to_disk(out, *model, items, 'image', 16)
  assert np.flatnonzero(found.is_kept).tolist() == [0, 1, 2, 3, 20, 39]
  np.testing.assert_allclose(_rows(found), expected, atol=1e-6)


def test_shares_of_another_model_are_not_taken_in(
    tmp_path, items, model, note):
  graphdef, params = model
  other = jax.tree.map(lambda x: x + 1, params)
  to_disk.embed_to_disk(
      tmp_path / shares.FOLDER / '0', graphdef, other, items, 'image', 16)
  assert not shares.left(tmp_path, 'image', note)
  shares.remove(tmp_path, 'image')
  assert not any(tmp_path.iterdir())


@pytest.fixture(name='files')
def _files(tmp_path):
  """A checkpoint, eleven pictures and seven texts."""
  checkpoint = small_files.siglip(
      small_files.plain_tokenizer(tmp_path / 'checkpoint'))
  photos, rng = tmp_path / 'photos', np.random.default_rng(0)
  photos.mkdir()
  for i in range(11):
    Image.fromarray(rng.integers(256, size=(20, 30, 3)).astype(np.uint8)).save(
        photos / f'{i:02}.png')
  texts = tmp_path / 'texts.txt'
  texts.write_text('\n'.join(f'a {i} b' for i in range(7)))
  return checkpoint, photos, texts


@pytest.mark.long
def test_two_processes_embed_what_one_does(files, tmp_path):
  checkpoint, photos, texts = files
  out = tmp_path / 'two'
  flags = [f'--init={checkpoint}', f'--images={photos}', f'--texts={texts}',
           f'--embeddings={out}', '--batch_size=4']
  # A program of one process was stopped, another of three as well.
  embed_files.embed(checkpoint, tmp_path / 'some', texts=texts)
  (out / shares.FOLDER / '2').mkdir(parents=True)
  for path in (tmp_path / 'some').glob('text.*'):
    shutil.copy(path, out / shares.FOLDER / '2')
  first, second = together.run(
      'experiments.embed', flags, together.joining(2))
  assert (first[0], second[0]) == (0, 0), (first, second)
  assert 'image: 11 rows of 4, of which 11 were embedded now' in first[1]
  assert 'text: 7 rows of 4, of which 0 were embedded now' in first[1]
  assert 'rows' not in second[1]
  embed_files.embed(checkpoint, tmp_path / 'one', photos, texts)
  for name in ('image', 'text'):
    np.testing.assert_allclose(
        *(np.load(folder / f'{name}.npy')
          for folder in (out, tmp_path / 'one')), atol=1e-5)
  assert (out / 'image.txt').read_text() == (
      tmp_path / 'one' / 'image.txt').read_text()
  assert not (out / shares.FOLDER).exists()
  # And one goes on with what two have made.
  said = embed_files.embed(checkpoint, out, photos, texts)
  assert said.count('of which 0 were embedded now') == 2


@pytest.mark.long
def test_what_one_of_two_refuses_ends_both(files, tmp_path):
  checkpoint, photos, texts = files
  (photos / '10.png').write_bytes(b'no image')
  ended = together.run(
      'experiments.embed',
      [f'--init={checkpoint}', f'--images={photos}', f'--texts={texts}',
       f'--embeddings={tmp_path / "out"}'], together.joining(2))
  for status, _, errors in ended:
    assert status == 1 and "10.png' " in errors, errors
