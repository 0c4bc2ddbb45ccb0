"""Rows and items that answers name; what is in doubt waits to be confirmed."""

import html
import json

import numpy as np
import pytest

from mmal_jax.data import feature_rows
from mmal_jax.files import json_lines
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people import naming
from mmal_jax.oracles.people import status as status_lib
from tests.support import people

_N = 40


@pytest.fixture(name='asked')
def _asked(tmp_path):
  """Images 0 to 2 of features were asked about; answers are texts' numbers."""
  rng = np.random.default_rng(0)
  rows = {m: rng.permutation(60)[:_N] for m in ('image', 'text')}
  items = {m: feature_rows.label(
      rng.normal(size=(60, 3)).astype(np.float32), f'{m}s.npy', m
      ).select(rows[m]) for m in rows}

  def suggest(modality, numbers, other, k):
    del modality, other, k
    return np.asarray(numbers)[:, None] + np.arange(4)[None].astype(np.int32)

  def ask():
    try:
      oracle = files.files(tmp_path, items)
      return people.asks(oracle, range(3), suggest=suggest)[:, 1].tolist()
    except oracle_lib.Waiting as e:
      return str(e)
  ask()
  return tmp_path, ask, rows['text']


def _give_rest(folder):
  people.give(folder, 'rest.jsonl', people.line('image-1', None),
              people.line('image-2', None))


@pytest.mark.parametrize('form', [
    lambda row: {'row': row}, lambda row: {'text': {'row': row}},
    'row {} of texts.npy'.format, 'row {}'.format,
    'Row {}  of Texts.npy'.format,
    lambda row: {'text': f'"row {row} of texts.npy"'}])
@pytest.mark.parametrize('ending', ['jsonl', 'json', 'csv', 'tsv'])
def test_a_row_is_an_answer(asked, form, ending):
  folder, ask, rows = asked
  _give_rest(folder)
  answer = form(int(rows[31]))
  if ending in ('csv', 'tsv'):
    comma = ',' if ending == 'csv' else '\t'
    cell = answer if isinstance(answer, str) else json.dumps(answer)
    cell = '"' + cell.replace('"', '""') + '"'
    text = comma.join(['query', 'answer', 'annotator']) + '\n' + comma.join(
        ['image-0', cell, 'ann'])
  else:
    text = json.dumps(people.line('image-0', answer))
  people.give(folder, f'a.{ending}', text)
  assert ask() == [31, -1, -1]


@pytest.mark.parametrize('answer,says', [
    ({'row': 999}, 'no text item is row 999 of its file'),
    ({'row': '3'}, "the row '3', not an integer"),
    ({'row': True}, 'the row true, not an integer'),
    ('row {} of images.npy', "its row {} is shown as 'row {} of texts.npy'"),
    ({'item': 0, 'row': 'ROW'},
     'both item 0 and row {}, but row {} is item 31'),
    ({'item': 40}, 'text 40 does not exist; there are 40')])
def test_names_that_fit_nothing(asked, answer, says):
  folder, ask, rows = asked
  row = int(rows[31])
  if isinstance(answer, str):
    answer = answer.format(row)
  elif answer.get('row') == 'ROW':
    answer = answer | {'row': row}
  people.give(folder, 'a.jsonl', people.line('image-0', answer))
  with pytest.raises(ValueError, match='a.jsonl, line 1') as e:
    ask()
  assert says.replace('{}', str(row)) in str(e.value)


@pytest.mark.parametrize('file,other', [
    ('\uff54\uff45\uff58\uff54\uff53\uff12.npy', 'texts2.npy'),
    ('caf\u00e9.npy', 'cafe\u0301.npy'), ('cafe\u0301.npy', 'CAF\u00c9.npy'),
    ('a\u2013b\u2014c.npy', 'a-b-c.npy'), ('my  texts.npy', 'My texts.npy'),
    ('my\u00a0texts.npy', 'my texts.npy'), ('o\u2019brien.npy', "o'brien.npy"),
    ('\u0130stanbul I\u015f\u0131k.npy', 'istanbul i\u015fik.npy'),
    ('Stra\u00dfe.npy', 'STRASSE.npy'), ('\ufb01g.npy', 'fig.npy'),
    ('a&amp;b.npy', 'a&b.npy'), ('a&amp;amp;b.npy', 'A&amp;amp;b.npy'),
    ('\u041c\u0438\u0440.npy', '\u043c\u0418\u0440.npy'),
    ('(new) "x".npy', '(new) \u201cx\u201d.npy')])
def test_a_name_of_a_file_is_one_in_all_spellings(tmp_path, file, other):
  rows = feature_rows.label(np.ones((60, 3), np.float32), file, 'text')
  naming.path(tmp_path, 'text').write_text(json_lines.dump(
      display.catalogue(rows.select(np.arange(20, 60)))))
  items = naming.Items(tmp_path)
  spellings = [file, other]
  if '&' not in file:  # which a page writes so
    spellings += [file.replace('.npy', '.NPY'), html.escape(other)]
  for name in spellings:
    said = f'row 31 of {name}'
    for answer in (said, f'="{said}"', {'row': 31, 'name': said}):
      assert items.number('text', answer) == (11, None)
    _, wrong = items.number('text', f'row 31 of no_{name}')
    assert 'but its row 31 is shown as' in wrong
    _, wrong = items.number('text', {'row': 32, 'name': said})
    assert 'but its row 32 is shown as' in wrong


def test_texts_have_no_rows(tmp_path):
  oracle = files.files(tmp_path, people.shown())
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [0])
  assert 'NOT the row' not in (tmp_path / 'round_001/README.txt').read_text()
  assert 'row_' not in (tmp_path / 'round_001/labeling_config.xml').read_text()
  people.give(tmp_path, 'a.jsonl', people.line('image-0', {'row': 1}))
  with pytest.raises(ValueError, match='the items of text have no rows'):
    people.asks(oracle, [0])
  people.give(tmp_path, 'a.jsonl', people.line('image-0', {'item': 1}))
  assert people.asks(oracle, [0]).tolist() == [[0, 1]]


def test_questions_say_what_a_number_is(asked):
  folder, _, rows = asked
  path = folder / 'round_001'
  assert 'It is NOT the row of your file' in (path / 'README.txt').read_text()
  assert 'name="row_text"' in (path / 'labeling_config.xml').read_text()
  query = people.lines(path / 'queries.jsonl')[2]
  assert query['candidates']['text'][1] == {
      'item': 3, 'row': rows[3], 'text': f'row {rows[3]} of texts.npy'}


def _taken_for_a_row(rows):
  """A query, one of its candidates whose row is another item's number."""
  return next((q, c) for q in range(3) for c in range(q, q + 4)
              if rows[c] < _N and not q <= rows[c] < q + 4)


def test_a_number_that_may_be_a_row_waits(asked):
  folder, ask, rows = asked
  query, candidate = _taken_for_a_row(rows)
  row = int(rows[candidate])
  others = [people.line(f'image-{q}', None) for q in range(3) if q != query]
  people.give(folder, 'a.jsonl', people.line(f'image-{query}', row), *others)
  said = ask()
  assert '2 of 3 queries' in said and (
      f'image-{query}, a.jsonl, line 1: is item {row} of text meant') in said
  listed, = people.lines(folder / status_lib.CONFLICTS)
  assert listed['state'] == 'in doubt'
  assert listed['why'].endswith(f'with the number {candidate}?')
  for sure, number in ((people.line(f'image-{query}', {'item': row}), row),
                       (people.line(f'image-{query}', {'row': row}), candidate),
                       (people.line(f'image-{query}', row, confirmed=True),
                        row)):
    ledger = (folder / 'ledger.jsonl').read_bytes()
    people.give(folder, 'a.jsonl', sure, *others)
    assert ask()[query] == number
    assert not (folder / status_lib.CONFLICTS).exists()
    (folder / 'ledger.jsonl').write_bytes(ledger)


def _export(folder, values, short):
  """An export of what was typed and chosen for image 0, by tag."""
  task = json.loads((folder / 'round_001/tasks.json').read_text())[0]
  if short:
    given = task['data'] | {
        'id': 1, 'annotation_id': 5, 'annotator': 3} | values
  else:
    given = {'id': 1, 'data': task['data'], 'annotations': [{
        'id': 5, 'completed_by': 3, 'result': [
            {'from_name': name, 'to_name': 'item', 'type': 'number',
             'value': {'choices': value if isinstance(value, list) else [value]}
             if name == 'choice_text' else {'number': value}}
            for name, value in values.items()]}]}
  people.give(folder, 'e.json', json.dumps([given]))


@pytest.mark.parametrize('number', [None, 31])
@pytest.mark.parametrize('choice', ['none of these', None, 31, '31', '31.0'])
@pytest.mark.parametrize('short', [False, True])
def test_a_row_typed_into_label_studio(asked, number, choice, short):
  folder, ask, rows = asked
  _give_rest(folder)
  given = {'row_text': int(rows[31]), 'number_text': number,
           'choice_text': choice}
  _export(folder, {k: v for k, v in given.items() if v is not None}, short)
  assert ask() == [31, -1, -1]


@pytest.mark.parametrize('choice,says', [
    ('banana', "the choice 'banana' and the row {} for 'text' cannot be taken"),
    ('31 or so', "the choice '31 or so' and the row {} for 'text' cannot be"),
    ('no counterpart', "the choice 'no counterpart' and the row {} for 'text'"),
    ('row 31', "the choice 'row 31' and the row {} for 'text' cannot be taken"),
    (['31', '30'], "the choice ['31', '30'] and the row {} for 'text' cannot"),
    ('31.5', "the choice '31.5' and the row {} for 'text' cannot be taken as"),
    (30, 'text is both item 30 and row {}, but row {} is item 31'),
    (True, 'item true, not an integer')])
@pytest.mark.parametrize('short', [False, True])
def test_a_choice_that_does_not_fit_the_row_is_refused(
    asked, choice, says, short):
  folder, ask, rows = asked
  _export(folder, {'row_text': int(rows[31]), 'choice_text': choice}, short)
  with pytest.raises(ValueError, match='e.json, task 1, annotation 5: ') as e:
    ask()
  assert says.replace('{}', str(rows[31])) in str(e.value)


def test_a_counterpart_of_two_waits_until_it_is_confirmed(asked):
  folder, ask, _ = asked
  people.give(folder, 'a.jsonl', people.line('image-0', {'item': 2}),
              people.line('image-1', {'item': 2}),
              people.line('image-2', {'item': 2}))
  said = ask()  # It is the likeliest of image 2.
  assert '1 of 3 queries' in said
  assert 'image-0, a.jsonl, line 1: text 2 is the counterpart of' in said
  assert [x['query'] for x in people.lines(folder / 'ledger.jsonl')] == [
      'image-2']
  assert [(x['query'], x['state']) for x in people.lines(
      folder / status_lib.CONFLICTS)] == [
          ('image-0', 'in doubt'), ('image-1', 'in doubt')]
  people.give(folder, 'b.csv', 'query,answer,annotator,confirmed',
              'image-0,2,ann,TRUE')
  assert '2 of 3 queries' in ask()
  people.give(folder, 'c.jsonl', people.line('image-1', 2, 'bob'))
  assert ask() == [2, 2, 2]  # Two people say so.


def test_a_doubt_ends_when_the_other_answer_is_changed(asked):
  folder, ask, _ = asked
  people.give(folder, 'a.jsonl', people.line('image-0', {'item': 3}),
              people.line('image-1', {'item': 3}))
  assert '0 of 3 queries' in ask()
  people.give(folder, 'a.jsonl', people.line('image-0', {'item': 1}),
              people.line('image-1', {'item': 3}), people.line('image-2', None))
  assert ask() == [1, 3, -1]


@pytest.mark.parametrize('value', ['maybe', 1, None])
def test_confirmed_is_true_or_false(asked, value):
  folder, ask, _ = asked
  people.give(folder, 'a.jsonl', people.line('image-0', 2, confirmed=value))
  with pytest.raises(ValueError, match="line 1: 'confirmed' is .*; true or"):
    ask()
