"""What is there twice is refused with the way out, or left out and counted."""

import json
import logging

import numpy as np
from PIL import Image
import pytest

from experiments.configs import images_and_texts
from mmal_jax.data import paired_folder
from mmal_jax.data import unpaired_folder
from mmal_jax.experiment import datasets


def _image(folder, name, value):
  folder.mkdir(parents=True, exist_ok=True)
  Image.new('L', (4, 4), value).save(folder / name, 'PNG')


def _loose(folder, images, texts, tests=((250, 't'),)):
  for i, value in enumerate(images):
    _image(folder / 'images', f'{i}.png', value)
  (folder / 'texts.txt').write_text(''.join(f'{t}\n' for t in texts))
  rows = []
  for i, (value, text) in enumerate(tests):
    _image(folder / 'test', f't{i}.png', value)
    rows.append(json.dumps({'image': f't{i}.png', 'text': text}))
  (folder / 'test' / 'pairs.jsonl').write_text('\n'.join(rows))
  return dict(images=folder / 'images', texts=folder / 'texts.txt',
              test_pairs=folder / 'test' / 'pairs.jsonl', image_size=4)


def test_loose_items(tmp_path, caplog):
  arguments = _loose(
      tmp_path, [10, 20, 10, 250, 30, 20, 10], ['a', 'b', 'a', 'c', 'b'])
  with pytest.raises(ValueError, match='6 problem') as e:
    unpaired_folder.load(**arguments)
  way = ': delete one, or give drop_duplicates=True.'
  for what in ("image '2.png' is the same as '0.png'",
               "image '5.png' is the same as '1.png'",
               "image '3.png' is the same as 't0.png' of the test pairs",
               'line 3: the same text as line 1',
               'line 5: the same text as line 2'):
    assert what + way in str(e.value)
  with caplog.at_level(logging.WARNING):
    data = unpaired_folder.load(**arguments, drop_duplicates=True)
  assert data.pool.items['image'][:, 0, 0, 0].tolist() == [10, 20, 30]
  assert data.pool.items['text'] == ('a', 'b', 'c')
  assert data.test.items['image'][:, 0, 0, 0].tolist() == [250]
  assert ("4 images are left out as duplicates: image '2.png' is the same as "
          "'0.png'; ") in caplog.text
  assert '2 texts are left out as duplicates: line 3: the same text' in (
      caplog.text)


def test_against_numpy_on_random_items(tmp_path):
  rng = np.random.default_rng(4)
  images, texts = rng.integers(9, size=40), rng.integers(9, size=50)
  data = unpaired_folder.load(**_loose(
      tmp_path, images.tolist(), texts.tolist()), drop_duplicates=True)
  # In order of the paths, which is not that of the numbers.
  order = np.array(sorted(range(40), key=lambda i: f'{i}.png'))
  for values, found in (
      (images[order], data.pool.items['image'][:, 0, 0, 0].tolist()),
      (texts, [int(t) for t in data.pool.items['text']])):
    _, first = np.unique(values, return_index=True)
    assert found == values[np.sort(first)].tolist()


def test_test_pairs_that_stand_twice(tmp_path, caplog):
  arguments = _loose(tmp_path, [10], ['a'], [(250, 's'), (240, 't')])
  table = arguments['test_pairs']
  rows = table.read_text().splitlines()
  table.write_text('\n'.join([*rows, rows[1], rows[0], rows[1]]))
  with pytest.raises(ValueError, match='3 problem') as e:
    unpaired_folder.load(**arguments)
  for line, first in ((3, 2), (4, 1), (5, 2)):
    assert (f'line {line}: the same image and text as line {first}: delete one,'
            ' or give drop_duplicates=True.') in str(e.value)
  with caplog.at_level(logging.WARNING):
    data = unpaired_folder.load(**arguments, drop_duplicates=True)
  assert data.test.items['image'][:, 0, 0, 0].tolist() == [250, 240]
  assert data.test.items['text'] == ('s', 't')
  assert '3 rows are left out as duplicates: line 3: the same' in caplog.text


def test_nothing_is_left_when_all_are_of_the_test_set(tmp_path):
  arguments = _loose(tmp_path, [250, 250], ['a'])
  with pytest.raises(ValueError, match='all its images are in the test set'):
    unpaired_folder.load(**arguments, drop_duplicates=True)


def _pairs(folder, rows):
  for value in {row['image'] for row in rows}:
    _image(folder, value, int(value.split('.')[0]) % 100)
  (folder / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  return folder


def test_rows_of_a_table(tmp_path, caplog):
  rows = [{'image': f'{i}.png', 'text': t} for i, t in (
      (1, 'a'), (2, 'b'), (1, 'a'), (1, 'c'), (3, 'd'), (2, 'b'))]
  folder = _pairs(tmp_path, rows)
  with pytest.raises(ValueError, match='2 problem') as e:
    paired_folder.load(folder)
  assert ('line 3: the same image and text as line 1: delete one, or give '
          'drop_duplicates=True.') in str(e.value)
  with caplog.at_level(logging.WARNING):
    data = paired_folder.load(folder, drop_duplicates=True)
  assert sorted(data.pool.items['text'] + data.test.items['text']) == [
      'a', 'b', 'c', 'd']
  assert '2 rows are left out as duplicates: line 3' in caplog.text


def test_groups_are_left_out_whole(tmp_path, caplog):
  rows = [dict(image=f'{i}.png', text=t, group=g) for i, t, g in (
      (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'y'), (1, 'a', 'y'),
      (4, 'd', 'z'), (5, 'e', 'z'))]
  with caplog.at_level(logging.WARNING):
    data = paired_folder.load(
        _pairs(tmp_path, rows), drop_duplicates=True, test_fraction=0.4)
  assert sorted(data.pool.items['text'] + data.test.items['text']) == [
      'a', 'b', 'd', 'e']
  assert 'line 3: of the group of line 4' in caplog.text


def test_rows_whose_image_is_in_the_test_set(tmp_path, caplog):
  rows = [dict(image=f'{i}.png', text=t, split=s) for i, t, s in (
      (1, 'a', 'pool'), (2, 'b', 'pool'), (102, 'c', 'test'),
      (3, 'd', 'test'), (4, 'e', 'pretrain'), (104, 'f', 'test'))]
  folder = _pairs(tmp_path, rows)
  with pytest.raises(ValueError, match='2 problem') as e:
    paired_folder.load(folder)
  assert ("line 2: image '2.png' of pool is the same as '102.png' of test in "
          'line 3: delete one, or give drop_duplicates=True.'
          ) in str(e.value)
  with caplog.at_level(logging.WARNING):
    data = paired_folder.load(folder, drop_duplicates=True)
  assert data.pool.items['text'] == ('a',) and data.pretrain is None
  assert data.test.items['text'] == ('c', 'd', 'f')
  assert '2 rows are left out' in caplog.text


def test_no_pool_is_left(tmp_path):
  folder = _pairs(tmp_path, [
      dict(image='1.png', text='a', split='pool'),
      dict(image='101.png', text='b', split='test')])
  with pytest.raises(ValueError, match='pool and test are both needed'):
    paired_folder.load(folder, drop_duplicates=True)


def test_the_config_takes_it():
  for name in ('unpaired_folder', 'paired_folder'):
    config = images_and_texts.get_config(name)
    assert config.dataset.drop_duplicates is None
    config.dataset.drop_duplicates = True
    with pytest.raises(TypeError):
      config.dataset.drop_duplicates = 'yes'


@pytest.mark.parametrize('name', ['unpaired_folder', 'paired_folder'])
@pytest.mark.parametrize('load', [datasets.load_raw, datasets.load_seen])
def test_the_program_names_its_flag(tmp_path, name, load):
  config = images_and_texts.get_config(name)
  if name == 'unpaired_folder':
    for key, value in _loose(tmp_path, [10, 20], ['a', 'b', 'a']).items():
      config.dataset[key] = value if key == 'image_size' else str(value)
    line = 3
  else:
    config.dataset.folder = str(_pairs(tmp_path, [
        dict(image=f'{i % 4}.png', text=f'{i % 4}') for i in range(5)]))
    line = 5
  with pytest.raises(ValueError) as e:
    load(config, '')
  first, *_, last = str(e.value).splitlines()[1:]
  assert f'line {line}: the same ' in first
  assert first.endswith(': delete one, or give drop_duplicates=True.')
  assert last == ('  In the command, that is '
                  '--config.dataset.drop_duplicates=True.')
  config.dataset.drop_duplicates = True
  load(config, '')
  if name == 'paired_folder':  # No other error says so.
    (tmp_path / 'pairs.jsonl').write_text('{}')
    with pytest.raises(ValueError) as e:
      load(config, '')
    assert '--config' not in str(e.value)


def test_all_that_is_missing_is_said_at_once(tmp_path):
  (tmp_path / 'x.csv').write_text('')
  for images, texts, pairs in (
      (None, None, None),
      (tmp_path / 'gone', tmp_path / 'gone.txt', tmp_path / 'gone.jsonl'),
      (tmp_path / 'x.csv', tmp_path / 'x.csv', tmp_path)):
    with pytest.raises(ValueError, match='3 problem') as e:
      unpaired_folder.load(images, texts, pairs)
    for name in ('images=', 'texts=', 'test_pairs='):
      assert f'\n  {name}' in str(e.value)


def test_a_copy_under_another_name_is_a_duplicate(tmp_path, caplog):
  folder = _pairs(tmp_path, [
      dict(image=f'{i}.png', text=t) for i, t in (
          (1, 'a'), (2, 'b'), (101, 'a'), (3, 'c'), (102, 'not b'))])
  with pytest.raises(ValueError, match='1 problem') as e:
    paired_folder.load(folder)
  assert ("line 3: the same text as line 1, and '101.png' is a copy of "
          "'1.png'") in str(e.value)
  with caplog.at_level(logging.WARNING):
    data = paired_folder.load(folder, drop_duplicates=True)
  assert sorted(data.pool.items['text'] + data.test.items['text']) == [
      'a', 'b', 'c', 'not b']


def test_texts_of_test_pairs_have_no_image_in_the_pool(tmp_path, caplog):
  arguments = _loose(
      tmp_path, [10, 20], ['a', 's', 'b', 't'], [(250, 's'), (240, 't')])
  with pytest.raises(ValueError, match='2 problem') as e:
    unpaired_folder.load(**arguments)
  assert ('line 2: the same text as line 1 of the test pairs: delete one') in (
      str(e.value))
  with caplog.at_level(logging.WARNING):
    data = unpaired_folder.load(**arguments, drop_duplicates=True)
  assert data.pool.items['text'] == ('a', 'b')
  assert '2 texts are left out as duplicates: line 2' in caplog.text
