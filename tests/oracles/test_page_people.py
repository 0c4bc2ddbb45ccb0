"""Several people at the page: whose an answer is, and what they disagree on."""

import json

import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import identity
from mmal_jax.oracles.people.page import page as page_lib
from mmal_jax.oracles.people.page import server
from tests.support import page_answers
from tests.support import people

pytestmark = pytest.mark.long
_WHO = 'document.getElementById("person").textContent'
_HELLO = 'document.getElementById("hello").open'
_SAVED = 'document.getElementById("kept").textContent === "Saved"'


@pytest.fixture(name='browser')
def _browser():
  with page_answers.started() as browser:
    yield browser  # In it no one has answered yet.


@pytest.fixture(name='host')
def _host():
  host = server.Host(0)
  yield host
  host.close()


def _ask(folder, **arguments):
  oracle = page_lib.page(folder, people.shown(), **arguments)

  def ask(*numbers):
    return people.asks(oracle, list(numbers)).tolist()

  with pytest.raises(oracle_lib.Waiting):
    ask(5, 3)
  return ask


def _who(folder):
  """Who has answered what, by the files of the folder."""
  return {(one['annotator'], one['query'], one['answer']['text']['item'])
          for file in (folder / 'answers').iterdir()
          for one in people.lines(file)}


def test_a_tab_stays_a_person_s_in_the_next_round(browser, host, tmp_path):
  ask = _ask(tmp_path)
  tabs = {}
  for who in ('Ann', 'Bob'):
    tabs[who] = browser.page(host.add(tmp_path))
    if not tabs[who].run(_HELLO):
      tabs[who].run('document.getElementById("person").click()')
    page_answers.meet(tabs[who], who)
  tabs['Ann'].press('2')
  tabs['Bob'].press('ArrowRight', '3')
  for who in tabs:
    tabs[who].reload()
    tabs[who].until(_SAVED)
    assert tabs[who].run(_WHO) == who
  ask(5, 3)
  with pytest.raises(oracle_lib.Waiting):
    ask(1, 2)
  for who in tabs:
    tabs[who].until('location.pathname.endsWith("/round_002/")')
    tabs[who].until(f'{_WHO} === "{who}"')
    tabs[who].press('1' if who == 'Ann' else '2')
    tabs[who].until(_SAVED)
  assert _who(tmp_path) == {
      ('Ann', 'image-5', 6), ('Bob', 'image-3', 5), ('Ann', 'image-1', 1),
      ('Bob', 'image-1', 2)}


def test_a_new_tab_asks_who_answers_where_two_may(browser, tmp_path):
  _ask(tmp_path)
  address = page_answers.address(tmp_path)
  page = browser.page(address)
  page_answers.meet(page, 'Ann')
  page.press('1')
  page.until('Object.keys(localStorage).some((key) => key.endsWith("/ann"))')
  other = browser.page(address)  # It is Ann as long as no one else was here.
  other.until(f'{_WHO} === "Ann"')
  other.run('document.getElementById("person").click()')
  page_answers.meet(other, 'Bob')
  third = browser.page(address)
  third.until(_HELLO)
  assert third.run('document.getElementById("name").value') == 'Bob'
  assert page.run(_WHO) == 'Ann'


def test_people_who_disagree_are_shown_what(browser, host, tmp_path):
  ask = _ask(tmp_path, people=2)
  page = browser.page(host.add(tmp_path))
  for who, keys in (('Ann', '11'), ('Bob', '12')):
    if who == 'Bob':
      page.run('document.getElementById("person").click()')
    page_answers.meet(page, who)
    page.press(*keys)
    page.until(_SAVED)
  assert 'goes on by itself' in page.text('#done p')
  with pytest.raises(oracle_lib.Waiting, match='disagree'):
    ask(5, 3)
  page.until('document.querySelector("#done p").textContent.includes('
             '"1 answer cannot be used yet")')
  page.run('document.getElementById("place").click()')
  assert 'people answer this differently' in page.text('#all li:nth-child(2)')
  page.press('Escape')
  page.click('#done .main')
  assert page.text('#place') == '2 / 2'
  assert 'people answer this differently' in page.text('#dispute')
  page.press('1')
  page.until(_SAVED)
  assert ask(5, 3) == [[5, 5], [3, 3]]
  page.until('document.querySelector("#done p").textContent.includes('
             '"goes on by itself")')
  assert page.messages() == []


def test_what_two_people_name_is_confirmed_by_one(browser, host, tmp_path):
  ask = _ask(tmp_path)
  page = browser.page(host.add(tmp_path))
  page_answers.meet(page, 'Ann')
  page.press('2')  # 6
  page.until(_SAVED)
  page.run('document.getElementById("person").click()')
  page_answers.meet(page, 'Bob')
  page.press('ArrowRight', '4')  # 6, too
  page.until(_SAVED)
  with pytest.raises(oracle_lib.Waiting, match='slip'):
    ask(5, 3)
  page.until('document.getElementById("dispute").textContent !== "" || '
             'document.getElementById("place").textContent === "1 / 2"')
  if page.text('#place') == '1 / 2':
    page.press('ArrowRight')
  page.until('document.getElementById("dispute").textContent.includes('
             '"choose it again")')
  page.press('4')
  page.until(_SAVED)
  assert any(one.get('confirmed') for file in (tmp_path / 'answers').iterdir()
             for one in people.lines(file))
  with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
    ask(5, 3)


@pytest.mark.parametrize('name', [
    'Ann', ' ann@x.org ', 'Ann Lee <ann@x.org>', '\u6c34\u91ce', "O'Neil", '7',
    '\uff21\uff4e\uff4e', '\u0645\u0631\u064a\u0645', 'x' * 200, 'x' * 201,
    'a\uff20x.org b@x.org', 'a@x.org, b@x.org', '[ann]', '{"id": 3}',
    '\U0001f600', '""', '1e9999', 'a' * 199 + '\U0001f600'])
def test_who_the_page_takes_the_reader_takes(browser, tmp_path, name):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path, None)
  if page.run(f'((name) => {{ document.getElementById("name").value = name; '
              'document.getElementById("start").click(); return '
              f'document.getElementById("hello").open; }})({json.dumps(name)})'):
    assert page.text('#hello-wrong')
    return
  page.press('1')
  line, = people.lines(
      page_answers.download(browser, page, tmp_path / 'answers'))
  found = identity.parse(line['annotator'])
  assert found is not None and found == identity.parse(name)
