"""JSON lines: written and read back, and every bad line named."""

import pytest

from mmal_jax.data import paired_folder
from mmal_jax.files import json_lines
from mmal_jax.oracles.people import ledger


def test_what_is_written_is_read_back():
  records = [{'a': 'é\u2028\n', 'b': None}, {}, {'c': [1, {'d': 2.5}]}]
  problems = []
  found = json_lines.read(json_lines.dump(records).encode(), None, problems)
  assert list(found) == [
      (f'line {i}', record) for i, record in enumerate(records, 1)]
  assert not problems


def test_bad_lines_are_named_and_the_others_kept():
  content = b'{"a": 1}\r\n\n[1]\n{"a": 1, "a": 2}\n{"a"\n{"a": 6}'
  for name, start in (('x.jsonl', 'x.jsonl, line '), (None, 'line ')):
    problems = []
    found = json_lines.read(b'\xef\xbb\xbf' + content, name, problems)
    assert list(found) == [(f'{start}1', {'a': 1}), (f'{start}6', {'a': 6})]
    assert [p.split(':')[0] for p in problems] == [
        f'{start}{line}' for line in (3, 4, 5)]
    assert not list(json_lines.read(b'\xff', name, problems))
    assert problems[3].startswith(f'{name}: not UTF-8' if name else 'not UTF-8')


def test_a_file_of_bad_lines_fills_no_screen(tmp_path):
  path = tmp_path / 'ledger.jsonl'
  path.write_text('[]\n' * 60)
  with pytest.raises(ValueError, match='60 problem') as e:
    ledger.read(path, ['image', 'text'], 'pools')
  assert str(e.value).endswith('... and 10 more.')
  assert str(e.value).count('is no object') == 50


@pytest.mark.parametrize('table', ['pairs.jsonl', 'pairs.csv'])
def test_a_table_of_other_text_is_a_problem(tmp_path, table):
  (tmp_path / table).write_bytes(b'image,text\n\xff')
  with pytest.raises(ValueError, match=r'1 problem\(s\):\s+not UTF-8 text'):
    paired_folder.load(tmp_path, table)
