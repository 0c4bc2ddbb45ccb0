"""What people put into the folder of answers: taken, open, or named."""

import copy
import csv
import json
import time

import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people import records
from tests.support import exports
from tests.support import people

_give, _line, _lines = people.give, people.line, people.lines


@pytest.fixture(name='asked')
def _asked(tmp_path):
  """A folder in which images 0 to 2 were asked about."""
  def ask(modalities=people.MODALITIES[:2], **rules):
    oracle = files.files(tmp_path, people.shown(modalities), **rules)
    try:
      return people.asks(oracle, range(3))[:, 1].tolist()
    except oracle_lib.Waiting as e:
      return str(e)
  ask()
  return tmp_path, ask


def _answered(folder):
  path = folder / 'ledger.jsonl'
  return {entry['query']: entry['answer']['text'] for entry in _lines(path)
          } if path.exists() else {}


def _put(folder, name, content):
  (folder / 'answers' / name).write_text(
      content if isinstance(content, str) else json.dumps(content))


def _empty(task, how):
  """A task that looks answered, and is not."""
  one, = task['annotations']
  part, = one['result']
  if how == 'results are null':
    one['result'] = None
  elif how == 'no results':
    one['result'] = []
  elif how == 'results are missing':
    del one['result']
  elif how == 'the value is null':
    part['value'] = None
  elif how == 'the value is missing':
    del part['value']
  elif how == 'the choices are null':
    part['value']['choices'] = None
  elif how == 'no choices':
    part['value'] = {'choices': []}
  elif how == 'an empty choice':
    part['value'] = {'choices': ['']}
  elif how == 'only a comment':
    one['result'] = [{'from_name': 'comment', 'type': 'textarea',
                      'value': {'text': ['too dark']}}]
  elif how == 'another name for the choices':
    part['from_name'] = 'which'
  elif how == 'annotations are null':
    task['annotations'] = None
  elif how == 'annotations are numbers':
    task['annotations'] = [1]
  elif how == 'an annotation is null':
    task['annotations'] = [None]
  elif how == 'annotations are missing':
    del task['annotations']
  elif how == 'a draft':
    task |= {'annotations': [], 'drafts': [{'result': one['result']}]}
  elif how == 'a prediction':
    task |= {'annotations': [], 'predictions': [
        {'result': one['result'], 'model_version': '1', 'score': 0.9}]}
  elif how == 'no data':
    del task['data']
  elif how == 'data are null':
    task['data'] = None
  elif how == 'of another project':
    task['data'] = {'image': 'x.png'}
  elif how == 'of another seed':
    task['data']['pools'] = '0' * 16


@pytest.mark.parametrize('how,says', [
    *((how, 'annotation 2: nothing was chosen for text') for how in (
        'results are null', 'no results', 'results are missing',
        'the value is null', 'the value is missing', 'the choices are null',
        'no choices', 'an empty choice')),
    ('only a comment', 'nothing was chosen for text (it has only comment)'),
    ('another name for the choices', '(it has only which)'),
    ('annotations are null', None),
    ('annotations are numbers', 'annotation 1: only 1 stands there'),
    ('an annotation is null', 'annotation 1: only null stands there'),
    ('annotations are missing', 'a task without annotations, as in tasks.json'),
    ('a draft', 'only a draft, which was not submitted'),
    ('a prediction', 'only a prediction'),
    ('no data', 'a task without data'), ('data are null', 'without data'),
    ('of another project', 'a task of another project'),
    ('of another seed', 'made for other pools')])
def test_what_was_answered_is_taken_and_the_rest_stays_open(asked, how, says):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 1)
  _empty(made[1], how)
  _put(folder, 'work.json', made)
  said = ask()
  assert '2 of 3 queries' in said and '2 answer(s) accepted for good' in said
  assert _answered(folder) == {'image-0': 4, 'image-2': 6}
  if says is None:
    assert 'task 31' not in said
  else:
    assert 'work.json, task 31' in said
    assert says in said
  for word in ('NoneType', 'Error', 'None'):
    assert word not in said


@pytest.mark.parametrize('form', ['min', 'csv', 'tsv'])
def test_short_forms_without_a_choice(asked, form):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, None], 1)
  made[1]['annotations'][0]['result'] = []
  name = exports.NAMES[form]
  _put(folder, name, exports.of_form(made, form))
  said = ask()
  assert f'{name}, task 31, annotation 2: nothing was chosen for text' in said
  assert _answered(folder) == {'image-0': 4}


def test_one_of_two_counterparts_is_no_answer(tmp_path):
  shown = people.shown(people.MODALITIES)
  oracle = files.files(tmp_path, shown)
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [0])
  task, = json.loads((tmp_path / 'round_001' / 'tasks.json').read_text())
  _put(tmp_path, 'a.json', [task | {'annotations': [
      exports.annotation(1, 1, [exports.result('text', 4)])]}])
  with pytest.raises(oracle_lib.Waiting, match='chosen for sketch'):
    people.asks(oracle, [0])


def test_other_results_beside_the_choice_do_no_harm(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 1)
  for task, beside in zip(made, (
      {'type': 'relation', 'from_id': 'a', 'to_id': 'b', 'direction': 'right',
       'labels': []},
      {'from_name': 'stars', 'type': 'rating', 'value': {'rating': 4}},
      {'from_name': 'why', 'type': 'textarea', 'value': {'text': ['a', 'b']}})):
    task['annotations'][0]['result'].insert(0, beside)
  made[0]['annotations'][0]['result'] *= 2  # The same twice.
  _put(folder, 'a.json', made)
  assert ask() == [4, 5, 6]


@pytest.mark.parametrize('wrap', [
    lambda made: {'tasks': made, 'total': 3},
    lambda made: {'count': 3, 'next': None, 'results': made},
    lambda made: [None, *made, 7],
    lambda made: made[:2] + copy.deepcopy(made)])
def test_lists_of_tasks_however_wrapped(asked, wrap):
  folder, ask = asked
  _put(folder, 'a.json', wrap(exports.tasks(folder, [4, 5, 6], 1)))
  assert ask() == [4, 5, 6]


def test_one_task_by_itself_and_tasks_in_lines(asked):
  folder, ask = asked
  one, *others = exports.tasks(folder, [4, 5, 6], 1)
  _put(folder, 'one.JSON', one)
  _put(folder, 'others.jsonl', ''.join(json.dumps(t) + '\n' for t in others))
  assert ask() == [4, 5, 6]


_ROWS = [('image-0', '4', 'Ann'), ('image-1', 'null', 'Ann'),
         ('image-2', '6.0', 'Ann')]


@pytest.mark.parametrize('separator', [',', ';', '\t'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_tables_that_spreadsheets_write(asked, separator, encoding, end):
  folder, ask = asked
  rows = [('Query', 'Answer', 'Annotator'), *_ROWS, ('', '', '')]
  text = ''.join(separator.join(row) + end for row in rows)
  (folder / 'answers' / 'Sheet.CSV').write_bytes(text.encode(encoding))
  assert ask() == [4, -1, 6]


@pytest.mark.parametrize('content', [
    'query,answer,annotator,\nimage-0,4,ann,\nimage-1,null,ann,\n'
    'image-2,6,ann,\n',
    'query;answer;annotator;;\nimage-0;4;ann;;\nimage-1;null;ann\n'
    'image-2;6;ann;;;\n;;;;;\n',
    ',query,answer,,annotator\n,image-0,4,,ann\n,image-1,null,,ann\n'
    ',image-2,6, ,ann\n',
    'query,answer,annotator\nimage-0,4,ann,,\nimage-1,null,ann,\n'
    'image-2,6,ann\n',
    'sep=;\r\nquery;answer;annotator\r\nimage-0;4;ann\r\n'
    'image-1;null;ann\r\nimage-2;6;ann\r\n',
    'query|answer|annotator\nimage-0|4|ann\nimage-1|null|ann\n'
    'image-2|6|ann\n'])
def test_tables_with_empty_columns_and_other_separators(asked, content):
  folder, ask = asked
  _put(folder, 'a.csv', content)
  assert ask() == [4, -1, 6]


@pytest.mark.parametrize('text,is_list', [
    ('[{"query": 1}]', True), ('\n\n[\r\n{}]', True), ('[ {', True),
    ('[', True), ('["ann"]\n', False), ('[]', False), ('[[{}]]', False),
    ('{"a": [{}]}', False), ('', False), ('x[{', False)])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_list_in_a_file_of_lines(text, is_list, encoding):
  assert records._is_list(text.encode(encoding)) == is_list


def test_the_first_line_does_not_cost_a_file():
  content = (json.dumps(_line('image-0', 4)) + '\n').encode() * 200_000
  start = time.perf_counter()
  for _ in range(100):
    records._is_list(content)
  assert time.perf_counter() - start < 0.5


def test_cells_that_are_empty_are_open(asked):
  folder, ask = asked
  _put(folder, 'a.csv', 'query,answer,annotator\nimage-0,4,ann\nimage-1,,ann\n')
  assert 'a.csv, line 3: the cell of the answer is empty' in ask()
  assert _answered(folder) == {'image-0': 4}


@pytest.mark.parametrize('content,says', [
    ('query,answer,who\nimage-0,4,ann\nimage-1,4,ann\n',
     "line 2: unknown field 'who'; known are query, answer, annotator,"),
    (',query,answer,annotator\n,image-1,4,ann\n0,image-0,4,ann\n',
     "line 3: column 1 has no name, but holds '0': name it in the header"),
    ('query,answer,annotator\nimage-0,four,ann\n', "the answer is 'four'; the"),
    ('query,answer,annotator\nimage-0,4,ann,5\n', 'line 2: 4 cells, but 3'),
    ('query,query,annotator\nimage-0,4,ann\n', 'a column appears twice'),
    ('query,answer,annotator\nimage-0,4,"ann\n',
     'bad CSV: a quote that is opened is never closed'),
    ('query,answer,annotator\nimage-0,4,"an"n"\n',
     'bad CSV: a quote within a cell must be doubled'),
    ('query,answer,annotator\nimage-0,"1,234",ann\n', "the answer is '1,234'"),
    ('query,answer,annotator\nimage-0,4.5,ann\n', '4.5, not an integer')])
def test_tables_that_cannot_be_read(asked, content, says):
  folder, ask = asked
  _put(folder, 'a.csv', content)
  with pytest.raises(ValueError, match='a.csv, line') as e:
    ask()
  assert says in str(e.value) and 'has 1 problem(s)' in str(e.value)


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-8-sig'])
@pytest.mark.parametrize('name', ['a.jsonl', 'a.json'])
def test_lines_as_a_shell_of_windows_writes_them(asked, encoding, name):
  folder, ask = asked
  text = ''.join(json.dumps(_line(f'image-{i}', i + 4, 'Zo\u00eb')) + '\r\n'
                 for i in range(3))
  (folder / 'answers' / name).write_bytes(text.encode(encoding))
  assert ask() == [4, 5, 6]


def test_a_list_of_answers(asked):
  folder, ask = asked
  _put(folder, 'a.jsonl', json.dumps(
      [_line(f'image-{i}', i + 4) for i in range(3)], indent=1))
  assert ask() == [4, 5, 6]


def test_strays_are_passed_over_with_a_word(asked):
  folder, ask = asked
  for name in ('notes.txt', '.DS_Store', 'Thumbs.db', 'desktop.ini', 'README',
               '~$answers.xlsx', '.~lock.a.csv#', 'a.jsonl.bak', 'a.csv~'):
    _put(folder, name, 'x')
  for name in ('round_001.zip', 'answers.xlsx', 'mine.jsonl.txt', 'empty.json'):
    _put(folder, name, '')
  (folder / 'answers' / 'ann').mkdir()
  _give(folder, 'a.jsonl', _line('image-0', 4))
  said = ask()
  assert _answered(folder) == {'image-0': 4}
  for part in ('round_001.zip: not read: an archive: unpack it',
               'answers.xlsx: not read: a spreadsheet: save it as CSV',
               'mine.jsonl.txt: not read: if it holds answers, rename it to '
               'mine.jsonl', 'ann: not read: a folder', 'empty.json: empty',
               'not read, being none of .jsonl, .json, .csv, .tsv: README, '
               'Thumbs.db, a.csv~, a.jsonl.bak, desktop.ini and 2 more'):
    assert part in said
  assert 'DS_Store' not in said and 'lock' not in said


def test_copies_of_an_export_and_what_is_not_complete(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 1)
  for name in ('page.json', 'page (1).json', 'page - Copy.json',
               "page (Ann's conflicted copy 2026-03-04).json",
               'page.sync-conflict-20260304-101010-ABCDEFG.json'):
    _put(folder, name, made)
  for name in ('._page.json', '.b.json.icloud', 'c.json.tmp',
               'd.csv.crdownload', 'e.json (conflicted copy)'):
    _put(folder, name, 'x')
  said = ask(people=2)
  assert 'fewer than 2 people have answered (3)' in said
  for part in ('.b.json.icloud: not read: its file is only in iCloud',
               'c.json.tmp: not read: by its name not complete',
               'd.csv.crdownload: not read: by its name not complete',
               'e.json (conflicted copy): not read: if it holds answers, '
               'rename it to end in .json'):
    assert part in said
  assert '._page' not in said
  assert ask(people=1) == [4, 5, 6]


@pytest.mark.parametrize('cells,taken', [
    ("'4,null,'6", [4, -1, 6]), ('"4,0",NULL,"6,00"', [4, -1, 6]),
    ('"=""4""",Null,6.0', [4, -1, 6]), ('\uff14,\u0665, 6', [4, 5, 6])])
def test_numbers_as_spreadsheets_write_them(asked, cells, taken):
  folder, ask = asked
  row, = csv.reader([cells])
  with open(folder / 'answers' / 'a.csv', 'w', newline='') as file:
    csv.writer(file).writerows([
        ('query', 'answer', 'annotator'),
        *((f'image-{i}', cell, 'ann') for i, cell in enumerate(row))])
  assert ask() == taken


@pytest.mark.parametrize('name', ['a.json', 'a.jsonl', 'a.csv'])
@pytest.mark.parametrize('content,says', [
    ('<!DOCTYPE html><html>Log in</html>', 'is a web page (HTML), not'),
    ('version https://git-lfs.github.com/spec/v1\noid sha256:' + '0' * 64
     + '\nsize 9\n', 'Git LFS pointer'),
    ('{"message": {"a": 1}}', 'is the answer of a web server')])
def test_files_that_are_something_else(asked, name, content, says):
  folder, ask = asked
  _put(folder, name, content)
  with pytest.raises(ValueError, match=f'{name}.* ') as e:
    ask()
  assert says in str(e.value) and 'has 1 problem(s)' in str(e.value)
  assert '..' not in str(e.value)


def test_disputes_and_doubts_are_said(asked):
  folder, ask = asked
  _give(folder, 'a.jsonl', _line('image-0', 4), _line('image-0', 5, 'bob'),
        *(_line(f'image-{i}', 7, confirmed=True) for i in (1, 2)))
  said = ask()
  assert '2 of 3 queries' in said
  for part in ('2 answer(s) accepted for good',
               f'people disagree (1; all in {folder / "conflicts.jsonl"}):\n'
               '  image-0: text 4 (ann); text 5 (bob)',
               'text 7 is the counterpart of several: image-1, image-2'):
    assert part in said
  assert ask().count('accepted for good') == 0  # That is said once.
  _give(folder, 'b.jsonl', _line('image-1', 8, 'bob'))
  said = ask()
  assert 'another answer came, which is not used (1;' in said
  assert [(x['query'], x['state']) for x in _lines(
      folder / 'conflicts.jsonl')] == [
          ('image-0', 'open'), ('image-1', 'accepted before')]


def test_what_is_not_waited_for_is_logged_once(asked, caplog):
  folder, ask = asked
  _give(folder, 'a.jsonl', _line('image-0', 4), _line('image-0', 5, 'bob'),
        _line('image-1', 7), _line('image-2', 6))
  oracle = files.files(folder, people.shown(), enough=0.5)
  with caplog.at_level('WARNING'):
    for _ in range(2):
      people.asks(oracle, range(3))
  assert caplog.text.count('image-0: text 4 (ann); text 5 (bob)') == 1


def test_two_calls_that_wait_say_what_has_come_once():
  waiting = oracle_lib.together([
      oracle_lib.Waiting('of image', 'x', ('image-0',)),
      oracle_lib.Waiting('of text', 'y', ('text-1',))])
  assert str(waiting) == 'of image\nof text\ny'
  assert waiting.queries == ('image-0', 'text-1')


def test_readme_names_what_is_written(tmp_path):
  oracle = files.files(tmp_path, people.shown(people.MODALITIES))
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [1], 'text')
  readme = (tmp_path / 'round_001' / 'README.txt').read_text()
  listed = sorted(word.split('/')[-1] for word in readme.split()
                  if word.split('/')[-1].startswith('items_'))
  assert listed == sorted(p.name for p in tmp_path.glob('items_*')
                          if p.name != 'items_text.jsonl')
  assert 'no file lists the image items' in readme
