"""Files of answers that are refused before anything in them is read."""

import json
import os

import pytest

from mmal_jax.files import csv_table
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.oracles.people import answer_files
from mmal_jax.oracles.people import records


def _read(folder):
  notes: list[str] = []
  problems: list[str] = []
  found = list(answer_files.read(
      folder, {'image': 9, 'text': 9}, 'x', False, notes, problems))
  return found, notes, problems


@pytest.mark.parametrize('error,words', [
    (PermissionError(13, 'Permission denied', 'x'), 'Permission denied'),
    (OSError(5, 'The disk is not ready.', 'x'), 'The disk is not ready'),
    (RuntimeError('Symlink loop'), 'Symlink loop'),
    (ValueError('x has 9 bytes; at most 8 are read.'),
     'x has 9 bytes; at most 8 are read')])
def test_why_a_file_cannot_be_read_is_said_as_everywhere(
    tmp_path, monkeypatch, error, words):
  (tmp_path / 'a.csv').write_text('query,answer,annotator\n')

  def read(*_, **__):
    raise error
  monkeypatch.setattr(durable, 'read', read)
  assert _read(tmp_path) == ([], [], [f'a.csv: cannot be read: {words}.'])


_MOST = records.MOST_RECORDS
_ANSWER = {'query': 'image-0', 'answer': 4, 'annotator': 'ann'}
_ROW = 'query,answer,annotator\nimage-0,4,ann\n'


def _must_not_be_called(*_, **__):
  raise AssertionError('lines are cut')


@pytest.mark.parametrize('name', ['a.jsonl', 'a.csv', 'a.TSV', 'a.json'])
@pytest.mark.parametrize('content', [
    b'1\n' * (_MOST + 1), b'{}\n{}' + b'\n' * _MOST, b'1\r' * (_MOST + 1),
    b'1\r\n' * (_MOST + 1), b'\xef\xbb\xbf' + b'\n' * (_MOST + 1) + b'x',
    b'\n' * (_MOST + 1) + b'\xff', ('1\n' * (_MOST + 1)).encode('utf-16')],
    ids=['ones', 'blank', 'cr', 'crlf', 'mark', 'latin', 'utf-16'])
def test_files_of_too_many_lines_are_refused_before_they_are_cut(
    tmp_path, monkeypatch, name, content):
  (tmp_path / name).write_bytes(content)
  monkeypatch.setattr(csv_table, 'read', _must_not_be_called)
  monkeypatch.setattr(json_lines, 'read', _must_not_be_called)
  found, notes, problems = _read(tmp_path)
  assert not found and not notes
  assert problems[0] == (
      f'{name}: it has {_MOST + 1} lines; at most {_MOST} are read of a file: '
      'put the answers into several.')
  assert len(problems) == 1 + (name == 'a.json')  # That is bad JSON, too.


@pytest.mark.parametrize('name', ['a.jsonl', 'a.json', 'a.csv', 'a.tsv'])
def test_files_of_too_many_bytes_are_not_read(tmp_path, name):
  with open(tmp_path / name, 'wb') as file:
    file.truncate(records.MOST_BYTES + 1)
  _, _, (problem,) = _read(tmp_path)
  assert problem.startswith(f'{name}: cannot be read: ')
  assert problem.endswith(f'has {records.MOST_BYTES + 1} bytes; at most '
                          f'{records.MOST_BYTES} are read.')
  # Blank ones of fewer bytes are empty, whatever their number of lines.
  (tmp_path / name).write_bytes(b'\n' * (_MOST + 9))
  assert _read(tmp_path) == ([], [f'{name}: empty.'], [])


def test_lists_of_too_many_entries_are_refused(tmp_path):
  for name in ('a.json', 'b.jsonl'):
    content = '[' + '{},' * _MOST + '{}]'
    (tmp_path / name).write_text(content)
    _, notes, problems = _read(tmp_path)
    assert not notes
    assert problems == [f'{name}: it has {_MOST + 1} entries; at most {_MOST} '
                        'are read of a file: put the answers into several.']
    os.remove(tmp_path / name)


@pytest.mark.parametrize('name,content', [
    ('a.csv', (_ROW + '\n' * (_MOST - 2)).encode()),
    ('a.jsonl', (json.dumps(_ANSWER) + '\n' * _MOST).encode()),
    # A list may be written over any number of lines.
    ('a.json', (f'[{json.dumps(_ANSWER)}\n' + '\n' * _MOST + ']').encode()),
    ('b.jsonl', (f'[{json.dumps(_ANSWER)}\n' + '\n' * _MOST + ']').encode()),
    # Letters of whose two bytes one is that of a new line.
    ('a.csv', ('\n' + _ROW + f'text-1,,{chr(0xa9c) * _MOST}\n').encode(
        'utf-16'))], ids=['csv', 'jsonl', 'list', 'list in jsonl', 'letters'])
def test_files_that_are_just_small_enough(tmp_path, name, content):
  (tmp_path / name).write_bytes(content)
  (given,), _, problems = _read(tmp_path)
  assert not problems
  assert (given.query, given.answer, given.person) == ('image-0', 4, 'ann')
