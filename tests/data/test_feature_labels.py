"""What people see of features: rows of the user's files, or labels of them."""

import json
import os
import pathlib

import numpy as np
from PIL import Image
import pytest

from experiments.configs import features as config_lib
from mmal_jax.data import feature_rows
from mmal_jax.data import features
from mmal_jax.data import text_list
from mmal_jax.data.images import image_files
from mmal_jax.experiment import datasets
from mmal_jax.experiment import embed_files
from mmal_jax.experiment import gallery
from mmal_jax.experiment import settings
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from tests.support import people

_N = 30


@pytest.fixture(name='data')
def _data(tmp_path):
  """A folder of features, texts and images; and a config of them."""
  rng = np.random.default_rng()
  values = {name: rng.normal(size=(_N, 4)).astype(np.float32)
            for name in ('image', 'text', 'sound')}
  np.save(tmp_path / 'pictures.npy', values['image'])
  np.savez(tmp_path / 'all.npz', text=values['text'], sound=values['sound'])
  (tmp_path / 'captions.txt').write_text(
      ''.join(f'caption {row}\n' for row in range(_N)), 'utf-8')
  (tmp_path / 'photos').mkdir()
  for row in range(_N):
    Image.new('RGB', (8, 6), (row, 0, 0)).save(
        tmp_path / 'photos' / f'{row:03}.png')
  config = config_lib.get_config('sound')
  config.dataset.images = str(tmp_path / 'pictures.npy')
  config.dataset.texts = config.dataset.others.sound = str(
      tmp_path / 'all.npz')
  return tmp_path, config, values


def _row_of(values, row):
  """The row of a file that holds these features, by brute force."""
  found, = np.flatnonzero((values == row).all(axis=1))
  return found


@pytest.mark.parametrize('split', [False, True])
def test_rows_are_those_of_the_users_files(data, split):
  folder, config, values = data
  if split:
    names = np.array(['train', 'test', 'other'])[
        np.random.default_rng().permutation(np.arange(_N) % 3)]
    np.save(folder / 'split.npy', names)
    config.dataset.split = str(folder / 'split.npy')
  pool = datasets.load(config, '').pool
  seen = datasets.load_seen(config, '')
  assert len(seen.pool) == len(pool) and len(seen.test) + len(pool) <= _N
  pools, hidden = settings.annotators_of(config).hide(pool, seed=3)
  shown = gallery.of_seed(datasets.load_seen(config, '').pool, 3)
  for modality, of in (('image', 'pictures.npy'), ('text', 'text in all.npz'),
                       ('sound', 'sound in all.npz')):
    rows = datasets.in_order(seen.pool.items[modality], hidden.rows[modality])
    for number, item in enumerate(np.asarray(pools.items[modality].values)):
      row = _row_of(values[modality], item)
      assert rows.rows[number] == row and not rows.labelled
      assert rows.labels[number] == f'row {row} of {of}'
      # The report says the same of it.
      assert shown.text(modality, number) == rows.labels[number]
      assert shown.picture(modality, number) is None


def test_people_see_labels_under_the_numbers_of_items(data, tmp_path):
  folder, config, values = data
  config.dataset.labels.image = str(folder / 'photos')
  config.dataset.labels.text = str(folder / 'captions.txt')
  seen = datasets.load_seen(config, '').pool.items
  asked = tmp_path / 'asked'
  oracle = files.files(asked, seen)
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [5, 2])
  queries = people.lines(asked / 'round_001' / 'queries.jsonl')
  items = {m: people.lines(asked / f'items_{m}.jsonl') for m in seen}
  shown = gallery.of_seed(datasets.load_seen(config, '').pool, 3)
  row = shown.items['image'].rows[shown.rows['image'][4]]
  assert shown.picture('image', 4)[0, 0].tolist() == [row, 0, 0]
  assert shown.text('image', 4).endswith(f'photos/{row:03}.png')
  for number, query in zip((5, 2), queries):
    row = _row_of(values['image'], seen['image'].values[number])
    assert (asked / 'round_001' / query['file']).read_bytes() == (
        folder / 'photos' / f'{row:03}.png').read_bytes()
    assert items['image'][number] == {
        'item': number, 'row': row, 'file': str(
            (folder / 'photos' / f'{row:03}.png').resolve())}
    for one in query['candidates']['text']:
      row = _row_of(values['text'], seen['text'].values[one['item']])
      assert one['text'] == f'caption {row}'
      assert items['text'][one['item']]['row'] == row
    assert all('in all.npz' in one['text']
               for one in query['candidates']['sound'])
  readme = (asked / 'round_001' / 'README.txt').read_text()
  for modality in ('text', 'sound'):
    assert f'{asked}/items_{modality}.jsonl' in readme
  assert '"row", its row in the file of features' in readme


def test_labels_may_come_while_people_answer(data, tmp_path):
  folder, config, _ = data
  asked = tmp_path / 'asked'
  files.files(asked, datasets.load_seen(config, '').pool.items)
  before = (asked / 'pools.json').read_bytes()
  config.dataset.labels.text = str(folder / 'captions.txt')
  files.files(asked, datasets.load_seen(config, '').pool.items)
  assert people.lines(asked / 'items_text.jsonl')[0]['text'].startswith('capt')
  # And a folder that features alone were asked in, as before there were labels.
  bare = {m: rows.values
          for m, rows in datasets.load_seen(config, '').pool.items.items()}
  files.files(tmp_path / 'old', bare)
  assert (tmp_path / 'old' / 'pools.json').read_bytes() == before
  files.files(tmp_path / 'old', datasets.load_seen(config, '').pool.items)
  assert (tmp_path / 'old' / 'items_sound.jsonl').exists()


@pytest.mark.parametrize('absolute', [False, True])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_a_list_of_images(data, absolute, encoding):
  folder, _, _ = data
  names = [f'photos/{row:03}.png' for row in reversed(range(_N))]
  text = '\r\n'.join(
      str(folder / name) if absolute else name for name in names)
  (folder / 'list.txt').write_bytes((text + '\r\n\r\n').encode(encoding))
  found = feature_rows.read(folder / 'list.txt', _N, 'image')
  assert isinstance(found, image_files.ImageFiles)
  assert [path.name for path in found.paths] == [n[-7:] for n in names]


def test_names_of_images_that_are_elsewhere(data, caplog):
  folder, _, _ = data
  names = [f'gone/{row}.jpg' for row in range(_N)]
  (folder / 'list.txt').write_text('\n'.join(names))
  assert feature_rows.read(folder / 'list.txt', _N, 'image') == names
  assert 'none of its lines names an image that exists' in caplog.text
  names[4] = 'photos/004.png'
  (folder / 'list.txt').write_text('\n'.join(names))
  with pytest.raises(ValueError, match="29 of its 30.*line 1: 'gone/0.jpg'"):
    feature_rows.read(folder / 'list.txt', _N, 'image')


def test_a_folder_without_images_gives_names(data, tmp_path):
  (tmp_path / 'sounds').mkdir()
  for row in range(_N):
    (tmp_path / 'sounds' / f'{row:02}.wav').write_bytes(b'RIFF')
  (tmp_path / 'sounds' / '.DS_Store').write_bytes(b'')
  found = feature_rows.read(tmp_path / 'sounds', _N, 'sound')
  assert list(found) == [f'{row:02}.wav' for row in range(_N)]


@pytest.mark.parametrize('hidden', [
    '.ipynb_checkpoints/00-checkpoint.wav', '__MACOSX/._00.wav', '.cache/a/b',
    'deep/.git/config', '@eaDir/00.wav/SYNO', 'Thumbs.db'])
def test_hidden_files_are_no_labels(tmp_path, hidden):
  for row in range(_N):
    (tmp_path / f'{row:02}.wav').write_bytes(b'RIFF')
  (tmp_path / hidden).parent.mkdir(parents=True, exist_ok=True)
  (tmp_path / hidden).write_bytes(b'x')
  found = feature_rows.read(tmp_path, _N, 'sound')
  assert list(found) == [f'{row:02}.wav' for row in range(_N)]
  (tmp_path / '07.wav').unlink()
  with pytest.raises(ValueError, match='has 29 files, but .* 30 rows'):
    feature_rows.read(tmp_path, _N, 'sound')


@pytest.mark.parametrize('name', ['a.gif', 'b.svg', 'c.bmp', 'd.TIFF', 'e.jpg'])
def test_a_report_names_images_that_are_not_read(data, tmp_path, name, caplog):
  folder, config, _ = data
  if name == 'b.svg':
    (folder / name).write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
  elif name == 'e.jpg':
    (folder / name).write_bytes(b'\xff\xd8\xff\xe0 cut')
  else:
    Image.new('L', (8, 6)).save(folder / name)
  names = [f'photos/{row:03}.png' for row in range(_N)]
  names[7] = name
  (folder / 'list.txt').write_text('\n'.join(names))
  config.dataset.labels.image = str(folder / 'list.txt')
  shown = gallery.of_seed(datasets.load_seen(config, '').pool, 3)
  place = shown.rows['image'][4]
  shown.items['image'].labels.paths = tuple(
      folder / (name if i == place else 'photos/000.png')
      for i in range(len(shown.items['image'])))
  assert shown.picture('image', 4) is None
  assert shown.text('image', 4).endswith(name)
  assert shown.picture('image', 5)[0, 0].tolist() == [0, 0, 0]
  assert 'tried again' not in caplog.text
  asked = [[['image', 4], ['image', 5]], [['text', 1]]]
  (tmp_path / 'report').mkdir()
  assert gallery.write(shown, [
      {'round': i, 'asked': one, 'answers': [[4, 1, 2]] * len(one)}
      for i, one in enumerate(asked)], 'title', tmp_path / 'report')
  assert (tmp_path / 'report' / 'asked.png').stat().st_size > 1000
  assert name in (tmp_path / 'report' / 'asked.md').read_text()


@pytest.mark.parametrize('name', ['l.jsonl', 'l.ndjson', 'L.JSONLINES'])
def test_labels_of_json_lines_are_those_that_embed_reads(tmp_path, name):
  texts = ['a kite', 'two\nlines', ' ', 'x\u2028y']
  path = tmp_path / name
  path.write_text('\n\n'.join(json.dumps({'text': text}) for text in texts))
  assert feature_rows.read(path, 4, 'text') == texts
  assert text_list.texts_of(path) == texts
  path.write_text('{"text": "a"}\n{"text": 3}\n{"caption": "b"}\n')
  with pytest.raises(
      ValueError, match=r"labels.text=.*2 problem(.|\n)*line 2: 'text' is 3, "
      r"not a text(.|\n)*line 3: .*'caption'"):
    feature_rows.read(path, 3, 'text')


@pytest.mark.parametrize('name,content,says', [
    ('a.csv', b'text\na kite\n', 'is no list of texts by its ending, .csv'),
    ('a.txt', b'{"text": "a"}\n{"text": "b"}\n', 'name the file .jsonl'),
    ('b.txt', b'a\0b\nc\n', "line 1: 'text' holds a NUL")])
def test_labels_that_embed_does_not_read_either(tmp_path, name, content, says):
  (tmp_path / name).write_bytes(content)
  for read in (text_list.texts_of,
               lambda path: feature_rows.read(path, 2, 'text')):
    with pytest.raises(ValueError, match=says):
      read(tmp_path / name)


def _image_txt(folder, out):
  """The list of images that `embed` writes."""
  found = embed_files.paths_of(folder)
  out.write_bytes(os.fsencode(''.join(f'{path}\n' for path in found)))
  return found


@pytest.mark.parametrize('name', [
    'e\r.png', 'f.png\r', 'caf\udce9.png', '\udcff\udcfe', 'b .png', ' c.png ',
    'no_ending', 'h\u2028i.png', 'x' * 250 + '.png'])
def test_the_list_of_embed_gives_labels(tmp_path, monkeypatch, name):
  (tmp_path / 'photos').mkdir()
  (tmp_path / 'else').mkdir()
  for other in ('0.png', 'z.png', name):
    Image.new('RGB', (8, 6)).save(tmp_path / 'photos' / other, 'PNG')
  monkeypatch.chdir(tmp_path)
  found = _image_txt(pathlib.Path('photos'), tmp_path / 'image.txt')
  monkeypatch.chdir(tmp_path / 'else')
  assert len(found) == 3
  labels = feature_rows.read(tmp_path / 'image.txt', 3, 'image')
  assert list(labels.paths) == found
  assert {path.parent for path in found} == {tmp_path / 'photos'}
  # A file that was removed since then is named.
  (tmp_path / 'photos/z.png').unlink()
  if name.endswith('.png'):
    with pytest.raises(ValueError, match='1 of its 3 images do not exist.*z.p'):
      feature_rows.read(tmp_path / 'image.txt', 3, 'image')


def test_embed_takes_no_name_that_its_list_cannot_hold(tmp_path):
  for name in ('a\nb.png', 'c.png'):
    Image.new('RGB', (8, 6)).save(tmp_path / name)
  with pytest.raises(ValueError, match='1 problem.*\n.*b.png.*a new line.*ren'):
    embed_files.paths_of(tmp_path)


@pytest.mark.parametrize('end', ['.png', ''])
def test_texts_longer_than_any_name_are_no_images(tmp_path, end):
  texts = ['a' * 5000 + end, 'b' * 300 + end]
  (tmp_path / 'l.txt').write_text('\n'.join(texts))
  assert feature_rows.read(tmp_path / 'l.txt', 2, 'text') == texts


def test_people_are_shown_images_whose_names_are_no_utf8(data, tmp_path):
  folder, config, _ = data
  for row in range(_N):
    (folder / 'photos' / f'{row:03}.png').rename(
        folder / 'photos' / f'\udce9{row:03}.png')
  config.dataset.labels.image = str(folder / 'list.txt')
  _image_txt(folder / 'photos', folder / 'list.txt')
  oracle = files.files(
      tmp_path / 'asked', datasets.load_seen(config, '').pool.items)
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [5, 2])
  query = people.lines(tmp_path / 'asked/round_001/queries.jsonl')[0]
  assert (tmp_path / 'asked/round_001' / query['file']).exists()


def test_features_without_labels_make_none(data, monkeypatch):
  folder, config, _ = data
  monkeypatch.setattr(feature_rows, 'label', None)
  config.dataset.labels.text = str(folder / 'captions.txt')
  assert len(datasets.load(config, '').pool) > 0
  (folder / 'captions.txt').write_text('one\n')
  with pytest.raises(ValueError, match='captions.txt. has 1 lines'):
    datasets.load(config, '')


def test_a_blank_label_is_the_row(data):
  folder, _, values = data
  lines = ['a', '', ' '] + ['b'] * (_N - 3)
  (folder / 'list.txt').write_text('\n'.join(lines) + '\n')
  rows = feature_rows.label(
      values['text'], 'x/t.npy', 'text', folder / 'list.txt')
  assert rows.labels[:4] == ['a', 'row 1 of t.npy', 'row 2 of t.npy', 'b']
  assert rows.select(np.array([3, 1])).labels == ['b', 'row 1 of t.npy']


@pytest.mark.parametrize('name,content,says', [
    ('short.txt', b'a\nb\n', r"labels.text='.*short.txt' has 2 lines, but the "
     'features of text have 30 rows'),
    ('latin.txt', 'caf\u00e9\n'.encode('latin1') * _N, 'not UTF-8 text'),
    ('none.txt', None, 'none.txt. does not exist'),
    ('photos', None, None)])
def test_labels_that_cannot_be_read(data, name, content, says):
  folder, config, _ = data
  if content is not None:
    (folder / name).write_bytes(content)
  elif says is None:
    (folder / name / '001.png').unlink()
    says = 'has 29 images, but the features of text have 30 rows'
  config.dataset.labels.text = str(folder / name)
  with pytest.raises(ValueError, match=says):
    datasets.load(config, '')  # Before anything is trained.


def test_labels_of_an_unknown_modality(data):
  folder, config, _ = data
  values = config.dataset.to_dict()
  del values['name'], values['labels']
  with pytest.raises(ValueError, match="labels names 'smell'; there are image"):
    features.load(**values, labels={'smell': folder / 'captions.txt'})


def test_a_warning_says_how_people_see_more(data, tmp_path, caplog):
  folder, config, _ = data
  with config.unlocked():
    config.oracle.name, config.oracle.folder = 'files', str(tmp_path / 'p')
  config.dataset.labels.text = str(folder / 'captions.txt')
  pool = datasets.load(config, '').pool
  annotators = settings.annotators_of(config)
  pools, hidden = annotators.hide(pool, 0)
  annotators.oracle(
      pools, hidden, 0, lambda: datasets.load_seen(config, ''))
  assert 'rows of your files of image and sound' in caplog.text
  assert '--config.dataset.labels.sound=FILE' in caplog.text
  assert 'labels.text' not in caplog.text
  assert json.loads((tmp_path / 'p' / 'seed0' / 'items_text.jsonl').read_text(
      ).splitlines()[0])['text'].startswith('caption')
