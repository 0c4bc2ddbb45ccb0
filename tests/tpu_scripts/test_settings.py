"""The env file, the command line, and the files themselves."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.tpu_scripts.cloud import SCRIPTS

# Where pip has put it, or elsewhere.
_SHELLCHECK = shutil.which('shellcheck', path=os.pathsep.join([
    os.path.dirname(sys.executable), os.environ.get('PATH', os.defpath)]))
_SHELL = sorted(p.name for p in SCRIPTS.iterdir()
                if p.suffix == '.sh' or p.name == 'tpu')


@pytest.mark.parametrize('key, value, said', [
    ('SIZE', '8', 'unknown key SIZE; known are: NAME PROJECT'),
    ('lower', '8', 'not a line KEY=VALUE'),
    ('NAME', 'Upper', 'NAME=Upper: must be'),
    ('PROJECT', '', 'PROJECT=: must be'),
    ('ZONE', '$(touch x)', 'ZONE=$(touch x): must be'),
    ('SPOT', 'true', 'must be yes or no'),
    ('STORAGE', 'disk', 'must be local, shared or disk:DISK'),
    ('STORAGE', 'disk:runs', 'must lie within /mnt/disks/runs'),
    ('WORKDIR', 'gs://bucket/run', 'not a URL'),
    ('WORKDIR', 'run', 'must be absolute'),
    ('CACHE_DIR', 'gs://bucket/cache', 'fails under load'),
    ('CACHE_DIR', '"/cache"', '" would be a part of the name'),
    ('CACHE_DIR', '$HOME/cache', '$ would be a part of the name'),
    ('WORKDIR', '~/run', '~ would be a part of the name'),
    ('WORKDIR', '/run  # mine', '# would be a part of the name'),
    ('MIRROR', "'gs://bucket/run'", "' would be a part of the name"),
    ('MIRROR', 'bucket', 'gs://BUCKET/RUN'),
    ('VALID_UNTIL', '6', 'a duration'),
    ('PYTHON', '3.10', '3.11, 3.12 or 3.13'),
    ('SERVICE_ACCOUNT', 'me', 'an email address'),
    ('RUN_ARGS', "--rounds='3", 'a quote that is not closed'),
    ('RUN_ARGS', '--rounds=3 --workdir=/x', 'RUN_ARGS has --workdir=/x'),
    ('RUN_ARGS', '--noresume', 'RUN_ARGS has --noresume'),
    ('ENV', 'A', 'must be KEY=VALUE words'),
    ('ENV', 'HF_TOKEN=x', 'looks like a secret'),
    ('ENV', 'hf_token=x', 'looks like a secret'),
    ('ENV', 'AWS_ACCESS_KEY_ID=x', 'looks like a secret'),
    ('ENV', 'GOOGLE_APPLICATION_CREDENTIALS=x', 'looks like a secret')])
def test_a_mistake_is_refused(cloud, key, value, said):
  cloud.settings[key] = value
  assert said in cloud.tpu('create', status=2)
  assert not cloud.calls()


def test_a_key_is_given_once(cloud):
  cloud.settings['ENV'] += '\nNAME=other'
  assert 'NAME is given twice' in cloud.tpu('create', status=2)


def test_a_spot_slice_needs_storage_that_outlives_it(cloud):
  cloud.settings |= {'SPOT': 'yes', 'STORAGE': 'local', 'WORKDIR': 'run'}
  assert 'would be lost with the VM' in cloud.tpu('create', status=2)
  cloud.settings['MIRROR'] = 'gs://bucket/run'
  cloud.tpu('create')


@pytest.mark.parametrize('words, said', [
    ([], 'a command is needed'), (['creat'], 'unknown command creat'),
    (['create', 'x'], 'create: unknown argument x'),
    (['create', '--keep'], 'unknown flag --keep of create'),
    (['wait', '--timeout=soon'], '--timeout=soon: must be'),
    (['wait', '--timeout=08'], '--timeout=08: must be'),
    (['fetch', '--worker=all', 'results'], '--worker=all: must be'),
    (['wait', '--keep=yes'], '--keep=yes: must be given alone'),
    (['fetch'], 'FOLDER is needed'),
    (['--env=nowhere', 'create'], 'no env file nowhere')])
def test_wrong_usage_is_refused(cloud, words, said):
  assert said in cloud.tpu(*words, status=2)
  assert not cloud.calls()


def test_what_looks_like_a_secret_and_is_none_is_accepted(cloud):
  cloud.settings['ENV'] += ' TOKENIZERS_PARALLELISM=false'
  cloud.tpu('create')


def test_help_tells_of_all_commands(cloud):
  said = cloud.tpu('--help')
  for command in re.findall(r'\[(\w+)\]=', (SCRIPTS / 'tpu').read_text()):
    assert f'\n  {command} ' in said


def test_another_env_file_is_no_change_of_the_commit(cloud):
  cloud.tpu('--dry-run', 'install')
  scripts = cloud.repository / 'tpu_scripts'
  (scripts / 'tpu.env').rename(scripts / 'large.env')
  cloud.tpu('--dry-run', f'--env={scripts}/large.env', 'install')


def test_the_example_is_accepted(cloud):
  example = SCRIPTS / 'tpu.env.example'
  said = cloud.tpu('--dry-run', f'--env={example}', 'create')
  assert '--data-disk=source=projects/my-project/zones/' in said
  keys = re.findall('^([A-Z_]+)=', example.read_text('utf-8'), re.M)
  known = re.search(r'KEYS=\((.*?)\)', (
      SCRIPTS / 'settings.sh').read_text('utf-8'), re.S)[1].split()
  assert keys == known
  readme = (SCRIPTS / 'README.md').read_text('utf-8')
  for key in keys:
    assert f'`{key}' in readme, key


@pytest.mark.parametrize('name', _SHELL)
def test_bash_reads_it(name):
  subprocess.run(['bash', '-n', SCRIPTS / name], check=True)
  text = (SCRIPTS / name).read_text('utf-8')
  assert text.count('\n') <= 400
  assert all(len(line) <= 80 for line in text.splitlines())
  # One file speaks to Google.
  calls = re.findall(r'^\s*gcloud ', text, re.M)
  assert bool(calls) == (name == 'lib.sh')


@pytest.mark.skipif(not _SHELLCHECK, reason='shellcheck is not here')
def test_shellcheck_finds_nothing():
  subprocess.run([_SHELLCHECK, 'tpu', 'on_host.sh'], cwd=SCRIPTS, check=True)
