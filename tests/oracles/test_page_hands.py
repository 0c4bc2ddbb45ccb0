"""Keyboards, mice and ears at the page, in a real browser."""

import numpy as np
import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people.page import page as page_lib
from tests.support import page_answers
from tests.support import people

pytestmark = pytest.mark.long
_PLACE = 'document.getElementById("place").textContent'
_FOCUS = 'document.activeElement.id || document.activeElement.dataset.number'


@pytest.fixture(name='browser', scope='module')
def _browser():
  with page_answers.started() as browser:
    yield browser


def _ask(folder, shown=None, numbers=(5, 3, 0), modality='image', **arguments):
  with pytest.raises(oracle_lib.Waiting):
    people.asks(page_lib.page(folder, shown or people.shown(), **arguments),
                list(numbers), modality)


def _chosen(browser, page, folder):
  return [one['answer']['text']['item'] for one in people.lines(
      page_answers.download(browser, page, folder / 'answers'))]


def test_digits_of_any_keyboard(browser, tmp_path):
  _ask(tmp_path, numbers=(5, 3, 0, 8, 1))
  page = page_answers.opened(browser, tmp_path)
  page.press_as('End', 'Numpad1')  # without NumLock it scrolls
  page.press_as('PageDown', 'Numpad3')
  assert page.run(_PLACE) == '1 / 5'
  for key, code in (('2', 'Numpad2'), ('&', 'Digit1'), ('\u0663', 'Digit3'),
                    ('1', 'KeyX'), ('\xe8', 'Digit7')):
    page.press_as(key, code)
  assert _chosen(browser, page, tmp_path) == [6, 3, 2, 8, 7]


def test_a_slash_above_a_digit_searches(browser, tmp_path):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  page.press_as('/', 'Digit7')  # German, Spanish, Italian, Nordic: Shift+7
  assert page.run('document.getElementById("finder").open')
  page.press('Escape')
  assert page.run(_PLACE) == '1 / 3'
  assert page.text('#kept') == 'Kept in this browser'


def test_a_key_that_is_held_answers_once(browser, tmp_path):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  page.run('document.getElementById("skip").focus()')
  page.press_as('Enter', 'Enter', repeats=3)
  assert page.run(_PLACE) == '2 / 3'
  page.press_as('1', 'Digit1', repeats=3)
  assert page.run(_PLACE) == '3 / 3'


def test_a_double_click_answers_once(browser, tmp_path):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  page.click('#choices li:nth-child(2) .choice', times=2)
  assert page.run(_PLACE) == '2 / 3'
  page.click('#none', times=2)
  assert page.run(_PLACE) == '3 / 3'


def test_tab_goes_on_from_what_is_asked(browser, tmp_path):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path)
  assert page.run(_FOCUS) == 'asked'
  page.press('Tab')
  assert page.run(_FOCUS) == '5'
  page.press('Tab', 'Enter')  # the second candidate
  assert (page.run(_PLACE), page.run(_FOCUS)) == ('2 / 3', 'asked')
  page.press('Tab', 'Enter')
  page.press('ArrowDown', 'Enter')
  assert page.run(_FOCUS) == 'done'
  assert _chosen(browser, page, tmp_path) == [6, 3, 0]


def test_what_is_heard_of_it(browser, tmp_path):
  _ask(tmp_path, skip_is_refusal=True)
  page = page_answers.opened(browser, tmp_path)
  tree = page.send('Accessibility.getFullAXTree')['nodes']
  names = {(node['role']['value'], node['name']['value']) for node in tree
           if not node['ignored'] and 'name' in node}
  assert {('button', '1 / 3, all questions'), ('button', 'Previous question'),
          ('region', 'Which text belongs to this image?'),
          ('image', 'image 5')} <= names
  assert not [role for role, name in names if role == 'button' and not name]
  assert page.run('document.getElementById("skip").title') == (
      'Say that you cannot answer it')
  page.press('1')
  page.run('document.getElementById("place").click()')
  assert page.run('document.activeElement.innerText[0]') == '2'


def test_escape_does_not_end_the_question_who_answers(browser, tmp_path):
  _ask(tmp_path)
  page = page_answers.opened(browser, tmp_path, None)
  for _ in range(3):  # The second one cannot be refused.
    page.press('Escape', '1')
    page.until('document.getElementById("hello").open')
  page_answers.meet(page, 'Ann')
  assert page.messages() == []


def test_a_long_caption_is_cut_until_it_is_wanted(browser, tmp_path):
  shown = people.shown()
  shown['text'][5:7] = ['a ' * 5000 + 'end', 'line\n' * 40]
  _ask(tmp_path, shown)
  page = page_answers.opened(browser, tmp_path)
  heights = '[...document.querySelectorAll("#choices li")].map((one) => '\
      'one.offsetHeight)'
  assert max(page.run(heights)) < 400
  page.click('#choices li:nth-child(1) .unfold')
  assert page.run(heights)[0] > 1000
  assert page.run(_PLACE) == '1 / 3' and page.run(_FOCUS) == '5'
  page.press('/')
  assert max(page.run('[...document.querySelectorAll("#results li")].map((one) '
                      '=> one.offsetHeight)')) < 400


def test_what_cannot_be_searched_by_words_says_so(browser, tmp_path):
  _ask(tmp_path, modality='text', candidates=2, searched=4)
  page = page_answers.opened(browser, tmp_path)
  page.press('/')
  assert page.text('#found') == '6 of the 6 likeliest that remain'
  hint = 'document.getElementById("words").placeholder'
  assert 'no names' in page.run(hint)
  _ask(tmp_path / 'other')
  page = page_answers.opened(browser, tmp_path / 'other')
  page.press('/')
  assert page.run(hint) == 'Words, or a number'


def test_a_hundred_candidates(browser, tmp_path):
  n = 120
  shown = {'image': np.zeros((n, 4, 4, 3), np.uint8),
           'text': [f'caption {i}' for i in range(n)]}

  def suggest(modality, numbers, other, k):
    del modality, other
    return (numbers[:, None] + np.arange(min(k, n))) % n

  with pytest.raises(oracle_lib.Waiting):
    people.asks(page_lib.page(tmp_path, shown, candidates=100), range(2),
                suggest=suggest)
  page = page_answers.opened(browser, tmp_path)
  starts = page.run('[...document.querySelectorAll("#choices .text")].map('
                    '(one) => one.getBoundingClientRect().x)')
  assert len(starts) == 100 and len(set(starts)) == 1
  page.press(*['ArrowDown'] * 42, 'Enter', 'ArrowUp', 'Enter')
  assert _chosen(browser, page, tmp_path) == [41, 100]


def test_what_is_kept_is_read_on_a_phone(browser, tmp_path):
  _ask(tmp_path, modality='text')
  page = page_answers.opened(
      browser, tmp_path, width=390, height=844, phone=True)
  page.tap('#choices li:nth-child(2) .choice')
  page.until(f'{_PLACE} === "2 / 3"')
  assert page.text('#kept') == '1 not downloaded'
  assert page.run('kept.scrollWidth <= kept.clientWidth')
  # What is asked stays in sight, and search opens no keyboard over pictures.
  page.run('window.scrollTo(0, 10000)')
  assert page.run('document.querySelector("#asked .text")'
                  '.getBoundingClientRect().top') > 0
  page.tap('#search')
  page.until('document.getElementById("finder").open')
  assert page.run(_FOCUS) == 'finder-close'
