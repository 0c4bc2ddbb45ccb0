"""The one reader of CSV tables: of pairs, and of answers."""

import csv
import io
import re

import numpy as np
import pytest

from mmal_jax.data import paired_folder
from mmal_jax.files import csv_table
from mmal_jax.oracles.people import records
from tests.support import bad_images

_ROWS = [{'image': '0.png', 'text': 'a'}, {'image': '1.png', 'text': 'b'}]


def _read(text, **options):
  """The rows, and what is wrong."""
  problems: list[str] = []
  content = text if isinstance(text, bytes) else text.encode()
  table = csv_table.read(content, None, problems, **options)
  rows = [] if table is None else [cells for _, cells in table.rows]
  return rows, problems


def test_against_pythons_reader_on_random_tables():
  rng = np.random.default_rng(5)
  broken = 0
  for _ in range(3000):
    body = ''.join(rng.choice(
        list('aab"",,\n\r ;'), rng.integers(1, 25)).tolist())
    text = 'w,x,y,z\n' + body
    try:
      expected = [dict(zip('wxyz', row)) for row in csv.reader(
          io.StringIO(text, newline=''), strict=True)][1:]
      expected = [row for row in expected if ''.join(row.values()).strip()]
    except csv.Error:
      expected = None
    rows, problems = _read(text)
    if expected is None:
      broken += 1
      # Blanks after a quoted cell are taken, of which Python's makes an error.
      assert re.search(r'" +([,\r\n]|$)', text) or any(
          'bad CSV' in one for one in problems)
    elif not problems:
      assert rows == expected
    else:
      assert all('cells, but 4 columns' in one for one in problems)
  assert 300 < broken < 2700


@pytest.mark.parametrize('text', [
    'image,text\n0.png,a\n1.png,b', '\ufeffimage,text\r\n0.png,a\r\n1.png,b',
    '\ufeff\ufeffimage,text\r0.png,a\r1.png,b', 'image,text,\n0.png,a\n1.png,b',
    'image, text\n0.png, a\n1.png, b\n', 'image ,text \n0.png,a\n1.png,b\n',
    'image, "text"\n0.png, "a"\n1.png, "b"\n',
    'image,,text,,\n,,,,\n0.png,,a,,\n ,\n1.png,,b, ,,,\n',
    '\n,,\nimage,text\n\n0.png,a\n,\n1.png,b\n,,,\n'])
@pytest.mark.parametrize('sep', ['', *csv_table.SEPARATORS])
def test_forms_of_one_table(text, sep):
  if not sep:
    assert _read(text, separators=',') == (_ROWS, [])
    return
  assert _read(text.replace(',', sep)) == (_ROWS, [])


def test_blanks_around_cells_are_no_part_of_them():
  for text in ('image , text , group\n0.png , a kite , g1\n1.png, b ,g1 \n',
               '"image" ,"text" ,"group"\n"0.png" ,"a kite" ,g1\n'
               '1.png,b,g1\n'):
    problems = []
    table = csv_table.read(text.encode(), None, problems)
    assert [row for _, row in table.rows] == [
        {'image': '0.png', 'text': 'a kite', 'group': 'g1'},
        {'image': '1.png', 'text': 'b', 'group': 'g1'}], problems


@pytest.mark.parametrize('line,sep', [
    ('sep=,', ','), ('sep=;', ';'), ('"sep=;"', ';'), ('SEP=|', '|'),
    ('sep=\t', '\t'), ('"sep=\t"', '\t'), ('sep=\t\t\t', '\t'),
    ('sep=,,,', ','), ('sep=;;', ';'), ('"sep=,",,', ','), ('sep=;  ', ';'),
    ('sep=^', '^'), ('sep=~', '~'), ('sep=:', ':'), ('sep=\\', '\\'),
    ('sep=]', ']'), ('sep=-', '-'), ('\ufeffsep=;', ';'), ('\n\nsep=;', ';'),
    ('sep=;,,,', ','), ('"sep=,";;', ';'),  # saved by one who knew it not
    ('sep=', ';'), ('sep= ', '\t'), ('"sep="', ',')])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_the_line_that_states_the_separator(line, sep, end):
  text = end.join([line, f'image{sep}text', f'0.png{sep}a', f'1.png{sep}b', ''])
  assert _read(text) == (_ROWS, [])
  first = line.count('\n') + 1
  problems: list[str] = []
  table = csv_table.read(text.encode(), 'x.csv', problems)
  if '\n' not in line:
    assert table.place == f'x.csv, line {first + 1}'
    assert [place for place, _ in table.rows] == [
        'x.csv, line 3', 'x.csv, line 4']


@pytest.mark.parametrize('line,found', [
    ('sep=q', 'q'), ('sep=7', '7'), ('sep=\u00e9', '\u00e9'), ('"sep=x"', 'x'),
    ('sep="', '"'), ('sep=tab', 'tab'), ('sep=,;,', ',;,'), ('sep=\0', '\0'),
    ('sep=\u4e00', '\u4e00'), ('sep=q,,', 'q')])
@pytest.mark.parametrize('separators', [',', csv_table.SEPARATORS])
def test_what_cannot_separate_cells_is_refused(line, found, separators):
  rows, (problem,) = _read(
      f'\n{line}\nimage{found}text\n', separators=separators)
  assert rows == [] and problem.startswith('line 2: ')
  assert 'one sign, no letter, digit or quote: write sep=,' in problem


@pytest.mark.parametrize('content', [
    '', 'sep=', 'sep=,', 'sep=\t\n', '\ufeffsep=;\r\n', 'sep=;;;\n;;;\n',
    '\ufeff', 'sep=\n', ' \n,\n'])
def test_a_table_of_nothing(tmp_path, content):
  (tmp_path / 'pairs.csv').write_text(content)
  with pytest.raises(ValueError, match=r'line 1: the columns are \[\]'):
    paired_folder.load(tmp_path, 'pairs.csv')
  notes: list[str] = []
  problems: list[str] = []
  assert not list(records.read(
      content.encode(), 'x.csv', '.csv', notes, problems))
  assert (notes, problems) == (['x.csv: empty.'], [])


@pytest.mark.parametrize('text,says', [
    ('a,b\n1,2,3\n', "line 2: 3 cells, but 2 columns: put a cell that holds"),
    ('a,,b\n\n1,2,3\n', "line 3: column 2 has no name, but holds '2'"),
    ('a,b\n"x\ny",2\n1,"2', 'line 4: bad CSV: a quote that is opened is never'),
    ('a,b\n"x"y,2\n', 'line 2: bad CSV: a quote within a cell must be doubled'),
    ('a, b\n1, "2"3\n', 'line 2: bad CSV: a quote within a cell must be do'),
    ('"a,b\n1,2\n', 'line 1: bad CSV: a quote that is opened is never closed'),
    ('a,b\n1' + ',' * 2**17 + ',', 'line 2: bad CSV: more than 131072 cells'),
    ('a,b\n"1"' + ',"2"' * 2**17 + ',', 'line 2: bad CSV: more than 131072 c'),
    (',' * 2**18, 'line 1: bad CSV: more than 131072 cells'),
    ('a,a\n1,2\n', 'line 1: a column appears twice'),
    ('a ,b, a\n1,2\n', 'line 1: a column appears twice'),
    (b'a,b\n\xe9,2\n', 'not UTF-8 text (byte 0xe9 on line 2)')])
def test_tables_that_are_wrong(text, says):
  rows, (problem,) = _read(text)
  assert problem.startswith(says) and len(rows) == ('x\ny' in str(text))


def test_a_cell_may_be_as_long_as_the_file_for_all():
  """Also for answers, and no other reader of the process comes to see it."""
  limit = csv.field_size_limit()
  cells = {'query': 'x' * 300_000, 'answer': 'a "b", c\n' * 40_000}
  file = io.StringIO(newline='')
  csv.writer(file).writerows([cells.keys(), cells.values(), cells.values()])
  problems: list[str] = []
  found = records.read(
      file.getvalue().encode(), 'x.csv', '.csv', [], problems)
  assert next(found) == ('x.csv, line 2', cells)
  assert csv.field_size_limit() == limit
  assert next(found) == ('x.csv, line 40003', cells) and not problems


@pytest.mark.parametrize('text', [
    'sep=;\nimage;text\n0.png;a\n1.png;b\n2.png;c, d\n',
    'image, text\n0.png, a\n1.png, b\n2.png, "c, d"\n',
    'sep=\t\t\t\nimage\ttext\t\t\n0.png\ta\t\t\n1.png\tb\t\t\n2.png\tc, d\n',
    'image,text,,\n0.png,a,,\n,,,\n1.png,b,,\n2.png,"c, d",,\n'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_pairs_of_such_tables(tmp_path, text, end):
  for i in range(3):
    (tmp_path / f'{i}.png').write_bytes(bad_images.noise(i))
  (tmp_path / 'pairs.csv').write_bytes(text.replace('\n', end).encode())
  data = paired_folder.load(tmp_path, 'pairs.csv', image_size=8)
  assert {*data.pool.items['text'], *data.test.items['text']} == {
      'a', 'b', 'c, d'}
