"""The journal: no answer is lost, and none is asked for twice."""

import errno
import os
import re

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from mmal_jax.checkpoint import newest as checkpoints_lib
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import oracle as oracle_lib
from tests.support import journals

_MODALITIES = ('image', 'text')


class _Person:
  """Answers image n by text n + 10; counts how often each was asked about."""

  def __init__(self, silent=()):
    self.asked, self.silent = [], set(silent)

  def __call__(self, modality, numbers, suggest=None):
    del suggest
    self.asked += [(modality, n) for n in numbers.tolist()]
    shift = 10 if modality == 'image' else -10
    rows = np.stack([numbers, numbers + shift], 1).astype(np.int32)
    rows[np.isin(numbers, list(self.silent))] = oracle_lib.NONE
    return rows if modality == 'image' else rows[:, ::-1]


def _open(path, person):
  return journal_lib.Journal(path, person, _MODALITIES)


def _ask(journal, modality, *numbers):
  return journal(modality, np.array(numbers, np.int32)).tolist()


def test_what_was_answered_is_not_asked_again(tmp_path):
  path, person = tmp_path / 'a.journal', _Person()
  journal = _open(path, person)
  assert _ask(journal, 'image', 3, 1) == [[3, 13], [1, 11]]
  journal.begin(1)
  assert _ask(journal, 'text', 15) == [[5, 15]]
  again = _open(path, None)
  assert _ask(again, 'image', 3, 1) == [[3, 13], [1, 11]]
  again.begin(1)
  assert _ask(again, 'text', 15) == [[5, 15]]
  assert again(  # Another query: what is known of it is not asked for again.
      'image', np.array([1], np.int32)).tolist() == [[1, 11]]
  assert person.asked == [('image', 3), ('image', 1), ('text', 15)]
  assert [r.round for r in journal_lib.read(path)] == [0, 1, 1]


def test_a_round_gets_the_answers_that_it_got_then(tmp_path):
  path, person = tmp_path / 'a.journal', _Person(silent=[2])
  journal = _open(path, person)
  first = [[1, 11], [-1, -1]]
  assert _ask(journal, 'image', 1, 2) == first
  journal.begin(1)
  person.silent.clear()
  assert _ask(journal, 'image', 2) == [[2, 12]]
  again = _open(path, None)
  assert _ask(again, 'image', 1, 2) == first
  again.begin(1)
  assert _ask(again, 'image', 2) == [[2, 12]]


def test_the_same_open_query_twice_in_a_round_is_two_calls(tmp_path):
  path, person = tmp_path / 'a.journal', _Person(silent=[2])
  journal = _open(path, person)
  assert _ask(journal, 'image', 2) == [[-1, -1]]
  person.silent.clear()
  assert _ask(journal, 'image', 2) == [[2, 12]]
  again = _open(path, None)
  assert _ask(again, 'image', 2) == [[-1, -1]]
  assert _ask(again, 'image', 2) == [[2, 12]]


def test_the_journal_alone_rebuilds_the_aligned_set(tmp_path):
  path = tmp_path / 'a.journal'
  journal = _open(path, _Person(silent=[4]))
  _ask(journal, 'image', 3, 4)
  journal.begin(1)
  _ask(journal, 'text', 13, 17)
  rows = journals.aligned_set(journal_lib.read(path))
  assert rows.dtype == np.int32 and rows.tolist() == [[3, 13], [7, 17]]
  assert journals.aligned_set([]).shape == (0, 0)
  refused = journal_lib.Record(0, 'image', (5,), ((5, -1),))
  assert not len(journals.aligned_set([refused]))


def _three_rounds(path):
  journal = _open(path, _Person())
  for t in range(3):
    journal.begin(t)
    _ask(journal, 'image', t)
  return path.read_bytes()


def test_wherever_a_crash_cuts_the_file_whole_lines_are_kept(tmp_path):
  path = tmp_path / 'a.journal'
  content = _three_rounds(path)
  ends = [i + 1 for i, byte in enumerate(content) if byte == ord('\n')]
  for size in range(len(content) + 1):
    path.write_bytes(content[:size])
    whole = sum(end <= size for end in ends)
    assert len(journal_lib.read(path)) == whole
    person = _Person()
    journal = _open(path, person)
    for t in range(3):
      journal.begin(t)
      _ask(journal, 'image', t)
    assert person.asked == [('image', t) for t in range(whole, 3)]
    assert path.read_bytes() == content
    torn = size - max([0, *ends[:whole]])
    aside = sorted(tmp_path.glob('*.torn*'))
    assert len(aside) == bool(torn)
    for file in aside:
      assert file.read_bytes() == content[size - torn:size]
      file.unlink()


def test_a_last_line_written_from_its_end_is_quarantined(tmp_path):
  path = tmp_path / 'a.journal'
  content = _three_rounds(path)
  path.write_bytes(content[:-20] + bytes(15) + content[-5:])
  _open(path, None)
  assert len(journal_lib.read(path)) == 2
  assert len((tmp_path / 'a.journal.torn').read_bytes()) > 20


@given(st.data())
def test_damage_before_the_last_line_is_reported_and_left_as_it_is(
    tmp_path_factory, data):
  path = tmp_path_factory.mktemp('damaged') / 'a.journal'
  content = bytearray(_three_rounds(path))
  last = content[:-1].rfind(b'\n') + 1
  at = data.draw(st.integers(0, last - 1))
  content[at] ^= 1 << data.draw(st.integers(0, 7))
  path.write_bytes(content)
  with pytest.raises(ValueError, match='line [12] is damaged'):
    _open(path, None)
  assert path.read_bytes() == content


@pytest.mark.parametrize('lost', [0, 1])
def test_a_line_that_is_gone_is_missed(tmp_path, lost):
  path = tmp_path / 'a.journal'
  lines = _three_rounds(path).splitlines(keepends=True)
  path.write_bytes(b''.join(lines[:lost] + lines[lost + 1:]))
  with pytest.raises(ValueError, match=rf'line {lost + 1} is damaged, or'):
    _open(path, None)


@pytest.mark.parametrize('run', [None, {'strategy': 'mmal', 'seed': 0}])
@pytest.mark.parametrize('change, wrong', [
    (lambda lines: [b'x' + lines[0], *lines[1:]], [1]),
    (lambda lines: [lines[0], b'x' + lines[1], *lines[2:]], [2]),
    (lambda lines: [b'x' + lines[0], b'x' + lines[1], *lines[2:]], [1, 2]),
    (lambda lines: [b'x' + lines[0], lines[1], b'x' + lines[2], *lines[3:]],
     [1, 3]),
    (lambda lines: [lines[0], *lines[2:]], [2]),
    (lambda lines: [b'x' + lines[0], *lines[3:]], [1, 2])])
def test_only_the_lines_that_are_wrong_are_named(tmp_path, run, change, wrong):
  path = tmp_path / 'a.journal'
  journal = journal_lib.Journal(path, _Person(), _MODALITIES, run)
  for t in range(5):
    journal.begin(t)
    _ask(journal, 'image', t)
  path.write_bytes(b''.join(change(path.read_bytes().splitlines(True))))
  with pytest.raises(ValueError) as e:
    journal_lib.read(path)
  assert re.findall(r'line (\d+) is damaged', str(e.value)) == list(
      map(str, wrong))


def test_a_run_is_named_in_the_same_words_everywhere(tmp_path):
  runs = [{'strategy': 'mmal', 'seed': seed} for seed in (0, 1)]
  said = 'strategy mmal, seed 0, not of strategy mmal, seed 1: '
  path = tmp_path / 'a.journal'
  _ask(journal_lib.Journal(path, _Person(), _MODALITIES, runs[0]), 'image', 1)
  with pytest.raises(ValueError, match=f'is the journal of {said}'):
    journal_lib.Journal(path, None, _MODALITIES, runs[1])
  tree = {'a': np.zeros(2, np.float32)}
  kept = checkpoints_lib.Checkpoints(tmp_path / 'states', run=runs[0])
  kept.save(0, tree)
  kept.wait()
  with pytest.raises(ValueError, match=f'holds a state of {said}'):
    checkpoints_lib.Checkpoints(tmp_path / 'states', run=runs[1]).newest(tree)


@pytest.mark.parametrize('call', ['fsync', 'write'])
def test_a_full_disk_ends_it_before_an_answer_is_used(
    tmp_path, monkeypatch, call):
  path = tmp_path / 'a.journal'
  journal = _open(path, _Person())
  _ask(journal, 'image', 1)
  before = path.read_bytes()

  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  with monkeypatch.context() as patched:
    if call == 'fsync':
      patched.setattr(os, 'fsync', full)
    else:
      patched.setattr(journal_lib, 'open', full, raising=False)
    with pytest.raises(OSError, match='No space left'):
      _ask(journal, 'image', 2)
  with pytest.raises(OSError, match='takes no more answers.*No space left'):
    _ask(journal, 'image', 2)
  # What is there is known, and nothing is used that is not there.
  assert path.read_bytes().startswith(before)
  assert _ask(_open(path, _Person()), 'image', 1) == [[1, 11]]


def test_answers_that_cannot_be_copied_are_kept_and_not_used(tmp_path):
  path, copies, person = tmp_path / 'a.journal', [], _Person()

  def copy():
    copies.append(path.read_bytes())
    if len(copies) == 2:
      raise OSError('the bucket does not answer')

  journal = journal_lib.Journal(path, person, _MODALITIES, written=copy)
  _ask(journal, 'image', 1)
  with pytest.raises(OSError, match='the bucket does not answer'):
    _ask(journal, 'image', 2)
  with pytest.raises(OSError, match='takes no more answers: the bucket'):
    _ask(journal, 'image', 3)
  # Each copy was made of a whole line, before its answers were used.
  assert [copy.count(b'\n') for copy in copies] == [1, 2]
  asked = list(person.asked)
  again = _open(path, person)
  assert _ask(again, 'image', 1, 2) == [[1, 11], [2, 12]]
  assert person.asked == asked
