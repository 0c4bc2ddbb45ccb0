"""Pools that are loose indeed: their files, and what can be wrong with them."""

import json

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import registry
from mmal_jax.data import schema
from mmal_jax.data import unpaired_folder
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess


def _image(path, value, suffix='PNG'):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new('L', (8, 8), value).save(path, suffix)


def _files(folder, texts='ein Hund\nein Haus\r\nzwei Häuser\n'):
  for i, name in enumerate(['b.png', 'a.png', 'deep/er/c.PNG', 'd.webp']):
    _image(folder / 'images' / name, 40 * i, name[-4:].strip('.').upper())
  (folder / 'images' / 'notes.txt').write_text('x')
  (folder / 'images' / '.thumbs').mkdir()
  (folder / 'images' / '.thumbs' / 'x.png').write_bytes(b'x')
  (folder / 'texts.txt').write_bytes(texts.encode())
  rows = []
  for i in range(2):
    _image(folder / 'test' / f'{i}.png', 200 + i)
    rows.append({'image': f'{i}.png', 'text': f'test {i}', 'group': 'g'})
  _table(folder, rows)
  return dict(images=folder / 'images', texts=folder / 'texts.txt',
              test_pairs=folder / 'test' / 'pairs.jsonl')


def _table(folder, rows):
  (folder / 'test' / 'pairs.jsonl').write_text(
      '\n'.join(map(json.dumps, rows)))


def test_pools_of_different_lengths(tmp_path):
  arguments = _files(tmp_path)
  data = registry.DATASETS['unpaired_folder'](**arguments, image_size=8)
  assert isinstance(data.pool, schema.Loose) and data.pretrain is None
  images = data.pool.items['image']
  assert images.shape == (4, 8, 8, 3) and images.dtype == np.uint8
  np.testing.assert_allclose(images[:, 0, 0, 0], [40, 0, 120, 80], atol=2)
  assert data.pool.items['text'] == ('ein Hund', 'ein Haus', 'zwei Häuser')
  assert len(data.pool) == 7
  assert data.test.items['text'] == ('test 0', 'test 1')
  assert data.test.groups.tolist() == [0, 0]
  np.testing.assert_array_equal(
      data.test.items['image'][:, 0, 0, 0], [200, 201])
  lazy = unpaired_folder.load(
      **arguments, preprocess=preprocess.Preprocess(4, 4))
  for pairs, n in ((lazy.pool, 4), (lazy.test, 2)):
    files = pairs.items['image']
    assert isinstance(files, image_files.ImageFiles) and len(files) == n
  assert lazy.test.items['image'].take(np.array([1])).max() == 201


def test_texts_as_json_lines(tmp_path):
  arguments = _files(tmp_path)
  path = arguments['texts'].with_suffix('.jsonl')
  path.write_text('\n'.join(json.dumps({'text': t}) for t in ('a\nb', 'c')))
  data = unpaired_folder.load(**arguments | {'texts': path})
  assert data.pool.items['text'] == ('a\nb', 'c')


_BAD_LINES = """{"text": 3}

{"text": "a"
["a"]
{"text": "a", "id": 1}
{"text": "a", "text": "b"}
"""


@pytest.mark.parametrize('name,content,found', [
    ('x.txt', 'one\n\ntwo\n  \none\n', [
        "line 2: 'text' is ''", "line 4: 'text' is '  '",
        'line 5: the same text as line 1', '3 problem(s)']),
    ('x.txt', '', ['it holds no text']),
    ('x.txt', 'a\0b', ['line 1: .text. holds a NUL'.replace('.', "'")]),
    ('x.jsonl', _BAD_LINES, [
        "line 1: 'text' is 3", 'line 3: bad JSON',
        "line 4: '[\"a\"]' is no object",
        "line 5: it has the fields ['text', 'id']", 'line 6: bad JSON',
        '5 problem(s)']),
    ('x.jsonl', '\n\n', ['it holds no text']),
    ('x.csv', 'a', ['a .txt of one a line, or a .jsonl']),
    ('x.txt', None, ['cannot be read']),
    ('x.txt', b'a\n\xff', ['x.txt: not UTF-8', 'byte 0xff on line 2']),
    ('x.jsonl', b'\xff\xff', ['x.jsonl: not UTF-8', '1 problem(s)']),
])
def test_bad_texts(tmp_path, name, content, found):
  arguments = _files(tmp_path) | {'texts': tmp_path / name}
  if content is not None:
    (tmp_path / name).write_bytes(
        content if isinstance(content, bytes) else content.encode())
  with pytest.raises(ValueError) as e:
    unpaired_folder.load(**arguments)
  for what in found:
    assert what in str(e.value), (what, e.value)


def test_problems_of_all_files_are_said_together(tmp_path):
  arguments = _files(tmp_path, 'one\none\n')
  (arguments['images'] / 'deep' / 'bad.jpg').write_bytes(b'x')
  _table(tmp_path, [{'image': 'gone.png', 'text': 'x'}])
  with pytest.raises(ValueError) as e:
    unpaired_folder.load(**arguments)
  for what in ("images: deep/bad.jpg: image 'bad.jpg' cannot be read",
               'texts.txt: line 2: the same text as line 1',
               "pairs.jsonl: line 1: image 'gone.png' does", '3 problem(s)'):
    assert what in str(e.value), (what, e.value)


def test_bad_images(tmp_path):
  arguments = _files(tmp_path)
  folder = arguments['images']
  (folder / 'bad.jpg').write_bytes(b'x')
  (folder / 'copy.png').write_bytes((folder / 'a.png').read_bytes())
  (folder / 'test.png').write_bytes((tmp_path / 'test/1.png').read_bytes())
  with pytest.raises(ValueError) as e:
    unpaired_folder.load(**arguments)
  for what in ("image 'bad.jpg' cannot be read", "'copy.png' is the same as "
               "'a.png': delete one, or give "
               'drop_duplicates=True.',
               "'test.png' is the same as '1.png' of the test",
               '3 problem(s)'):
    assert what in str(e.value), (what, e.value)
  (tmp_path / 'empty').mkdir()
  for images, what in ((tmp_path / 'empty', 'no image'),
                       (tmp_path / 'gone', 'no folder')):
    with pytest.raises(ValueError, match=what):
      unpaired_folder.load(**arguments | {'images': images})


def test_links_may_lead_elsewhere_in_the_folder_but_not_out_of_it(tmp_path):
  arguments = _files(tmp_path)
  folder = arguments['images']
  (folder / 'a.png').rename(folder / 'deep' / 'a.img')
  (folder / 'a.png').symlink_to('deep/a.img')
  assert unpaired_folder.load(**arguments).pool.items['image'].shape[0] == 4
  _image(tmp_path / 'secret.png', 7)
  (folder / 'deep' / 'out.png').symlink_to(tmp_path / 'secret.png')
  (folder / 'broken.png').symlink_to('gone.png')
  (folder / 'loop.png').symlink_to('loop.png')
  (folder / 'folder.png').mkdir()
  with pytest.raises(ValueError) as e:
    unpaired_folder.load(**arguments)
  way = ': it is a link, put the file itself there.'
  for what in (f"images: image 'deep/out.png' lies outside the folder{way}",
               f"images: image 'broken.png' does not exist{way}",
               "images: image 'loop.png' cannot be found", '3 problem(s)'):
    assert what in str(e.value), (what, e.value)


@pytest.mark.parametrize('rows,what', [
    ([{'image': '0.png', 'text': 'x', 'split': 'pool'}], "'split' is 'pool'"),
    ([{'image': 'x.png', 'text': 'x'}], 'line 1: image .x.png. does not exist'),
    ([{'image': '0.png', 'text': 'x', 'group': 1}], 'must be two rows'),
    ([], 'it holds no rows')])
def test_bad_test_pairs(tmp_path, rows, what):
  arguments = _files(tmp_path)
  _table(tmp_path, rows)
  with pytest.raises(ValueError, match=what):
    unpaired_folder.load(**arguments)


def test_test_pairs_may_say_that_they_are(tmp_path):
  arguments = _files(tmp_path)
  _table(tmp_path, [{'image': '1.png', 'text': 'x', 'split': 'test'}])
  assert len(unpaired_folder.load(**arguments).test) == 1


@pytest.mark.parametrize('texts,tests', [
    (['s'], ['s']), (['t', 's'], ['s', 't']), (['s', 's', 's'], ['t', 's'])])
@pytest.mark.parametrize('ending', ['.txt', '.jsonl'])
def test_a_pool_of_texts_that_are_all_in_test_pairs_is_empty(
    tmp_path, texts, tests, ending):
  arguments = _files(tmp_path)
  _table(tmp_path, [{'image': f'{i}.png', 'text': text}
                    for i, text in enumerate(tests)])
  arguments['texts'] = tmp_path / f'given{ending}'
  arguments['texts'].write_text('\n'.join(
      json.dumps({'text': text}) if ending == '.jsonl' else text
      for text in texts))
  with pytest.raises(ValueError, match=(
      rf'(?s)1 problem.*given{ending}: all its texts are in the test pairs, too'
      )):
    unpaired_folder.load(**arguments, drop_duplicates=True)
  arguments['texts'].write_text('{"text": "u"}' if ending == '.jsonl' else 'u')
  data = unpaired_folder.load(**arguments, drop_duplicates=True)
  assert data.pool.items['text'] == ('u',)
