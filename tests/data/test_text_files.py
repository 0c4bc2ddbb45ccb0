"""One file of text is read one way by all programs, or refused in plain words.
"""

import codecs
import csv
import json
import logging
import os

import pytest

from mmal_jax.data import colorswap
from mmal_jax.data import feature_rows
from mmal_jax.data import features
from mmal_jax.data import karpathy
from mmal_jax.data import paired_folder
from mmal_jax.data import text_list
from mmal_jax.data import unpaired_folder
from mmal_jax.data.images import image_files
from mmal_jax.data.images import images
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import json_object
from mmal_jax.files import numpy_file
from mmal_jax.files import text_file
from tests.support import bad_images


@pytest.fixture
def read(tmp_path):
  """Texts of a file as `embed` and as `unpaired_folder` number them."""
  (tmp_path / 'images').mkdir()
  for name, seed in (('images/0.png', 0), ('t.png', 1)):
    (tmp_path / name).write_bytes(bad_images.noise(seed))
  (tmp_path / 'test.jsonl').write_text('{"image": "t.png", "text": "t"}')

  def call(content, name='texts.txt', table='test.jsonl'):
    (tmp_path / name).write_bytes(content)
    found = []
    for load in (text_list.texts_of, lambda path: list(unpaired_folder.load(
        tmp_path / 'images', path, tmp_path / table).pool.items['text'])):
      try:
        found.append(load(tmp_path / name))
      except ValueError as e:
        assert name in str(e) and "codec can't" not in str(e)
        found.append(str(e))
    return found
  return call


_ENCODINGS = {
    'UTF-8': (b'', 'utf-8'), 'UTF-8 with its mark': (b'', 'utf-8-sig'),
    'UTF-16 LE': (codecs.BOM_UTF16_LE, 'utf-16-le'),
    'UTF-16 BE': (codecs.BOM_UTF16_BE, 'utf-16-be'),
    'UTF-32 LE': (codecs.BOM_UTF32_LE, 'utf-32-le'),
    'UTF-32 BE': (codecs.BOM_UTF32_BE, 'utf-32-be')}


def _encoded(text, how):
  mark, encoding = _ENCODINGS[how]
  return mark + text.encode(encoding)


@pytest.mark.parametrize('how', _ENCODINGS)
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r', '\r\r\n'])
def test_encodings_and_ends_of_lines(read, how, end):
  texts = ['ein Hund', 'zwei Häuser \U0001f3e0', 'три кота', '犬',
           'a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g', ' around ']
  for last in ('', end):
    content = _encoded(end.join(texts) + last, how)
    assert read(content) == [texts, texts]
    assert read(content, 'TEXTS.TXT') == [texts, texts]


@pytest.mark.parametrize('how', _ENCODINGS)
def test_json_in_every_encoding(read, tmp_path, how):
  texts = ['a\u2028b', 'c\rd\ne', 'Häuser']
  lines = [json.dumps({'text': t}, ensure_ascii=False) for t in texts]
  for end in ('\n', '\r\n', '\r', '\n\n'):
    content = _encoded(end.join(lines), how)
    assert read(content, 'texts.jsonl') == [texts, texts]
  value = {'häuser': [1, 'é']}
  assert json_object.loads(_encoded(json.dumps(
      value, ensure_ascii=False), how)) == value


@pytest.mark.parametrize('name', [
    'a.jsonl', 'a.ndjson', 'a.jsonlines', 'A.NDJSON', 'a.b.JsonLines'])
def test_json_lines_by_every_name(read, tmp_path, name):
  for end in ('\n', '\r\n', '\n\n'):
    content = end.join(['{"text": "a kite"}', '{"text": "b\\nc"}']).encode()
    assert read(content, name) == [['a kite', 'b\nc']] * 2
  for said in read(b'{"text": "a"}\n{"caption": "b"}\n', name):
    assert "line 2: it has the fields ['caption']; 'text' alone" in said
  table = f't{name}'
  (tmp_path / table).write_bytes((tmp_path / 'test.jsonl').read_bytes())
  assert read(b'{"text": "a"}', name, table) == [['a']] * 2


@pytest.mark.parametrize('name', [
    'a.txt', 'a', 'a.jl', 'a.ldjson', 'a.jsonl.txt', 'a.md'])
def test_json_lines_by_another_name_are_refused(read, name):
  for said in read(b'{"text": "a kite"}\n{"text": "b"}\n', name):
    assert 'line 1 is an object of JSON, no text: name the file .jsonl' in said
  for texts in (
      ['a {"kite"}', '{"text": "b"}'], ['[1, 2]', '3'], ['{a}', '"b"']):
    assert read('\n'.join(texts).encode(), name) == [texts] * 2


@pytest.mark.parametrize('name', [
    'texts', 'a.text', 'a.md', 'train.en', 'a.caption', 'a.lst', 'A.TXT'])
def test_texts_by_every_name(read, name):
  assert read(b'a kite\na boat\n', name) == [['a kite', 'a boat']] * 2


@pytest.mark.parametrize('name', [
    'a.csv', 'a.json', 'a.xml', 'a.yaml', 'a.YML', 'a.html', 'a.ods'])
def test_what_is_no_list_by_its_name_is_refused(read, name):
  for said in read(b'["a kite"]\n', name):
    assert f'by its ending, .{name[2:]}: a .txt of one a line, or' in said


def test_a_folder_holds_a_text_in_each_file(tmp_path):
  for name, content in (
      ('2.txt', b'a boat\n'), ('10.txt', codecs.BOM_UTF16_LE
       + 'ein Käfer'.encode('utf-16-le')), ('1.TXT', b'a kite'),
      ('.hidden.txt', b'x'), ('notes.md', b'y')):
    (tmp_path / name).write_bytes(content)
  assert text_list.texts_of(tmp_path) == ['a kite', 'ein Käfer', 'a boat']
  (tmp_path / '3.txt').write_bytes(b'caf\xe9')
  os.mkfifo(tmp_path / '4.txt')
  with pytest.raises(ValueError) as found:
    text_list.texts_of(tmp_path)
  assert "'3.txt' cannot be read: not UTF-8" in str(found.value)
  assert '4.txt is no regular file' in str(found.value)


def test_what_is_no_file_of_texts_is_neither_waited_for_nor_read(
    tmp_path):
  (tmp_path / 'images').mkdir()
  (tmp_path / 'images' / '0.png').write_bytes(bad_images.noise(0))
  (tmp_path / 't.png').write_bytes(bad_images.noise(1))
  (tmp_path / 'test.jsonl').write_text('{"image": "t.png", "text": "t"}')
  os.mkfifo(tmp_path / 'pipe.txt')
  (tmp_path / 'folder.txt').mkdir()
  with (tmp_path / 'huge.txt').open('wb') as file:
    file.truncate(2**40)
  (tmp_path / 'lfs.txt').write_bytes(
      b'version https://git-lfs.github.com/spec/v1\noid sha256:' + b'0' * 64
      + b'\nsize 99\n')
  for name, says in (('pipe', 'is no regular file'),
                     ('folder', 'is no regular file'),
                     ('huge', 'has 1099511627776 bytes; at most 214748'),
                     ('lfs', 'run `git lfs pull` in')):
    path = tmp_path / f'{name}.txt'
    for load in (text_list.texts_of, lambda path: unpaired_folder.load(
        tmp_path / 'images', path, tmp_path / 'test.jsonl')):
      with pytest.raises(ValueError, match=f'{name}.txt. cannot be .*{says}'):
        load(path)


@pytest.mark.parametrize('encoding', ['utf-16-le', 'utf-16-be', 'utf-32-le'])
def test_json_needs_no_mark(encoding):
  assert json_object.loads('{"a": "é"}'.encode(encoding)) == {'a': 'é'}


@pytest.mark.parametrize('content,what', [
    (b'one\ntwo\nd\xe9j\xe0 vu\n', [
        'byte 0xe9 on line 3', 'save it as UTF-8', 'iconv -f latin1 -t utf-8']),
    (b'one\r\n\x93two\x94\r\n', ['byte 0x93 on line 2', 'iconv -f cp1252']),
    (b'one\rtwo\rd\xe9j\xe0', ['byte 0xe9 on line 3']),
    ('one\nzwei Häuser\n'.encode('utf-16-le'), [
        'utf-16le without a byte order mark', 'iconv -f utf-16le -t utf-8']),
    ('one\nzwei Häuser\n'.encode('utf-16-be'), ['utf-16be without']),
    (codecs.BOM_UTF16_LE + b'o\0n\0e\0\n', ['not UTF-16 text', 'on line 1']),
    (codecs.BOM_UTF32_LE + b'o\0\0\0n\0', ['not UTF-32 text']),
    (b'\x1f\x8b\x08' + bytes(30), ['packed by gzip: unpack it']),
    (b'\x04\x22\x4d\x18' + bytes(30), ['packed by lz4: unpack it']),
    (b'PK\3\4' + bytes(30), ['an office document']),
    (b'{\\rtf1\\ansi a kite}', ['RTF: save it as plain text']),
    (b'version https://git-lfs.github.com/spec/v1\noid x\n', ['git lfs pull']),
    (b'a kite\na boat\rat a pier\na dog\n', [
        'line 2: a lone carriage return', 'replace it']),
    (b'a\rb\r\nc', ['line 1: a lone carriage return']),
    (b'', ['']), (b'\n\n \n', ['']), (codecs.BOM_UTF16_LE, ['']),
])
def test_what_is_refused_is_refused_alike(read, content, what):
  for said in read(content):
    assert isinstance(said, str), said
    for part in what:
      assert part in said, said


def test_blank_lines_at_the_end_are_no_texts(read, caplog):
  with caplog.at_level(logging.WARNING):
    assert read(b'one\ntwo\n') == [['one', 'two']] * 2
    assert not caplog.text
    assert read(b'one\ntwo\n\n \n\r\n') == [['one', 'two']] * 2
  assert 'texts.txt: 3 blank line(s) at its end are left out, from line 3' in (
      caplog.text)
  rows, refused = read(b'one\n\ntwo\n')
  assert rows == ['one', '', 'two'] and "line 2: 'text' is ''" in refused


def test_marks_of_files_that_were_joined_are_no_letters(read):
  joined = ''.join(f'\ufeff{x}\r\n' for x in ('one', 'two')).encode()
  assert read(joined) == [['one', 'two']] * 2
  lines = ''.join(f'\ufeff{{"text": "{x}"}}\n' for x in 'ab').encode()
  assert read(lines, 'texts.jsonl') == [['a', 'b']] * 2


def test_embed_reads_json_lines_and_names_bad_ones(read, tmp_path):
  for said in read(b'{"text": "a"}\n{"text": 3}\n{"caption": "b"}\n["c"]',
                   'texts.jsonl'):
    for what in ("line 2: 'text' is 3", "line 3: it has the fields ['caption']",
                 "line 4: '[\"c\"]' is no object"):
      assert what in said
  for said in read(b'one\na\0b\n'):
    assert "line 2: 'text' holds a NUL" in said
  for name in ('a.csv', 'a.TSV', 'a.json', 'a.parquet'):
    for said in read(b'image,text\n0.png,a\n', name):
      assert '.txt' in said and '.jsonl' in said
  with pytest.raises(ValueError, match='gone.txt.* No such file') as e:
    text_list.texts_of(tmp_path / 'gone.txt')
  assert 'Errno' not in str(e.value)


@pytest.mark.parametrize('how', _ENCODINGS)
def test_tables_in_every_encoding(tmp_path, how):
  for i in range(3):
    (tmp_path / f'{i}.png').write_bytes(bad_images.noise(i))
  rows = [('0.png', 'ä\u2028b'), ('1.png', 'a\nb'), ('2.png', 'c, d')]
  table = 'image,text\r\n' + ''.join(f'{i},"{t}"\r\n' for i, t in rows)
  (tmp_path / 'pairs.CSV').write_bytes(_encoded(table, how))
  (tmp_path / 'pairs.jsonl').write_bytes(_encoded('\n'.join(
      json.dumps({'image': i, 'text': t}) for i, t in rows), how))
  (tmp_path / 'a.json').write_bytes(_encoded(json.dumps({'images': [
      {'filename': i, 'split': ('train', 'test', 'test')[k],
       'sentences': [{'raw': t}]} for k, (i, t) in enumerate(rows)]}), how))
  for data in (paired_folder.load(tmp_path, 'pairs.CSV'),
               paired_folder.load(tmp_path, 'pairs.jsonl'),
               karpathy.load(tmp_path / 'a.json', tmp_path, test_captions=1)):
    assert {*data.pool.items['text'], *data.test.items['text']} == {
        text for _, text in rows}


@pytest.mark.parametrize('name,content', [
    ('pairs.jsonl', b'{"image": "0.png",\n"text": "\xe9"}'),
    ('pairs.csv', b'image,text\n0.png,d\xe9j\xe0 vu\n'),
    ('a.json', b'{"images":\n["\xe9"]}')])
def test_tables_of_other_text_are_named(tmp_path, name, content):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(ValueError, match=(
      r'not UTF-8 text \(byte 0xe9 on line 2\): save it as UTF-8')) as e:
    if name == 'a.json':
      karpathy.load(tmp_path / name, tmp_path)
    else:
      paired_folder.load(tmp_path, name)
  assert name in str(e.value)


def test_the_separator_of_a_csv_is_named(tmp_path):
  for separator in ';\t|':
    (tmp_path / 'pairs.csv').write_text(
        f'image{separator}text\n0.png{separator}a\n')
    with pytest.raises(ValueError) as e:
      paired_folder.load(tmp_path, 'pairs.csv')
    assert f'as if {separator!r} stood between them' in str(e.value)


def _raises(error):
  def call(*_):
    raise error
  return call


@pytest.mark.parametrize('error,words', [
    (PermissionError(13, 'Permission denied', 'x'), 'Permission denied'),
    (OSError(5, 'Input/output error', 'x'), 'Input/output error'),
    (OSError(116, 'Stale file handle', 'x'), 'Stale file handle'),
    (ValueError('x has 9 bytes; at most 8 are read.'), 'at most 8 are read')])
def test_what_a_disk_says_is_said_in_words(tmp_path, monkeypatch, error, words):
  for name in ('a.json', 'a.txt', 'pairs.jsonl', 'test.json', 'train.json',
               'a.npy'):
    (tmp_path / name).write_bytes(b'x')
  part = image_files.Part(tmp_path / 'a.tar', 'a.png', 0, 1)
  for load in (
      lambda: text_list.texts_of(tmp_path / 'a.txt'),
      lambda: feature_rows.read(tmp_path / 'a.txt', 1, 'text'),
      lambda: karpathy.load(tmp_path / 'a.json', tmp_path),
      lambda: paired_folder.load(tmp_path),
      lambda: colorswap.load(tmp_path),
      lambda: image_files.digest(tmp_path / 'a.txt'),
      lambda: images.decode(tmp_path / 'a.txt'),
      lambda: image_files.content(part),
      lambda: features.load(tmp_path / 'a.npy', tmp_path / 'a.npy')):
    with monkeypatch.context() as patch:
      for module, name in ((durable, 'read'), (image_files.Part, 'read_bytes'),
                           (numpy_file, 'read')):
        patch.setattr(module, name, _raises(error))
      with pytest.raises(ValueError, match=f'cannot be read: .*{words}') as e:
        load()
    assert 'Errno' not in str(e.value) and '..' not in str(e.value)


@pytest.mark.parametrize('name', ['gone.npy', 'gone.npz', 'gone.parquet'])
def test_features_that_are_not_there(tmp_path, name):
  with pytest.raises(ValueError, match=(
      f'{name}. cannot be read: No such file or directory.$')):
    features.load(tmp_path / name, tmp_path / name)


@pytest.mark.parametrize('cell', [
    'x' * 131_073, 'a b\n' * 50_000, '\U0001f3e0, ' * 200_000])
def test_a_text_of_a_table_may_be_long(tmp_path, cell):
  rows = [('0.png', cell), ('1.png', 'b'), ('2.png', 'c')]
  limit = csv.field_size_limit()
  for i in range(3):
    (tmp_path / f'{i}.png').write_bytes(bad_images.noise(i))
  with (tmp_path / 'pairs.csv').open('w', newline='') as file:
    csv.writer(file).writerows([('image', 'text'), *rows])
  (tmp_path / 'pairs.jsonl').write_text('\n'.join(
      json.dumps({'image': i, 'text': t}) for i, t in rows))
  one, other = (paired_folder.load(tmp_path, f'pairs.{ending}', image_size=8)
                for ending in ('csv', 'jsonl'))
  for a, b in ((one.pool, other.pool), (one.test, other.test)):
    assert a.items['text'] == b.items['text']
  assert cell in one.pool.items['text'] + one.test.items['text']
  assert csv.field_size_limit() == limit  # Other readers keep theirs.


@pytest.mark.parametrize('before', [
    '\n', '\r\n\r\n', '\ufeff\n', ',\n,,,\n', '  \n\t\n', '"",""\n'])
def test_blank_lines_before_the_columns_of_a_table(tmp_path, before):
  for i in range(3):
    (tmp_path / f'{i}.png').write_bytes(bad_images.noise(i))
  path = tmp_path / 'pairs.csv'
  table = before + 'image,text\n0.png,a\n\n1.png,b\n  \n2.png,c\n'
  path.write_bytes(table.encode())
  data = paired_folder.load(tmp_path, 'pairs.csv', image_size=8)
  assert {*data.pool.items['text'], *data.test.items['text']} == {*'abc'}
  first = before.count('\n') + 1
  path.write_bytes(table.replace('text', 'words').encode())
  with pytest.raises(ValueError, match=f'line {first}: the columns are .*word'):
    paired_folder.load(tmp_path, 'pairs.csv')
  path.write_bytes(table.replace(',b', ',').encode())
  with pytest.raises(ValueError, match=f"line {first + 3}: 'text' is ''"):
    paired_folder.load(tmp_path, 'pairs.csv')


@pytest.mark.parametrize('content', ['', '\n\n', ',,\n', ' '])
def test_a_table_of_nothing_has_no_columns(tmp_path, content):
  (tmp_path / 'pairs.csv').write_text(content)
  with pytest.raises(ValueError, match=r'line 1: the columns are \[\]'):
    paired_folder.load(tmp_path, 'pairs.csv')


def test_lines_by_hand():
  for content, expected in (
      (b'', []), (b'\n', ['']), (b'a', ['a']), (b'a\n\n', ['a', '']),
      (b'\r', ['']), (b'a\r', ['a']), (b'a\r\r', ['a', '']),
      (b'\r\n\r\n', ['', '']), ('é\x85'.encode(), ['é\x85'])):
    problems = []
    assert text_file.lines(content, problems) == expected and not problems
  problems = []
  assert not list(json_lines.read(b'{"a":\r1}\n', 'x.jsonl', problems))
  assert len(problems) == 1
  assert problems[0].startswith('x.jsonl: line 1: a lone carriage return')
