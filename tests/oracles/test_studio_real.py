"""The oracle at a real Label Studio, on this machine, where one is installed.

CONTRIBUTING says how.
"""

import collections
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import label_studio
from mmal_jax.oracles.people.studio import client as client_lib
from mmal_jax.oracles.people.studio import studio
from tests.support import fake_label_studio
from tests.support import people
from tests.support import real_label_studio

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    real_label_studio.PROGRAM is None, reason='no Label Studio is installed')]
_KILLS = 6
_ASK = '''
from mmal_jax.oracles.people.studio import studio
from tests.support import people
import sys
oracle = studio.studio(sys.argv[1], people.shown(), sys.argv[2], 'killed')
print('begun', flush=True)
people.asks(oracle, [5, 3, 0])
'''


@pytest.fixture(name='server', scope='module')
def _server(tmp_path_factory):
  server = real_label_studio.Real(tmp_path_factory.mktemp('label_studio'))
  yield server
  server.stop()


@pytest.fixture(name='client')
def _client(server, monkeypatch):
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', server.personal_token)
  return client_lib.Client(server.url, server.personal_token)


def _project(client, title):
  found, = client.call('GET', 'projects/', title=title)['results']
  return found['id']


def _tasks(client, title):
  found = client.call('GET', 'tasks', project=_project(client, title),
                      fields='all', page_size=100)['tasks']
  by = collections.Counter(task['data']['query'] for task in found)
  assert set(by.values()) == {1}, by
  return {task['data']['query']: task for task in found}


def _answer(client, task, choice, who, other='text'):
  return client.call('POST', f'tasks/{task["id"]}/annotations/', {
      'completed_by': who, 'was_cancelled': choice is None,
      'result': [] if choice is None else [{
          'id': 'r', 'from_name': f'choice_{other}', 'to_name': 'item',
          'type': 'choices', 'value': {'choices': [str(choice)]}}]})


def _waits(oracle, numbers=(5, 3, 0), modality='image'):
  with pytest.raises(oracle_lib.Waiting) as e:
    people.asks(oracle, numbers, modality)
  return str(e.value)


def test_what_was_recorded_is_what_it_answers(client):
  """All fields that the server in memory gives are there, and their kinds."""
  answers = {}

  def same(name, found):
    answers[name] = found
    recorded = fake_label_studio.RECORDED[name]['answer']
    if isinstance(recorded, list):
      recorded, found = recorded[0], found[0]
    assert recorded.keys() <= found.keys(), name
    for field, value in recorded.items():
      if value is not None and found[field] is not None:
        assert type(found[field]) is type(value), (name, field)

  def refused(name, *request, **more):
    with pytest.raises(client_lib.Refused) as e:
      client.call(*request, **more)
    recorded = fake_label_studio.RECORDED[name]
    assert e.value.status == recorded['status']
    assert recorded['answer']['detail'].rstrip('.') in str(e.value)

  same('whoami', client.call('GET', 'current-user/whoami'))
  same('made', client.call('POST', 'projects/', {
      'title': 'recorded', 'label_config': (
          '<View><Text name="item" value="$item"/><Choices name="choice_image" '
          'toName="item" value="$candidates_image"/></View>')}))
  same('made_bare', client.call('POST', 'projects/', {
      'title': 'recorded: files'}))
  same('projects', client.call('GET', 'projects/', title='recorded'))
  assert len(answers['projects']['results']) == 2
  number, bare = answers['made']['id'], answers['made_bare']['id']
  data = {'query': 'text-1', 'item': 'x', 'candidates_image': [], 'a': 'b'}
  same('import', client.call(
      'POST', f'projects/{number}/import', [{'data': data}]))
  file = ('abc.png', b'\x89PNG\r\n\x1a\n')
  refused('import_wrong', 'POST', f'projects/{number}/import',
          [{'data': {'query': 1}}])
  refused('files_refused', 'POST', f'projects/{number}/import', files=[file])
  same('files', client.call('POST', f'projects/{bare}/import', files=[file],
                            commit_to_project='false'))
  same('uploads', client.call(
      'GET', f'projects/{bare}/file-uploads', all='true'))
  assert answers['uploads'][0]['file'].endswith('-abc.png')
  same('tasks', client.call('GET', 'tasks', project=number, fields='all'))
  task, = answers['tasks']['tasks']
  assert task['data'] == data
  same('annotation', client.call(
      'POST', f'tasks/{task["id"]}/annotations/', {'result': []}))
  task, = client.call('GET', 'tasks', project=number, fields='all')['tasks']
  assert fake_label_studio.RECORDED['tasks']['answer']['tasks'][0].keys() <= (
      task.keys())
  assert task['annotations'][0]['id'] == answers['annotation']['id']
  same('users', client.call('GET', 'users/'))
  refused('no_page', 'GET', 'tasks', project=number, fields='all', page=7)
  refused('no_project', 'GET', 'projects/99999/')
  assert client.call('DELETE', f'tasks/{task["id"]}/') is None
  refused('no_task', 'GET', 'tasks/99999/')


def test_a_round_with_two_people(client, tmp_path):
  bob = client.call('POST', 'users/', {
      'email': 'bob@example.org', 'username': 'bob', 'password': 'for-tests-2'})
  oracle = studio.studio(tmp_path, people.shown(), client.url, 'pairs',
                         candidates=4, people=2, skip_is_refusal=True)
  for modality, other in (('image', 'text'), ('text', 'image')):
    _waits(oracle, modality=modality)
    tasks = _tasks(client, f'pairs ({modality})')
    for who in (1, bob['id']):
      _answer(client, tasks[f'{modality}-5'], 6, who, other)
      _answer(client, tasks[f'{modality}-3'], None, who, other)
      _answer(client, tasks[f'{modality}-0'], [
          1, label_studio.NONE_OF_THESE][who > 1], who, other)
    said = _waits(oracle, modality=modality)
    assert '2 of 3' in said and (
        f'{modality}-0: {other} 1 (ann@example.org); no {other} '
        '(bob@example.org)') in said
    found = people.asks(oracle, [5, 3, 0], modality, None)
    np.testing.assert_array_equal(found, np.array(
        [[5, 6], [3, -1], [-1, -1]])[:, ::1 if modality == 'image' else -1])


def test_more_tasks_than_a_page_has(client, tmp_path):
  shown = {'image': np.arange(120 * 12, dtype=np.uint16).view(np.uint8).reshape(
      120, 2, 4, 3), 'text': [f'text {n}' for n in range(120)]}
  oracle = studio.studio(tmp_path, shown, client.url, 'many', candidates=2)
  _waits(oracle, range(120))
  assert len(_tasks(client, 'many (image)') or ()) == 100  # A page of it.
  _waits(oracle, range(120))
  files = client.call(
      'GET', f'projects/{_project(client, "many: files")}/file-uploads',
      all='true')
  assert len(files) == 120
  total = client.call('GET', 'tasks', project=_project(client, 'many (image)'))
  assert total['total'] == 120


def test_killed_at_random_moments_nothing_is_there_twice(
    client, server, tmp_path):
  environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': os.getcwd()}
  rng, took = random.Random(0), 4.0
  for number in range(_KILLS):
    process = subprocess.Popen(
        [sys.executable, '-c', _ASK, str(tmp_path), server.url],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b'begun\n'
    time.sleep(took * rng.random() * (number + 1) / _KILLS)
    process.send_signal(signal.SIGKILL)
    process.wait()
  oracle = studio.studio(tmp_path, people.shown(), client.url, 'killed')
  _waits(oracle)
  time.sleep(5)  # What was being carried out.
  _waits(studio.studio(tmp_path, people.shown(), client.url, 'killed'))
  assert len(_tasks(client, 'killed (image)')) == 3
  _project(client, 'killed: files')


def test_a_server_that_is_started_again(client, server, tmp_path, monkeypatch):
  monkeypatch.setattr(client_lib, 'PATIENCE_SECONDS', 1800)
  oracle = studio.studio(
      tmp_path, people.shown(), client.url, 'again', candidates=4)
  server.stop()
  thread = threading.Thread(target=server.start)
  thread.start()
  _waits(oracle)
  thread.join()
  assert len(_tasks(client, 'again (image)')) == 3


def test_a_token_of_the_older_kind(server, tmp_path, monkeypatch):
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', server.old_token)
  _waits(studio.studio(tmp_path, people.shown(), server.url, 'older'))
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', '1' + server.old_token[1:])
  with pytest.raises(ValueError, match='does not accept the token'):
    studio.studio(tmp_path, people.shown(), server.url, 'older')
