"""Whole runs that are answered at the page, by a person in a real browser."""

import os
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from experiments import run
from experiments.configs import features as features_config
from mmal_jax.oracles.people.page import page as page_lib
from mmal_jax.oracles.people.page import server
from tests.support import outcomes
from tests.support import page_answers

pytestmark = [pytest.mark.long, pytest.mark.usefixtures('quick_compilation')]
_ROUNDS = 3
_DONE = '!document.getElementById("done").hidden'


@pytest.fixture(name='browser', scope='module')
def _browser():
  with page_answers.started() as browser:
    yield browser


def _find(page, words, label):
  """Searches for words, and chooses the item with a label."""
  page.press('/')
  page.type(words)
  page.until('document.getElementById("finder").open')
  page.run('[...document.querySelectorAll("#results .choice")].find((one) => '
           f'one.querySelector(".text").textContent === "{label}").click()')


def _answer(page, counterpart):
  """Answers all questions; what is asked about is in `#asked .text`."""
  while not page.run(_DONE):
    label = counterpart(page.text('#ask'), page.text('#asked .text'))
    place = page.run(
        '[...document.querySelectorAll("#choices .text")].map((one) => '
        f'one.textContent).indexOf("{label}")')
    if place < 0:
      _find(page, label.rpartition(' of ')[0] or label, label)
    else:
      page.press(str((place + 1) % 10))
    if ', too.' in page.text('#note'):
      raise AssertionError(page.text('#note'))


def test_a_run_that_is_served_is_the_exact_oracle_s(
    browser, tiny_run, tmp_path):
  *_, exact = tiny_run.rounds('coreset')
  shown = {m: tiny_run.pools.items[m].values for m in ('image', 'text')}
  tuples, now, pages = tiny_run.hidden.tuples, [0.0], []

  def counterpart(asked, label):
    own = ['image', 'text'].index(asked.removesuffix('?').split()[-1])
    row, = tuples[tuples[:, own] == int(label.removeprefix('item '))]
    return f'item {row[1 - own]}'

  def person(seconds):
    """Answers a round while the run waits; the page goes on by itself."""
    now[0] += seconds
    name = max(path.name for path in tmp_path.glob('round_*'))
    if not pages:
      pages.append(browser.page(server.of_process(0).add(tmp_path)))
      page_answers.meet(pages[0], 'Ann')
    pages[0].until(f'location.pathname.endsWith("/{name}/")')
    pages[0].until('document.getElementById("person").textContent === "Ann"')
    _answer(pages[0], counterpart)
    pages[0].until('document.getElementById("kept").textContent === "Saved"')

  oracle = page_lib.page(
      tmp_path, shown, candidates=5, port=0, wait_seconds=3600, sleep=person,
      clock=lambda: now[0])
  for state in tiny_run.rounds('coreset', oracle=oracle):
    pass
  assert len(list(tmp_path.glob('round_*'))) == 4
  np.testing.assert_array_equal(state.aligned, exact.aligned)
  np.testing.assert_array_equal(state.queries, exact.queries)
  # What the run has used is not changed any more.
  pages[0].run('document.querySelector("#done button").click()')
  pages[0].run('document.querySelector("#all li button").click()')
  pages[0].until('document.querySelector("#asked .what").textContent.endsWith('
                 '"its answer is used by the run")')
  for key in 'un':
    pages[0].press(key)
    pages[0].until('document.getElementById("note").textContent.startsWith('
                   '"The run has used this answer")')
  assert pages[0].messages() == []


def _main(work, *arguments):
  features = [f'--config.dataset.{m}s={work.parent / m}.npy'
              for m in ('image', 'text')]
  argv = ['run', f'--config={features_config.__file__}', f'--workdir={work}',
          '--seeds=0', '--strategies=mmal', '--batch=5', f'--rounds={_ROUNDS}',
          '--config.train.steps_per_round=2', '--config.model.width=8',
          f'--cache_dir={work.parent / "cache"}', *features, *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    run.main(flags.FLAGS(argv))


def test_a_run_of_three_rounds_is_the_exact_oracle_s(browser, tmp_path, capsys):
  outcomes.save_features(tmp_path, 60)
  _main(tmp_path / 'exact')
  people = tmp_path / 'people' / 'seed0'
  arguments = '--oracle=page', f'--config.oracle.folder={people.parent}'
  for number in range(1, _ROUNDS + 1):
    with pytest.raises(SystemExit) as e:
      _main(tmp_path / 'page', *arguments, *(
          ['--resume'] if number > 1 else []), *(
              # A run may be served from any round on.
              ['--config.oracle.port=0', '--config.oracle.wait_seconds=0.01']
              if number == 2 else []))
    assert e.value.code == run.WAITING
    assert f'round_{number:03}: see README.txt' in capsys.readouterr().out
    page = page_answers.opened(browser, people, number=number)
    # The row of a feature is what names it, and its counterpart's.
    _answer(page, lambda asked, label: label.rpartition(' of ')[0] + (
        ' of image.npy' if 'Which image' in asked else ' of text.npy'))
    page_answers.download(browser, page, people / 'answers')
    assert page.messages() == []
    assert {*page.asked_for()} == {page_answers.address(people, number)}
  _main(tmp_path / 'page', *arguments, '--resume')
  found, exact = (outcomes.metrics(tmp_path / name)
                  for name in ('page', 'exact'))
  assert [line['annotations'] for line in found] == [0, 5, 10, 15]
  assert found == exact
  assert len(os.listdir(people / 'answers')) == _ROUNDS
