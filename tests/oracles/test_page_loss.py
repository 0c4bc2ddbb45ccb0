"""No answer at the page is lost, and none counts that was taken back."""

import json
import shutil

import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people.page import page as page_lib
from mmal_jax.oracles.people.page import server
from tests.support import page_answers
from tests.support import people

pytestmark = pytest.mark.long
_PLACE = 'document.getElementById("place").textContent'
_SAVED = 'document.getElementById("kept").textContent === "Saved"'
_ENTRY = {'chosen': {'text': 5}, 'why': {}, 'at': 1}
_STATE = {'session': '0' * 16, 'entries': {}, 'history': [], 'delivered': ''}


@pytest.fixture(name='browser', scope='module')
def _browser():
  with page_answers.started() as browser:
    yield browser


@pytest.fixture(name='host')
def _host():
  host = server.Host(0)
  yield host
  host.close()


def _ask(folder, numbers=(5, 3, 0), **arguments):
  oracle = page_lib.page(folder, people.shown(), **arguments)

  def ask(numbers=numbers):
    return people.asks(oracle, list(numbers)).tolist()

  with pytest.raises(oracle_lib.Waiting):
    ask()
  return ask


def _lines(browser, page, folder):
  return people.lines(page_answers.download(browser, page, folder / 'answers'))


@pytest.mark.parametrize('text', ['{', 'null', '[]', '5', *(
    json.dumps(_STATE | more) for more in (
        {'entries': None},
        {'session': '../../x'}, {'history': [[['image-5', 7]]]},
        {'history': [[['image-9', None]]]}, {'delivered': None},
        {'entries': {'image-5': None}},
        {'entries': {'image-5': _ENTRY | {'chosen': {'text': 99}}}},
        {'entries': {'image-5': _ENTRY | {'chosen': {'sound': 1}}}},
        {'entries': {'image-5': _ENTRY | {'at': 'now'}}}))])
def test_what_is_no_state_is_put_aside(browser, tmp_path, text):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  page.press('1')
  # A busy browser may show keys of earlier pages, which were cleared.
  mark = page.run('JSON.parse(document.getElementById("data").textContent).id')
  key, = [key for key in page.run('Object.keys(localStorage)')
          if '/person/' in key and mark in key]
  # There, and not in the page as it is now: what is reloaded by a busy browser
  # may find the store of a while ago.
  last = key.partition('/person/')[0] + '/last'
  page.before(
      f'localStorage.setItem({json.dumps(key)}, {json.dumps(text)}); '
      f'localStorage.setItem({json.dumps(last)}, "Ann"); window.name = "";')
  page.reload()
  assert page.run(_PLACE) == '1 / 3'
  page.press('2', '1')
  assert len(_lines(browser, page, tmp_path)) == 2
  assert page.run(f'localStorage.getItem({json.dumps(key + "/damaged")})'
                  ) == text
  assert page.messages() == []


def test_a_run_that_asks_the_same_begins_anew(browser, tmp_path):
  _ask(tmp_path / 'a')
  _ask(tmp_path / 'b')
  page = page_answers.opened(browser, tmp_path / 'a')
  page.press('1', '1', '1')
  other = browser.page(page_answers.address(tmp_path / 'b'))
  page_answers.meet(other, 'Ann')
  assert other.run(_PLACE) == '1 / 3'
  assert other.text('#kept') == 'Kept in this browser'


def _second(browser, folder):
  """Another tab of the same person."""
  page = browser.page(page_answers.address(folder))
  # What one tab has kept is not in all at once.
  if page.run('document.getElementById("hello").open'):
    page_answers.meet(page, 'Ann')
  return page


def _until_kept(page, number):
  """Waits until a tab can read so many answers in the browser's store."""
  page.until('Object.entries(localStorage).some(([key, text]) => '
             'key.endsWith("/person/ann") && Object.values(JSON.parse(text)'
             '.entries).filter((one) => Object.keys(one.chosen).length)'
             f'.length === {number})')


def _deaf(page, more=''):
  """Reloads a page that hears nothing of other tabs, as one that sleeps."""
  page.send('Page.addScriptToEvaluateOnNewDocument', source=(
      'for (const what of ["storage", "focus", "pageshow"])'
      'window.addEventListener(what, (e) => e.stopImmediatePropagation());'
      + more))
  page.reload()


def test_a_tab_that_slept_overwrites_nothing(browser, tmp_path):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  page.press('1', 'u')
  _deaf(page)
  other = _second(browser, tmp_path)
  other.press('2', '2')
  _until_kept(page, 2)
  page.press('ArrowRight', 'ArrowRight', '1')
  assert [one['answer']['text']['item'] for one in _lines(
      browser, page, tmp_path)] == [6, 4, 0]
  other.until('document.getElementById("progress").value === 3')
  other.press('u', 'u', 'u')  # its own two, and that of the other tab
  _until_kept(page, 0)
  assert [one.get('answer') for one in _lines(browser, page, tmp_path)] == [
      None, None, None]


def test_what_cannot_be_kept_survives_another_tab(browser, tmp_path):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  page.send('Page.addScriptToEvaluateOnNewDocument', source=(
      'Storage.prototype.setItem = () => { throw new Error("full"); };'))
  page.reload()
  page.press('3')
  other = _second(browser, tmp_path)
  other.press('ArrowRight', '2')
  page.until('document.getElementById("progress").value === 2')
  assert [one['answer']['text']['item'] for one in _lines(
      browser, page, tmp_path)] == [7, 4]


def test_an_answer_that_was_downloaded_can_be_taken_back(browser, tmp_path):
  ask = _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  page.press('2', '1', 'n')
  first = page_answers.download(browser, page, tmp_path / 'answers')
  shutil.move(first, first.with_name('first.jsonl'))
  page.press('u', 'ArrowLeft', 's', 'ArrowLeft', 'ArrowLeft')
  assert page.text('#kept') == 'Kept here, 2 not downloaded'
  lines = _lines(browser, page, tmp_path)
  assert [one.get('withdrawn') for one in lines] == [None, True, True]
  with pytest.raises(oracle_lib.Waiting, match='1 of 3'):
    ask()
  # Also where the clock was set back in between.
  page.run('Date.now = () => 1000')
  page.press('ArrowRight', '3', '4')
  second = page_answers.download(browser, page, tmp_path / 'answers')
  shutil.move(second, second.with_name('second.jsonl'))
  page.press('u', '2')
  _lines(browser, page, tmp_path)
  assert ask() == [[5, 6], [3, 5], [0, 1]]
  assert page.messages() == []


def test_what_the_program_lost_is_sent_again(browser, host, tmp_path):
  _ask(tmp_path)
  page = browser.page(host.add(tmp_path))
  page_answers.meet(page, 'Ann')
  page.press('1', '2')
  page.until(_SAVED)
  file, = (tmp_path / 'answers').iterdir()
  before = file.read_bytes()
  file.unlink()
  page.reload()
  page.until(_SAVED)
  assert file.read_bytes() == before


def test_who_skipped_is_led_to_the_new_questions(browser, host, tmp_path):
  ask = _ask(tmp_path, enough=.5)
  page = browser.page(host.add(tmp_path))
  page_answers.meet(page, 'Ann')
  page.press('1', '1', 's')
  page.until(_SAVED)
  assert len(ask()) == 3
  with pytest.raises(oracle_lib.Waiting):
    ask((1, 2))
  page.until('document.querySelector("#done .main") !== null')
  assert 'new questions' in page.text('#done p')
  page.click('#done .main')
  page.until('location.pathname.endsWith("/round_002/")')
  page.until(f'{_PLACE} === "1 / 2"')
  assert page.messages() == []


def test_a_program_that_has_ended_is_not_waited_for(browser, tmp_path):
  host = server.Host(0)
  _ask(tmp_path)
  page = browser.page(host.add(tmp_path))
  page_answers.meet(page, 'Ann')
  page.press('1', '1', '1')
  page.until(_SAVED)
  assert 'goes on by itself' in page.text('#done p')
  host.close()
  page.until('document.querySelector("#done p").textContent.startsWith('
             '"The program has ended")')
  page.press('u', '2')
  page.until('document.getElementById("kept").textContent.startsWith('
             '"Not saved")')
  assert len(_lines(browser, page, tmp_path)) == 3
