"""The page on localhost: who may answer, and where answers go."""

import http.client
import json
import re
import socket
import struct
import threading

import numpy as np
import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import status as status_lib
from mmal_jax.oracles.people.page import page
from mmal_jax.oracles.people.page import server
from tests.support import people

_SESSION = '0123456789abcdef'
_JSON_LINES = {'Content-Type': 'application/x-ndjson'}


@pytest.fixture(name='host', scope='module')
def _host():
  host = server.Host(0)
  yield host
  host.close()


@pytest.fixture(name='asked')
def _asked(tmp_path):
  """The oracle of a folder in which two images are asked about."""
  oracle = page.page(tmp_path / 'p', people.shown())
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [5, 3])
  return oracle


def _call(host, method, path, body=None, **headers):
  connection = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
  try:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers
  finally:
    connection.close()


def _path(host, folder):
  return re.sub('^http://127.0.0.1:[0-9]+', '', host.add(folder))


def _lines(*answers):
  return ''.join(json.dumps(one) + '\n' for one in answers)


def test_answers_are_saved_and_used(tmp_path, host, asked):
  home = _path(host, tmp_path / 'p')
  status, _, headers = _call(host, 'GET', home)
  assert (status, headers['Location']) == (303, f'{home}round_001/')
  status, text, headers = _call(host, 'GET', f'{home}round_001/')
  assert status == 200 and "connect-src 'self'" in text
  assert headers['X-Frame-Options'] == 'DENY'
  assert headers['Cache-Control'] == 'no-store'
  to = f'{home}round_001/answers/{_SESSION}'
  for number in (6, 7):  # The later one takes the place of the earlier.
    status, text, _ = _call(host, 'POST', to, _lines(
        people.line('image-5', {'text': {'item': number}}, changed=number)),
                            **_JSON_LINES)
    assert (status, json.loads(text)) == (
        200, {'round': 'round_001', 'used': [], 'disputes': {}})
  file, = (tmp_path / 'p' / 'answers').iterdir()
  assert file.name == f'page_round_001_{_SESSION}.jsonl'
  with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
    people.asks(asked, [5, 3])
  status, text, _ = _call(host, 'GET', f'{home}round_001/status')
  assert json.loads(text)['used'] == ['image-5']
  # What was accepted cannot be changed: another answer would end the run.
  status, _, _ = _call(host, 'POST', to, _lines(
      people.line('image-5', {'text': {'item': 1}}, changed=8),
      people.line('image-3', {'text': None}, changed=9)), **_JSON_LINES)
  assert status == 200
  np.testing.assert_array_equal(
      people.asks(asked, [5, 3]), [[5, 7], [3, -1]])


def test_what_comes_late_takes_no_later_answer_s_place(tmp_path, host, asked):
  # Of two tabs, or of one whose first attempt was slow.
  to = f'{_path(host, tmp_path / "p")}round_001/answers/{_SESSION}'
  for lines in (
      [people.line('image-5', {'text': {'item': 6}}, changed=3),
       people.line('image-3', {'text': {'item': 4}}, changed=2)],
      [people.line('image-5', {'text': {'item': 7}}, changed=1)]):
    status, *_ = _call(host, 'POST', to, _lines(*lines), **_JSON_LINES)
    assert status == 200
  assert people.asks(asked, [5, 3]).tolist() == [[5, 6], [3, 4]]


def test_many_answer_at_once(tmp_path, host, asked):
  path, n, found = _path(host, tmp_path / 'p'), 40, []

  def post(number):
    status, *_ = _call(
        host, 'POST', f'{path}round_001/answers/{number:016x}', _lines(
            people.line('image-5', {'text': {'item': 6}}, f'person {number}',
                        changed=1)), **_JSON_LINES)
    found.append(status)

  threads = [threading.Thread(target=post, args=(i,)) for i in range(n)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert found == [200] * n
  assert len(list((tmp_path / 'p' / 'answers').iterdir())) == n
  with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
    people.asks(asked, [5, 3])


def test_what_people_disagree_on_is_said(tmp_path, host):
  oracle = page.page(tmp_path, people.shown())
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [5, 3])
  for number, who in ((6, 'ann'), (7, 'bob')):
    people.give(tmp_path, f'{who}.jsonl', people.line(
        'image-5', {'text': {'item': number}}, who))
  with pytest.raises(oracle_lib.Waiting, match='disagree'):
    people.asks(oracle, [5, 3])
  status = f'{_path(host, tmp_path)}round_001/status'
  assert json.loads(_call(host, 'GET', status)[1])['disputes'] == {
      'image-5': 'open'}
  with (tmp_path / 'conflicts.jsonl').open('a') as file:
    file.write('{}\n5\n{')  # It may be damaged: the run writes it anew.
  assert json.loads(_call(host, 'GET', status)[1])['disputes'] == {
      'image-5': 'open'}


@pytest.mark.parametrize('line, why', [
    ('{"query"', 'bad JSON'),
    (people.line('image-4', 1), 'image-4 was never asked'),
    (people.line('image-5', 99), 'does not exist'),
    (people.line('image-5', 1, 'a@x.org, b@x.org'), 'annotator'),
    (people.line('image-5', 1, moreover=1), 'unknown field')])
def test_what_a_run_cannot_read_is_not_saved(tmp_path, host, asked, line, why):
  del asked
  path = _path(host, tmp_path / 'p')
  status, text, _ = _call(
      host, 'POST', f'{path}round_001/answers/{_SESSION}',
      line if isinstance(line, str) else _lines(line), **_JSON_LINES)
  assert status == 422 and why in text and '/' not in text
  assert not list((tmp_path / 'p' / 'answers').iterdir())


def test_only_this_machine_s_browsers_may_answer(tmp_path, host, asked):
  del asked
  path = _path(host, tmp_path / 'p')
  to = f'{path}round_001/answers/{_SESSION}'
  body = _lines(people.line('image-5', 1))
  mine = {'Origin': f'http://127.0.0.1:{host.port}'}
  for want, where, headers in (
      (404, to.replace(path, '/guess/'), {}),
      (404, to.replace('01/', '02/'), {}),
      (403, to, {'Origin': 'http://evil.example'}),
      (403, to, {'Origin': 'null'}),
      (403, to, {'Host': f'evil.example:{host.port}'}),
      (415, to, {'Content-Type': 'text/plain'}),
      (404, to + '/../../../x', {}), (404, f'{path}round_001/answers/x', {}),
      (405, f'{path}round_001/', {}), (200, to, mine)):
    found, *_ = _call(host, 'POST', where, body, **(_JSON_LINES | headers))
    assert found == want, (where, headers)
  for want, where in ((404, '/'), (404, f'{path}..'), (405, to),
                      (404, f'{path}round_001/queries.jsonl'),
                      (404, f'{path}round_009/')):
    assert _call(host, 'GET', where)[0] == want, where
  status, *_ = _call(host, 'POST', to, 'x', **_JSON_LINES, **{
      'Content-Length': str(10**9)})
  assert status == 413


def test_who_leaves_in_between_ends_nothing(
    tmp_path, host, asked, monkeypatch, caplog):
  del asked
  path = _path(host, tmp_path / 'p')
  failures, over = [], threading.Event()
  monkeypatch.setattr(
      host._server, 'handle_error', lambda *of: failures.append(of))
  shut = host._server.shutdown_request
  monkeypatch.setattr(
      host._server, 'shutdown_request', lambda request: (
          shut(request), over.set()))
  # More than what lies ready between the two ends.
  monkeypatch.setattr(
      server.document, 'served', lambda page: page + ' ' * 10**8)
  with socket.create_connection(('127.0.0.1', host.port)) as one:
    one.sendall(f'GET {path}round_001/ HTTP/1.1\r\nHost: localhost\r\n\r\n'
                .encode())
    one.recv(1000)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
  assert over.wait(240) and not failures
  assert 'cannot be served' not in caplog.text


def test_no_answer_changes_while_it_is_accepted(
    tmp_path, host, asked, monkeypatch):
  to = f'{_path(host, tmp_path / "p")}round_001/answers/{_SESSION}'

  def post(number):
    status, *_ = _call(host, 'POST', to, _lines(people.line(
        'image-5', {'text': {'item': number}}, changed=number)), **_JSON_LINES)
    assert status == 200

  post(6)
  threads, enter = [], status_lib.enter

  def enter_late(*values):
    if not threads:  # The person changes it, once it has been read.
      threads.append(threading.Thread(target=post, args=(7,)))
      threads[0].start()
      threads[0].join(1)
    enter(*values)

  monkeypatch.setattr(status_lib, 'enter', enter_late)
  for _ in range(2):  # Another answer to what was accepted would end the run.
    with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
      people.asks(asked, [5, 3])
    threads[0].join()
  assert people.lines(tmp_path / 'p' / 'ledger.jsonl')[0]['answer'] == {
      'text': 6}


def test_a_token_is_a_folder_s(tmp_path, host):
  one, other = tmp_path / 'a', tmp_path / 'b'
  assert host.add(one) == host.add(one) != host.add(other)
  page.page(one, people.shown())  # nothing asked yet
  status, text, _ = _call(host, 'GET', _path(host, one))
  assert status == 200 and 'no question yet' in text


def test_a_port_that_is_taken_is_named(host):
  with pytest.raises(OSError, match=f'port={host.port} of this machine'):
    server.Host(host.port)
