"""What grows is refused, or passed over, before it takes any memory."""

import subprocess
import sys

import pytest

_LIMIT = 60  # MiB; what they hold is more, beside what it takes to make them

_CODE = '''
import contextlib, pathlib, re, sys
from tests.hostile import hostile, hostile_data_{module} as data
with contextlib.suppress(ImportError):
  import pandas  # PyArrow does that by itself, when it takes an array.

def peak():  # not ru_maxrss, which is that of who started it, too
  text = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(r'VmHWM:\\s*(\\d+) kB', text)[1]) / 1024

folder = pathlib.Path(sys.argv[1])
hostile.outcome(data.CASES[0], folder)  # What it imports is in memory then.
[case] = [case for case in data.CASES if case.wrong == {wrong!r}]
inside = folder / 'inside'
inside.mkdir()
before = peak()
happens = 'taken' if case.says is None else 'refused'
assert hostile.outcome(case, inside)[0] == happens
print(peak() - before)
'''


def _grown(folder, module, wrong):
  code = _CODE.format(module=module, wrong=wrong)
  done = subprocess.run([sys.executable, '-c', code, str(folder)],
                        capture_output=True, text=True)
  assert not done.returncode, done.stderr
  return float(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != 'linux', reason='it reads /proc')
@pytest.mark.parametrize('module,wrong', [
    ('images', '8200 x 8200 pixels in 0.1 MB'),
    ('images', 'a comment that inflates to 100 MB'),
    ('images', 'two thousand blocks of EXIF in 2 MB that inflate to 2 GB'),
    ('images', 'an image of a terabyte'),
    ('shards', 'pax fields of a terabyte'),
    ('shards', 'an image of a terabyte'),
    ('tables', 'a terabyte of nothing'),
    ('arrays', 'says 10**12 rows'),
    ('arrays', 'npz: a bomb of 128 MiB'),
    ('arrays', 'Parquet: 20 million zeros in a few kB'),
])
def test_little_memory_is_taken(tmp_path, module, wrong):
  assert _grown(tmp_path, module, wrong) < _LIMIT


@pytest.mark.skipif(sys.platform != 'linux', reason='it reads /proc')
def test_the_measure_sees_what_is_taken(tmp_path):
  assert _grown(tmp_path, 'tables', 'a text of a million numbers') > 20


@pytest.mark.skipif(sys.platform != 'linux', reason='it limits its memory')
def test_no_more_memory_is_asked_for_than_a_file_takes(tmp_path):
  """Though a file may have gigabytes: machines may have fewer."""
  code = (
      'import pathlib, resource, sys\n'
      'from mmal_jax.files import durable\n'
      'resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n'
      'path = pathlib.Path(sys.argv[1])\n'
      'durable.append(path, "1\\n")\n'
      'assert durable.read(path, 2**32) == b"1\\n"\n')
  subprocess.run([sys.executable, '-c', code, str(tmp_path / 'lines.jsonl')],
                 check=True)
