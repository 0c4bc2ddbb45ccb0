"""Starting a run on all hosts, looking at it, and stopping it."""

import fcntl
import os
import signal
import subprocess
import time

import pytest

from tests.tpu_scripts import cloud as cloud_lib
from tests.tpu_scripts import fake_gcloud
from tests.tpu_scripts.cloud import NAME

_HANGS = {str(worker): [{'lines': 1, 'hang': True, 'exit': 0}] * 3
          for worker in range(2)}


def _running(cloud):
  return [host['state'] == 'running' for host in cloud.hosts()]


def _begun(cloud, number=1):
  cloud.until(lambda: all(len(cloud.starts(w)) == number for w in range(2)))


def test_it_runs_on_all_hosts_with_the_flags_of_the_settings(cloud):
  cloud.settings |= {
      'CACHE_DIR': 'cache', 'MIRROR': 'gs://bucket/a run'.replace(' ', '_'),
      'RUN_ARGS': ("--strategies=random,mmal --config.dataset.name='a  b'\"'c\""
                   ' \'--name=$HOME `id` \\x\'')}
  cloud.up()
  assert 'On the hosts: started started' in cloud.tpu('start')
  cloud.until(lambda: not any(_running(cloud)))
  for worker, host in enumerate(cloud.hosts()):
    assert host | {'installed': ''} == {
        'worker': worker, 'state': 'exited', 'status': 0, 'pid': None,
        'metrics': 0, 'installed': ''}
    start, = cloud.starts(worker)
    home = fake_gcloud.home_of(cloud.folder, NAME, worker)
    assert start['flags'] == [
        f'--workdir={cloud.shared}/run', f'--cache_dir={home}/cache',
        f'--compilation_cache={home}/cache/compiled', '--resume',
        '--multihost', '--mirror=gs://bucket/a_run',
        '--strategies=random,mmal', "--config.dataset.name=a  b'c",
        r'--name=$HOME `id` \x']


def test_one_host_looks_for_no_others(cloud):
  cloud.change(hosts=1)
  cloud.up()
  cloud.tpu('start')
  cloud.until(lambda: not any(_running(cloud)))
  assert cloud.starts()[0]['flags'] == [
      f'--workdir={cloud.shared}/run', '--resume']


def test_the_environment_is_that_of_the_settings(cloud):
  cloud.change(hosts=1)
  cloud.write_plan({'0': [{'hang': True, 'exit': 0}]})
  cloud.settings['CACHE_DIR'] = '/cache'
  cloud.settings['ENV'] += " JAX_COORDINATOR_PORT=99 'A=b  c'"
  cloud.up()
  cloud.tpu('start')
  cloud.until(cloud.starts)
  with open(f'/proc/{cloud.starts()[0]["pid"]}/environ', 'rb') as file:
    environment = dict(
        word.split('=', 1) for word in file.read().decode().split('\0') if word)
  assert environment['A'] == 'b  c'
  assert environment['JAX_COORDINATOR_PORT'] == '99'
  assert environment['TPU_LOG_DIR'] == 'disabled'
  assert cloud.starts()[0]['flags'] == [
      f'--workdir={cloud.shared}/run', '--cache_dir=/cache',
      '--compilation_cache=/cache/compiled', '--resume']


@pytest.mark.long
def test_compiled_programs_lie_where_the_settings_say(cloud):
  cloud.change(hosts=1)
  cloud.settings |= {'CACHE_DIR': '/cache',
                     'RUN_ARGS': '--compilation_cache=/mine'}
  cloud.up()
  cloud.tpu('start')
  cloud.until(lambda: not any(_running(cloud)))
  # Of a flag that is given twice the last counts.
  assert cloud.starts()[0]['flags'] == [
      f'--workdir={cloud.shared}/run', '--cache_dir=/cache',
      '--compilation_cache=/cache/compiled', '--resume',
      '--compilation_cache=/mine']
  cloud.settings['RUN_ARGS'] = ''
  cloud.settings['ENV'] += ' A=b JAX_COMPILATION_CACHE_DIR=/other'
  cloud.tpu('start')
  cloud.until(lambda: len(cloud.starts()) == 2)
  assert cloud.starts()[1]['flags'] == [
      f'--workdir={cloud.shared}/run', '--cache_dir=/cache', '--resume']


@pytest.mark.long
def test_where_it_runs_nothing_is_started(cloud):
  cloud.write_plan(_HANGS)
  cloud.up()
  cloud.tpu('start')
  _begun(cloud)
  assert 'On the hosts: running running' in cloud.tpu('start')
  _begun(cloud)
  assert _running(cloud) == [True, True]
  assert [h['pid'] for h in cloud.hosts()] == [
      cloud.starts(w)[0]['pid'] for w in range(2)]


@pytest.mark.long
@pytest.mark.parametrize('hangs', [True, False])
def test_after_a_lost_connection_one_process_is_started(cloud, hangs):
  """gcloud runs the same command again, when its run may have ended."""
  if hangs:
    cloud.write_plan(_HANGS)
  cloud.up()
  cloud.fault('ssh', 'rerun', match='on_host.sh start')
  cloud.tpu('start')
  time.sleep(0.5)
  _begun(cloud)


@pytest.mark.long
def test_two_that_start_at_once_start_one_process(cloud):
  cloud.write_plan(_HANGS)
  cloud.up()
  started = [cloud.begin('start') for _ in range(3)]
  for process in started:
    cloud.ended(process)
  _begun(cloud)


def test_a_host_that_cannot_be_reached_is_named(cloud):
  cloud.write_plan(_HANGS)
  cloud.up()
  cloud.fault('ssh', 'unreachable', match='on_host.sh start', workers=[1])
  assert '1 of 2 host(s)' in cloud.tpu('start', status=70)
  assert _running(cloud) == [True, False]
  cloud.fault('ssh', 'unreachable', match='on_host.sh status', workers=[1])
  said = cloud.tpu('status', status=70)
  assert 'host 0: running' in said and 'host 1: unreachable' in said


def test_it_is_stopped_in_order(cloud):
  cloud.write_plan(_HANGS)
  cloud.up()
  cloud.tpu('start')
  _begun(cloud)
  assert 'Stopped on 2' in cloud.tpu('stop')
  assert [h['status'] for h in cloud.hosts()] == [75, 75]
  assert 'Stopped on 2' in cloud.tpu('stop')
  cloud.tpu('start')
  _begun(cloud, 2)


@pytest.mark.long
def test_or_killed_where_it_does_not_end(cloud):
  cloud.write_plan({'0': [{'hang': True, 'deaf': True, 'exit': 0}],
                    '1': [{'hang': True, 'exit': 0}]})
  cloud.up()
  cloud.tpu('start')
  _begun(cloud)
  cloud.tpu('stop', '--timeout=6')  # The other ends meanwhile, on any machine.
  assert [h['status'] for h in cloud.hosts()] == [137, 75]
  assert not fake_gcloud.processes_of(cloud.folder, NAME)


def test_a_run_that_left_no_status_is_lost(cloud):
  cloud.write_plan(_HANGS)
  cloud.up()
  cloud.tpu('start')
  _begun(cloud)
  fake_gcloud.kill_all(cloud.folder, NAME)
  assert [h['state'] for h in cloud.hosts()] == ['lost', 'lost']


@pytest.mark.parametrize('forgets', [True, False])
def test_hosts_are_heard_whether_gcloud_knows_the_folder_or_not(cloud, forgets):
  """As gcloud 528 forgets what it is given."""
  cloud.change(forgets=forgets)
  cloud.up()
  assert len(cloud.hosts()) == 2


def test_a_part_of_an_answer_is_none(cloud):
  """Here of "@status exited 139", which is no refusal."""
  cloud.write_plan({str(w): [{'exit': 139}] for w in range(2)})
  cloud.up()
  cloud.tpu('start')
  cloud.until(lambda: not any(_running(cloud)))
  cloud.fault('ssh', 'drop', match='on_host.sh status', workers=[1],
              bytes=len('\n@status exited 1'))
  said = cloud.tpu('status', status=70)
  assert 'host 0: exited, exit status 139' in said
  assert 'host 1: unreachable' in said


def test_who_looks_at_a_run_is_not_taken_for_one(cloud):
  """Two ask for the status at once."""
  cloud.up()
  home = fake_gcloud.home_of(cloud.folder, NAME, 0)
  with open(home / 'mmal_tpu' / 'lock', 'ab') as lock:
    fcntl.flock(lock, fcntl.LOCK_SH)
    assert _running(cloud) == [False, False]


def test_what_has_taken_the_number_of_a_run_is_not_stopped(cloud):
  """Something of the run lives, but not that which had the number."""
  cloud.change(hosts=1)
  cloud.up()
  home = fake_gcloud.home_of(cloud.folder, NAME, 0) / 'mmal_tpu'
  other = subprocess.Popen(['sleep', '1000'], start_new_session=True)
  try:
    (home / 'pid').write_text(str(other.pid))
    (home / 'session').write_text('999999999')  # More than there are.
    with open(home / 'lock', 'ab') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      stop = cloud.begin('stop')
      cloud.until(lambda: cloud.calls('on_host.sh stop'))
      time.sleep(1)
    cloud.ended(stop)
    assert other.poll() is None
  finally:
    other.kill()
    other.wait()


@pytest.mark.long
def test_while_a_process_of_it_lives_it_runs(cloud):
  """Though that which would tell its status has gone."""
  cloud.write_plan(_HANGS)
  cloud.up()
  cloud.tpu('start')
  _begun(cloud)
  home = fake_gcloud.home_of(cloud.folder, NAME, 0)
  os.kill(int((home / 'mmal_tpu' / 'session').read_text()), signal.SIGKILL)
  assert _running(cloud) == [True, True]
  assert 'running running' in cloud.tpu('start')
  cloud.tpu('stop')
  assert [h['state'] for h in cloud.hosts()] == ['lost', 'exited']


def test_statuses_are_those_of_the_run(cloud):
  cloud.write_plan({'0': [{'exit': 'abort', 'lines': 3}], '1': [{'exit': 3}]})
  cloud.up()
  cloud.tpu('start')
  cloud.until(lambda: not any(_running(cloud)))
  assert [h['status'] for h in cloud.hosts()] == [134, 3]
  assert [h['metrics'] for h in cloud.hosts()] == [3, 3]


@pytest.mark.parametrize('storage', ['local', 'disk:runs'])
def test_several_hosts_need_a_folder_in_common(cloud, storage):
  cloud.settings |= {'STORAGE': storage, 'WORKDIR': '/mnt/disks/runs/one'}
  cloud.up()
  assert 'host' in cloud.tpu('start', status=2)
  assert not cloud.starts()


def _log_path(cloud, worker=0):
  return fake_gcloud.home_of(
      cloud.folder, NAME, worker) / 'mmal_tpu' / 'log'


@pytest.mark.long
def test_logs_are_shown(cloud):
  cloud.up()
  cloud.tpu('start')
  cloud.until(lambda: not any(_running(cloud)))
  assert 'worker 0 start 0' in cloud.tpu('logs')
  assert 'worker 1 start 0' in cloud.tpu('logs', '--worker=1')
  both = cloud.tpu('logs', '--worker=all')
  assert '0: worker 0 start 0' in both and '1: worker 1 start 0' in both
  assert 'there are 2' in cloud.tpu('logs', '--worker=2', status=2)


def test_a_log_goes_on_where_the_connection_was_lost(cloud, tmp_path):
  cloud.up()
  log = _log_path(cloud)
  text = ''.join(f'line {n}\n' for n in range(4000))
  log.write_text(text, 'utf-8')
  cloud.fault('ssh', 'drop', match='on_host.sh log', bytes=100)
  cloud.fault('ssh', 'rerun', match='on_host.sh log')
  said = tmp_path / 'said'
  with open(said, 'wb') as file:
    process = cloud.begin('logs', '-f', '--poll=0.05', stdout=file)
  cloud.until(lambda: said.read_bytes().endswith(b'line 3999\n'))
  cloud.fault('ssh', 'drop', match='on_host.sh log', bytes=30)
  with open(log, 'a', encoding='utf-8') as file:
    file.write('more\n')
  cloud.until(lambda: said.read_bytes().endswith(b'more\n'))
  process.kill()
  process.communicate()
  assert said.read_text('utf-8') == (text + 'more\n')[-20005:]
  # Without -f a lost connection is an error.
  cloud.fault('ssh', 'drop', match='on_host.sh log', bytes=100)
  cloud.tpu('logs', status=70)


@pytest.mark.long
def test_logs_end_when_they_are_read_no_further(cloud):
  cloud.up()
  log = _log_path(cloud)
  log.write_text('line\n' * 9)
  process = cloud.begin('logs', '-f', '--poll=0.05')
  assert process.stdout.readline() == 'line\n'
  process.stdout.close()
  with open(log, 'a', encoding='utf-8') as file:
    file.write('line\n' * 9)
  process.wait(cloud_lib.SECONDS)


@pytest.mark.long
def test_results_are_fetched_whole(cloud, tmp_path):
  cloud.write_plan({'0': [{'lines': 2, 'exit': 0}]})
  cloud.up()
  cloud.tpu('start')
  cloud.until(lambda: not any(_running(cloud)))
  (cloud.shared / 'run' / 'states').mkdir()
  (cloud.shared / 'run' / 'states' / 'large').touch()
  cloud.fault('scp', 'cut')
  assert 'try 1 of 3' in cloud.tpu('fetch', str(tmp_path / 'got'))
  assert [p.name for p in (tmp_path / 'got').iterdir()] == ['metrics.jsonl']
  cloud.fault('scp', 'cut', times=3)
  cloud.tpu('fetch', str(tmp_path / 'more'), status=70)
  assert not (tmp_path / 'more').exists()
  (tmp_path / 'file').touch()
  assert 'cannot be written' in cloud.tpu(
      'fetch', str(tmp_path / 'file'), status=70)
  assert 'there are 2 host(s)' in cloud.tpu(
      'fetch', '--worker=2', str(tmp_path / 'more'), status=2)


def test_the_doctor_tells_of_hosts_and_here(cloud):
  cloud.set(NAME, ['ACTIVE'])
  (cloud.repository / 'more').touch()
  said = cloud.tpu('doctor')
  assert 'not committed' in said and 'host 1: nothing is installed' in said
  (cloud.repository / 'more').unlink()
  cloud.tpu('install')
  said = cloud.tpu('doctor')
  assert 'host 1: home has' in said and 'not committed' not in said
