"""A Label Studio in memory, which answers as a real one of 1.23.2 did.

What it answers is what was recorded of the real one, with other numbers and
data. `tests/oracles/test_studio_real.py` sees whether the real one still has
the fields of what was recorded.
"""

import copy
import http.server
import json
import pathlib
import re
import threading
import urllib.parse
import xml.etree.ElementTree as ET

RECORDED = json.loads(pathlib.Path(__file__).with_name(
    'label_studio_recorded.json').read_text())
TOKEN = '0123456789abcdef0123456789abcdef01234567'  # of the older kind
PERSONAL = 'eyJhbGciOiJIUzI1NiJ9.eyJ0IjoicmVmcmVzaCJ9.c2lnbmF0dXJl'
_TIME = '2026-11-30T00:{:02}:{:02}.000000Z'


class Fake:
  """The server, from its making on.

  Attributes:
    url: of it.
    projects: by number.
    tasks: by number.
    files: by path, what was uploaded.
    requests: method and path of each, and its header of authorization.
    trouble: a function of method and path, called before a request is carried
      out: 'down' has it answered by 503; 'lost' carried out, but not answered;
      'cut' carried out, and half of the answer lost; None changes nothing.
    serves: the status by which uploads are answered; a real one answers 500
      where a file is lost.
  """

  def __init__(self):
    self.projects, self.tasks, self.files = {}, {}, {}
    self.requests, self.serves = [], 200
    self.trouble = lambda method, path: None
    self._uploads, self._access, self._number = [], 0, 0
    self._lock = threading.Lock()
    self._server = http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), type('Handler', (_Handler,), {'fake': self}))
    self.url = f'http://127.0.0.1:{self._server.server_address[1]}'
    threading.Thread(
        target=self._server.serve_forever, args=[0.02], daemon=True).start()

  def close(self):
    self._server.shutdown()
    self._server.server_close()

  def forget_access(self):
    """Access tokens given so far are not valid any more."""
    self._access += 1

  def answer(self, method, path, query, authorization, content, kind):
    """Status, and what is answered: recorded JSON, or bytes."""
    with self._lock:
      if path == '/api/token/refresh/':
        if json.loads(content)['refresh'] != PERSONAL:
          return _recorded('no_refresh')
        return 200, {'access': f'x.y.{self._access}'}
      if authorization not in (
          f'Token {TOKEN}', f'Bearer x.y.{self._access}'):
        return _recorded('no_token')
      if path.startswith('/data/'):
        found = self.files.get(path.removeprefix('/data/'))
        return (self.serves, found) if found else (500, b'none')
      for pattern, name in (
          ('current-user/whoami', '_whoami'), ('users/', '_users'),
          ('projects/', '_projects'), (r'projects/(\d+)/', '_project'),
          (r'projects/(\d+)/import', '_import'),
          (r'projects/(\d+)/file-uploads', '_file_uploads'),
          ('tasks', '_tasks'), (r'tasks/(\d+)/', '_task'),
          (r'tasks/(\d+)/annotations/', '_annotations')):
        found = re.fullmatch(f'/api/{pattern}', path)
        if found:
          return getattr(self, name)(
              method, query, content, kind, *map(int, found.groups()))
      raise AssertionError(f'{method} {path} was not recorded')

  def _next(self):
    self._number += 1
    return self._number

  def _whoami(self, *_):
    return _recorded('whoami')

  def _users(self, *_):
    return _recorded('users')

  def _projects(self, method, query, content, kind):
    del kind
    if method == 'GET':
      status, page = _recorded('projects')
      page['results'] = [one for one in self.projects.values()
                         if query['title'].lower() in one['title'].lower()]
      return status, page | {'count': len(page['results'])}
    given = json.loads(content)
    status, made = _recorded('made' if 'label_config' in given else 'made_bare')
    assert 3 <= len(given['title']) <= 50
    made |= given | {'id': self._next()}
    self.projects[made['id']] = made
    return status, made

  def _project(self, method, query, content, kind, number):
    del query, kind
    if number not in self.projects:
      return _recorded('no_project')
    if method == 'PATCH':
      self.projects[number] |= json.loads(content)
    return 200, self.projects[number]

  def _import(self, method, query, content, kind, number):
    del method
    keys = {tag.get('value') for tag in ET.fromstring(
        self.projects[number]['label_config']).iter() if tag.get('name')}
    keys = {key[1:] for key in keys if key}
    if kind.startswith('multipart/'):
      files = _files(content, kind)
      for name, file in files:
        path = f'upload/{number}/{self._next():08x}-{name}'
        self.files[path] = file
        self._uploads.append((number, path))
      if len(keys) > 1:
        return _recorded('files_refused')
      assert query['commit_to_project'] == 'false'
      status, answer = _recorded('files')
      return status, answer | {'task_count': len(files)}
    tasks = json.loads(content)
    if any(not keys <= task['data'].keys() for task in tasks):
      return _recorded('import_wrong')
    for task in tasks:
      made = _recorded('tasks')[1]['tasks'][0]
      made |= {'id': self._next(), 'data': task['data'], 'project': number}
      self.tasks[made['id']] = made
    status, answer = _recorded('import')
    return status, answer | {'task_count': len(tasks)}

  def _file_uploads(self, method, query, content, kind, number):
    del method, content, kind
    assert query == {'all': 'true'}
    status, recorded = _recorded('uploads')
    return status, [
        recorded[0] | {'id': i, 'file': path, 'size': len(self.files[path])}
        for i, (of, path) in enumerate(self._uploads) if of == number]

  def _tasks(self, method, query, content, kind):
    del method, content, kind
    fields = {item['filter'].removeprefix('filter:tasks:data.'): item['value']
              for item in json.loads(query['query'])['filters']['items']}
    found = [task for task in self.tasks.values()
             if task['project'] == int(query['project'])
             and fields.items() <= {
                 name: value for name, value in task['data'].items()
                 if isinstance(value, str)}.items()]
    page, size = int(query.get('page', 1)), int(query['page_size'])
    some = found[(page - 1) * size:page * size]
    if not some and page > 1:
      return _recorded('no_page')
    status, answer = _recorded('tasks')
    return status, answer | {'total': len(found), 'tasks': some}

  def _task(self, method, query, content, kind, number):
    del query, content, kind
    assert method == 'DELETE'
    if self.tasks.pop(number, None) is None:
      return _recorded('no_task')
    return _recorded('removed')

  def _annotations(self, method, query, content, kind, number):
    del query, kind
    assert method == 'POST'
    status, made = _recorded('annotation')
    made['id'] = self._next()
    time = _TIME.format(*divmod(made['id'], 60))
    made |= {'created_at': time, 'updated_at': time, 'task': number}
    made |= json.loads(content)
    self.tasks[number]['annotations'].append(made)
    self.tasks[number]['total_annotations'] += 1
    return status, made


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers one request."""

  def do_GET(self):  # pylint: disable=invalid-name
    path, _, query = self.path.partition('?')
    authorization = self.headers['Authorization']
    content = self.rfile.read(int(self.headers['Content-Length'] or 0))
    self.fake.requests.append((self.command, path, authorization))
    trouble = self.fake.trouble(self.command, path)
    if trouble == 'down':
      status, answer = 503, b'<html>Bad gateway</html>'
    else:
      status, answer = self.fake.answer(
          self.command, path, dict(urllib.parse.parse_qsl(query)),
          authorization, content, self.headers['Content-Type'] or '')
    if trouble == 'lost':
      return
    is_json = not isinstance(answer, bytes)
    body = answer
    if is_json:
      body = b'' if answer is None else json.dumps(answer).encode()
    self.send_response(status)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body[:len(body) // 2] if trouble == 'cut' else body)

  do_POST = do_DELETE = do_PATCH = do_GET

  def log_message(self, *args):  # pylint: disable=arguments-differ
    """Nothing."""


def _recorded(name):
  found = copy.deepcopy(RECORDED[name])
  return found['status'], found['answer']


def _files(content, kind):
  """Names and contents of a form's files."""
  boundary = b'--' + kind.partition('boundary=')[2].encode()
  found = []
  for part in content.split(boundary)[1:-1]:
    head, _, body = part.partition(b'\r\n\r\n')
    found.append((re.search(b'filename="([^"]+)"', head)[1].decode(),
                  body.removesuffix(b'\r\n')))
  return found
