"""A person at the page in a browser, and where their answers go."""

import contextlib
import pathlib
import shutil
import tempfile
import time

from tests.support import browser as browser_lib

_SECONDS = 240


@contextlib.contextmanager
def started():
  """A browser with a profile of its own, while it lasts."""
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
    browser = browser_lib.Browser(pathlib.Path(home))
    try:
      yield browser
    finally:
      browser.close()


def opened(
    browser: browser_lib.Browser, folder: pathlib.Path,
    name: str | None = 'Ann', number: int = 1, **size
) -> browser_lib.Page:
  """The page of a round, in a browser that has kept nothing.

  Args:
    browser: one.
    folder: of all rounds.
    name: of who answers; None: that is not said yet.
    number: of the round.
    **size: as for `Browser.page`.
  """
  page = browser.page(address(folder, number), **size)
  page.run('localStorage.clear(); sessionStorage.clear(); window.name = ""')
  page.reload()
  if name is not None:
    meet(page, name)
  return page


def address(folder: pathlib.Path, number: int = 1) -> str:
  return (folder / f'round_{number:03}' / 'page.html').as_uri()


def meet(page: browser_lib.Page, name: str) -> None:
  """Says who answers."""
  page.until('document.getElementById("hello").open')
  page.run('document.getElementById("name").select()')
  page.type(name)
  page.press('Enter')
  page.until('!document.getElementById("hello").open')


def download(
    browser: browser_lib.Browser, page: browser_lib.Page, to: pathlib.Path
) -> pathlib.Path:
  """Downloads the answers, and puts the file into a folder."""
  begun = len(browser.events)
  page.run('document.getElementById("download").click()')

  def newest(method, **values):
    """The last event of a kind since then that has these values."""
    page.run('0')  # What has happened is received.
    return next((event['params'] for event in reversed(browser.events[begun:])
                 if event['method'] == method
                 and event['params'].items() >= values.items()), None)

  end = time.monotonic() + _SECONDS
  while time.monotonic() < end:
    one = newest('Browser.downloadWillBegin')
    if one and newest('Browser.downloadProgress', guid=one['guid'],
                      state='completed'):
      return pathlib.Path(shutil.move(
          browser.downloads / one['guid'], to / one['suggestedFilename']))
    time.sleep(0.02)
  raise TimeoutError('Nothing was downloaded.')
