"""The oracle that reaches Label Studio by its API: what is asked and answered.

The server is one in memory, whose answers were recorded of a real one.
"""

import json
import logging
import re

import numpy as np
import pytest

from mmal_jax.files import buckets
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


def test_a_round_is_asked_and_answered(server, tmp_path):
  oracle = studio_people.oracle(server, tmp_path)
  said = studio_people.ask(oracle)
  assert '0 of 3 queries about image' in said and server.url in said
  assert sorted(one['title'] for one in server.projects.values()) == [
      'pairs (image)', 'pairs: files']
  tasks = studio_people.by_query(server)
  assert list(tasks) == ['image-5', 'image-3', 'image-0']
  data = tasks['image-3']['data']
  assert [one['value'] for one in data['candidates_text']] == [
      '3', '4', '5', label_studio.NONE_OF_THESE, label_studio.NO_COUNTERPART]
  # What people see is what was fetched before.
  assert server.files[data['item'].removeprefix('/data/')] == (
      tmp_path / 'round_001' / 'images' / 'image-3.png').read_bytes()
  assert ('GET', data['item'], f'Token {fake_label_studio.TOKEN}') in (
      server.requests)
  readme = (tmp_path / 'round_001' / 'README.txt').read_text()
  assert server.url in readme and 'tasks.json' not in readme
  assert not (tmp_path / 'round_001' / 'tasks.json').exists()
  studio_people.answer(server, 'image-5', 6)
  studio_people.answer(server, 'image-0', label_studio.NO_COUNTERPART)
  studio_people.answer(server, 'image-3', None)  # Skipped.
  assert '2 of 3' in studio_people.ask(oracle)
  np.testing.assert_array_equal(
      people.asks(oracle, [5, 3, 0], 'image', None),
      [[5, 6], [-1, -1], [0, -1]])
  first, _ = people.lines(tmp_path / 'ledger.jsonl')
  assert list(first['annotators']) == ['ann@example.org']
  assert first['names'] == {'ann@example.org': ['1']}


def test_images_are_candidates_of_texts_and_uploaded_once(server, tmp_path):
  oracle = studio_people.oracle(server, tmp_path)
  studio_people.ask(oracle, modality='text')
  uploaded = len(server.files)
  assert uploaded == 8
  data = studio_people.by_query(server)['text-5']['data']
  for option in data['candidates_image'][:3]:
    path, = re.findall('src="(/data/[^"]+)"', option['html'])
    assert path.removeprefix('/data/') in server.files
  studio_people.ask(oracle, [5, 3, 0])  # Images that are there.
  assert len(server.files) == uploaded
  assert len(server.projects) == 3 and len(server.tasks) == 6


def test_several_people_and_what_they_skip(server, tmp_path):
  oracle = studio_people.oracle(
      server, tmp_path, people=2, skip_is_refusal=True)
  studio_people.ask(oracle)
  project, = (one for one in server.projects.values()
              if one['title'] == 'pairs (image)')
  assert project['maximum_annotations'] == 2
  for who in (1, 2):
    studio_people.answer(server, 'image-5', 6, who=who)
    studio_people.answer(server, 'image-3', None, who=who)
    studio_people.answer(server, 'image-0', who, who=who)
  said = studio_people.ask(oracle)
  assert '2 of 3' in said
  assert ('image-0: text 1 (ann@example.org); text 2 (bob@example.org)'
          in said)
  np.testing.assert_array_equal(
      people.asks(oracle, [5, 3, 0], 'image', None),
      [[5, 6], [3, -1], [-1, -1]])


def test_what_was_accepted_stays_whatever_becomes_of_it(server, tmp_path):
  oracle = studio_people.oracle(server, tmp_path)
  studio_people.ask(oracle)
  annotation = studio_people.answer(server, 'image-5', 6)
  assert '1 of 3' in studio_people.ask(oracle)
  # A change of mind.
  studio_people.answer(server, 'image-5', 7, id=annotation['id'])
  said = studio_people.ask(oracle)
  assert '1 of 3' in said and 'label_studio_image.json' not in said
  assert not list((tmp_path / 'answers').iterdir())
  studio_people.answer(server, 'image-3', 4)
  studio_people.answer(server, 'image-0', 1)
  expected = [[5, 6], [3, 4], [0, 1]]
  np.testing.assert_array_equal(people.asks(oracle, [5, 3, 0]), expected)
  server.projects.clear()  # Nobody is needed any more.
  np.testing.assert_array_equal(
      people.asks(studio_people.oracle(server, tmp_path), [5, 3, 0]), expected)
  assert not server.projects


def test_it_waits(server, tmp_path):
  now = [0.0]

  def sleep(seconds):
    now[0] += seconds
    task = studio_people.by_query(server)['image-5']
    if now[0] > 20 and not task['annotations']:
      studio_people.answer(server, 'image-5', 6)

  oracle = studio_people.oracle(
      server, tmp_path, wait_seconds=60, sleep=sleep, clock=lambda: now[0])
  np.testing.assert_array_equal(people.asks(oracle, [5]), [[5, 6]])
  assert 20 < now[0] < 30


def test_folders_share_projects_and_not_tasks(server, tmp_path):
  one, other = (studio_people.oracle(server, tmp_path / name) for name in 'ab')
  studio_people.ask(one)
  studio_people.ask(other)
  assert len(server.projects) == 2 and len(server.tasks) == 6
  for task in list(server.tasks.values())[:3]:
    task['annotations'].append({
        'id': 1, 'completed_by': 1, 'was_cancelled': True, 'result': []})
  studio_people.ask(other)
  assert not list((tmp_path / 'b' / 'answers').iterdir())


class _Killed(BaseException):
  """The end of a program."""


def _kill_at(monkeypatch, number, after):
  """The program ends at a request: before it is sent, or once it is done."""
  send, count = client_lib.Client._send, [0]

  def dying(self, *arguments):
    count[0] += 1
    if count[0] == number and not after:
      raise _Killed
    found = send(self, *arguments)
    if count[0] == number:
      raise _Killed
    return found

  monkeypatch.setattr(client_lib.Client, '_send', dying)
  return count


@pytest.mark.long
@pytest.mark.parametrize('after', [False, True], ids=['before', 'after'])
def test_killed_at_any_request_nothing_is_there_twice(
    server, tmp_path, monkeypatch, after):
  number = 0
  while True:
    number += 1
    folder = tmp_path / str(number)
    server.projects.clear(), server.tasks.clear(), server.files.clear()
    server._uploads.clear()
    with monkeypatch.context() as patch:
      count = _kill_at(patch, number, after)
      try:
        studio_people.ask(studio_people.oracle(server, folder))
      except _Killed:
        pass
      done = count[0] < number
    assert '0 of 3' in studio_people.ask(studio_people.oracle(server, folder))
    assert len(studio_people.by_query(server)) == 3
    assert len(server.files) == 3
    assert sorted(one['title'] for one in server.projects.values()) == [
        'pairs (image)', 'pairs: files']
    assert len(list(folder.glob('round_*'))) == 1
    if done:
      break
  assert number > 10


@pytest.mark.parametrize('how', ['down', 'lost', 'cut'])
def test_a_bad_network_sends_nothing_twice(server, tmp_path, how, caplog):
  bad = set()

  def trouble(*request):
    if request not in bad:
      bad.add(request)
      return how

  server.trouble = trouble
  assert '0 of 3' in studio_people.ask(studio_people.oracle(server, tmp_path))
  assert len(studio_people.by_query(server)) == 3 and len(server.files) == 3
  assert len(server.projects) == 2
  assert len(bad) > 8 and 'It is tried again' in caplog.text
  server.trouble = lambda *request: None
  studio_people.answer(server, 'image-5', 6)
  bad.clear()
  server.trouble = trouble
  assert '1 of 3' in studio_people.ask(studio_people.oracle(server, tmp_path))


def test_tasks_that_came_twice_go_unless_they_are_answered(server, tmp_path):
  oracle = studio_people.oracle(server, tmp_path)
  studio_people.ask(oracle, [5])
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  task, = server.tasks.values()
  for _ in range(2):
    client.call('POST', f'projects/{task["project"]}/import',
                [{'data': task['data']}])
  _, answered, _ = server.tasks.values()
  client.call('POST', f'tasks/{answered["id"]}/annotations/', {'result': []})
  studio_people.ask(studio_people.oracle(server, tmp_path), [5, 3])
  assert answered['id'] in server.tasks
  assert len(studio_people.by_query(server)) == 2


def test_a_server_that_is_down_for_minutes(server, tmp_path):
  oracle = studio_people.oracle(server, tmp_path)
  now = [0.0]

  def sleep(seconds):
    now[0] += seconds

  server.trouble = lambda method, path: (
      'down' if path.endswith('/import') else None)
  with pytest.raises(buckets.Unreachable, match='503 Service Unavailable. '
                     'It was tried for 5 minutes'):
    studio_people.ask(studio_people.oracle(
        server, tmp_path, sleep=sleep, clock=lambda: now[0]))
  assert 200 < now[0] <= 300
  assert (tmp_path / 'round_001').is_dir()
  server.trouble = lambda method, path: None
  assert '0 of 3' in studio_people.ask(oracle)
  assert len(studio_people.by_query(server)) == 3


def test_a_personal_token_is_renewed(server, tmp_path, monkeypatch):
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', fake_label_studio.PERSONAL)
  oracle = studio_people.oracle(server, tmp_path)
  studio_people.ask(oracle)
  server.forget_access()
  assert '0 of 3' in studio_people.ask(oracle)
  assert {one[2] for one in server.requests} == {
      None, 'Bearer x.y.0', 'Bearer x.y.1'}


@pytest.mark.parametrize('token', [
    fake_label_studio.TOKEN, fake_label_studio.PERSONAL])
def test_the_token_is_written_nowhere(
    server, tmp_path, monkeypatch, caplog, token):
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', token)
  caplog.set_level(logging.DEBUG)
  oracle = studio_people.oracle(server, tmp_path)
  studio_people.ask(oracle)
  studio_people.answer(server, 'image-5', 6)
  said = [studio_people.ask(oracle), caplog.text, *(
      path.read_bytes().decode('latin-1') for path in tmp_path.rglob('*')
      if path.is_file())]
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', 'W' + token)
  with pytest.raises(ValueError, match='does not accept the token') as e:
    studio_people.oracle(server, tmp_path)
  for text in (*said, str(e.value), repr(e.value.__cause__)):
    assert token not in text and 'x.y.' not in text
  record = json.loads((tmp_path / 'label_studio.json').read_text())
  assert record.keys() == {'key', 'projects'}
