"""Putting a commit and its packages on all hosts."""

import time

import pytest

from tests.tpu_scripts import cloud as cloud_lib
from tests.tpu_scripts import fake_gcloud
from tests.tpu_scripts.cloud import NAME


def _uv_calls(cloud, worker=0):
  path = fake_gcloud.home_of(cloud.folder, NAME, worker) / 'uv'
  return path.read_text('utf-8').splitlines() if path.exists() else []


def _copies(cloud):
  return len(cloud.calls('queued-resources', 'scp'))


def test_all_hosts_get_the_commit_once(cloud):
  cloud.up()
  for worker in range(2):
    venv, pip = _uv_calls(cloud, worker)
    assert venv == 'venv --quiet --python 3.11 venv'
    assert '--constraint source/tpu_scripts/constraints.txt' in pip
    assert './source[experiments,pretrained,tpu]' in pip
  assert 'Installed already' in cloud.tpu('install')
  assert _copies(cloud) == 1 and len(_uv_calls(cloud)) == 2


def test_another_commit_is_installed_into_the_same_environment(cloud):
  cloud.up()
  before = cloud.hosts()[1]['installed']
  (cloud.repository / 'more').touch()
  cloud_lib.commit_all(cloud.repository)
  cloud.tpu('install')
  after = cloud.hosts()[1]['installed']
  assert before != after and after.endswith('-python3.11')
  assert [c.split()[0] for c in _uv_calls(cloud)] == ['venv', 'pip', 'pip']
  cloud.settings['PYTHON'] = '3.12'
  cloud.tpu('install')
  assert _uv_calls(cloud)[-2] == 'venv --quiet --python 3.12 venv'


def test_what_is_not_committed_is_refused(cloud):
  cloud.set(NAME, ['ACTIVE'])
  (cloud.repository / 'more').touch()
  assert 'not committed' in cloud.tpu('install', status=2)


def test_a_copy_that_was_cut_is_made_again(cloud):
  cloud.set(NAME, ['ACTIVE'])
  cloud.fault('scp', 'cut')
  said = cloud.tpu('install')
  assert 'try 1 of 3' in said and 'Installed on 2' in said
  assert _copies(cloud) == 2 and cloud.hosts()[1]['installed']


def test_but_not_without_end(cloud):
  cloud.set(NAME, ['ACTIVE'])
  cloud.fault('scp', 'cut', times=3)
  cloud.tpu('install', status=70)
  assert _copies(cloud) == 3
  assert not any(host['installed'] for host in cloud.hosts())


def test_after_a_lost_connection_it_is_done_once(cloud):
  cloud.set(NAME, ['ACTIVE'])
  cloud.fault('ssh', 'rerun', match='on_host.sh install')
  cloud.tpu('install')
  assert len(_uv_calls(cloud)) == len(_uv_calls(cloud, 1)) == 2


def test_a_slice_lost_meanwhile_is_an_error(cloud):
  cloud.set(NAME, ['ACTIVE'])
  (cloud.folder / 'uv_seconds').write_text('600')
  cloud.fault('ssh', 'preempt', match='on_host.sh install', after=1)
  begun = time.monotonic()
  assert '0 of 2 host(s)' in cloud.tpu('install', status=70)
  assert time.monotonic() - begun < 500
  assert cloud.status()['node'] == 'ABSENT'


def test_an_install_that_was_killed_is_done_again(cloud):
  cloud.set(NAME, ['ACTIVE'])
  (cloud.folder / 'uv_seconds').write_text('600')
  process = cloud.begin('install')
  cloud.until(lambda: len(_uv_calls(cloud, 1)) == 2)
  process.kill()
  fake_gcloud.kill_all(cloud.folder, NAME)
  process.communicate()
  (cloud.folder / 'uv_seconds').write_text('0')
  assert 'Installed on 2' in cloud.tpu('install')


def test_why_a_copy_failed_is_shown(cloud):
  """gcloud may have copied nothing, and end with 0."""
  cloud.set(NAME, ['ACTIVE'])
  cloud.fault('scp', 'nothing', message='SSHKeyNotInAgent: ssh-add', times=3)
  assert 'SSHKeyNotInAgent' in cloud.tpu('install', status=70)


@pytest.mark.long
def test_of_two_installs_after_a_lost_connection_both_get_the_program(cloud):
  """What unpacks it is slow, and both are at it."""
  cloud.set(NAME, ['ACTIVE'])
  tar = cloud.folder / 'host_bin' / 'tar'
  tar.write_text('#!/bin/sh\n[ "$1" != -xzOf ] || sleep 1\n'
                 'exec /usr/bin/tar "$@"\n', 'utf-8')
  tar.chmod(0o755)
  cloud.fault('ssh', 'twice', match='on_host.sh install')
  assert 'Installed on 2' in cloud.tpu('install')
  for worker in range(2):
    log = fake_gcloud.home_of(cloud.folder, NAME, worker) / 'twice.log'
    # Who comes second has a log of its own, and may still be at it.
    cloud.until(lambda path=log: '@installed' in path.read_text('utf-8'))


def test_a_commit_named_by_a_variable_of_mine_is_not_taken(cloud):
  cloud.set(NAME, ['ACTIVE'])
  cloud.variables['COMMIT'] = 'HEAD~1'
  assert 'HEAD' not in cloud.tpu('install')


def test_a_run_is_not_replaced_under_its_feet(cloud):
  cloud.up()
  cloud.write_plan({'0': [{'hang': True, 'exit': 0}],
                    '1': [{'hang': True, 'exit': 0}]})
  cloud.tpu('start')
  (cloud.repository / 'more').touch()
  cloud_lib.commit_all(cloud.repository)
  assert 'tpu stop first' in cloud.tpu('install', status=70)
  assert {h['state'] for h in cloud.hosts()} == {'running'}


def test_without_uv_it_is_fetched_or_the_hosts_python_is_used(cloud):
  """With stand-ins for both Pythons of the host."""
  cloud.change(hosts=1)
  uv = cloud.folder / 'host_bin' / 'uv'
  kept = uv.with_name('kept')
  uv.rename(kept)
  python = uv.with_name('python3')
  python.write_text(
      '#!/bin/sh\necho "$@" >>"$HOME/python3"\n'
      f'mkdir -p uv/bin && cp {kept} uv/bin/uv\n', 'utf-8')
  python.chmod(0o755)
  cloud.up()
  home = fake_gcloud.home_of(cloud.folder, NAME, 0)
  asked, = (home / 'python3').read_text('utf-8').splitlines()
  assert asked == ('-m pip install --quiet --target=uv --constraint='
                   'source/tpu_scripts/constraints.txt uv')
  assert len(_uv_calls(cloud)) == 2
  # And where pip gets none.
  fake_gcloud.lose_hosts(cloud.folder, NAME)
  python.write_text('#!/bin/sh\nexit 1\n', 'utf-8')
  own = uv.with_name('python3.12')
  own.write_text(
      '#!/bin/sh\necho "$@" >>"$HOME/own"\nmkdir -p venv/bin\n'
      '[ "$2" = pip ] || cp "$0" venv/bin/python\n', 'utf-8')
  own.chmod(0o755)
  cloud.settings['PYTHON'] = '3.12'
  cloud.tpu('install')
  venv, pip = (home / 'own').read_text('utf-8').splitlines()
  assert venv == '-m venv venv'
  assert pip.startswith('-m pip install --quiet --constraint source/')


@pytest.mark.parametrize('name', ['lib.sh', 'on_host.sh'])
def test_a_file_that_was_cut_does_nothing(name, tmp_path):
  text = (cloud_lib.SCRIPTS / name).read_bytes()
  for part in range(1, 20):
    (tmp_path / 'cut.sh').write_bytes(text[:len(text) * part // 20])
    cloud_lib.subprocess.run(
        ['bash', 'cut.sh', 'install', 'x', '3.11'], cwd=tmp_path,
        env={'HOME': str(tmp_path), 'PATH': '/usr/bin:/bin'},
        capture_output=True, check=False)
    assert [p.name for p in tmp_path.iterdir()] == ['cut.sh']
