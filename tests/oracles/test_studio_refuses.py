"""What the oracle at a Label Studio refuses, and how it says so."""

import http.server
import threading

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people.studio import client as client_lib
from mmal_jax.oracles.people.studio import images
from mmal_jax.oracles.people.studio import studio
from tests.support import fake_label_studio
from tests.support import people


@pytest.fixture(name='server')
def _server(monkeypatch):
  server = fake_label_studio.Fake()
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', fake_label_studio.TOKEN)
  yield server
  server.close()


def _ask(server, folder, numbers=(5, 3, 0), **more):
  arguments = dict(url=server.url, project='pairs', candidates=4,
                   shown=people.shown(), sleep=lambda seconds: None)
  oracle = studio.studio(folder, **(arguments | more))
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, numbers)


@pytest.mark.parametrize('url', [
    'localhost:8080', 'ftp://host', 'http://', 'http://host:99999',
    'http://host\n/', 'http://h ost', ''])
def test_what_is_no_address(url):
  with pytest.raises(ValueError, match='is no address of a Label Studio'):
    client_lib.check_url(url)


@pytest.mark.parametrize('url', [
    'http://ann:secret@host:8080', 'http://host/?token=secret',
    'http://host/#secret'])
def test_an_address_holds_no_secret_and_none_is_repeated(url):
  with pytest.raises(ValueError, match='LABEL_STUDIO_API_KEY') as e:
    client_lib.check_url(url)
  assert 'secret' not in str(e.value)


@pytest.mark.parametrize('token, what', [
    (None, 'no variable LABEL_STUDIO_API_KEY'), (' ', 'no variable'),
    ('a b', 'holds no token'), ('a\nX: y', 'holds no token'),
    ('caf\xe9', 'holds no token')])
def test_a_token_is_needed(tmp_path, monkeypatch, token, what):
  if token is None:
    monkeypatch.delenv('LABEL_STUDIO_API_KEY', raising=False)
  else:
    monkeypatch.setenv('LABEL_STUDIO_API_KEY', token)
  with pytest.raises(ValueError, match=what):
    studio.studio(tmp_path, people.shown(), 'http://127.0.0.1:9', 'pairs')


def test_a_token_that_is_not_accepted(server, tmp_path, monkeypatch):
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', 'other')
  with pytest.raises(ValueError, match=r'does not accept the token in '
                     r'LABEL_STUDIO_API_KEY \(Invalid token\): take a new'):
    _ask(server, tmp_path)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('project', ['x' * 43, 'a\nb', ' '])
def test_titles_that_label_studio_would_not_take(server, tmp_path, project):
  with pytest.raises(ValueError, match='titles of at most 50'):
    _ask(server, tmp_path, project=project)
  assert not server.projects


def test_two_projects_of_one_title(server, tmp_path):
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  for _ in range(2):
    client.call('POST', 'projects/', {'title': 'pairs (image)'})
  with pytest.raises(ValueError, match=r"has 2 projects with the title 'pairs "
                     r"\(image\)', of the numbers \[1, 2\]"):
    _ask(server, tmp_path)
  assert not server.tasks


def test_a_project_of_others_is_left_alone(server, tmp_path):
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  client.call('POST', 'projects/', {
      'title': 'pairs (image)', 'label_config': (
          '<View><Text name="t" value="$t"/><Choices name="c" toName="t">'
          '<Choice value="a"/></Choices></View>')})
  with pytest.raises(ValueError, match='another labeling interface than these '
                     'questions need, without choice_text, item, number_text'):
    _ask(server, tmp_path)
  assert not server.tasks and len(server.projects) == 1


def test_an_interface_may_look_otherwise(server, tmp_path):
  _ask(server, tmp_path, [5])
  project = server.projects[1]
  project['label_config'] = project['label_config'].replace(
      '<View>', '<View style="color: red"><Header value="Hello"/>').replace(
          'layout="vertical"', 'layout="inline"')
  _ask(server, tmp_path, [5, 3])
  assert len(server.tasks) == 2


@pytest.mark.parametrize('status', [403, 404, 500])
def test_images_that_are_not_served_are_not_asked_about(
    server, tmp_path, status):
  server.serves = status
  with pytest.raises(ValueError, match='does not serve the images of the '
                     'questions, which have not gone out') as e:
    _ask(server, tmp_path)
  assert str(e.value).count(f'is answered by {status} ') == 3
  assert not server.tasks
  server.serves = 200
  _ask(server, tmp_path)
  assert len(server.tasks) == 3 and len(server.files) == 3


def test_a_page_in_place_of_an_image(server, tmp_path):
  _ask(server, tmp_path, [5])
  for path in server.files:
    server.files[path] = b'<!DOCTYPE html><html>Log in</html>'
  with pytest.raises(ValueError, match='is not the image of image-5.png'):
    _ask(server, tmp_path / 'b', [5])
  assert len(server.tasks) == 1


def test_a_sample_of_many_addresses_is_fetched(server, tmp_path):
  shown = {'image': np.arange(100 * 12, dtype=np.uint16).view(np.uint8).reshape(
      100, 2, 4, 3), 'text': [f'text {n}' for n in range(100)]}
  _ask(server, tmp_path, range(100), shown=shown)
  fetched = [path for method, path, _ in server.requests
             if path.startswith('/data/')]
  assert 25 <= len(fetched) == len(set(fetched)) <= 32
  assert len(server.files) == 100 and len(server.tasks) == 100


def test_images_by_what_they_hold(server, tmp_path):
  """Endings that Label Studio does not take, and links."""
  for number, (name, kind) in enumerate((
      ('a.jpe', 'JPEG'), ('b.jfif', 'JPEG'), ('c.png', 'WEBP'))):
    Image.new('RGB', (3, 3), (9 * number, 0, 0)).save(tmp_path / name, kind)
  files = image_files.ImageFiles([
      tmp_path / name for name in ('a.jpe', 'b.jfif', 'c.png')],
                                 preprocess.Preprocess(4, 4))
  shown = {'image': files, 'text': people.shown()['text']}
  for link in (False, True):
    _ask(server, tmp_path / str(link), [0, 1, 2], shown=shown, link=link)
  assert sorted(path[-4:] for path in server.files) == ['.jpg', '.jpg', 'webp']


def test_images_that_no_browser_shows(server, tmp_path):
  Image.new('RGB', (3, 3)).save(tmp_path / 'a.tif')
  (tmp_path / 'b.png').write_text('nothing')
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  with pytest.raises(ValueError, match=r'cannot serve 2 image\(s\) of the '
                     r'questions to a browser: a.tif \(TIFF.*, b.png \(ano'):
    images.addresses(client, 1, [tmp_path / 'a.tif', tmp_path / 'b.png'])
  assert not server.requests


def test_a_project_that_is_gone(server, tmp_path):
  _ask(server, tmp_path)
  server.projects.clear()
  with pytest.raises(ValueError, match='is gone from .*, or may not be seen '
                     r'with this token. Bring it back; or remove \S*label_stu'):
    _ask(server, tmp_path)
  (tmp_path / 'label_studio.json').unlink()
  server.tasks.clear()
  _ask(server, tmp_path)
  assert len(server.tasks) == 3


@pytest.mark.parametrize('content', ['{"key": 3}', '{"key": "a"}', '[]', ''])
def test_a_damaged_record(server, tmp_path, content):
  _ask(server, tmp_path)
  (tmp_path / 'label_studio.json').write_text(content)
  with pytest.raises(ValueError, match='label_studio.json'):
    _ask(server, tmp_path)
  assert len(server.tasks) == 3


class _Elsewhere(http.server.BaseHTTPRequestHandler):
  """Sends all on to another server."""

  def do_GET(self):  # pylint: disable=invalid-name
    self.send_response(302)
    self.send_header('Location', f'{self.to}{self.path}')
    self.send_header('Content-Length', '0')
    self.end_headers()

  do_POST = do_GET

  def log_message(self, *args):  # pylint: disable=arguments-differ
    """Nothing."""


@pytest.fixture(name='elsewhere')
def _elsewhere(server):
  """A server that sends all on to the Label Studio."""
  host = http.server.ThreadingHTTPServer(
      ('127.0.0.1', 0), type('Handler', (_Elsewhere,), {'to': server.url}))
  threading.Thread(target=host.serve_forever, args=[0.02], daemon=True).start()
  yield client_lib.Client(
      f'http://127.0.0.1:{host.server_address[1]}', fake_label_studio.TOKEN)
  host.shutdown()
  host.server_close()


def test_the_token_does_not_follow_to_another_server(server, elsewhere):
  with pytest.raises(ValueError, match='sends requests elsewhere, to') as e:
    elsewhere.call('GET', 'current-user/whoami')
  assert server.url in str(e.value) and not server.requests
  personal = client_lib.Client(elsewhere.url, fake_label_studio.PERSONAL)
  with pytest.raises(ValueError, match='sends requests elsewhere, to') as e:
    personal.call('GET', 'current-user/whoami')
  assert server.url in str(e.value) and not server.requests
  # An image may lie in a bucket.
  with pytest.raises(client_lib.Refused, match='401'):
    elsewhere.fetch('/data/upload/1/a.png')
  assert [one[2] for one in server.requests] == [None]


def test_what_is_no_label_studio(server):
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  server.answer = lambda *request: (200, b'<html>Hello</html>')
  with pytest.raises(ValueError, match='is a Label Studio there'):
    client.call('GET', 'projects/')
  personal = client_lib.Client(server.url, fake_label_studio.PERSONAL)
  for answer in (b'[]', b'{"access": 1}', b'{"access": "a\\nb"}', b''):
    server.answer = lambda *request, answer=answer: (200, answer)
    with pytest.raises(ValueError, match='gives no access for the token'):
      personal.call('GET', 'projects/')
  with pytest.raises(ValueError, match='no Label Studio that is known'):
    client_lib.listed({'results': 3}, 'results')
