"""A headless Chromium, driven by its DevTools protocol over a pipe.

The pipe (`--remote-debugging-pipe`: messages of JSON that end in a zero byte,
on the descriptors 3 and 4) needs nothing but the browser itself.
"""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import time

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
_START = ('import os, sys; os.dup2(int(sys.argv[1]), 3);'
          'os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])')
_SECONDS = 240  # until a browser that says nothing is given up
_KEYS = {'Tab': 9, 'Enter': 13, 'Escape': 27, 'ArrowLeft': 37, 'ArrowUp': 38,
         'ArrowRight': 39, 'ArrowDown': 40, '/': 191}


class Browser:
  """One process of the browser, with pages."""

  def __init__(self, home: pathlib.Path):
    """Starts it, or skips the test where there is none.

    Args:
      home: a folder for its profile, and for what is downloaded.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
      pytest.skip(f'none of {", ".join(_NAMES)} is installed')
    self.downloads = home / 'downloads'
    self.downloads.mkdir(parents=True)
    theirs, self._out = os.pipe()
    self._in, theirs_out = os.pipe()
    # Their numbers must not be those that the browser looks for.
    given = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (
        theirs, theirs_out)]
    command = [
        program, '--headless=new', '--no-sandbox', '--disable-gpu',
        '--disable-dev-shm-usage', '--no-first-run', '--hide-scrollbars',
        '--disable-background-networking', '--disable-component-update',
        f'--user-data-dir={home / "profile"}', '--remote-debugging-pipe']
    self._process = subprocess.Popen(
        [sys.executable, '-c', _START, *map(str, given), *command],
        pass_fds=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for one in (theirs, theirs_out, *given):
      os.close(one)
    self._number, self._left, self.events = 0, b'', []
    try:
      self.send('Browser.getVersion')
    except (EOFError, BrokenPipeError):  # It only says how to install one.
      self.close()
      pytest.skip(f'{program} is no browser that starts here')
    self.send('Browser.setDownloadBehavior', behavior='allowAndName',
              downloadPath=str(self.downloads), eventsEnabled=True)

  def send(self, method: str, session: str | None = None, **values):
    """What the browser answers to a command."""
    self._number += 1
    message = {'id': self._number, 'method': method, 'params': values} | (
        {} if session is None else {'sessionId': session})
    os.write(self._out, json.dumps(message).encode() + b'\0')
    while True:
      found = self._receive()
      if found.get('id') == self._number:
        if 'error' in found:
          raise RuntimeError(f'{method}: {found["error"]["message"]}')
        return found['result']
      self.events.append(found)

  def _receive(self):
    while b'\0' not in self._left:
      if not select.select([self._in], [], [], _SECONDS)[0]:
        raise TimeoutError('The browser says nothing.')
      some = os.read(self._in, 1 << 20)
      if not some:
        raise EOFError('The browser has ended.')
      self._left += some
    message, _, self._left = self._left.partition(b'\0')
    return json.loads(message)

  def page(self, url: str, width=1280, height=800, phone=False) -> 'Page':
    """A new page at an address, once it is loaded."""
    target = self.send('Target.createTarget', url='about:blank')['targetId']
    session = self.send('Target.attachToTarget', targetId=target,
                        flatten=True)['sessionId']
    page = Page(self, session)
    for domain in ('Page', 'Runtime', 'Network', 'Log'):
      page.send(f'{domain}.enable')
    page.size(width, height, phone)
    page.open(url)
    return page

  def close(self) -> None:
    with contextlib.suppress(Exception):
      self.send('Browser.close')
    try:
      self._process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
      self._process.kill()
    os.close(self._in)
    os.close(self._out)


class Page:
  """One page of a browser."""

  def __init__(self, browser: Browser, session: str):
    self._browser, self._session = browser, session

  def send(self, method: str, **values):
    return self._browser.send(method, self._session, **values)

  def size(self, width: int, height: int, phone: bool = False) -> None:
    """Its window, in the pixels of CSS; a phone has a finger and no mouse."""
    self.send('Emulation.setDeviceMetricsOverride', width=width, height=height,
              deviceScaleFactor=2 if phone else 1, mobile=phone)
    self.send('Emulation.setTouchEmulationEnabled', enabled=phone)

  def dark(self) -> None:
    self.send('Emulation.setEmulatedMedia', features=[
        {'name': 'prefers-color-scheme', 'value': 'dark'}])

  def open(self, url: str) -> None:
    self.send('Page.navigate', url=url)
    self.until(f'document.readyState === "complete" && '
               f'location.href !== "about:blank" || {json.dumps(url)} === ""')

  def before(self, script: str) -> None:
    """Has a script run in the page before its own, whenever it is loaded."""
    self.send('Page.addScriptToEvaluateOnNewDocument', source=script)

  def reload(self) -> None:
    self.run('window.isOld = true')
    self.send('Page.reload')
    self.until('document.readyState === "complete" && !window.isOld')

  def run(self, expression: str):
    """The value of an expression."""
    found = self.send('Runtime.evaluate', expression=expression,
                      returnByValue=True, awaitPromise=True)
    if 'exceptionDetails' in found:
      raise RuntimeError(found['exceptionDetails'])
    return found['result'].get('value')

  def until(self, expression: str) -> None:
    """Waits until an expression is true."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
      with contextlib.suppress(RuntimeError):  # A page that is being left.
        if self.run(expression):
          return
      time.sleep(0.02)
    raise TimeoutError(f'{expression}: never in {_SECONDS} s.')

  def press(self, *keys: str) -> None:
    """Presses keys, as a keyboard does."""
    for key in keys:
      code = (f'Digit{key}' if key.isdecimal() else
              f'Key{key.upper()}' if len(key) == 1 and key.isalpha() else
              {'/': 'Slash'}.get(key, key))
      number = _KEYS.get(key) or ord(key.upper())
      text = {'text': key} if len(key) == 1 else (
          {'text': '\r'} if key == 'Enter' else {})
      for kind, more in (('keyDown', text), ('keyUp', {})):
        self.send('Input.dispatchKeyEvent', type=kind, key=key, code=code,
                  windowsVirtualKeyCode=number, **more)

  def press_as(self, key: str, code: str, repeats: int = 0) -> None:
    """Presses a key of any keyboard, and holds it.

    Args:
      key: what it writes, or is called.
      code: its place.
      repeats: how many times it repeats before it is let go.
    """
    text = {'text': '\r' if key == 'Enter' else key} if (
        len(key) == 1 or key == 'Enter') else {}
    number = _KEYS.get(key, 0)
    for held in [False] + [True] * repeats:
      self.send('Input.dispatchKeyEvent', type='keyDown', key=key, code=code,
                windowsVirtualKeyCode=number, autoRepeat=held, **text)
    self.send('Input.dispatchKeyEvent', type='keyUp', key=key, code=code,
              windowsVirtualKeyCode=number)

  def click(self, selector: str, times: int = 1) -> None:
    """Clicks on the middle of an element, as with a mouse."""
    x, y = self._middle(selector)
    for time_ in range(1, times + 1):
      for kind in ('mousePressed', 'mouseReleased'):
        self.send('Input.dispatchMouseEvent', type=kind, x=x, y=y,
                  button='left', clickCount=time_)

  def type(self, text: str) -> None:
    """Puts text where the cursor is."""
    self.send('Input.insertText', text=text)

  def tap(self, selector: str) -> None:
    """Touches the middle of an element."""
    x, y = self._middle(selector)
    self.send('Input.dispatchTouchEvent', type='touchStart',
              touchPoints=[{'x': x, 'y': y}])
    self.send('Input.dispatchTouchEvent', type='touchEnd', touchPoints=[])

  def _middle(self, selector):
    return self.run(
        f'(() => {{ const box = document.querySelector({json.dumps(selector)})'
        '.getBoundingClientRect();'
        'return [box.x + box.width / 2, box.y + box.height / 2]; })()')

  def text(self, selector: str) -> str:
    """What is read at an element."""
    return self.run(
        f'document.querySelector({json.dumps(selector)}).innerText.trim()')

  def picture(self, path: pathlib.Path) -> None:
    """A screenshot."""
    path.write_bytes(base64.b64decode(
        self.send('Page.captureScreenshot')['data']))

  def messages(self) -> list[str]:
    """Errors and warnings so far: exceptions, what the policy forbade."""
    self.run('0')
    found = []
    for event in self._browser.events:
      if event.get('sessionId') != self._session:
        continue
      values = event.get('params', {})
      if event['method'] == 'Runtime.exceptionThrown':
        found.append(str(values['exceptionDetails']))
      elif event['method'] == 'Log.entryAdded':
        found.append(values['entry']['text'])
    return found

  def asked_for(self) -> list[str]:
    """Addresses that the page asked for, but for those of data in it."""
    self.run('0')
    urls = [event['params']['request']['url'] for event in self._browser.events
            if event.get('sessionId') == self._session
            and event['method'] == 'Network.requestWillBeSent']
    return [url for url in urls if not url.startswith(('data:', 'blob:'))]
