"""The page in a real browser: a person answers."""

import json
import socket

import numpy as np
import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people.page import page as page_lib
from tests.support import page_answers
from tests.support import people

pytestmark = pytest.mark.long


@pytest.fixture(name='browser', scope='module')
def _browser():
  with page_answers.started() as browser:
    yield browser


def _ask(folder, shown, numbers=(5, 3, 0), modality='image', **arguments):
  """An oracle that has asked; it answers, too."""
  oracle = page_lib.page(folder, shown, **arguments)

  def ask():
    return people.asks(oracle, list(numbers), modality).tolist()

  with pytest.raises(oracle_lib.Waiting):
    ask()
  return ask


def _lines(browser, page, folder):
  return people.lines(page_answers.download(browser, page, folder / 'answers'))


def test_keys_answer_and_the_reader_takes_the_file(browser, tmp_path):
  ask = _ask(tmp_path, people.shown(), (5, 3, 0, 8))
  page = page_answers.opened(browser, tmp_path)
  page.press('2', 's', 'n', 'c')  # of 5, 6, 7, ...; 3; 0; 8
  assert page.text('h1:not(#ask)') == '3 questions answered, 1 skipped'
  page.press('1', 'n', 'c', 's')  # Nothing is asked here.
  lines = _lines(browser, page, tmp_path)
  assert [(one['query'], one['answer'], one.get('reason'))
          for one in lines] == [
      ('image-5', {'text': {'item': 6}}, None),
      ('image-0', {'text': None}, 'none of these'),
      ('image-8', {'text': None}, 'no counterpart')]
  file, = (tmp_path / 'answers').iterdir()
  assert file.name.startswith('answers_round_001_ann_')
  with pytest.raises(oracle_lib.Waiting, match='3 of 4'):
    ask()
  page.run('document.querySelector("#done .actions :nth-child(2)").click()')
  assert page.text('#place') == '2 / 4'
  page.press('1')
  assert page.text('h1:not(#ask)') == 'All questions are answered'
  assert page.text('#kept') == 'Kept here, 1 not downloaded'
  _lines(browser, page, tmp_path)
  assert ask() == [[5, 6], [3, 3], [0, -1], [8, -1]]
  assert page.messages() == []
  assert {*page.asked_for()} == {page_answers.address(tmp_path)}


def test_a_reload_loses_nothing_and_undo_goes_on(browser, tmp_path):
  _ask(tmp_path, people.shown())
  page = page_answers.opened(browser, tmp_path)
  page.press('1', '4')
  page.reload()
  assert (page.text('#place'), page.text('#person')) == ('3 / 3', 'Ann')
  page.press('u')
  assert page.text('#place') == '2 / 3' and 'undone' in page.text('#note')
  assert not page.run('document.querySelector("[aria-pressed=true]")')
  page.press('2', '1', 'u', 'u', 'u')
  assert page.text('#place') == '1 / 3'
  assert page.run('document.getElementById("undo").disabled')
  page.press('4', 'ArrowLeft')
  assert page.run('document.querySelector("[aria-pressed=true]").dataset.number'
                  ) == '8'
  assert [one['answer'] for one in _lines(browser, page, tmp_path)] == [
      {'text': {'item': 8}}]


def test_a_skip_may_be_a_refusal(browser, tmp_path):
  ask = _ask(tmp_path, people.shown(), (5, 3), skip_is_refusal=True)
  page = page_answers.opened(browser, tmp_path)
  page.press('s', '1')
  assert [one.get('reason') for one in _lines(browser, page, tmp_path)] == [
      'skipped', None]
  assert ask() == [[5, -1], [3, 3]]


def test_two_people_at_one_browser(browser, tmp_path):
  ask = _ask(tmp_path, people.shown(), people=2)
  page = page_answers.opened(browser, tmp_path, 'Ann')
  page.press('1', '1', '1')
  _lines(browser, page, tmp_path)
  page.run('document.getElementById("person").click()')
  page_answers.meet(page, 'bob@x.org')
  assert page.text('#place') == '1 / 3' and page.text('#person') == 'bob@x.org'
  page.press('1', '2')
  page.reload()  # It is Bob who goes on.
  page.press('1')
  _lines(browser, page, tmp_path)
  page.run('document.getElementById("person").click()')
  page_answers.meet(page, ' ANN')
  assert page.text('h1:not(#ask)') == 'All questions are answered'
  with pytest.raises(oracle_lib.Waiting, match='2 of 3(.|\n)*disagree'):
    ask()
  line, = people.lines(tmp_path / 'conflicts.jsonl')
  assert line['answers'] == {'Ann': {'text': 3}, 'bob@x.org': {'text': 4}}


def test_another_tab_is_kept_up_with(browser, tmp_path):
  _ask(tmp_path, people.shown())
  one = page_answers.opened(browser, tmp_path)
  other = browser.page(page_answers.address(tmp_path))
  one.press('1')
  other.until('document.getElementById("progress").value === 1')
  other.press('ArrowRight', '2')
  one.until('document.getElementById("progress").value === 2')
  one.press('ArrowRight', '3')
  assert len(_lines(browser, one, tmp_path)) == 3


def test_search_in_a_thousand(browser, tmp_path):
  n = 1000
  shown = {'image': np.zeros((n, 4, 4, 3), np.uint8),
           'text': [f'caption {i} of a thing' for i in range(n)]}
  shown['text'][700] = 'Caf\xe9 \u0645\u064f\u0628\u0627\u0634\u0631 \U0001f680'
  shown['text'][701] = '\u65e5\u672c\u8a9e \uff21\uff22\uff23'

  def suggest(modality, numbers, other, k):
    del modality, other
    return (numbers[:, None] + np.arange(min(k, n))) % n

  with pytest.raises(oracle_lib.Waiting):
    people.asks(page_lib.page(tmp_path, shown), range(5), suggest=suggest)
  page = page_answers.opened(browser, tmp_path)
  for words in ('CAFE', '\u0645\u0628\u0627\u0634\u0631', '\U0001f680', 'abc',
                '612'):
    page.press('/')
    page.type(words)
    assert page.text('#found') == '1 of 1000'
    page.press('Enter')
  page.press('/')
  assert len(page.run('[...document.querySelectorAll("#results li")].map('
                      '(one) => one.innerText)')) == 60
  page.type('caption 99')
  assert page.text('#found') == '19 of 1000'  # 99, 199, ..., and 990 to 998
  page.press('ArrowDown', 'ArrowDown', 'Escape')
  lines = _lines(browser, page, tmp_path)
  # For the second question it was chosen twice, by who is sure.
  assert [(one['answer']['text']['item'], one.get('confirmed'))
          for one in lines] == [(700, True), (700, True), (701, None),
                                (612, None)]


def test_a_counterpart_is_named_twice_by_who_is_sure(browser, tmp_path):
  ask = _ask(tmp_path, people.shown(), (5, 3))
  page = page_answers.opened(browser, tmp_path)
  page.press('2', '4')
  assert page.text('#place') == '2 / 2'
  assert 'the answer to question 1, too' in page.text('#note')
  page.press('5', 'u', '4')  # It is asked anew.
  assert page.text('#place') == '2 / 2'
  page.press('4')
  assert [(one['answer']['text']['item'], one['confirmed'])
          for one in _lines(browser, page, tmp_path)] == [(6, True), (6, True)]
  page.press('u')
  line, back = _lines(browser, page, tmp_path)
  assert 'confirmed' not in line
  assert back['query'] == 'image-3' and back['withdrawn']
  page.press('4', '4')
  for file in (tmp_path / 'answers').iterdir():
    file.unlink()
  _lines(browser, page, tmp_path)
  assert ask() == [[5, 6], [3, 6]]


def test_text_in_any_direction_and_emoji(browser, tmp_path):
  shown = people.shown()
  shown['text'][:3] = [
      '\u0643\u0644\u0628 \u0628\u0646\u064a \U0001f415',
      '\U0001f469\U0001f3fd\u200d\U0001f680 \u05e9\u05dc\u05d5\u05dd',
      '\U0001f469\U0001f3fd\u200d\U0001f680']
  _ask(tmp_path, shown, (0,))
  page = page_answers.opened(browser, tmp_path)
  found = page.run(
      '[...document.querySelectorAll("#choices .text")].slice(0, 4).map((one) '
      '=> [one.textContent, getComputedStyle(one).direction])')
  assert found == [
      [text, way] for text, way in zip(shown['text'][:4], [
          'rtl', 'rtl', 'ltr', 'ltr'])]


@pytest.mark.parametrize('modality', ['image', 'text'])
def test_nothing_that_others_wrote_is_run(browser, tmp_path, modality):
  shown = people.shown()
  attack = 'window.hacked = true'
  shown['text'] = [
      f'</script><script>{attack}</script>', f'<img src=x onerror="{attack}">',
      f'<svg onload="{attack}">', f'javascript:{attack}', '<!--', '{{script}}',
      f'"><script>{attack}</script>', '\u2028' + attack, '__proto__']
  _ask(tmp_path, shown, (0, 1, 2), modality)
  page = page_answers.opened(browser, tmp_path, f'<script>{attack}</script>')
  page.press('/')
  page.type('<script>')
  page.press('Escape', '2')
  page.run('document.getElementById("place").click()')
  assert page.run('window.hacked') is None
  assert page.run('document.scripts.length') == 2
  assert page.run('document.querySelectorAll("svg, [onerror]").length') == 0
  assert page.messages() == []
  if modality == 'image':
    page.press('Escape', 'ArrowLeft')
    assert page.run('[...document.querySelectorAll("#choices .text")].map('
                    '(one) => one.textContent)') == shown['text']
  assert {*page.asked_for()} == {page_answers.address(tmp_path)}


def test_its_policy_holds(browser, tmp_path):
  _ask(tmp_path, people.shown())
  page = page_answers.opened(browser, tmp_path)
  with socket.create_server(('127.0.0.1', 0)) as elsewhere:
    url = f'http://127.0.0.1:{elsewhere.getsockname()[1]}/'
    assert page.run(f'fetch("{url}").then(() => "sent", (e) => e.name)') == (
        'TypeError')
    for tag, values in (('img', {'src': url}), ('link', {
        'rel': 'stylesheet', 'href': url})):
      page.run('new Promise((done) => { const one = Object.assign('
               f'document.createElement("{tag}"), {json.dumps(values)}); '
               'one.onerror = one.onload = done; document.body.append(one); })')
    elsewhere.settimeout(0)
    with pytest.raises(BlockingIOError):  # Nothing has come there.
      elsewhere.accept()
  for change in ('document.body.innerHTML = "<p>"',
                 'document.createElement("script").textContent = "1"'):
    with pytest.raises(RuntimeError, match='Trusted'):
      page.run(change)


def test_three_modalities_make_one_answer(browser, tmp_path):
  ask = _ask(tmp_path, people.shown(people.MODALITIES), (5, 3))
  page = page_answers.opened(browser, tmp_path)
  page.press('2')
  assert page.text('#ask') == 'Which sketch belongs to this image?'
  assert page.text('#kept') == 'Kept in this browser'  # half is no answer
  page.press('n', '1', 'c')
  lines = _lines(browser, page, tmp_path)
  assert [(one['answer'], one['reason']) for one in lines] == [
      ({'text': {'item': 6}, 'sketch': None}, 'sketch: none of these'),
      ({'text': {'item': 3}, 'sketch': None}, 'sketch: no counterpart')]
  assert ask() == [[5, 6, -1], [3, 3, -1]]


@pytest.mark.parametrize('modality', ['image', 'text'])
def test_on_a_phone(browser, tmp_path, modality):
  ask = _ask(tmp_path, people.shown(), (5, 3), modality)
  page = page_answers.opened(
      browser, tmp_path, None, width=360, height=740, phone=True)

  def fits():
    """Nothing is wider than the screen, or smaller than a finger."""
    assert page.run('document.documentElement.scrollWidth') <= 360
    small = page.run(
        '[...document.querySelectorAll("button, input")].filter((one) => '
        'one.getClientRects().length && Math.min(one.offsetWidth, '
        'one.offsetHeight) < 44).map((one) => one.id || one.className)')
    assert small == []

  fits()
  page.type('Ann')
  page.tap('#start')
  page.until('document.getElementById("place").textContent === "1 / 2"')
  fits()
  for button, dialog in (('search', 'finder'), ('place', 'overview')):
    page.tap(f'#{button}')
    page.until(f'document.getElementById("{dialog}").open')
    fits()
    page.tap(f'#{dialog}-close')
    page.until(f'!document.getElementById("{dialog}").open')
  page.tap('#choices li:nth-child(2) .choice')
  page.until('document.getElementById("place").textContent === "2 / 2"')
  page.tap('#undo')
  page.until('document.getElementById("place").textContent === "1 / 2"')
  page.tap('#choices li:nth-child(1) .choice')
  page.until('document.getElementById("place").textContent === "2 / 2"')
  page.tap('#none')
  page.until('!document.getElementById("done").hidden')
  fits()
  _lines(browser, page, tmp_path)
  column = ['image', 'text'].index(modality)
  assert [row[1 - column] for row in ask()] == [5, -1]


def test_a_browser_that_keeps_nothing_says_so(browser, tmp_path):
  _ask(tmp_path, people.shown())
  page = page_answers.opened(browser, tmp_path, None)
  page.send('Page.addScriptToEvaluateOnNewDocument', source=(
      'Storage.prototype.setItem = () => { throw new Error("full"); };'))
  page.reload()
  page_answers.meet(page, 'Ann')
  page.press('1')
  assert 'download before you close' in page.text('#kept')
  # It is in the tab, at least; and the browser would ask before it reloads.
  page.run('addEventListener("beforeunload", (event) => '
           'event.stopImmediatePropagation(), true)')
  page.reload()
  assert (page.text('#place'), page.text('#person')) == ('2 / 3', 'Ann')
  assert len(_lines(browser, page, tmp_path)) == 1
  # The download may have been refused, or cancelled.
  assert page.run('!dispatchEvent(new Event("beforeunload", {cancelable: true}))')


def test_who_answers_must_be_said(browser, tmp_path):
  _ask(tmp_path, people.shown())
  page = page_answers.opened(browser, tmp_path, None)
  for name, why in (('', 'give a name'), ('-', 'give a name'),
                    ('a@x.org b@x.org', 'One person')):
    page.run('document.getElementById("name").select()')
    page.type(name or ' ')
    page.press('Enter')
    assert why in page.text('#hello-wrong')
  page.press('Escape', '1')
  assert page.run('document.getElementById("hello").open')
  assert json.loads(page.run('JSON.stringify({...localStorage})')) == {}
