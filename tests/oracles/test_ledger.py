"""The ledger of accepted answers: read as written, or refused by its line."""

import json

import numpy as np
import pytest

from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import ledger

_SIZES = {'image': 30, 'text': 40}


def _enter(path, rng, count, pools='p', first=0):
  """Adds entries of what one to three people said; returns the rows."""
  rows, votes = {}, {}
  for i in range(first, first + count):
    query, row = f'image-{i}', (i, int(rng.integers(40)))
    names = [('ann', 'ann@x.org'), ('Zoë',), ('b "c"\u2028', '7')]
    rows[query] = row
    votes[query] = [
        answers_lib.Vote(query, row, who, None, f'{who}.jsonl, line {i}', more)
        for who, *more in names[:rng.integers(1, 4)]
        for more in [tuple(more)]]
  ledger.enter(path, rows, votes, _SIZES, pools)
  return rows


def _rows(path, pools='p'):
  return {q: entry.row for q, entry in ledger.read(path, _SIZES, pools).items()}


def test_what_is_entered_is_read_again(tmp_path):
  path, rng = tmp_path / 'ledger.jsonl', np.random.default_rng(0)
  rows = _enter(path, rng, 12)
  assert _rows(path) == rows
  rows |= _enter(path, rng, 5, first=12)
  assert _rows(path) == rows
  lines = path.read_text().split('\n')[:-1]
  assert all(json.loads(line)['crc32'] for line in lines)
  path.write_text('\n'.join(reversed(lines)) + '\n')  # Order is no matter.
  assert _rows(path) == rows
  assert _rows(tmp_path / 'none.jsonl') == {}


@pytest.mark.long
def test_a_flipped_bit_is_refused_by_its_line(tmp_path):
  """Any bit of any byte of the lines, but for ends of lines and of the file."""
  path, rng = tmp_path / 'ledger.jsonl', np.random.default_rng(1)
  rows = _enter(path, rng, 6)
  whole = path.read_bytes()
  same = 0
  for _ in range(600):
    at, bit = int(rng.integers(len(whole))), int(rng.integers(8))
    changed = bytearray(whole)
    changed[at] ^= 1 << bit
    path.write_bytes(changed)
    try:
      found = _rows(path)
    except ValueError as e:
      assert str(path) in str(e) and 'line ' in str(e)
      continue
    # An end of line that is one no more, or none at the end of the file.
    same += 1
    assert found == rows or at == len(whole) - 1 and found == {
        q: row for q, row in rows.items() if q != 'image-5'}
  assert same < 30


@pytest.mark.parametrize('change', [
    lambda line: line | {'answer': {'text': 39}},
    lambda line: line | {'query': 'image-29'},
    lambda line: line | {'annotators': {'eve': line['answer']}},
    lambda line: line | {'sources': []},
    lambda line: line | {'names': {'ann': ['eve']}},
    lambda line: line | {'note': 'added'},
    lambda line: {k: v for k, v in line.items() if k != 'sources'},
    lambda line: line | {'crc32': None}, lambda line: line | {'crc32': 7},
    lambda line: line | {'crc32': line['crc32'].upper() + ' '},
    lambda line: {k: v for k, v in line.items() if k != 'crc32'}])
def test_a_changed_line_is_refused(tmp_path, change):
  path, rng = tmp_path / 'ledger.jsonl', np.random.default_rng(2)
  _enter(path, rng, 4)
  lines = path.read_text().split('\n')[:-1]
  lines[2] = json.dumps(change(json.loads(lines[2])))
  path.write_text('\n'.join(lines) + '\n')
  with pytest.raises(ValueError, match=r'ledger\.jsonl, line 3 was changed'):
    _rows(path)


def test_lines_of_other_pools_are_refused(tmp_path):
  path, rng = tmp_path / 'ledger.jsonl', np.random.default_rng(3)
  _enter(path, rng, 2)
  _enter(path, rng, 1, 'others', first=2)
  with pytest.raises(ValueError, match='line 3 was changed .*another folder'):
    _rows(path)
  with pytest.raises(ValueError, match='(?s)2 problem.*line 1.*line 2'):
    _rows(path, 'others')


def test_a_ledger_of_an_earlier_version_goes_on(tmp_path):
  """Its lines have no checksum; after one that has, none may lack it."""
  path, rng = tmp_path / 'ledger.jsonl', np.random.default_rng(4)
  rows = _enter(path, rng, 3)
  bare = ''.join(
      json.dumps({k: v for k, v in json.loads(line).items() if k != 'crc32'})
      + '\n' for line in path.read_text().split('\n')[:-1])
  path.write_text(bare)
  assert _rows(path) == rows
  rows |= _enter(path, rng, 2, first=3)
  assert _rows(path) == rows
  path.write_text(path.read_text() + bare)
  with pytest.raises(ValueError, match='(?s)line 6 .*line 7 .*line 8 '):
    _rows(path)
