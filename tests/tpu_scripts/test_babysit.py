"""Looking after a run until it has ended."""

import pytest

from tests.tpu_scripts import cloud as cloud_lib
from tests.tpu_scripts import fake_gcloud
from tests.tpu_scripts.cloud import NAME

pytestmark = pytest.mark.long
_WORDS = ('babysit', '--poll=0.05')
_HANG = {'lines': 1, 'hang': True, 'exit': 0}


def _plan(cloud, *starts):
  """What hosts do at each start: a pair each, or the same for both."""
  pairs = [s if isinstance(s, tuple) else (s, s) for s in starts]
  cloud.write_plan({str(w): [pair[w] for pair in pairs] for w in range(2)})


def _count(cloud, *words):
  return len(cloud.calls(*words))


def _started(cloud):
  return [len(cloud.starts(w)) for w in range(2)]


def _let_go(cloud):
  (cloud.plan / 'go_on').touch()


@pytest.mark.parametrize('status', [0, 1, 3])
def test_from_nothing_to_the_end_of_the_run(cloud, status):
  _plan(cloud, {'lines': 2, 'exit': status})
  said = cloud.tpu(*_WORDS, status=status)
  assert f'The run has ended with {status}' in said
  assert 'still there, and costs' in said
  assert _started(cloud) == [1, 1] and _count(cloud, 'create') == 1


def test_it_deletes_what_costs_if_it_may(cloud):
  cloud.tpu(*_WORDS, '--delete')
  assert not cloud.state()['resources']


def test_a_slice_that_cannot_be_deleted_is_not_passed_over(cloud):
  cloud.fault('delete', 'error', message='UNAVAILABLE: try again', times=3)
  cloud.tpu(*_WORDS, '--delete')
  assert not cloud.state()['resources']
  cloud.fault('delete', 'error', message='INTERNAL: an error', times=9)
  said = cloud.tpu(*_WORDS, '--delete', status=70)
  assert 'The run has ended with 0' in said and 'may go on costing' in said


@pytest.mark.parametrize('pair', [
    (75, 75), ('abort', 75), (75, 'abort'), (0, 75), (139, 137)])
def test_hosts_that_ended_otherwise_are_all_started_again(cloud, pair):
  _plan(cloud, tuple({'lines': 1, 'exit': code} for code in pair),
        {'lines': 1, 'exit': 0})
  assert 'Trying again' in cloud.tpu(*_WORDS)
  assert _started(cloud) == [2, 2] and _count(cloud, 'create') == 1
  assert _count(cloud, 'scp') == 1  # All is installed still.


def test_where_one_is_refused_so_is_the_run(cloud):
  _plan(cloud, ({'exit': 1}, {'exit': 75}), {'exit': 0})
  cloud.tpu(*_WORDS, status=1)
  assert _started(cloud) == [1, 1]


@pytest.mark.parametrize('code, status, times', [(75, 0, 2), (1, 1, 1)])
def test_one_that_runs_on_alone_is_stopped(cloud, code, status, times):
  _plan(cloud, ({'exit': code}, _HANG), {'exit': 0})
  cloud.tpu(*_WORDS, status=status)
  assert _started(cloud) == [times, times]
  assert _count(cloud, 'on_host.sh stop 60') == 1


def test_a_run_without_status_is_started_again(cloud):
  _plan(cloud, _HANG, {'exit': 0})
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  fake_gcloud.kill_all(cloud.folder, NAME)
  said = cloud.ended(process)[1]
  assert process.returncode == 0 and 'lost' in said
  assert _started(cloud) == [2, 2]


def test_a_slice_that_is_lost_is_renewed(cloud):
  _plan(cloud, _HANG, {'lines': 1, 'exit': 0})
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  fake_gcloud.preempt(cloud.folder, NAME)
  said = cloud.ended(process)[1]
  assert process.returncode == 0, said
  assert 'SUSPENDED, and would never come back' in said
  assert _started(cloud) == [2, 2]
  assert [_count(cloud, what) for what in ('create', 'delete', 'scp')] == [
      2, 1, 2]


def test_what_is_installed_then_is_the_commit_of_the_beginning(cloud):
  _plan(cloud, _HANG, _HANG)
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  before = cloud.hosts()[0]['installed']
  (cloud.repository / 'more').touch()
  cloud_lib.commit_all(cloud.repository)
  (cloud.repository / 'even_more').touch()
  fake_gcloud.preempt(cloud.folder, NAME)
  cloud.until(lambda: _started(cloud) == [2, 2])
  assert cloud.hosts()[0]['installed'] == before
  _let_go(cloud)
  cloud.ended(process)
  assert process.returncode == 0


@pytest.mark.parametrize('path', [
    ['CREATING', 'ACCEPTED', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE'],
    ['DELETING', 'DELETING', 'GONE'], ['SUSPENDED'], ['FAILED']])
def test_it_begins_with_whatever_is_there(cloud, path):
  cloud.set(NAME, path)
  cloud.tpu(*_WORDS)
  assert _started(cloud) == [1, 1]
  assert _count(cloud, 'create') == (path[-1] != 'ACTIVE')
  assert _count(cloud, 'delete') == (path[-1] in ('SUSPENDED', 'FAILED'))


def test_a_slice_that_is_lost_during_install_is_renewed(cloud):
  (cloud.folder / 'uv_seconds').write_text('1')
  cloud.fault('ssh', 'preempt', match='on_host.sh install', after=0.5)
  cloud.tpu(*_WORDS)
  assert _started(cloud) == [1, 1] and _count(cloud, 'create') == 2


def test_a_node_that_is_lost_before_its_resource_tells_of_it(cloud):
  _plan(cloud, _HANG, {'exit': 0})
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  with fake_gcloud.state_of(cloud.folder) as state:
    state['resources'][NAME]['nodes'] = ['PREEMPTED']
  said = cloud.ended(process)[1]
  assert process.returncode == 0 and 'node of slice is PREEMPTED' in said
  assert _started(cloud) == [2, 2]


def test_a_request_that_failed_is_made_again_until_it_is_given_up(cloud):
  cloud.change(granted=['FAILED'], message='no more capacity in zone-a')
  said = cloud.tpu(*_WORDS, '--restarts=2', status=69)
  assert 'no more capacity' in said and _count(cloud, 'create') == 3


def test_quota_that_is_free_later_is_waited_for(cloud):
  cloud.fault('create', 'error', message='Quota limit exceeded', times=2)
  cloud.tpu(*_WORDS)
  assert _count(cloud, 'create') == 3


def test_a_slice_that_does_not_come_is_given_up(cloud):
  cloud.change(granted=['WAITING_FOR_RESOURCES'])
  cloud.tpu(*_WORDS, '--timeout=1', status=124)
  assert not cloud.state()['resources']


def test_without_new_metrics_it_is_given_up(cloud):
  _plan(cloud, *[{'exit': 75}] * 9)
  said = cloud.tpu(*_WORDS, '--restarts=2', status=75)
  assert '2 restarts in a row, and no new line' in said
  assert _started(cloud) == [3, 3]
  waits = [line.split()[3] for line in said.splitlines() if 'Trying' in line]
  assert waits == ['0.05', '0.1']  # Each twice the one before.


def test_a_slice_that_is_lost_too_often_is_given_up(cloud):
  _plan(cloud, *[_HANG | {'lines': 0}] * 2)
  process = cloud.begin(*_WORDS, '--restarts=1')
  for number in (1, 2):
    cloud.until(lambda: _started(cloud) == [number] * 2)
    fake_gcloud.preempt(cloud.folder, NAME)
  assert '1 restarts in a row' in cloud.ended(process)[1]
  assert process.returncode == 75 and _count(cloud, 'create') == 2


def test_with_new_metrics_it_is_not(cloud):
  _plan(cloud, *[{'lines': 1, 'exit': 75}] * 4)
  cloud.tpu(*_WORDS, '--restarts=1')
  assert _started(cloud) == [5, 5]


def test_a_host_that_gives_no_answer_for_a_while_is_left_alone(cloud):
  _plan(cloud, _HANG)
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  cloud.fault('ssh', 'unreachable', match='on_host.sh status', workers=[1],
              times=3)
  cloud.until(lambda: not cloud.state()['faults'])
  _let_go(cloud)
  cloud.ended(process)
  assert process.returncode == 0 and _started(cloud) == [1, 1]


def test_google_may_fail_to_answer_for_a_while(cloud):
  _plan(cloud, _HANG)
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  cloud.fault('describe', 'error', message='UNAVAILABLE', times=4)
  cloud.until(lambda: not cloud.state()['faults'])
  _let_go(cloud)
  cloud.ended(process)
  assert process.returncode == 0 and _started(cloud) == [1, 1]
  assert _count(cloud, 'create') == 1


def test_killed_and_started_again_it_takes_up_the_run(cloud):
  _plan(cloud, _HANG, {'exit': 3})
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  process.kill()
  process.communicate()
  process = cloud.begin(*_WORDS)
  calls = len(cloud.calls())
  cloud.until(lambda: len(cloud.calls()) > calls + 9)
  assert _started(cloud) == [1, 1]
  _let_go(cloud)
  said = cloud.ended(process)[1]
  assert process.returncode == 0, said
  assert _started(cloud) == [1, 1] and _count(cloud, 'create') == 1


def test_two_at_once_are_refused(cloud):
  _plan(cloud, _HANG)
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: _started(cloud) == [1, 1])
  said = cloud.tpu(*_WORDS, '--delete', status=2)
  assert f'already: process {process.pid}' in said
  _let_go(cloud)
  cloud.ended(process)
  assert process.returncode == 0 and _started(cloud) == [1, 1]


def test_a_run_of_another_commit_goes_on_and_is_named(cloud):
  _plan(cloud, _HANG)
  cloud.up()
  cloud.tpu('start')
  cloud.until(lambda: _started(cloud) == [1, 1])
  (cloud.repository / 'more').touch()
  cloud_lib.commit_all(cloud.repository)
  process = cloud.begin(*_WORDS)
  calls = len(cloud.calls())
  cloud.until(lambda: len(cloud.calls()) > calls + 5)
  _let_go(cloud)
  assert 'of another commit' in cloud.ended(process)[1]
  assert process.returncode == 0 and _started(cloud) == [1, 1]


@pytest.mark.parametrize('at', ['on_host.sh install', 'on_host.sh start'])
def test_or_finishes_what_it_was_killed_at(cloud, at):
  process = cloud.begin(*_WORDS)
  cloud.until(lambda: cloud.calls(at))
  process.kill()
  process.communicate()
  cloud.tpu(*_WORDS)
  assert _count(cloud, 'create') == 1


def test_what_is_not_committed_costs_nothing(cloud):
  (cloud.repository / 'more').touch()
  assert 'not committed' in cloud.tpu(*_WORDS, status=2)
  assert not _count(cloud, 'create')


def test_what_hosts_refuse_by_their_number_is_shown(cloud):
  cloud.settings |= {'STORAGE': 'local', 'WORKDIR': 'run'}
  said = cloud.tpu(*_WORDS, '--delete', status=2)
  assert 'share no folder' in said and not cloud.state()['resources']
