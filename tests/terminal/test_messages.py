"""Messages of programs: what is quoted in them acts on no terminal."""

import logging as python_logging
import sys
import warnings

from absl import logging
import pytest

from mmal_jax.terminal import messages


@pytest.fixture(name='guarded')
def _guarded(monkeypatch):
  """What `guard` sets, for one test."""
  handler = logging.get_absl_handler()
  before = handler.formatter
  monkeypatch.setattr(warnings, 'formatwarning', warnings.formatwarning)
  monkeypatch.setattr(sys, 'excepthook', sys.excepthook)
  messages.guard()
  yield handler
  handler.setFormatter(before)


def test_lines_stay_lines_and_all_else_is_an_escape(capsys):
  messages.write('a\x1b[2J\nb\u202e')
  messages.notify('c\r')
  said = capsys.readouterr()
  assert (said.out, said.err) == ('a\\x1b[2J\nb\\u202e\n', 'c\\r\n')


def test_no_line_of_an_error_passes_for_another_message():
  with pytest.raises(SystemExit) as e:
    messages.end_with(ValueError('bad file:\nerror: all is lost\n  indented'))
  assert e.value.code == (
      'error: bad file:\n  error: all is lost\n  indented')


def test_line_breaks_of_the_command_line_are_escapes(monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['run', '--workdir=/a/b\nc', '--x=1\n2,3'])
  assert messages.words_in_a_line('b\nc is\nno 1\n2') == 'b\\nc is\nno 1\\n2'


def test_logs_and_warnings_are_guarded(guarded, capsys):
  record = python_logging.LogRecord(
      'absl', python_logging.WARNING, 'a.py', 1, 'of %s', ('a\x1b\nb',), None)
  assert guarded.format(record).endswith('of a\\x1b\n  b')
  assert warnings.formatwarning('a\x1b\nb', UserWarning, 'a.py', 1) == (
      'a.py:1: UserWarning: a\\x1b\n  b\n')
  try:
    raise RuntimeError('a\x1b\nb')
  except RuntimeError:
    sys.excepthook(*sys.exc_info())
  assert capsys.readouterr().err.endswith('RuntimeError: a\\x1b\n  b\n')
