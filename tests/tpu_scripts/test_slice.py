"""Requesting a slice, waiting for it, and deleting it."""

import subprocess

import pytest

from tests.tpu_scripts.cloud import NAME
from tests.tpu_scripts.cloud import SCRIPTS


def _created(cloud):
  return len(cloud.calls('queued-resources', 'create'))


def test_it_is_created_and_waited_for(cloud):
  assert 'Requested slice' in cloud.tpu('create')
  said = cloud.tpu('wait', '--poll=0.01')
  for state in ('ACCEPTED', 'PROVISIONING', 'ACTIVE, its node CREATING',
                'ready: 2 host(s)'):
    assert state in said, said
  assert 'there already: ACTIVE' in cloud.tpu('create')
  assert _created(cloud) == 1


@pytest.mark.parametrize('state', ['WAITING_FOR_RESOURCES', 'ACTIVE'])
def test_one_that_is_there_is_not_created_again(cloud, state):
  cloud.set(NAME, [state])
  assert f'there already: {state}' in cloud.tpu('create')
  assert not _created(cloud)


@pytest.mark.parametrize('path', [
    ['SUSPENDED'], ['FAILED'], ['SUSPENDING', 'SUSPENDING', 'SUSPENDED']])
def test_one_that_never_comes_back_is_deleted_first(cloud, path):
  cloud.set(NAME, path)
  cloud.tpu('create', '--poll=0.01')
  assert _created(cloud) == 1
  assert len(cloud.calls('delete', '--force')) == 1
  # SUSPENDED holds the name and the quota.
  assert cloud.calls()[-2][3] == 'describe'


def test_one_that_is_being_deleted_is_waited_for(cloud):
  cloud.set(NAME, ['DELETING', 'DELETING', 'GONE'])
  cloud.tpu('create', '--poll=0.01')
  assert _created(cloud) == 1 and not cloud.calls('delete')


def test_one_that_does_not_end_is_an_error_of_google():
  """Not 124, with which all is deleted that may cost."""
  done = subprocess.run(
      ['bash', '-c', 'source "$1/lib.sh"; source "$1/slice.sh"; DRY_RUN=no;'
       'NAME=slice POLL=1; resource_state() { STATE=SUSPENDING; };'
       'sleep() { SECONDS=$((SECONDS + 600)); }; tpu_create', '-', SCRIPTS],
      stderr=subprocess.PIPE, text=True, check=False)
  assert done.returncode == 70, done
  assert 'has been SUSPENDING for 1800 seconds' in done.stderr


def test_one_that_was_created_meanwhile_is_taken(cloud):
  cloud.fault('create', 'lost_answer')
  assert 'requested meanwhile' in cloud.tpu('create')
  cloud.tpu('wait', '--poll=0.01')


def test_without_quota_it_ends_with_69(cloud):
  cloud.fault('create', 'error', message=(
      'RESOURCE_EXHAUSTED: Quota limit TPUV5sLitepodPerProject exceeded'))
  said = cloud.tpu('create', status=69)
  assert 'Quota limit' in said


def test_without_the_right_to_it_ends_with_70(cloud):
  cloud.fault('create', 'error', message='PERMISSION_DENIED: tpu.nodes.create')
  assert 'PERMISSION_DENIED' in cloud.tpu('create', status=70)


def test_what_cannot_be_asked_is_not_taken_for_absent(cloud):
  cloud.set(NAME, ['ACTIVE'])
  cloud.fault('describe', 'error', message='UNAVAILABLE: try again')
  assert 'UNAVAILABLE' in cloud.tpu('create', status=70)
  assert not _created(cloud)


def test_who_waits_in_vain_deletes_the_request(cloud):
  cloud.change(granted=['WAITING_FOR_RESOURCES'])
  cloud.tpu('create')
  said = cloud.tpu('wait', '--timeout=1', '--poll=0.1', status=124)
  assert 'after 1 seconds slice is WAITING_FOR_RESOURCES' in said
  assert not cloud.state()['resources']


def test_and_does_so_though_google_fails_for_a_while(cloud):
  cloud.change(granted=['WAITING_FOR_RESOURCES'])
  cloud.tpu('create')
  cloud.fault('delete', 'error', message='UNAVAILABLE: try again', times=3)
  cloud.tpu('wait', '--timeout=0', '--poll=0.01', status=124)
  assert not cloud.state()['resources']


def test_or_keeps_it(cloud):
  cloud.change(granted=['WAITING_FOR_RESOURCES'])
  cloud.tpu('create')
  cloud.tpu('wait', '--timeout=0', '--keep', status=124)
  assert NAME in cloud.state()['resources']


def test_why_it_failed_is_said(cloud):
  cloud.change(granted=['ACCEPTED', 'FAILED'],
               message='There is no more capacity in the zone "zone-a"')
  cloud.tpu('create')
  assert 'no more capacity' in cloud.tpu('wait', '--poll=0.01', status=69)


def test_one_that_is_lost_is_not_waited_for(cloud):
  cloud.set(NAME, ['SUSPENDED'])
  assert 'SUSPENDED: tpu create' in cloud.tpu('wait', status=69)


def test_waiting_survives_errors_that_pass(cloud):
  cloud.tpu('create')
  cloud.fault('describe', 'error', message='UNAVAILABLE', times=3)
  cloud.tpu('wait', '--poll=0.01')


def test_to_delete_what_is_absent_is_no_error(cloud):
  cloud.tpu('create')
  assert 'Deleted slice' in cloud.tpu('delete')
  assert 'is absent' in cloud.tpu('delete')
  cloud.fault('delete', 'error', message='PERMISSION_DENIED: tpu.nodes.delete')
  assert 'may go on costing' in cloud.tpu('delete', status=70)


def test_a_slice_that_is_absent_is_shown_as_such(cloud):
  assert cloud.status() == {'name': NAME, 'state': 'ABSENT', 'node': 'ABSENT',
                            'health': '', 'hosts': []}
  assert 'tpu create' in cloud.tpu('install', status=70)
