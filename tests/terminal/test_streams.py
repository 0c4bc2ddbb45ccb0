"""Standard streams that are closed, full, or read no further."""

import os
import subprocess
import sys

import pytest

from mmal_jax.terminal import streams

_PRINTS = '''
from mmal_jax.terminal import streams
with streams.ends_unread():
  print('done ' * 100_000)
'''
_OPENS = '''
from mmal_jax.terminal import streams
streams.open_closed()
import os, sys
print('printed'), print('said', file=sys.stderr)
assert os.open(os.devnull, os.O_RDONLY) > 2
'''


def _run(code, **where):
  return subprocess.run(
      [sys.executable, '-c', code], text=True, timeout=100, check=False,
      **where)


def test_an_output_that_is_read_no_further_ends_the_program_quietly():
  reads, writes = os.pipe()
  os.close(reads)
  with open(writes, 'wb') as unread:
    done = _run(_PRINTS, stdout=unread, stderr=subprocess.PIPE)
  assert (done.returncode, done.stderr) == (streams.UNREAD, '')


def test_an_output_without_room_is_one_line():
  with open('/dev/full', 'wb') as full:
    done = _run(_PRINTS, stdout=full, stderr=subprocess.PIPE)
  assert (done.returncode, done.stderr) == (
      1, 'error: the output cannot be written: No space left on device. Files '
      'are written all the same.\n')


def test_another_pipe_that_breaks_is_an_error_of_its_own(capsys):
  with pytest.raises(BrokenPipeError), streams.ends_unread():
    print('printed')
    raise BrokenPipeError
  assert capsys.readouterr().out == 'printed\n'


@pytest.mark.parametrize('closed', ['', '>&-', '2>&-', '<&- >&- 2>&-'])
def test_no_file_gets_the_number_of_a_closed_stream(closed):
  done = subprocess.run(
      ['bash', '-c', f'exec "$@" {closed}', 'bash', sys.executable, '-c',
       _OPENS], capture_output=True, text=True, timeout=100, check=False)
  assert done.returncode == 0, done.stderr
  assert done.stdout == ('' if ' >' in f' {closed}' else 'printed\n')
  assert done.stderr == ('' if '2>' in closed else 'said\n')


def test_nothing_slow_is_imported_with_it():
  done = _run('import sys; from mmal_jax.terminal import streams; '
              'assert not {"absl", "jax", "numpy"} & set(sys.modules)',
              stderr=subprocess.PIPE)
  assert done.returncode == 0, done.stderr
