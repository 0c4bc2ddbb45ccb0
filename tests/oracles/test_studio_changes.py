"""What becomes of questions when projects, tasks and servers change.

The server is one in memory.
"""

import json
import re

import numpy as np
import pytest

from mmal_jax.experiment import annotators as annotators_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import label_studio
from mmal_jax.oracles.people.studio import client as client_lib
from tests.support import fake_label_studio
from tests.support import people
from tests.support import studio_people


@pytest.fixture(name='server')
def _server(monkeypatch):
  server = fake_label_studio.Fake()
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', fake_label_studio.TOKEN)
  yield server
  server.close()


def _annotators(server, folder):
  return annotators_lib.Annotators(
      'label_studio', dict(
          url=server.url, project='pairs', people=1, wait_seconds=None,
          enough=1.0, conflicts='ask', skip_is_refusal=False), str(folder), 0,
      'uniform', 0, 0, {}, None, False)


def _while_waiting(server, folder, *acts):
  """What the oracle answers; at each sleep the next thing is done."""
  left, now = list(acts), [0.0]

  def sleep(seconds):
    now[0] += seconds
    if left:
      left.pop(0)()

  oracle = studio_people.oracle(server, folder, wait_seconds=600, sleep=sleep,
                                clock=lambda: now[0])
  return people.asks(oracle, [5, 3])


def _answers(server, **more):
  for query, choice in (('image-5', 6), ('image-3', 4)):
    studio_people.answer(server, query, choice, **more)


def _remove(server, *queries):
  for query in queries:
    del server.tasks[studio_people.by_query(server)[query]['id']]


def test_tasks_that_are_removed_go_out_again(server, tmp_path, caplog):
  found = _while_waiting(
      server, tmp_path, lambda: _remove(server, 'image-3'), lambda: None,
      lambda: _answers(server))
  np.testing.assert_array_equal(found, [[5, 6], [3, 4]])
  assert re.search(r'1 question\(s\) are not in the project\(s\) .* any more, '
                   'and go out again: image-3', caplog.text)


def test_removed_tasks_are_not_waited_for_by_a_resumed_run(server, tmp_path):
  studio_people.ask(studio_people.oracle(server, tmp_path / 'seed0'), [5, 3])
  _remove(server, 'image-5', 'image-3')
  annotators = _annotators(server, tmp_path)
  annotators.fetch(0)  # To check answers sends nothing.
  assert not server.tasks
  with pytest.raises(oracle_lib.Waiting):
    annotators.look(0, ['image-5', 'image-3'])
  _answers(server)
  annotators.look(0, ['image-5', 'image-3'])


def test_to_check_answers_makes_no_key(server, tmp_path):
  """Beside a run that has just written its first round."""
  studio_people.ask(studio_people.oracle(server, tmp_path / 'seed0'), [5])
  record = tmp_path / 'seed0' / 'label_studio.json'
  record.unlink()
  _annotators(server, tmp_path).fetch(0)
  assert not record.exists()


def test_a_slip_is_mended_where_people_answer(server, tmp_path, caplog):
  """While the run waits; at the end of that it is refused."""
  slip = []

  def wrong():
    slip.append(studio_people.answer(server, 'image-5', 3, number=8))

  def mended():
    task = studio_people.by_query(server)['image-5']
    task['annotations'].clear()
    _answers(server)

  found = _while_waiting(
      server, tmp_path, wrong, lambda: None, lambda: None, mended)
  np.testing.assert_array_equal(found, [[5, 6], [3, 4]])
  assert len(slip) == 1
  what = 'choice 3 and the number 8 for \'text\' cannot be taken'
  assert caplog.text.count(what) == 1
  server.tasks.clear()
  with pytest.raises(ValueError, match=what):
    _while_waiting(server, tmp_path / 'other', wrong)


def test_a_project_that_is_removed_is_not_waited_for(server, tmp_path):
  with pytest.raises(ValueError, match='is gone from'):
    _while_waiting(server, tmp_path, server.projects.clear)


def test_a_server_that_is_gone_once_all_is_answered(server, tmp_path):
  """A run that died later is computed anew without it."""
  oracle = studio_people.oracle(server, tmp_path)
  studio_people.ask(oracle, [5, 3])
  _answers(server)
  people.asks(oracle, [5, 3])
  server.trouble = lambda method, path: 'down'
  np.testing.assert_array_equal(people.asks(
      studio_people.oracle(server, tmp_path), [5, 3]), [[5, 6], [3, 4]])


def test_more_people_than_a_project_was_made_for(server, tmp_path, caplog):
  studio_people.ask(studio_people.oracle(server, tmp_path))
  oracle = studio_people.oracle(server, tmp_path, people=3)
  studio_people.ask(oracle)
  project, = (one for one in server.projects.values()
              if one['title'] == 'pairs (image)')
  assert project['maximum_annotations'] == 3
  assert "'pairs (image)' gives each of its tasks to 3 people now" in (
      caplog.text)
  studio_people.ask(studio_people.oracle(server, tmp_path / 'b', people=2))
  assert project['maximum_annotations'] == 3


def test_another_address_and_title_of_one_server(server, tmp_path, caplog):
  studio_people.ask(studio_people.oracle(server, tmp_path))
  for project in server.projects.values():
    project['title'] += ', of Ann'
  studio_people.ask(studio_people.oracle(
      server, tmp_path, url=server.url.replace('127.0.0.1', 'localhost')))
  assert len(studio_people.by_query(server)) == 3
  assert 'are not found' not in caplog.text


def test_another_server(server, tmp_path, caplog):
  """Whose projects of the same numbers are others'."""
  studio_people.ask(studio_people.oracle(server, tmp_path))
  record = tmp_path / 'label_studio.json'
  record.write_text(record.read_text().replace(
      server.url, 'http://elsewhere:80'))
  for project in server.projects.values():
    project['title'] = 'of others'
  tasks = dict(server.tasks)
  for task in tasks.values():
    task['data']['asked_by'] = 'another'
  studio_people.ask(studio_people.oracle(server, tmp_path))
  new = server.tasks.keys() - tasks.keys()
  assert len(new) == 3 and not {
      server.tasks[n]['project'] for n in new} & {1, 2, 3}
  assert f'At {server.url} the questions that went to http://elsewhere:80' in (
      caplog.text)


def _many(n):
  return {'image': np.arange(n * 12, dtype=np.uint16).view(np.uint8).reshape(
      n, 2, 4, 3), 'text': [f'text {i}' for i in range(n)]}


def _listings(server):
  return sum(one[:2] == ('GET', '/api/tasks') for one in server.requests)


@pytest.mark.long
def test_only_open_rounds_are_listed_while_it_waits(server, tmp_path):
  """Of a project of hundreds of tasks."""
  shown = {'image': np.ones((400, 2)), 'text': [f'text {n}' for n in range(
      400)]}
  oracle = studio_people.oracle(server, tmp_path, shown=shown)
  studio_people.ask(oracle, range(390))
  assert len(studio_people.by_query(server)) == 390
  for query in list(studio_people.by_query(server)):
    studio_people.answer(server, query, label_studio.NO_COUNTERPART)
  people.asks(oracle, range(390))
  studio_people.ask(oracle, [395])
  server.requests.clear()
  assert '0 of 1' in studio_people.ask(oracle, [395])
  assert _listings(server) == 1
  # More are open than those of a round.
  studio_people.ask(oracle, [396])
  studio_people.answer(server, 'image-395', 6)
  studio_people.answer(server, 'image-396', 7)
  np.testing.assert_array_equal(
      people.asks(oracle, [395, 396]), [[395, 6], [396, 7]])


@pytest.mark.long
def test_a_thousand_questions_take_few_requests(server, tmp_path):
  oracle = studio_people.oracle(server, tmp_path, shown=_many(1000))
  studio_people.ask(oracle, range(1000))
  assert len(studio_people.by_query(server)) == len(server.files) == 1000
  assert len(server.requests) < 200


def test_images_that_a_server_does_not_keep(server, tmp_path):
  server._file_uploads = lambda *request: (200, [])
  with pytest.raises(ValueError, match='took 3 image.s., but does not list 3 '
                     'of them'):
    studio_people.ask(studio_people.oracle(server, tmp_path))
  assert not server.tasks


def test_tasks_that_a_server_makes_later(server, tmp_path):
  """A server may only take note of what is sent."""
  take, late = server._import, []

  def import_(method, query, content, kind, number):
    if kind != 'application/json':
      return take(method, query, content, kind, number)
    late.append((method, query, content, kind, number))
    return 201, {'import': 1}

  server._import = import_
  oracle = studio_people.oracle(
      server, tmp_path, sleep=lambda seconds: late and take(*late.pop()))
  assert '0 of 3' in studio_people.ask(oracle)
  assert len(studio_people.by_query(server)) == 3


def test_tasks_that_a_server_never_makes(server, tmp_path):
  now = [0.0]

  def sleep(seconds):
    now[0] += seconds

  take = server._import
  server._import = lambda method, query, content, kind, number: (
      (201, {'task_count': 3}) if kind == 'application/json'
      else take(method, query, content, kind, number))
  with pytest.raises(OSError, match=r'took 3 question\(s\), but does not list 3'
                     ' of them in project 1. It was tried for 5 minutes'):
    studio_people.ask(studio_people.oracle(
        server, tmp_path, sleep=sleep, clock=lambda: now[0]))


def test_a_record_of_others_is_no_number_of_ours(server, tmp_path):
  """Projects that are only alike by their title are told apart by it."""
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  client.call('POST', 'projects/', {'title': 'PAIRS (image)'})
  client.call('POST', 'projects/', {'title': 'pairs (image) of Bob'})
  studio_people.ask(studio_people.oracle(server, tmp_path))
  record = json.loads((tmp_path / 'label_studio.json').read_text())
  assert record['projects']['pairs (image)']['id'] not in (1, 2)
