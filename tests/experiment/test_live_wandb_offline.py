"""What W&B itself keeps of runs, without network: its own files are read."""

import json
import os
import struct
import subprocess
import sys

import pytest

from tests.experiment import test_live_logs

_BLOCK, _HEAD = 32768, struct.Struct('<IHB')  # of LevelDB's log format
_FULL, _LAST = 1, 4

_PROGRAM = """
import pathlib, sys
from tests.experiment import test_live_logs
begins, until = map(int, sys.argv[2:])
test_live_logs._go(pathlib.Path(sys.argv[1]), begins, until)
"""


def _records(path):
  """The messages of a file: a head of 7 bytes, then blocks of parts of them."""
  from wandb.proto import wandb_internal_pb2 as messages
  data, at, message = path.read_bytes(), _HEAD.size, b''
  while at + _HEAD.size <= len(data):
    left = _BLOCK - at % _BLOCK
    if left < _HEAD.size:
      at += left  # No head fits there.
      continue
    _, size, kind = _HEAD.unpack_from(data, at)
    at += _HEAD.size
    message += data[at:at + size]
    at += size
    if kind in (_FULL, _LAST):
      yield messages.Record.FromString(message)
      message = b''


@pytest.mark.long
def test_each_round_is_kept_once_for_a_server(tmp_path):
  pytest.importorskip('wandb')
  environment = os.environ | {
      'WANDB_MODE': 'offline', 'WANDB_ERROR_REPORTING': 'false',
      'WANDB_CACHE_DIR': str(tmp_path / 'cache')}
  folder = tmp_path / 'run'
  folder.mkdir()
  # A program that is killed after round 2, and goes on from round 2 or 3.
  for begins, until in ((0, 3), (2, 4), (4, 6)):
    subprocess.run(
        [sys.executable, '-c', _PROGRAM, str(folder), str(begins), str(until)],
        env=environment, check=True, timeout=300)
  path, = (folder / 'logs' / 'wandb').glob('offline-run-*/*.wandb')
  found, run = {}, None
  for record in _records(path):
    if record.WhichOneof('record_type') == 'run':
      run = record.run
    elif record.WhichOneof('record_type') == 'history':
      values = {item.key or '.'.join(item.nested_key):
                json.loads(item.value_json) for item in record.history.item}
      assert values['_step'] not in found
      found[values['_step']] = {key: value for key, value in values.items()
                                if not key.startswith('_')}
  assert found == test_live_logs._rounds(5)
  assert (run.project, run.display_name) == ('mmal_jax', 'mmal-seed0')
