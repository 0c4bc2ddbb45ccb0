"""Bad tables of pairs, texts and annotations: see `tests.hostile.hostile`."""

import json
import os
import pathlib

from mmal_jax.data import colorswap
from mmal_jax.data import karpathy
from mmal_jax.data import paired_folder
from mmal_jax.data import prompts
from mmal_jax.data import splits
from mmal_jax.data import unpaired_folder
from mmal_jax.files import json_lines
from tests.hostile import hostile
from tests.support import bad_images

_GOOD = b'{"image": "0.png", "text": "a"}\n{"image": "1.png", "text": "b"}'


def _folder(folder: pathlib.Path, images: int = 2) -> pathlib.Path:
  inside = folder / 'data'
  inside.mkdir()
  for i in range(images):
    (inside / f'{i}.png').write_bytes(bad_images.noise(i))
  return inside


def _table(content: bytes | str, name: str = 'pairs.jsonl'):
  """Reads it as a table of pairs, beside two images."""
  def read(folder: pathlib.Path):
    inside = _folder(folder)
    (inside / name).write_bytes(
        content if isinstance(content, bytes) else content.encode())
    found = paired_folder.load(inside, name, test_fraction=0.5)
    texts = (*found.pool.items['text'], *found.test.items['text'])
    return f'{len(texts)} pairs, the longest text of {max(map(len, texts))}'
  return read


def _row(**changes: object):
  """A good row, and one with changes."""
  row = {'image': '1.png', 'text': 'b'} | changes
  return _table(_GOOD.split(b'\n')[0] + b'\n' + json.dumps(row).encode())


def _of_file(make):
  """`make` puts something in the table's place."""
  def read(folder: pathlib.Path):
    inside = _folder(folder)
    make(inside / 'pairs.jsonl')
    return paired_folder.load(inside)
  return read


def _secret(path: pathlib.Path) -> None:
  outside = path.parent.parent / 'secret'
  outside.write_text('password\n')
  path.symlink_to(outside)


def _sparse(path: pathlib.Path) -> None:
  with path.open('wb') as file:
    file.truncate(2**40)


def _million(folder: pathlib.Path):
  """One bad line behind a million good ones."""
  del folder
  problems: list[str] = []
  content = b'{"text":"a"}\n' * 10**6 + b'{"text":"'
  rows = sum(1 for _ in json_lines.read(content, 'pairs.jsonl', problems))
  assert rows == 10**6
  raise ValueError('\n'.join(problems))


def _texts(content: bytes, name: str = 'texts.txt'):
  def read(folder: pathlib.Path):
    inside = _folder(folder)
    test = folder / 'test'
    test.mkdir()
    (test / 't.png').write_bytes(bad_images.noise(9))
    (test / 'pairs.jsonl').write_bytes(b'{"image": "t.png", "text": "t"}')
    (folder / name).write_bytes(content)
    found = unpaired_folder.load(inside, folder / name, test / 'pairs.jsonl')
    return f'{len(found.pool.items["text"])} texts'
  return read


def _karpathy(content: bytes | str):
  def read(folder: pathlib.Path):
    path = folder / 'dataset.json'
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode())
    found = karpathy.load(path, _folder(folder), test_captions=1)
    return f'{len(found.pool)} pairs'
  return read


def _image(**changes: object):
  """Annotations of two images, one of them changed."""
  images = [{'filename': f'{i}.png', 'split': split,
             'sentences': [{'raw': f'caption {i}'}]}
            for i, split in enumerate(('train', 'test'))]
  images[0] |= changes
  return _karpathy(json.dumps({'images': images}))


def _swap(make):
  """Examples of ColorSwap's JSON, changed; images are none of theirs."""
  def read(folder: pathlib.Path):
    inside = _folder(folder, 4)
    for i, split in enumerate(('train', 'test')):
      example = {'id': i, 'caption_1': 'a', 'caption_2': 'b',
                 'image_1': f'{2 * i}.png', 'image_2': f'{2 * i + 1}.png'}
      make(example)
      (inside / f'{split}.json').write_text(json.dumps([example]))
    found = colorswap.load(inside)
    return f'{len(found.pool)} pairs'
  return read


CASES = [
    hostile.Case('paired_folder', *case) for case in (
        ('no bytes', _table(b''), 'it holds no rows'),
        ('blank lines alone', _table(b'\n' * 10**5), 'it holds no rows'),
        ('a last line without an end', _table(_GOOD), None),
        ('Windows line ends', _table(_GOOD.replace(b'\n', b'\r\n')), None),
        ('old Macintosh line ends', _table(_GOOD.replace(b'\n', b'\r')),
         None),
        ('a lone carriage return', _table(_GOOD.replace(b'\n', b'\r') + b'\n'),
         'line 1: a lone carriage return'),
        ('a byte order mark', _table(b'\xef\xbb\xbf' + _GOOD), None),
        ('UTF-16', _table(_GOOD.decode().encode('utf-16')), None),
        ('UTF-16 without its mark', _table(_GOOD.decode().encode('utf-16-le')),
         'but utf-16le without a byte order mark'),
        ('Latin-1', _table(_GOOD.replace(b'"b"', b'"\xe9"')), 'not UTF-8 text'),
        ('binary', _table(bytes(range(256))), 'not UTF-8 text'),
        ('gzip', _table(b'\x1f\x8b\x08' + bytes(20)), 'not UTF-8 text'),
        ('cut within a line', _table(_GOOD[:-5]), 'line 2: bad JSON'),
        ('a list a line', _table(b'["0.png", "a"]'), 'is no object'),
        ('brackets, a million deep', _table(b'[' * 10**6),
         'line 1: bad JSON: lists and objects are nested more than'),
        ('a text of lists, 900 deep',
         _table(b'{"image": "0.png", "text": ' + b'[' * 900 + b']' * 900
                + b'}'), 'line 1: bad JSON: lists and objects are nested'),
        ('an integer of 5000 digits', _table(
            b'{"image": "0.png", "text": "a", "group": ' + b'1' * 5000 + b'}'),
         'line 1: bad JSON: an integer has thousands of digits'),
        ('NaN for a text', _table(b'{"image": "0.png", "text": NaN}'),
         "line 1: 'text' is nan, not a text"),
        ('a number for a text', _row(text=7), "'text' is 7, not a text"),
        ('true for a group', _row(group=True), 'not a string or integer'),
        ('a list for a split', _row(split=['test']), "is ['test'], not one of"),
        ('a text of a million numbers', _row(text=list(range(10**6))),
         "line 2: 'text' is [0, 1"),
        ('half a surrogate pair', _row(text='\ud800'), 'half a surrogate pair'),
        ('a NUL in a text', _row(text='a\0b'), 'a NUL'),
        ('a NUL in a path', _row(image='1.png\0'), 'a NUL'),
        ('letters that ring and clear the screen', _row(text='\x07\x1b[2Jx'),
         None),
        ('a text of a megabyte', _row(text='word ' * 200000), None),
        ('a blank text', _row(text=' \u3000\n'), "line 2: 'text' is"),
        ('a field twice', _table(_GOOD + b'\n{"text": "c", "text": "d"}'),
         'line 3: bad JSON: a field appears twice'),
        ('an unknown field that is long', _row(**{'x' * 10**5: 1}),
         'line 2: unknown field'),
        ('a path up', _row(image='../../../etc/passwd'), 'lies outside'),
        ('a path from the root', _row(image='/etc/passwd'), 'lies outside'),
        ('a path with backslashes', _row(image='..\\..\\x.png'),
         'does not exist'),
        ('a path of a megabyte', _row(image='a/' * 500000), 'cannot be found'),
        ('the table as an image', _row(image='pairs.jsonl'),
         'it is none of these'),
        ('the same row 20000 times',
         _table((_GOOD.split(b'\n')[0] + b'\n') * 20000),
         'has 19999 problem(s)'),
        ('one group of all rows', _table(b''.join(
            b'{"image": "0.png", "text": "%d", "group": 1}\n' % i
            for i in range(5000))), "group '1' must be two rows"),
        ('a pipe', _of_file(os.mkfifo), 'is no regular file'),
        ('a folder', _of_file(os.mkdir), 'is no regular file'),
        ('a link out of the folder', _of_file(_secret),
         'it is a link that leads out of its folder'),
        ('a link to /dev/zero', _of_file(
            lambda path: path.symlink_to('/dev/zero')), 'leads out'),
        ('a link to itself', _of_file(lambda path: path.symlink_to(path)),
         'cannot be read'),
        ('a terabyte of nothing', _of_file(_sparse), '2147483648 are read'),
        ('CSV: a quote without an end',
         _table(b'image,text\n0.png,"a\n', 'pairs.csv'), 'line 2: bad CSV'),
        ('CSV: a column too many', _table(
            b'image,text\n0.png,a,b\n', 'pairs.csv'), '3 cells, but 2 columns'),
        ('CSV: a column too few', _table(
            b'image,text\n0.png\n', 'pairs.csv'), "'text' is missing"),
        ('CSV: a column twice', _table(
            b'image,text,text\n0.png,a,b\n', 'pairs.csv'), 'none may appear'),
        ('CSV: a megabyte in a cell', _table(
            b'image,text\n0.png,b\n1.png,' + b'a' * 10**6, 'pairs.csv'), None),
        ('CSV: a hundred thousand columns', _table(
            b'image,text,' + b'x,' * 10**5, 'pairs.csv'),
         'line 1: the columns'),
    )
] + [
    hostile.Case('json_lines', 'one bad line behind a million', _million,
                 'pairs.jsonl, line 1000001: bad JSON'),
] + [
    hostile.Case('unpaired_folder', *case) for case in (
        ('a text that is blank', _texts(b'a\n\nb\n'), "line 2: 'text' is ''"),
        ('a text twice', _texts(b'a\nb\na\n'), 'the same text as line 1'),
        ('texts with a NUL', _texts(b'a\0\n'), 'holds a NUL'),
        ('Windows line ends', _texts(b'a\r\nb\r\n'), None),
        ('fields that are not asked for',
         _texts(b'{"text": "a", "label": "b"}', 'texts.jsonl'),
         "'text' alone is needed"),
        ('numbers in JSON lines', _texts(b'{"text": 1}', 'texts.jsonl'),
         "'text' is 1, not a text"),
    )
] + [
    hostile.Case('karpathy', *case) for case in (
        ('no JSON', _karpathy('nonsense'), 'it cannot be read'),
        ('a list', _karpathy('[]'), "no list of 'images'"),
        ('deep', _karpathy('{"images":' * 10**5), 'nested more than'),
        ('the images twice', _karpathy('{"images": [1], "images": [2]}'),
         "a field appears twice: 'images'"),
        ('a list for a split', _image(split=[]), "image 0: 'split' is []"),
        ('an unknown split', _image(split='x' * 10**5), "'split' is 'xxx"),
        ('a path up', _image(filename='../../etc/passwd'), 'lies outside'),
        ('a folder up', _image(filepath='..', filename='dataset.json'),
         'lies outside'),
        ('a folder that is a number', _image(filepath=3),
         "'filepath' is 3, not a text"),
        ('half a surrogate pair', _image(sentences=[{'raw': '\udc80'}]),
         "'raw' holds a NUL or half a surrogate pair"),
        ('sentences that are one text', _image(sentences='abc'),
         'no list of captions'),
        ('sentences of texts', _image(sentences=['abc']), "'raw' is missing"),
        ('an image that is a number', _karpathy('{"images": [7]}'),
         'image 0: it is no object'),
        ('the same file twice', _image(filename='1.png'), 'the same file as'),
    )
] + [
    hostile.Case('colorswap', *case) for case in (
        ('an id that is true', _swap(lambda row: row.update(id=True)),
         "'id' is True, not an integer"),
        ('an id that is an object',
         _swap(lambda row: row.update(id={'a': 1})), 'not an integer'),
        ('a caption that is missing', _swap(lambda row: row.pop('caption_2')),
         "'caption_2' is missing"),
        ('a path up', _swap(lambda row: row.update(image_1='../x')),
         'lies outside'),
    )
] + [
    hostile.Case('prompts', 'a class in braces', lambda _: prompts.of_classes(
        ['{0.__class__}'], ['a {}.']), None),
    hostile.Case('prompts', 'a template without a place',
                 lambda _: prompts.of_classes(['cat'], ['{0}']),
                 'once in each'),
    hostile.Case('splits', 'a share that is no number', lambda _: (
        splits.hold_out([(1,), (2,)], float('nan'), 0)), 'strictly between'),
]
