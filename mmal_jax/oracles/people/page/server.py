"""Pages on localhost, which save answers into their folder as they are given.

Whoever knows the address may answer: it has a random token, and only this
machine is listened to. A page of another site can send nothing here: it does
not know the token, may not call this machine by a name of its own (DNS
rebinding), and is known by the browser's Origin.
"""

import functools
import hmac
from http import HTTPStatus
import http.server
import json
import pathlib
import re
import secrets
import threading

from absl import logging

from mmal_jax.files import durable
from mmal_jax.oracles.people.page import document
from mmal_jax.oracles.people.page import filling
from mmal_jax.oracles.people.page import saving

_ADDRESS = '127.0.0.1'
_NAME = re.compile(r'(?:127\.0\.0\.1|localhost)(?::\d+)?')
_MOST_BYTES = 1 << 24  # of the answers of one round
_SECONDS = 60  # that a browser may take to send them
_LINES = 'application/x-ndjson'
_HEADERS = {
    'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY', 'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin'}
_PATH = re.compile(
    r'/([\w-]{1,64})/(?:(round_[0-9]{1,9})/(status|answers/([0-9a-f]{16}))?)?')
_NOTHING_YET = '''\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="3">
<title>No question yet</title>
</head>
<body><p>There is no question yet. This page looks again by itself.</p></body>
</html>
'''


class Host:
  """A server of folders of questions, each under a token of its own.

  Attributes:
    port: of this machine.
  """

  def __init__(self, port: int):
    """Begins to listen, in threads that end with the program.

    Args:
      port: 0 for any that is free.

    Raises:
      OSError: if it is taken.
    """
    self._folders: dict[str, pathlib.Path] = {}
    try:
      self._server = _Server(
          (_ADDRESS, port), functools.partial(_Handler, self._folders))
    except OSError as e:
      raise OSError(
          f'port={port!r} of this machine cannot be listened to: '
          f'{durable.reason(e)}. Give another, or 0 for any that is free.'
      ) from e
    self.port = self._server.server_address[1]
    threading.Thread(
        target=self._server.serve_forever, name='pages', daemon=True).start()

  def add(self, folder: pathlib.Path) -> str:
    """Serves the rounds of a folder, and those that are still to come.

    Args:
      folder: of all rounds.

    Returns:
      The address.
    """
    token = next((token for token, known in self._folders.items()
                  if known == folder), None) or secrets.token_urlsafe(16)
    self._folders[token] = folder
    return f'http://{_ADDRESS}:{self.port}/{token}/'

  def close(self) -> None:
    """Listens no more."""
    self._server.shutdown()
    self._server.server_close()


@functools.cache
def of_process(port: int) -> Host:
  """The one server of this process at a port, which all its runs share."""
  return Host(port)


class _Server(http.server.ThreadingHTTPServer):
  """One thread a request."""

  request_queue_size = 128  # as many people may answer at once


class _Refused(Exception):
  """A request that is not answered: its status, and why."""


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers one request."""

  timeout = _SECONDS
  server_version, sys_version = 'mmal_jax', ''

  def __init__(self, folders, *of_server):
    self._folders = folders
    super().__init__(*of_server)

  def do_GET(self) -> None:  # pylint: disable=invalid-name
    self._answer(self._get)

  def do_POST(self) -> None:  # pylint: disable=invalid-name
    self._answer(self._post)

  def log_message(self, *args) -> None:  # pylint: disable=arguments-differ
    """Nothing: the address in it is a secret."""

  def _answer(self, act) -> None:
    try:
      act(*self._find())
    except _Refused as e:
      status, why = e.args
      self._send(status, why.encode())
    except (ConnectionError, TimeoutError):
      self.close_connection = True  # Who asked has left.
    except (OSError, ValueError) as e:
      # Of files that are damaged; the run says it, too.
      logging.warning('A page cannot be served: %s', e)
      self._send(HTTPStatus.INTERNAL_SERVER_ERROR, str(e).encode(
          errors='replace'))

  def _find(self):
    """Folder, round, and what is wanted of it."""
    origin, host = self.headers['Origin'], self.headers['Host'] or ''
    if not _NAME.fullmatch(host) or origin not in (None, f'http://{host}'):
      raise _Refused(HTTPStatus.FORBIDDEN, 'Not from elsewhere.')
    found = _PATH.fullmatch(self.path)
    for token, folder in self._folders.copy().items() if found else ():
      if hmac.compare_digest(token.encode(), found[1].encode()) and (
          not found[2] or (folder / found[2] / filling.PAGE).exists()):
        return folder, *found.groups()[1:]
    raise _Refused(HTTPStatus.NOT_FOUND, 'There is no such page.')

  def _get(self, folder, name, what, session) -> None:
    if session is not None:
      raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, 'Answers are only taken.')
    if what == 'status':
      self._send_state(folder)
    elif name is not None:
      page = durable.read(folder / name / filling.PAGE, durable.MOST_OF_OURS)
      self._send(HTTPStatus.OK, document.served(page.decode()).encode(),
                 'text/html')
    else:
      newest = saving.newest(folder)
      if newest is None:
        self._send(HTTPStatus.OK, _NOTHING_YET.encode(), 'text/html')
      else:
        self._send(HTTPStatus.SEE_OTHER, b'', Location=f'{self.path}{newest}/')

  def _post(self, folder, name, what, session) -> None:
    del what
    if session is None:
      raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, 'Answers go elsewhere.')
    if self.headers['Content-Type'] != _LINES:
      raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f'{_LINES} is needed.')
    length = self.headers['Content-Length'] or ''
    if not re.fullmatch('[0-9]{1,18}', length):
      raise _Refused(HTTPStatus.LENGTH_REQUIRED, 'How long is it?')
    if int(length) > _MOST_BYTES:
      raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                     f'At most {_MOST_BYTES} bytes are taken.')
    content = self.rfile.read(int(length))
    if len(content) < int(length):
      raise _Refused(HTTPStatus.BAD_REQUEST, 'It has been cut off.')
    try:
      saving.save(folder, name, session, content)
    except ValueError as e:
      raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(e)) from e
    self._send_state(folder)

  def _send_state(self, folder) -> None:
    state = json.dumps(saving.state_of(folder))
    self._send(HTTPStatus.OK, state.encode(), 'application/json')

  def _send(self, status, body, kind='text/plain', **headers) -> None:
    self.send_response(status)
    headers = _HEADERS | headers | {
        'Content-Type': f'{kind}; charset=utf-8',
        'Content-Length': str(len(body)), 'Connection': 'close'}
    for name, value in headers.items():
      self.send_header(name, value)
    self.end_headers()
    self.wfile.write(body)
