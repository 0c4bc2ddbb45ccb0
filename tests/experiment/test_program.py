"""What all programs do around their work: output, help, signals, flags."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from experiments import program
from mmal_jax.experiment import preemption
from tests.support import programs

_EXPERIMENTS = pathlib.Path(program.__file__).parent
_PROGRAMS = sorted(
    '.'.join(('experiments', *path.relative_to(_EXPERIMENTS).parts))[:-3]
    for path in _EXPERIMENTS.rglob('*.py')
    if re.search(r'\n  (app\.run|program\.start)\(', path.read_text()))
_RUN = [sys.executable, '-m', 'experiments.run']
# Of its own output nothing is missing: another pipe broke, or file.
_OTHER = '''
import sys
import time
from absl import flags
from experiments import program
flags.FLAGS(['p'])
def work():
  raise BrokenPipeError(32, 'of a worker')
program.call(work, ['p'])
'''
_SAYS = _OTHER.replace("raise BrokenPipeError(32, 'of a worker')",
                       "return 'done ' * 100_000")


def _unread(command):
  """The status and errors of a program that writes to a closed pipe."""
  reads, writes = os.pipe()
  os.close(reads)
  try:
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE,
                          text=True, timeout=300, check=False)
  finally:
    os.close(writes)
  return done.returncode, done.stderr


@pytest.mark.parametrize('command', [
    [*_RUN, '--help'], [*_RUN, '--show_config'],
    [sys.executable, '-m', 'experiments.report', '--help'],
    [sys.executable, '-c', _SAYS]])
def test_a_program_that_is_read_no_further_ends_quietly(command):
  status, errors = _unread(command)
  assert not errors and status == 141


def test_another_pipe_that_breaks_is_an_error():
  done = subprocess.run([sys.executable, '-c', _OTHER], capture_output=True,
                        text=True, timeout=300, check=False)
  assert done.returncode == 1 and not done.stdout
  assert done.stderr == 'error: [Errno 32] of a worker\n'


@pytest.mark.parametrize('stdout', ['captured', 'unread', 'full'])
def test_a_file_without_room_is_an_error_of_its_own(stdout):
  """Whether the output can be written or not, nothing is written there."""
  full = _OTHER.replace(
      "raise BrokenPipeError(32, 'of a worker')",
      "open('/dev/full', 'w').write('x' * 100_000)")
  reads, writes = os.pipe()
  os.close(reads)
  with open('/dev/full', 'wb') as device, open(writes, 'wb') as unread:
    where = {'captured': subprocess.PIPE, 'unread': unread, 'full': device}
    done = subprocess.run(
        [sys.executable, '-c', full], stdout=where[stdout], text=True,
        stderr=subprocess.PIPE, timeout=300, check=False)
  assert done.returncode == 1 and not done.stdout
  assert done.stderr == 'error: [Errno 28] No space left on device\n'


def test_an_error_in_other_words_is_still_of_the_output():
  """Also where each print is written at once, and nothing is left to flush."""
  again = _SAYS.replace("return 'done ' * 100_000", """
  try:
    print('done', flush=True)
  except OSError as e:
    raise OSError('in other words') from e""")
  assert _unread([sys.executable, '-u', '-c', again]) == (141, '')
  with open('/dev/full', 'wb') as full:
    done = subprocess.run(
        [sys.executable, '-u', '-c', again], stdout=full, text=True,
        stderr=subprocess.PIPE, timeout=300, check=False)
  assert done.returncode == 1
  assert done.stderr.startswith('error: the output cannot be written: No space')


def test_an_output_without_room_is_one_line():
  with open('/dev/full', 'wb') as full:
    done = subprocess.run(
        [sys.executable, '-c', _SAYS], stdout=full, stderr=subprocess.PIPE,
        text=True, timeout=300, check=False)
  assert done.returncode == 1
  line, = done.stderr.splitlines()
  assert line.startswith(
      'error: the output cannot be written: No space left on device.')


@pytest.mark.long
@pytest.mark.parametrize('closed', ['>&-', '2>&-', '<&- >&- 2>&-'])
def test_a_closed_stream_is_as_good_as_the_null_device(closed):
  command = f'exec "$@" --show_config {closed}'
  done = subprocess.run(
      ['bash', '-c', command, 'bash', *_RUN], capture_output=True, text=True,
      timeout=300, check=False)
  assert done.returncode == 0, done.stderr
  assert not done.stderr and ('train.steps' in done.stdout) == (
      closed == '2>&-')


@pytest.mark.long
@pytest.mark.parametrize('name', _PROGRAMS)
def test_help_is_no_failure(name):
  done = subprocess.run([sys.executable, '-m', name, '--help'], text=True,
                        capture_output=True, timeout=300, check=False)
  assert done.returncode == 0, done.stderr
  assert '--' in done.stdout and 'Traceback' not in done.stderr


def test_there_are_programs_to_ask_for_help():
  assert {'experiments.run', 'experiments.check_answers', 'experiments.sweep',
          'experiments.benchmarks.run'} < set(_PROGRAMS)


@pytest.mark.long
def test_signals_that_were_ignored_stay_so(tmp_path):
  """From the first import to the last round, as of `nohup` and `trap`."""
  numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
  command = [
      *_RUN, *programs.save_features(tmp_path / 'f'), *programs.SMALL,
      f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}']
  with subprocess.Popen(
      ['bash', '-c', "trap '' INT TERM HUP; exec \"$@\"", 'bash', *command],
      stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
    status = pathlib.Path(f'/proc/{process.pid}/status')
    wanted = sum(1 << number - 1 for number in numbers)
    while process.poll() is None:  # Until bash has set its traps.
      ignored = int(re.search(r'SigIgn:\s*(\w+)', status.read_text())[1], 16)
      if ignored & wanted == wanted:
        break
    while process.poll() is None:
      for number in numbers:
        process.send_signal(number)
      time.sleep(0.05)
    assert process.wait() == 0, process.stderr.read()
  assert (tmp_path / 'w/summary.json').exists()


def test_an_ignored_signal_does_not_count():
  before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
  try:
    with preemption.listening() as notice, preemption.deferred():
      os.kill(os.getpid(), signal.SIGTERM)
    with preemption.listening() as notice:
      os.kill(os.getpid(), signal.SIGTERM)
    assert not notice.given
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
  finally:
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize('name,flag,said', [
    ('run', '--flagfile=/no/such', "flagfile='/no/such' cannot be read: No such"
     ' file or directory.'),
    ('report', '--flagfile={0}', "flagfile='{0}' cannot be read: Is a direct"),
    ('sweep', '--flagfile={0}/inner', "flagfile='/no/inner' cannot be read: "),
    ('run', '--flagfile={0}/latin', 'a file of --flagfile is no text: it must '
     'be UTF-8.'),
    ('report', '--flagfile={0}/latin', 'a file of --flagfile is no text'),
    ('run', '--flagfile', '--flagfile needs a file: --flagfile=FILE.'),
    ('run', '--flagfile={0}/typo', '')])
def test_a_file_of_flags_that_cannot_be_read(tmp_path, name, flag, said):
  (tmp_path / 'inner').write_text('# mine\n--flagfile=/no/inner\n')
  (tmp_path / 'latin').write_bytes(b'--workdir=gr\xfc\xdfe\n')
  (tmp_path / 'typo').write_text('--workdri=x\n')
  done = subprocess.run(
      [sys.executable, '-m', f'experiments.{name}', flag.format(tmp_path)],
      text=True, capture_output=True, timeout=300, check=False)
  line, = done.stderr.splitlines()
  assert done.returncode == 1 and not done.stdout
  assert line.startswith(f'error: {said.format(tmp_path)}')
  assert 'Errno' not in line
  assert ('(--help lists all flags)' in line) and (
      said or '--workdri' in line or "'workdri'" in line)


@pytest.mark.long
def test_a_file_of_flags_is_read(tmp_path):
  (tmp_path / 'flags').write_text(
      f'# of mine\n--config={programs.CONFIGS}/features.py\n\n'
      '--config.rounds=3\n--config.train.peak_lr=0.25\n')
  done = subprocess.run(
      [*_RUN, f'--flagfile={tmp_path / "flags"}', '--show_config'], text=True,
      capture_output=True, timeout=300, check=False)
  assert done.returncode == 0, done.stderr
  assert '--config.rounds=3' in done.stdout
  assert '--config.train.peak_lr=0.25' in done.stdout
