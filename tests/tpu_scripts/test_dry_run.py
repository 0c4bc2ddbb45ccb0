"""What would be asked of Google, line by line, and whether it knows that.

The files in `dry_runs` hold the lines for each kind of slice. After a change
that is meant, WRITE_DRY_RUNS=1 writes them anew.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from tests.tpu_scripts import cloud as cloud_lib

_FOLDER = pathlib.Path(__file__).parent / 'dry_runs'
_COMMANDS = ('create', 'wait', 'install', 'start', 'status', 'logs',
             'stop', 'fetch results', 'delete', 'doctor', 'babysit')
_RUN = {'PROJECT': 'my-project', 'RUN_ARGS': (
    "--strategies=random,mmal --config.dataset.name='two words' --rounds=10")}
_POD = {'STORAGE': 'local', 'WORKDIR': 'runs/one', 'MIRROR': 'gs://bucket/one',
        'CACHE_DIR': 'cache'}
_SLICES = {
    'v5litepod-8': {
        'TYPE': 'v5litepod-8', 'RUNTIME': 'v2-alpha-tpuv5-lite',
        'ZONE': 'us-west4-a', 'STORAGE': 'disk:runs',
        'WORKDIR': '/mnt/disks/runs/one', 'CACHE_DIR': '/mnt/disks/runs/cache'},
    'v5litepod-16-spot': {
        'TYPE': 'v5litepod-16', 'RUNTIME': 'v2-alpha-tpuv5-lite',
        'ZONE': 'us-west4-a', 'SPOT': 'yes'} | _POD,
    'v5p-32': {
        'TYPE': 'v5p-32', 'RUNTIME': 'v2-alpha-tpuv5', 'ZONE': 'us-east5-a',
        'NETWORK': 'net/subnet', 'INTERNAL_IPS': 'yes', 'IAP': 'yes',
        'SERVICE_ACCOUNT': 'runner@my-project.iam.gserviceaccount.com',
        'VALID_UNTIL': '12h'} | _POD,
    'v6e-16': {
        'TYPE': 'v6e-16', 'RUNTIME': 'v2-alpha-tpuv6e', 'ZONE': 'us-east5-b',
        'STORAGE': 'shared', 'WORKDIR': '/mnt/shared/one',
        'NETWORK': 'net', 'INTERNAL_IPS': 'yes', 'PYTHON': '3.12',
        'ENV': "JAX_COORDINATOR_PORT=8477 'NOTE=two words'"}}


@pytest.mark.parametrize('name', _SLICES)
def test_the_lines_are_those(cloud, name):
  cloud.settings = _RUN | {'NAME': 'mmal'} | _SLICES[name]
  lines = []
  for command in _COMMANDS:
    lines += [f'$ tpu --dry-run {command}',
              *cloud.tpu('--dry-run', *command.split()).strip().splitlines()]
  assert not cloud.calls()
  assert not (cloud.repository / 'tpu_scripts' / '.state').exists()
  commit = subprocess.run(
      ['git', 'rev-parse', 'HEAD'], cwd=cloud.repository, check=True,
      capture_output=True, text=True).stdout.strip()
  said = '\n'.join(lines + ['']).replace(
      str(cloud.repository), 'ROOT').replace(commit, 'COMMIT')
  path = _FOLDER / f'{name}.txt'
  if os.environ.get('WRITE_DRY_RUNS'):
    path.write_text(said, 'utf-8')
  assert said == path.read_text('utf-8')


def _plain(words):
  """A call without what is known only when it is made."""
  text = '\0'.join(words)
  for known, shown in ((r'/hosts\.\d+', '/hosts'), ('--id=[^ ]+', '--id=ID'),
                       ('--hosts=2', '--hosts=HOSTS'),
                       (r"'[0-9a-f]{64}  ", "'SUM  ")):
    text = re.sub(known, shown, text)
  return text.split('\0')


@pytest.mark.long
def test_what_is_shown_is_what_is_run(cloud):
  cloud.change(granted=['ACTIVE'], nodes=['READY'])
  commands = [*_COMMANDS[:-3], 'doctor', 'delete']
  for command in commands:
    text = cloud.tpu('--dry-run', *command.split())
    text = re.sub('# only if it is (suspended|not ready).*\n.*', '', text)
    shown = [shlex.split(line)[1:] for line in text.splitlines()
             if line.startswith('gcloud ')]
    before = len(cloud.calls())
    cloud.tpu(*command.split())
    assert list(map(_plain, cloud.calls()[before:])) == shown, command
    if command == 'start':
      cloud.until(lambda: not any(
          host['state'] == 'running' for host in cloud.hosts()))


@pytest.mark.parametrize('flag', [[], ['--delete']])
def test_what_babysit_would_delete_is_shown(cloud, flag):
  *_, last = cloud.tpu('--dry-run', 'babysit', *flag).strip().splitlines()
  assert (' delete ' in last) == bool(flag)


def _lines():
  for path in sorted(_FOLDER.iterdir()):
    yield from (line for line in path.read_text('utf-8').splitlines()
                if line.startswith('gcloud '))


def _documented(pattern):
  """What the guide and the example say to type."""
  text = ''.join((cloud_lib.SCRIPTS / name).read_text('utf-8')
                 for name in ('README.md', 'tpu.env.example'))
  found = re.findall(rf'^(?:#| )*({pattern}.*)$|`({pattern}[^`]*)`', text, re.M)
  return sorted({line or inline for line, inline in found})


def test_what_the_guide_says_to_type_is_understood(cloud):
  names = '|'.join(sorted({c.split()[0] for c in _COMMANDS}))
  lines = {line.replace('tpu_scripts/tpu ', '') for line in (
      *_documented('tpu_scripts/tpu '), *_documented(f'(?:{names}) '))
           if not line.startswith('tpu_scripts/tpu requests')}
  assert len(lines) > 8, lines
  for line in lines:
    said = cloud.tpu('--dry-run', *shlex.split(line.replace('--dry-run', '')))
    assert 'gcloud ' in said, line


def test_a_shell_reads_back_what_hosts_are_given():
  starts = [shlex.split(line)[-1] for line in _lines()
            if 'on_host.sh start' in line]
  assert len(starts) == 2 * len(_SLICES)
  for line in starts:
    words = shlex.split(line.removeprefix('--command='))
    assert words[:3] == ['bash', 'mmal_tpu/on_host.sh', 'start']
    assert words[-3:] == ['--strategies=random,mmal',
                          '--config.dataset.name=two words', '--rounds=10']


def _flags(line):
  """A command and the names of its flags."""
  words = shlex.split(line)
  return tuple(words[:5]), frozenset(
      word.split('=')[0] for word in words if word.startswith('--'))


@pytest.mark.long
@pytest.mark.skipif(not shutil.which('gcloud'), reason='gcloud is not here')
def test_gcloud_knows_all_flags(tmp_path):
  typed = [line.replace('PROJECT', 'my-project').replace('DISK', 'runs')
           for line in _documented('gcloud ') if '--' in line]
  assert len(typed) > 2
  lines = list({_flags(line): line for line in (*_lines(), *typed)}.values())
  assert len(lines) > 10
  wrong = 'gcloud compute tpus queued-resources delete x --forced'
  path = tmp_path / 'commands.json'
  path.write_text(json.dumps(
      [{'command_string': line} for line in [*lines, wrong]]), 'utf-8')
  done = subprocess.run(
      ['gcloud', 'meta', 'lint-gcloud-commands', f'--commands-file={path}'],
      text=True, stdout=subprocess.PIPE, check=True, timeout=cloud_lib.SECONDS)
  *found, refused = json.loads(done.stdout)
  assert len(found) == len(lines) and not refused['success']
  for result in found:
    assert result['success'], (result['command_string'],
                               result['error_message'])
