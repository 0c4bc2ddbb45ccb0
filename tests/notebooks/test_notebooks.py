"""The notebooks run, at small sizes and without network."""

import csv
import json
import re

import pytest

from tests.support import notebooks
from tests.support import small_files

_ALIGNMENT = '''
strategies, rounds, batch = 'mmal', 3, 4
changes = {
    'dataset.pretrain': 8, 'dataset.pool': 20, 'dataset.test': 8,
    'dataset.image_size': 16, 'model.width': 16, 'model.heads': 2,
    'model.depth': 1, 'warm_start.steps': 2, 'train.steps_per_round': 2,
    'whole_pool': False}
'''
# Presses the stop button after the second round that the bar shows.
_STOP = '''
import itertools
import signal

import tqdm

update, count = tqdm.tqdm.update, itertools.count(1)


def press(self, n=1):
  update(self, n)
  if next(count) == 2:
    signal.raise_signal(signal.SIGINT)


tqdm.tqdm.update = press
'''


@pytest.mark.long
def test_ask_quickstart(tmp_path, monkeypatch):
  book = notebooks.with_values('ask_quickstart', '''
drawings_each, questions_a_round, rounds, probability = 40, 4, 2, 0.0
''')
  notebooks.client(book, tmp_path, monkeypatch).execute()
  (page, ) = notebooks.shows(book, 'folder = ', 'text/html')
  assert page.count('<tr>') == 1 + 4 and 'data:image/jpeg' in page
  assert 'answers=4' in notebooks.printed(book, 'def answer')
  assert notebooks.shows(book, 'figure.savefig', 'image/png')
  assert re.search(r'^\d+ of [1-9]\d* pairs are right', notebooks.printed(
      book, 'session.match'))
  assert 'round 2, 8 answers' in notebooks.printed(book, 'Session.load')


@pytest.mark.long
def test_active_alignment_goes_on_after_it_was_stopped(tmp_path, monkeypatch):
  """Its cell runs twice, and is stopped in the middle of the first time."""
  pytest.importorskip('tensorboardX')
  book = notebooks.with_values('active_alignment', _ALIGNMENT + _STOP)
  at = notebooks.cell(book, 'mmal_jax.run(')
  stopped = book.cells[at].copy()
  stopped.metadata = {'tags': ['raises-exception']}
  book.cells.insert(at, stopped)
  notebooks.client(book, tmp_path, monkeypatch).execute()
  assert book.cells[at].outputs[-1].ename == 'KeyboardInterrupt'
  tables = book.cells[at + 1].outputs[-1].data['text/markdown']
  assert '\n| mmal ' in tables
  assert notebooks.shows(book, 'curves.png', 'image/png')
  assert "'asked': [[" in notebooks.printed(book, 'queries.jsonl')
  with open(tmp_path / 'runs/notebook/metrics.jsonl') as lines:
    assert [json.loads(line)['round'] for line in lines] == [0, 1, 2, 3]
  assert list((tmp_path / 'runs/notebook/logs/tensorboard').rglob('*tfevents*'))


@pytest.mark.long
def test_your_photos_and_captions(tmp_path, monkeypatch):
  """Keys are typed in turn, whatever is asked; then all cells run again.

  No candidate is shown that an answer before it has taken.
  """
  checkpoint = small_files.siglip_tokenizer(tmp_path / 'tiny')
  small_files.siglip(checkpoint)
  values = f"""
import itertools
keys = itertools.cycle(['?', '1', '2', '3', '4', '5', 'n'])
input = lambda prompt: next(keys)
checkpoint, questions_a_round, probability = {str(checkpoint)!r}, 8, 0.0
"""
  for answers in (8, 16):
    book = notebooks.with_values('your_photos_and_captions', values)
    notebooks.client(book, tmp_path, monkeypatch).execute()
    asked = notebooks.shows(book, 'def answered', 'text/html')
    assert len(asked) == 8 and 'data:image/jpeg' in ''.join(asked)
    said = notebooks.printed(book, 'def answered')
    assert "'?' is none of 1, 2, 3, 4, 5, n, x, s, q\n" in said
    assert ' 0 open questions' in said
    assert 'Warning' not in notebooks.printed(book, 'mmal_jax.Session(')
    with open(tmp_path / 'my_pairs/pairs.csv', encoding='utf-8') as file:
      head, *rows = csv.reader(file)
    assert head == ['image', 'text', 'probability']
    assert len({row[0] for row in rows}) == len(rows) > answers / 2
    assert all(row[0].endswith('.png') and row[1].startswith('an icon: ')
               for row in rows)
