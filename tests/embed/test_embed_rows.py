"""The program `embed`: what is bad is named first, what is done is kept."""

import io
import json
import os
import pathlib
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import numpy as np
from PIL import Image
import pytest
import safetensors.numpy

from experiments import embed
from mmal_jax import progress
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_files
from mmal_jax.data.images import images
from mmal_jax.data.images import preprocess
from mmal_jax.data.images import readable
from mmal_jax.experiment import embed_files
from tests.support import small_files


@pytest.fixture
def checkpoint(tmp_path):
  return small_files.siglip(small_files.plain_tokenizer(tmp_path / 'm'))


@pytest.fixture
def photos(tmp_path):
  """Twelve pictures of three formats."""
  folder = tmp_path / 'photos'
  folder.mkdir()
  for i, suffix in enumerate(['jpg', 'png', 'webp'] * 4):
    _picture(folder / f'{i:02}.{suffix}', i)
  return folder


def _picture(path, seed):
  rng = np.random.default_rng(seed)
  Image.fromarray(rng.integers(256, size=(24, 36, 3)).astype(np.uint8)).save(
      path)


def _run(*arguments):
  # Another program's flag, which it requires where tests import both.
  argv = ['embed', *map(str, arguments), '--workdir=unused',
          '--undefok=workdir']
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    embed.main(flags.FLAGS(argv))


@pytest.fixture
def go(checkpoint, photos, tmp_path, capsys):
  """Runs the program on the photos; what it says, its rows by their name."""
  def run(*arguments, out='e'):
    _run(f'--init={checkpoint}', f'--images={photos}', '--batch_size=4',
         f'--embeddings={tmp_path / out}', *arguments)
    rows = np.load(tmp_path / out / 'image.npy')
    names = (tmp_path / out / 'image.txt').read_text().splitlines()
    return capsys.readouterr().out, {
        pathlib.Path(name).name: row
        for name, row in zip(names, rows, strict=True)}
  return run


def _assert_same(ours, wanted):
  assert ours.keys() == wanted.keys()
  for name, row in wanted.items():
    np.testing.assert_allclose(ours[name], row, atol=1e-6, err_msg=name)


@pytest.mark.long
def test_only_what_is_new_is_embedded(go, photos):
  said, _ = go()
  assert 'image: 12 rows of 4, of which 12 were embedded now and 0 kept' in said
  (photos / '03.jpg').unlink()
  (photos / '05.webp').rename(photos / 'aa.webp')
  said, rows = go()
  assert ('11 rows of 4, of which 0 were embedded now (1 earlier row is left '
          'out) and 11 kept.') in said
  _assert_same(rows, go(out='f')[1])
  _picture(photos / '00.png', 100)
  _picture(photos / '07.png', 101)
  said, rows = go()
  assert 'of which 2 were embedded now' in said and 'and 10 kept' in said
  assert '00.png is new' in said and '07.png has changed' in said
  _assert_same(rows, go(out='g')[1])
  # As moved elsewhere and back: nothing goes by names.
  for i, path in enumerate(sorted(photos.iterdir())):
    path.rename(photos / f'{9 - i % 10}{i}{path.suffix}')
  said, rows = go()
  assert 'of which 0 were embedded now and 12 kept' in said
  _assert_same(rows, go(out='h')[1])


def test_paths_are_absolute_and_rows_go_with_a_moved_folder(
    go, photos, tmp_path, monkeypatch):
  _, rows = go()
  monkeypatch.chdir(tmp_path)
  # Of a flag given twice, the last one counts.
  for folder in ('photos', './photos', 'moved/elsewhere'):
    if folder.startswith('moved'):
      (tmp_path / 'moved').mkdir()
      photos.rename(tmp_path / folder)
    said, again = go(f'--images={folder}')
    assert '12 rows of 4, of which 0 were embedded now and 12 kept' in said
    _assert_same(again, rows)
    assert (tmp_path / 'e' / 'image.txt').read_text() == ''.join(
        f'{path}\n' for path in sorted((tmp_path / folder).iterdir()))


def test_why_all_are_embedded_anew(go, checkpoint, tmp_path):
  _, rows = go()
  said, _ = go('--image_size=8')
  assert ('of which 12 were embedded now (the model, the type that it computes '
          'in, the code of mmal_jax or a library that it runs on has changed; '
          'images were prepared otherwise (squashed to 4 x 4') in said
  assert 'now squashed to 8 x 8' in said
  (tmp_path / 'e' / 'image.items').write_bytes(b'')
  said, again = go()
  assert '(image.json and what it describes are damaged, or of' in said
  _assert_same(again, rows)
  small_files.images(checkpoint, resample=2)
  assert 'by bicubic' in (said := go()[0]) and 'now squashed' in said


@pytest.mark.parametrize('changes,why', [
    ({'code': 'x'}, 'the model, the type that it computes in, the code of '),
    # A version that made other digests of weights, too.
    ({'code': 'x', 'weights': 'y'}, 'the model, the type that it computes in'),
    ({'code': 'x', 'weights': 'y', 'prepared': 'cut'},
     'has changed; images were prepared otherwise (cut; now squashed'),
    ({'weights': 'y'}, 'the weights of the model are others'),
    ({'digest': 'z', 'rows': 12, 'done': 12}, 'or of another version of this')])
def test_weights_are_blamed_only_where_they_can_be_compared(
    go, tmp_path, capsys, changes, why):
  _, rows = go()
  path = tmp_path / 'e' / 'image.json'
  note = json.loads(path.read_text())
  path.write_text(json.dumps(
      changes if 'digest' in changes else note | changes))
  if 'digest' in changes:
    (tmp_path / 'e' / 'image.items').unlink()
  _run(f'--init={tmp_path / "m"}', f'--images={tmp_path / "photos"}',
       f'--embeddings={tmp_path / "e"}')
  out, err = capsys.readouterr()
  assert '12 were embedded now (' in out
  only = list(changes) == ['weights']
  for said in (out, err):
    assert why in said and ('the weights of the model' in said) == only
  assert 'All rows are embedded anew' in err and 'another --embeddings' in err
  said, again = go()
  assert 'of which 0 were embedded now' in said
  _assert_same(again, rows)


def test_changed_weights_are_named(go, checkpoint):
  _, rows = go()
  values = {name: value + np.float32(0.1)
            for name, value in small_files.values().items()}
  safetensors.numpy.save_file(values, checkpoint / 'model.safetensors')
  said, again = go()
  assert 'of which 12 were embedded now (the weights of the model are' in said
  assert not np.allclose(again['00.jpg'], rows['00.jpg'], atol=1e-4)


def test_an_interrupted_run_goes_on(go, photos, monkeypatch):
  wanted = go(out='whole')[1]
  check = readable.check

  def then_lost(paths, *arguments):
    digests = check(paths, *arguments)
    (photos / '09.jpg').write_bytes(b'gone')
    return digests

  good = (photos / '09.jpg').read_bytes()
  with monkeypatch.context() as patch:
    patch.setattr(readable, 'check', then_lost)
    with pytest.raises(SystemExit, match='09.jpg.* cannot be read'):
      go()
  (photos / '09.jpg').write_bytes(good)
  said, rows = go()
  assert '(4 had not been reached before) and 8 kept' in said
  _assert_same(rows, wanted)


def test_all_bad_images_are_named_before_anything_is_embedded(
    go, photos, tmp_path):
  good = {name: (photos / name).read_bytes()
          for name in ('00.jpg', '04.png', '05.webp', '09.jpg')}
  (photos / '00.jpg').write_bytes(good['00.jpg'][:500])
  (photos / '04.png').write_bytes(good['04.png'][:-30])
  (photos / '05.webp').write_bytes(good['05.webp'][:200])
  (photos / '09.jpg').write_bytes(b'')
  with pytest.raises(SystemExit) as caught:
    go()
  message = str(caught.value)
  assert 'has 4 problem(s)' in message
  assert all(name in message for name in good)
  assert not (tmp_path / 'e' / 'image.npy').exists()
  for name in ('00.jpg', '04.png', '05.webp'):
    (photos / name).write_bytes(good[name])
  (photos / '09.jpg').unlink()
  assert len(go()[1]) == 11
  # And none of what is there is lost for one that is bad.
  (photos / '10.png').write_bytes(b'GIF89a')
  with pytest.raises(SystemExit, match='10.png'):
    go()
  (photos / '10.png').unlink()
  assert 'of which 0 were embedded now' in go()[0]


def test_texts_are_read_before_images_are_embedded(go, tmp_path):
  texts = tmp_path / 'texts.txt'
  texts.write_bytes(b'')
  with pytest.raises(SystemExit, match='texts.txt'):
    go(f'--texts={texts}')
  assert not (tmp_path / 'e').exists()
  texts.write_text('ab\nb\na\n')
  said, _ = go(f'--texts={texts}')
  assert 'text: 3 rows of 4, of which 3 were embedded now' in said
  rows = np.load(tmp_path / 'e' / 'text.npy')
  texts.write_text('a\nab\nabab\nb\n')
  said, _ = go(f'--texts={texts}')
  assert 'of which 1 was embedded now (line 3 is new) and 3 kept' in said
  np.testing.assert_array_equal(
      np.load(tmp_path / 'e' / 'text.npy')[[1, 3, 0]], rows)


def test_what_others_made_is_not_overwritten(go, tmp_path):
  (tmp_path / 'e').mkdir()
  np.save(tmp_path / 'e' / 'image.npy', np.ones((3, 2)))
  with pytest.raises(SystemExit, match='image.npy exists, but not image.json'):
    go()
  np.testing.assert_array_equal(
      np.load(tmp_path / 'e' / 'image.npy'), np.ones((3, 2)))


@pytest.mark.parametrize('options', [
    {'format': 'JPEG', 'quality': 90},
    {'format': 'JPEG', 'quality': 90, 'progressive': True},
    {'format': 'PNG'}, {'format': 'WEBP'}])
def test_an_image_that_was_cut_off_anywhere_is_found(options, tmp_path):
  rng = np.random.default_rng(0)
  file = io.BytesIO()
  Image.fromarray(rng.integers(256, size=(70, 90, 3)).astype(np.uint8)).save(
      file, **options)
  whole = file.getvalue()
  paths = [tmp_path / 'whole']
  paths[0].write_bytes(whole)
  for kept in range(1, 20):
    paths.append(tmp_path / str(kept))
    paths[-1].write_bytes(whole[:len(whole) * kept // 20])
  problems, seen = [], []

  def show(of, total, what):
    seen.append((total, what))
    return of

  with progress.shown_by(show):
    digests = readable.check(paths, (), problems)
  assert [bool(digest) for digest in digests] == [True] + [False] * 19
  assert len(problems) == 19 and seen == [(20, 'checking images')]
  # What has been embedded before was read then.
  problems.clear()
  paths[1].write_bytes(whole)
  readable.check(paths[:2], {digests[0]}, problems)
  assert not problems


def test_no_image_is_read_that_is_too_large_or_never_ends(tmp_path):
  _picture(tmp_path / 'a.jpg', 0)
  with (tmp_path / 'b.jpg').open('wb') as file:
    file.truncate(images.MAX_BYTES + 1)
  os.mkfifo(tmp_path / 'c.jpg')
  (tmp_path / 'd.jpg').mkdir()
  paths = sorted(tmp_path.iterdir())
  problems = []
  with mock.patch.object(
      pathlib.Path, 'read_bytes', side_effect=AssertionError):
    assert [bool(d) for d in readable.check(paths, (), problems)] == [
        True, False, False, False]
    for path, problem, says in zip(paths[1:], problems, (
        'has 536870913 bytes; at most 536870912 are read', 'is no regular file',
        'is no regular file'), strict=True):
      assert path.name in problem and says in problem
      with pytest.raises(ValueError, match=f'image .*{path.name}.*{says}'):
        image_files.digest(path)
  with pytest.raises(ValueError, match='gone.jpg. cannot be read: No su') as e:
    image_files.digest(tmp_path / 'gone.jpg')
  assert 'Errno' not in str(e.value)
  with pytest.raises(ValueError, match='^cannot be read: No such file') as e:
    image_files.content(image_files.Part(tmp_path / 'x.tar', 'x.png', 0, 1))


def test_long_work_on_images_shows_how_far_it_is(tmp_path):
  for i in range(3):
    _picture(tmp_path / f'{i}.png', i)
  paths, seen = sorted(tmp_path.iterdir()), []

  def show(of, total, what):
    seen.append((what, total, len(list(of := list(of)))))
    return of

  with progress.shown_by(show):
    found = checked_images.decode(dict.fromkeys(paths, 'line'), 4, [])
    checked_images.digests(found)
    files = image_files.ImageFiles(paths, preprocess.Preprocess(4, 4))
    assert files.digests == list(checked_images.digests(paths).values())
  assert seen == [('reading images', 3, 3)] + [('hashing images', 3, 3)] * 3


@pytest.mark.parametrize('init,given,said', [
    ('x', {}, 'give images, texts or both'),
    (None, {'texts': 't'}, 'add --init=DIR'),
    ('x', {'texts': 't', 'model': 'nope'}, "model='nope' is none of clip_b32"),
    ('x', {'texts': 't', 'dtype': 'int8'}, "dtype='int8' is none of float32")])
def test_what_is_lacking_is_named_before_any_file_is_read(
    tmp_path, init, given, said):
  with pytest.raises(ValueError, match=said):
    embed_files.embed(init, tmp_path / 'out', **given)
  assert not (tmp_path / 'out').exists()
