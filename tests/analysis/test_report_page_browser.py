"""The page of a report in a real browser."""

import numpy as np
import pytest

from mmal_jax.analysis.report_page import document
from mmal_jax.analysis.report_page import pool_map
from tests.support import page_answers
from tests.support import report_run

pytestmark = pytest.mark.long
ODD = report_run.ODD


@pytest.fixture(name='browser', scope='module')
def _browser():
  with page_answers.started() as browser:
    yield browser


def _opened(browser, folder, seen=None, strategies=('random', 'mmal'), **size):
  """The page, and the summary that it is of."""
  summary = report_run.summary(strategies)
  path = folder / 'report.html'
  path.write_text(document.render(
      summary, ODD, 'legend', (), seen or report_run.seen()), 'utf-8')
  return browser.page(path.as_uri(), **size), summary


def _shown(page):
  """Rounds of which it is seen what was asked."""
  return page.run('[...document.querySelectorAll(".round")].filter((one) => '
                  'one.offsetHeight > 0).map((one) => one.dataset.round)')


def _dots(page):
  return page.run('[...document.querySelectorAll(".dot")].map((one) => '
                  'one.getAttribute("d"))')


def _marks(page, kind):
  return page.run(f'document.querySelectorAll(".pool .{kind}").length')


def test_the_slider_moves_all_that_belongs_to_it(browser, tmp_path):
  page, summary = _opened(browser, tmp_path)
  assert page.text('#at-words') == '10 answers' and _shown(page) == ['2']
  assert _marks(page, 'later') == 0 and _marks(page, 'now') == 2
  end, cells = _dots(page), page.text('#scores tr:nth-child(2)')
  page.run('document.getElementById("at-slider").focus()')
  page.press('ArrowLeft')
  assert page.text('#at-words') == page.text('#after') == '5 answers'
  assert _shown(page) == ['1'] and _marks(page, 'later') == 2
  assert _dots(page) != end
  mean = summary['strategies']['mmal']['curves']['mean_r10'][:, 1].mean()
  assert f'{mean:.1f} ±' in page.text('#scores tr:nth-child(2)')
  page.press('ArrowLeft')
  assert page.text('#at-words') == '0 answers' and _shown(page) == []
  assert page.text('#before') == 'Nothing was asked yet.'
  assert _marks(page, 'later') == 4
  page.press('ArrowRight', 'ArrowRight', 'ArrowRight')
  assert _dots(page) == end and _shown(page) == ['2']
  assert page.text('#scores tr:nth-child(2)') == cells
  assert page.run('document.getElementById("at-slider").getAttribute('
                  '"aria-valuetext")') == '10 answers'
  assert page.messages() == []
  assert {*page.asked_for()} == {(tmp_path / 'report.html').as_uri()}


def test_a_click_on_the_curves_moves_the_slider(browser, tmp_path):
  page, _ = _opened(browser, tmp_path)
  page.click('.area')
  assert page.text('#at-words') == '5 answers'
  assert page.run('document.getElementById("at-slider").value') == '1'


def test_a_line_can_be_hidden(browser, tmp_path):
  page, _ = _opened(browser, tmp_path)
  seen = ('[...document.querySelectorAll(".line[data-line]")].map((one) => '
          'getComputedStyle(one).visibility)')
  assert page.run(seen) == ['visible', 'visible']
  for pressed, visibility in (('false', 'hidden'), ('true', 'visible')):
    page.click('#scores tr:nth-child(2) button')
    assert page.run(seen) == ['visible', visibility]
    assert page.run('document.querySelector("#scores tr:nth-child(2) button")'
                    '.getAttribute("aria-pressed")') == pressed


def test_the_map_says_what_an_item_is(browser, tmp_path):
  """Keys go through what was asked so far; a mouse finds any item."""
  seen = report_run.seen()
  places = np.array([[x, 0.0] for x in range(len(ODD))])
  page, _ = _opened(browser, tmp_path, seen._replace(panels={
      m: of._replace(places=places) for m, of in seen.panels.items()}))
  where = '.map[data-modality="text"]'
  page.run(f'document.querySelector(\'{where} svg\').focus()')
  page.press('ArrowRight')
  assert page.text(f'{where} .seen').splitlines()[0] == (
      'text 0, asked in round 1')
  assert ODD[0] in page.text(f'{where} .seen')
  page.press('ArrowRight')
  assert 'text 1, named by an answer of round 2' in page.text(f'{where} .seen')
  page.press('ArrowRight')  # No further one was asked.
  assert 'text 0,' in page.text(f'{where} .seen')
  # Before round 2 item 1 was not asked yet.
  page.run('document.getElementById("at-slider").focus()')
  page.press('ArrowLeft')
  assert page.text(f'{where} .seen') == ''
  assert 'Point at an item' in page.text('.hint')
  page.run(f'document.querySelector(\'{where} svg\').focus()')
  page.press('ArrowRight', 'ArrowRight')
  assert 'text 0,' in page.text(f'{where} .seen')
  page.run(f'document.querySelector(\'{where} svg\').scrollIntoView('
           '{block: "center"})')
  x, y = page.run(
      f'(() => {{ const box = document.querySelector(\'{where} svg\')'
      '.getBoundingClientRect(); return [box.right - box.width * .03, '
      'box.y + box.height / 2]; })()')
  page.send('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)
  assert f'text {len(ODD) - 1}, not asked' in page.text(f'{where} .seen')
  # Of an image that is shown above, the picture.
  page.run('document.getElementById("at-slider").focus()')
  page.press('ArrowRight')
  page.run('document.querySelector(\'.map[data-modality="image"] svg\').focus()'
           )
  page.press('ArrowRight', 'ArrowRight')
  assert page.text('.map[data-modality="image"] .seen').startswith('image 1,')
  assert page.run('document.querySelectorAll(".seen img").length') == 1
  assert page.messages() == []


def test_nothing_that_others_wrote_is_run(browser, tmp_path):
  page, _ = _opened(browser, tmp_path, strategies=('random', *ODD[:3]))
  page.press('Tab', 'Tab', 'Tab', 'Tab', 'Tab', 'ArrowLeft')
  page.run('document.querySelectorAll(".map svg").forEach((one) => { '
           'one.focus(); one.dispatchEvent(new KeyboardEvent("keydown", '
           '{key: "ArrowRight", bubbles: true})); })')
  assert page.run('window.hacked') is None
  assert page.run('document.scripts.length') == 2
  assert page.run('document.querySelectorAll("[onload], [onerror]").length'
                  ) == 0
  assert page.run('document.querySelector("#scores tr:nth-child(2) button")'
                  '.textContent') == ODD[0]
  assert page.messages() == []
  assert {*page.asked_for()} == {(tmp_path / 'report.html').as_uri()}
  for change in ('document.body.innerHTML = "<p>"',
                 'document.createElement("script").textContent = "1"'):
    with pytest.raises(RuntimeError, match='Trusted'):
      page.run(change)


def test_without_a_script_all_is_there(browser, tmp_path):
  page, summary = _opened(browser, tmp_path)
  page.send('Emulation.setScriptExecutionDisabled', value=True)
  page.send('Page.reload')
  # What is asked of the browser itself runs in spite of that.
  page.until('document.readyState === "complete" && '
             'document.getElementById("control").hidden')
  assert _shown(page) == ['1', '2']
  mean = summary['strategies']['mmal']['curves']['mean_r10'][:, -1].mean()
  assert f'{mean:.1f} ±' in page.text('#scores tr:nth-child(2)')
  assert page.run('document.querySelectorAll(".line[data-line]").length') == 2
  assert page.run('document.querySelectorAll(".pool .mark").length') == 4


@pytest.mark.parametrize('modalities', [
    ('image', 'text'), ('image', 'text', 'sound')])
def test_on_a_phone(browser, tmp_path, modalities):
  page, _ = _opened(
      browser, tmp_path, report_run.seen(modalities=modalities),
      ('random', 'a' * 60, 'm ' * 40), width=360, height=740, phone=True)
  assert page.run('document.documentElement.scrollWidth') <= 360
  assert page.run('document.getElementById("at-slider").offsetHeight') >= 32
  assert page.run('document.querySelector(".area").clientWidth') > 250
  page.run('document.getElementById("asked").scrollIntoView()')
  # The slider stays in sight.
  top = page.run('document.getElementById("control").getBoundingClientRect().y')
  assert top == 0
  page.tap('#at-slider')
  page.until('document.getElementById("at-words").textContent === "5 answers"')
  assert page.messages() == []


def test_many_points_and_no_map(browser, tmp_path):
  seen = report_run.seen()._replace(
      panels={}, matches=None, queries=[], reached=[0, 0, 0])
  page, _ = _opened(browser, tmp_path, seen)
  page.run('document.getElementById("at-slider").focus()')
  page.press('ArrowLeft')
  assert page.text('#at-words') == '5 answers' and page.messages() == []
  assert pool_map.data({}) == {}
