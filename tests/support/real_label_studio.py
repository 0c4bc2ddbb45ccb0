"""A real Label Studio on this machine, where one is installed.

It needs other versions of other packages than the tests do, and so lies in an
environment of its own, see CONTRIBUTING.
"""

import functools
import http.cookiejar
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from tests.support import ports

PROGRAM = shutil.which('label-studio')
_USER, _PASSWORD = 'ann@example.org', 'only-for-tests-1'
_SECONDS = 1800  # Its database is made first, which takes minutes.


class Real:
  """The server; it is stopped at the end by `stop`.

  Attributes:
    url: of it.
    folder: of its data.
    old_token: of the older kind.
  """

  old_token = '0123456789abcdef0123456789abcdef01234567'

  def __init__(self, folder: pathlib.Path):
    """Takes an empty folder, and starts it."""
    self.folder, self._port = folder, ports.free()
    self.url = f'http://127.0.0.1:{self._port}'
    self._process = None
    self.start()

  def start(self):
    """Starts it, again if it was stopped."""
    environment = os.environ | {
        'LABEL_STUDIO_BASE_DATA_DIR': str(self.folder),
        'LABEL_STUDIO_COLLECT_ANALYTICS': 'false',
        'COLLECT_ANALYTICS': 'false', 'LATEST_VERSION_CHECK': 'false'}
    environment.pop('PYTHONPATH', None)
    with open(self.folder / 'log.txt', 'ab') as log:
      self._process = subprocess.Popen(
          [PROGRAM, 'start', '--no-browser', '--port', str(self._port),
           '--internal-host', '127.0.0.1', '--username', _USER,
           '--password', _PASSWORD, '--user-token', self.old_token,
           '--enable-legacy-api-token'],
          env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
          stdout=log, stderr=log)
    end = time.monotonic() + _SECONDS
    while True:
      try:
        with urllib.request.urlopen(f'{self.url}/api/version', timeout=60):
          return
      except OSError:
        if self._process.poll() is not None or time.monotonic() > end:
          self.stop()
          raise RuntimeError(
              (self.folder / 'log.txt').read_text()[-3000:]) from None
        time.sleep(1)

  def stop(self):
    self._process.kill()
    self._process.wait()

  @functools.cached_property
  def personal_token(self) -> str:
    """The token that a person takes from the page of the account, once."""
    jar = http.cookiejar.CookieJar()
    open_ = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(jar)).open
    page = open_(f'{self.url}/user/login/').read().decode()
    secret = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    open_(urllib.request.Request(
        f'{self.url}/user/login/', urllib.parse.urlencode({
            'csrfmiddlewaretoken': secret, 'email': _USER,
            'password': _PASSWORD}).encode(), {'Referer': self.url}))
    secret = next(one.value for one in jar if one.name == 'csrftoken')
    answer = open_(urllib.request.Request(
        f'{self.url}/api/token/', b'{}', {
            'Content-Type': 'application/json', 'X-CSRFToken': secret,
            'Referer': self.url}))
    return json.loads(answer.read())['token']
