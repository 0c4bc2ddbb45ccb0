"""The user's own data: images of every mode, tables of every mistake."""

import io
import json

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import features
from mmal_jax.data import paired_folder
from mmal_jax.data import splits
from mmal_jax.data.images import images

_RED = (200, 30, 30)


def _image(mode, size=(10, 14), colour=_RED):
  red = Image.new('RGB', size, colour)
  if mode == 'RGBA':
    red.putalpha(Image.new('L', size, 255))
    return red
  if mode == 'P':
    return red.quantize(4)
  if mode == 'I;16':
    return Image.fromarray(np.full(size[::-1], 40000, np.uint16))
  return red.convert(mode)


def _bytes(image, fmt, **options):
  file = io.BytesIO()
  image.save(file, fmt, **options)
  return file.getvalue()


@pytest.mark.parametrize('mode,fmt', [
    ('RGB', 'PNG'), ('RGB', 'JPEG'), ('RGB', 'WEBP'), ('RGBA', 'PNG'),
    ('RGBA', 'WEBP'), ('P', 'PNG'), ('CMYK', 'JPEG')])
def test_every_mode_is_read_as_the_same_red(mode, fmt):
  pixels = images.decode(_bytes(_image(mode), fmt), 16)
  assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
  np.testing.assert_allclose(pixels.astype(int) - _RED, 0, atol=6)


@pytest.mark.parametrize('mode', ['L', 'LA', '1', 'I;16'])
def test_grays(mode):
  pixels = images.decode(_bytes(_image(mode), 'PNG'))
  assert pixels.shape == (14, 10, 3)
  assert np.all(pixels[..., 0] == pixels[..., 1])
  if mode == 'I;16':
    np.testing.assert_array_equal(pixels, round(40000 / 257))


def test_transparent_is_white_also_in_a_palette():
  clear = Image.new('RGBA', (4, 4), (0, 0, 0, 0))
  assert (images.decode(_bytes(clear, 'PNG')) == 255).all()
  palette = Image.new('P', (4, 4), 0)
  palette.putpalette([0, 0, 0, 9, 9, 9])
  assert (images.decode(_bytes(palette, 'PNG', transparency=0)) == 255).all()


def test_exif_rotation():
  image = Image.new('RGB', (8, 4), 'black')
  image.paste('white', (0, 0, 8, 1))  # its top row
  exif = Image.Exif()
  exif[0x0112] = 6  # shown turned clockwise by a quarter
  pixels = images.decode(_bytes(image, 'PNG', exif=exif))
  assert pixels.shape == (8, 4, 3) and (pixels[:, -1] == 255).all()


@pytest.mark.parametrize('damage', [
    lambda b: b[:len(b) // 2], lambda b: b'not an image', lambda b: b'',
    lambda b: b[:60] + b'\0' * 40 + b[100:]])
def test_damaged_images(damage):
  noise = np.random.default_rng(0).integers(256, size=(30, 30, 3))
  png = _bytes(Image.fromarray(noise.astype(np.uint8)), 'PNG')
  with pytest.raises(ValueError, match='cannot be read as PNG/JPEG/WEBP'):
    images.decode(damage(png))


def test_other_formats_are_refused():
  with pytest.raises(ValueError, match='cannot be read'):
    images.decode(_bytes(_image('RGB'), 'BMP'))


def _folder(tmp_path, rows, images_made=8, table='pairs.jsonl'):
  modes = ['RGB', 'L', 'P', 'RGBA', 'CMYK']
  for i in range(images_made):
    mode = modes[i % len(modes)]
    _image(mode, (8 + i, 20 - i), (200, 30, 30 + 25 * i)).save(
        tmp_path / f'{i}.img', 'JPEG' if mode == 'CMYK' else 'PNG')
  lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
  (tmp_path / table).write_text('\n'.join(lines) + '\n')
  return tmp_path


def _rows(n=8):
  return [{'image': f'{i}.img', 'text': f'text {i}'} for i in range(n)]


def test_folder_of_mixed_images(tmp_path):
  data = paired_folder.load(_folder(tmp_path, _rows()), image_size=16,
                            test_fraction=0.25)
  assert len(data.pool) == 6 and len(data.test) == 2 and data.pretrain is None
  assert data.pool.items['image'].shape == (6, 16, 16, 3)
  assert (data.pool.groups == -1).all()
  assert set(data.pool.items['text'] + data.test.items['text']) == {
      f'text {i}' for i in range(8)}


def test_folder_with_splits_and_groups_as_jsonl_and_csv(tmp_path):
  rows = _rows()
  for i, row in enumerate(rows):
    row['split'] = ('pretrain', 'pool', 'pool', 'test')[i // 2]
    if i >= 4:
      row['group'] = i // 2
  folder = _folder(tmp_path, rows)
  csv = ['image,text,group,split']
  csv += [f'{r["image"]},"{r["text"]}",{r.get("group", "")},{r["split"]}'
          for r in rows]
  (folder / 'pairs.csv').write_text('\r\n'.join(csv))
  for table in ('pairs.jsonl', 'pairs.csv'):
    data = paired_folder.load(folder, table, image_size=8)
    assert data.pretrain.items['text'] == ('text 0', 'text 1')
    assert data.pool.items['text'] == tuple(f'text {i}' for i in range(2, 6))
    assert data.pool.groups.tolist() == [-1, -1, 0, 0]
    assert data.test.groups.tolist() == [0, 0]


def test_every_problem_is_reported_at_once_with_its_line(tmp_path):
  rows = _rows(3) + [
      {'text': 'no image'},                             # 4
      {'image': '0.img'},                               # 5
      {'image': '0.img', 'text': '  '},                 # 6
      {'image': 'gone.img', 'text': 'x'},               # 7
      {'image': 'bad.img', 'text': 'x'},                # 8
      {'image': '1.img', 'text': 'text 1'},             # 9
      '{"image": "2.img", "text": ',                    # 10
      '["2.img", "x"]',                                 # 11
      {'image': '../secret.img', 'text': 'x'},          # 12
      {'image': '2.img', 'text': 'x', 'group': 'g'},    # 13
      {'image': '2.img', 'text': 'y', 'caption': 'z'},  # 14
      {'image': '2.img', 'text': 7},                    # 15
      {'image': '2.img', 'text': 'z', 'split': 'dev'},  # 16
      '{"image": "2.img", "text": "\\ud800"}',          # 17
      '{"image": "0.img", "image": "1.img", "text": ""}',  # 18
      {'image': '2.img', 'text': 'g', 'group': True},   # 19
      {'image': 300 * 'x', 'text': 'x'},                # 20
      {'image': 'loop', 'text': 'x'},                   # 21
  ]
  folder = _folder(tmp_path, rows)
  (folder / 'bad.img').write_bytes(b'nonsense')
  (folder / 'loop').symlink_to('loop')
  with pytest.raises(ValueError) as e:
    paired_folder.load(folder)
  message = str(e.value)
  for line, what in [
      (4, "'image' is missing"), (5, "'text' is missing"),
      (6, "'text' is '  '"), (7, "'gone.img' does not exist"),
      (8, "'bad.img' cannot be read"), (9, 'same image and text as line 2'),
      (10, 'bad JSON'), (11, 'is no object'), (12, 'outside the folder'),
      (13, "group 'g' must be two rows"), (14, "unknown field 'caption'"),
      (15, "'text' is 7"), (16, "'split' is 'dev'"), (17, 'surrogate'),
      (18, 'a field appears twice'), (19, "'group' is True"),
      (20, 'File name too long'), (21, "image 'loop'")]:
    assert any(text.strip().startswith(f'line {line}:') and what in text
               for text in message.splitlines()), (line, what, message)
  assert '18 problem(s)' in message


@pytest.mark.parametrize('csv,what', [
    ('image;text\n0.img;x\n', 'line 1: the columns are'),
    ('image,text\n0.img,x,y,z\n', 'line 2: 4 cells, but 2 columns'),
    ('image,text\n0.img\n', "line 2: 'text' is missing"),
    ('image,text\n0.img,\n', "line 2: 'text' is ''"),
    ('image,text\n0.img,"a\nb"\n1.img,\n', "line 4: 'text' is ''"),
    ('image,text,text\n0.img,x,y\n', 'none may appear twice'),
    ('image,text\n', 'holds no rows'),
    ('image,text\n0.img,"x\n', 'bad CSV'),
])
def test_bad_csv(tmp_path, csv, what):
  folder = _folder(tmp_path, [])
  (folder / 'pairs.csv').write_text(csv)
  with pytest.raises(ValueError, match=what):
    paired_folder.load(folder, 'pairs.csv')


@pytest.mark.parametrize('arguments,what', [
    (dict(pairs='none.jsonl'), 'cannot be read'),
    (dict(pairs='pairs.txt'), 'must end in'),
    (dict(test_fraction=1.0), 'test_fraction=1.0'),
    (dict(test_fraction=0.01), 'test set empty'),
    (dict(image_size=0), 'image_size=0'),
])
def test_bad_arguments(tmp_path, arguments, what):
  with pytest.raises(ValueError, match=what):
    paired_folder.load(_folder(tmp_path, _rows()), **arguments)


def test_csv_rows_end_at_newlines_alone(tmp_path):
  folder = _folder(tmp_path, [])
  rows = [f'{i}.img,before\u2028after \x0b\x85 {i}' for i in range(4)]
  (folder / 'pairs.csv').write_text('\n'.join(['image,text', *rows]))
  data = paired_folder.load(folder, 'pairs.csv')
  assert set(data.pool.items['text'] + data.test.items['text']) == {
      row.split(',')[1] for row in rows}


def test_no_image_lies_in_pool_and_test_not_even_as_a_copy(tmp_path):
  rows = _rows(4)
  for row, split in zip(rows, ('pool', 'pool', 'test', 'test')):
    row['split'] = split
  folder = _folder(tmp_path, rows)
  (folder / '2.img').write_bytes((folder / '1.img').read_bytes())
  with pytest.raises(ValueError, match=(
      "line 2: image '1.img' of pool is the same as '2.img' of test in "
      "line 3")):
    paired_folder.load(folder)
  # Where the division is ours, copies stay together.
  rows = _rows(8)
  folder = _folder(tmp_path, rows)
  for i in range(4):
    (folder / f'{2 * i}.img').write_bytes(
        (folder / f'{2 * i + 1}.img').read_bytes())
  for seed in range(5):
    data = paired_folder.load(folder, test_fraction=0.3, seed=seed)
    assert len(data.test) == 2
    shown = {image.tobytes() for image in data.pool.items['image']}
    assert len(shown) == 3
    assert not shown & {image.tobytes() for image in data.test.items['image']}


def test_splits_need_pool_and_test(tmp_path):
  rows = [row | {'split': 'pool'} for row in _rows()]
  with pytest.raises(ValueError, match='pool and test are both needed'):
    paired_folder.load(_folder(tmp_path, rows))
  with pytest.raises(ValueError, match='line 8: no split'):
    paired_folder.load(_folder(tmp_path, rows[:7] + _rows()[7:]))


def test_hold_out_never_parts_what_belongs_together():
  rng = np.random.default_rng(0)
  keys = [(f'i{i}', f'g{g}') for i, g in rng.integers(60, size=(80, 2))]
  is_test = splits.hold_out(keys, 0.2, seed=1)
  for position in (0, 1):
    sides = {}
    for row, test in zip(keys, is_test):
      sides.setdefault(row[position], set()).add(bool(test))
    assert all(len(s) == 1 for s in sides.values())
  alone = splits.hold_out([(i,) for i in range(100)], 0.2, seed=1)
  assert alone.sum() == 20
  assert (alone != splits.hold_out([(i,) for i in range(100)], 0.2, 2)).any()


def _save(tmp_path, name, array):
  np.save(tmp_path / name, array)
  return tmp_path / name


def _two(tmp_path, n=10):
  rng = np.random.default_rng(0)
  return (rng.normal(size=(n, 4)).astype(np.float16),
          rng.normal(size=(n, 3)).astype(np.float64))


def test_features(tmp_path, caplog):
  x, y = _two(tmp_path)
  split = np.array(['train'] * 6 + ['test'] * 3 + ['dev'])
  np.savez(tmp_path / 'all.npz', image=x, text=y, split=split)
  every = tmp_path / 'all.npz'
  data = features.load(every, every, every)
  images, texts = data.pool.items['image'], data.test.items['text']
  np.testing.assert_array_equal(images, x[:6].astype(np.float32))
  np.testing.assert_array_equal(texts, y[6:9].astype(np.float32))
  assert images.dtype == texts.dtype == np.float32
  ratio = features.load(
      _save(tmp_path, 'x.npy', x), _save(tmp_path, 'y.npy', y),
      test_fraction=0.3)
  assert len(ratio.pool) == 7 and len(ratio.test) == 3
  assert 'have image features' not in caplog.text
  np.savez(tmp_path / 'twice.npz', image=x[[0, 1, 2, 3, 4, 5, 0, 7, 8, 9]])
  features.load(tmp_path / 'twice.npz', every, every)
  assert '1 of 3 test rows have image features' in caplog.text
  renamed = features.load(every, every, every, pool_split='dev')
  np.testing.assert_array_equal(renamed.pool.items['image'], x[9:])


def _damaged(x, row, value):
  x = x.copy()
  x[row, 1] = value
  return x


@pytest.mark.parametrize('change,error,what', [
    (lambda x: _damaged(x, 7, np.nan), ValueError, r'images.*1 row.*row 7'),
    (lambda x: _damaged(x, 2, np.inf), ValueError, r'row 2'),
    (lambda x: x[:9], ValueError, r'9 rows and texts has 10'),
    (lambda x: x[0], ValueError, r'shape \(4,\)'),
    (lambda x: x[:0], ValueError, r'shape \(0, 4\)'),
    (lambda x: (x * 9).astype(int), TypeError, 'int64; floats'),
    (lambda x: np.array([{}] * 10), ValueError, 'cannot be read.*pickle'),
])
def test_bad_features(tmp_path, change, error, what):
  x, y = _two(tmp_path)
  np.save(tmp_path / 'x.npy', change(x), allow_pickle=True)
  with pytest.raises(error, match=what):
    features.load(tmp_path / 'x.npy', _save(tmp_path, 'y.npy', y))


def test_bad_feature_files(tmp_path):
  x, y = _two(tmp_path)
  good = _save(tmp_path, 'y.npy', y)
  (tmp_path / 'x.npy').write_bytes(b'nonsense')
  np.savez(tmp_path / 'two.npz', a=x, b=x)
  (tmp_path / 'cut.npz').write_bytes(
      (tmp_path / 'two.npz').read_bytes()[:100])
  for name, what in [
      ('x.npy', 'cannot be read'), ('none.npy', 'cannot be read'),
      ('cut.npz', 'cannot be read'), ('two.npz', r"arrays \['a', 'b'\]"),
      ('x.csv', 'must end in')]:
    with pytest.raises(ValueError, match=what):
      features.load(tmp_path / name, good)
  images_path = _save(tmp_path, 'x.npy', x)
  for split, what in [
      (np.array(['train'] * 10), "never says 'test'"),
      (np.array(['train'] * 9), r'shape \(9,\)')]:
    with pytest.raises(ValueError, match=what):
      features.load(images_path, good, _save(tmp_path, 's.npy', split))
