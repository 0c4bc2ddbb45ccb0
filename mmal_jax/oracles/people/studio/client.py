"""Requests to a Label Studio, and what its refusals mean.

They need the standard library alone. label-studio-sdk brings forty packages,
which want an environment of their own, sends the token wherever it is
redirected to, and repeats by itself a request whose answer was lost: tasks
would be there twice.
"""

from collections.abc import Callable, Mapping, Sequence
import http.client
import io
import json
import os
import socket
import ssl
import time
from typing import Any, TypeVar
import urllib.error
import urllib.parse
import urllib.request
import uuid

from absl import logging

from mmal_jax.files import buckets
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib

TOKEN = 'LABEL_STUDIO_API_KEY'  # as label-studio-sdk calls it
# How long something is tried; and the longest pause between two tries.
PATIENCE_SECONDS, _LONGEST_PAUSE = 300, 30
_SECONDS = 120  # that one answer may take
_MOST_BYTES = 1 << 28  # of one answer
_PASSING = 408, 429, 500, 502, 503, 504
_REDIRECTS = 301, 302, 303, 307, 308
_MOST_REDIRECTS = 5
_Result = TypeVar('_Result')
# A file to upload: its name and what it holds.
File = tuple[str, bytes]


class Unanswered(OSError):
  """A request to which there was no answer, which may be otherwise later.

  Attributes:
    status: of HTTP; None if nothing came.
  """

  def __init__(self, text: str, status: int | None = None):
    super().__init__(text)
    self.status = status


class Refused(ValueError):
  """A request that is answered by a refusal.

  Attributes:
    status: of HTTP.
  """

  def __init__(self, text: str, status: int):
    super().__init__(text)
    self.status = status


def check_url(url: str) -> str:
  """The address of a Label Studio, as it is used.

  >>> check_url('http://localhost:8080/')
  'http://localhost:8080'

  Raises:
    ValueError: if it is none, or holds a password.
  """
  try:
    parts = urllib.parse.urlsplit(url)
    port = parts.port
    ok = parts.scheme in ('http', 'https') and parts.hostname and port != 0
  except ValueError:
    ok = False
  if not ok or not url.isascii() or not url.isprintable() or ' ' in url:
    raise ValueError(f'url={json_object.quote(url)} is no address of a Label '
                     'Studio: write it as http://localhost:8080.')
  if '@' in parts.netloc or parts.query or parts.fragment:
    # Not quoted: this may be the secret.
    raise ValueError(
        f'url of {parts.hostname} must be an address alone, without user, '
        f'password, "?" and "#": configs are written down. The token is read '
        f'from the variable {TOKEN} of the environment.')
  return url.rstrip('/')


def token_of_environment() -> str:
  """The token, which stands nowhere else.

  Raises:
    ValueError: if there is none.
  """
  token = os.environ.get(TOKEN, '').strip()
  if not token:
    raise ValueError(
        f'the environment has no variable {TOKEN}: put an access token of '
        'Label Studio there (its page Account & Settings gives one), and '
        'export it. It is never written down.')
  if not token.isascii() or not token.isprintable() or ' ' in token:
    raise ValueError(f'the variable {TOKEN} holds no token: there are blanks '
                     'or special characters in it.')
  return token


class _NoRedirects(urllib.request.HTTPRedirectHandler):

  def redirect_request(self, *args):
    del args  # It would take the token along.


class Client:
  """One user of a Label Studio.

  Attributes:
    url: of it.
  """

  def __init__(
      self, url: str, token: str,
      sleep: Callable[[float], None] = time.sleep,
      clock: Callable[[], float] = time.monotonic,
  ):
    """Asks nothing yet.

    Args:
      url: its address.
      token: an access token: a personal one, or one of the older kind.
      sleep: in place of the clock's, for tests.
      clock: in seconds, likewise.

    Raises:
      ValueError: as `check_url`.
    """
    self.url = check_url(url)
    self._token, self._sleep, self._clock = token, sleep, clock
    self._access: str | None = None  # for some minutes, in place of the token
    self._open = urllib.request.build_opener(_NoRedirects).open

  def tried(
      self, action: Callable[[], _Result],
      again: Callable[[], _Result] | None = None,
  ) -> _Result:
    """Does what may be repeated, until it is answered.

    Args:
      action: a few requests. Where one of several is not answered, all are
        repeated.
      again: what is done instead from the second try on, for what may have been
        carried out without an answer.

    Raises:
      OSError: `buckets.Unreachable` if there is no answer for minutes.
      ValueError: if it is refused.
    """
    started, pause = self._clock(), 1
    while True:
      try:
        return action()
      except Unanswered as e:
        left = started + PATIENCE_SECONDS - self._clock()
        if left < pause:
          raise buckets.Unreachable(
              f'{e} It was tried for {PATIENCE_SECONDS // 60} minutes. See '
              'whether Label Studio runs there, and can be reached from here. '
              'Nothing that was answered is lost.') from e
        logging.warning('%s It is tried again, for %.0f s yet.', e, left)
      action = again or action
      self._sleep(pause)
      pause = min(2 * pause, _LONGEST_PAUSE)

  def call(
      self, method: str, path: str, body: Any = None,
      files: Sequence[File] = (), **query: Any,
  ) -> Any:
    """One request of the API.

    Args:
      method: of HTTP.
      path: from the API's root on.
      body: sent as JSON; None: nothing.
      files: sent in its place.
      **query: of the address.

    Returns:
      What it answers, of JSON; None for nothing.

    Raises:
      Unanswered: if there is no answer.
      Refused: by the server.
      ValueError: if what comes back is not Label Studio's.
    """
    headers, content = {}, None
    if files:
      headers['Content-Type'], content = _form(files)
    elif body is not None:
      headers['Content-Type'] = 'application/json'
      content = json.dumps(body).encode()
    address = f'/api/{path}'
    if query:
      address += f'?{urllib.parse.urlencode(query)}'
    status, headers, answer = self._authorized(
        method, address, content, headers)
    return self._understood(method, path, status, headers, answer)

  def _understood(self, method, path, status, headers, answer) -> Any:
    """What an answer of the API holds, unless it is a refusal."""
    if status in _REDIRECTS:
      to = problems_lib.shortened(headers.get('Location') or '')
      raise Refused(f'{self.url} sends requests elsewhere, to {to!r}: give the '
                    'address that it has there as oracle.url.', status)
    if status >= 400:
      raise Refused(self._why(method, path, status, answer), status)
    if not answer.strip():
      return None
    try:
      return json_object.loads(answer)
    except ValueError as e:
      raise ValueError(
          f'{self.url}/api/{path} answers with what is no JSON: is a Label '
          'Studio there?') from e

  def fetch(self, address: str) -> bytes:
    """What is served to a user's browser at an address.

    Args:
      address: from the server's root on.

    Raises:
      Unanswered: if there is no answer.
      Refused: by the server.
    """
    home = urllib.parse.urlsplit(self.url)
    where = urllib.parse.urljoin(self.url, address)
    for _ in range(_MOST_REDIRECTS):
      # A bucket to which it leads must not get the token.
      there = urllib.parse.urlsplit(where)
      send = self._authorized if there[:2] == home[:2] else self._send
      try:
        status, headers, content = send('GET', where, None, {})
      except Unanswered as e:
        if e.status != http.HTTPStatus.INTERNAL_SERVER_ERROR:
          raise
        # So it answers where its disk has lost a file.
        status, headers = e.status, {}
      if status not in _REDIRECTS or not headers.get('Location'):
        break
      where = urllib.parse.urljoin(where, headers['Location'])
      if urllib.parse.urlsplit(where).scheme not in ('http', 'https'):
        break
    if status != 200:
      raise Refused(f'is answered by {status} {_name(status)}', status)
    return content

  def _authorized(self, method, address, content, headers):
    """One request in the user's name; status, headers, content."""
    for is_last in (False, True):
      with_name = headers | {'Authorization': self._authorization()}
      found = self._send(method, address, content, with_name)
      if found[0] != 401 or is_last or self._access is None:
        return found
      self._access = None  # It was of some minutes only.

  def _authorization(self) -> str:
    if self._token.count('.') != 2:
      return f'Token {self._token}'
    if self._access is None:
      path = 'token/refresh/'
      found = self._understood('POST', path, *self._send(
          'POST', f'/api/{path}',
          json.dumps({'refresh': self._token}).encode(),
          {'Content-Type': 'application/json'}))
      access = found.get('access') if isinstance(found, dict) else None
      if not isinstance(access, str) or not access.isprintable():
        raise ValueError(f'{self.url}/api/{path} gives no access for the token '
                         f'in {TOKEN}: is a Label Studio there?')
      self._access = access
    return f'Bearer {self._access}'

  def _send(self, method, address, content, headers):
    """One request; status, headers, content."""
    if address.startswith('/'):
      address = self.url + address
    request = urllib.request.Request(
        address, content, {'Accept': '*/*', **headers}, method=method)
    try:
      try:
        answer = self._open(request, timeout=_SECONDS)
      except urllib.error.HTTPError as e:
        answer = e
      with answer:
        found = answer.status, answer.headers, answer.read(_MOST_BYTES)
    except (http.client.HTTPException, OSError) as e:
      reason = getattr(e, 'reason', e)
      if isinstance(reason, ssl.SSLCertVerificationError):
        raise ValueError(
            f'{self.url} has a certificate that cannot be trusted '
            f'({reason.verify_message}): add who signed it to those that this '
            'machine trusts, as by SSL_CERT_FILE.') from e
      raise Unanswered(self._why_not(_in_words(reason))) from e
    status, headers, content = found
    if status in _PASSING:
      raise Unanswered(self._why_not(f'{status} {_name(status)}'), status)
    length = headers.get('Content-Length') or ''
    if length.isdecimal() and len(content) < int(length):
      if len(content) == _MOST_BYTES:
        raise ValueError(f'{self.url} answers with {length} bytes; at most '
                         f'{_MOST_BYTES} are read.')
      # `read` does not say so.
      raise Unanswered(self._why_not(
          f'{len(content)} of {length} bytes came'))
    return found

  def _why_not(self, reason: str) -> str:
    return f'Label Studio at {self.url} does not answer: {reason}.'

  def _why(self, method, path, status, answer) -> str:
    """What a refusal says, and what to do."""
    try:
      found = json_object.loads(answer)
      said = ' '.join(str(found[field]) for field in (
          'detail', 'validation_errors') if found.get(field))
    except (AttributeError, ValueError):
      said = 'it answers with a web page'
    # A server might well repeat what it got.
    for secret in filter(None, (self._token, self._access)):
      said = said.replace(secret, '***')
    said = problems_lib.shortened(said.strip()).removesuffix('.')
    if status == 401:
      return (f'{self.url} does not accept the token in {TOKEN} ({said}): take '
              'a new one from its page Account & Settings, Personal Access '
              'Token.')
    return (f'{self.url} refuses {method} /api/{path}, {status} '
            f'{_name(status)}: {said}.')


def _in_words(reason: Any) -> str:
  if isinstance(reason, socket.gaierror):
    return 'the name of the machine is not known'
  if isinstance(reason, TimeoutError):
    return f'nothing came for {_SECONDS} s'
  return (getattr(reason, 'strerror', None) or str(reason)
          or type(reason).__name__).removesuffix('.')


def _name(status: int) -> str:
  return http.client.responses.get(status, '')


def _form(files: Sequence[File]) -> tuple[str, bytes]:
  """A form with files: its type, and its bytes."""
  boundary = uuid.uuid4().hex
  out = io.BytesIO()
  for number, (name, content) in enumerate(files):
    out.write(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file{number}"; '
        f'filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        .encode())
    out.write(content + b'\r\n')
  out.write(f'--{boundary}--\r\n'.encode())
  return f'multipart/form-data; boundary={boundary}', out.getvalue()


def listed(found: Any, key: str) -> list[Mapping[str, Any]]:
  """A list of objects that is answered, be it bare or one page of several.

  Raises:
    ValueError: if it is neither.
  """
  if isinstance(found, dict):
    found = found.get(key)
  if not isinstance(found, list) or not all(
      isinstance(one, dict) for one in found):
    raise ValueError('what answers is no Label Studio that is known here: its '
                     f'list of {key} is none.')
  return found


def path_of(url: str) -> str:
  """The path within a server under which its Label Studio lies."""
  return urllib.parse.urlsplit(url).path
