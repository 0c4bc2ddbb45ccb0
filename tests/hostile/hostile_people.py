"""Bad answers of people, and what they leave in the folder they are asked by.
"""

from collections.abc import Callable
import json
import os
import pathlib

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files as people_lib
from tests.hostile import hostile
from tests.support import people
from tests.support import small_runs


def _ask(folder: pathlib.Path, suggest=None):
  """What comes of two queries, without those that were answered before."""
  oracle = people_lib.files(folder, people.shown())
  try:
    return people.asks(oracle, [0, 1], suggest=suggest).tolist()
  except oracle_lib.Waiting as e:
    return str(e)


def _read(reader: str, name: str, wrong: str, content: str | bytes,
          says: str | None) -> hostile.Case:
  """A file of the folder in place of what was there."""
  def read(folder):
    small_runs.answered(folder)
    (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode())
    return _ask(folder)
  return hostile.Case(reader, wrong, read, says)


def _line(wrong: str, says: str | None, answer: object = 3, **fields):
  """A line of answers."""
  record = people.line('image-1', answer) | fields
  return _read('answers', 'answers/x.jsonl', wrong, json.dumps(record), says)


def _lines(wrong: str, content: str | bytes, says: str):
  """Lines of answers."""
  return _read('answers', 'answers/x.jsonl', wrong, content, says)


def _table(wrong: str, says: str | None, row: str,
           columns: str = 'query,answer,annotator'):
  """A row of a table of answers."""
  return _read('answers', 'answers/x.csv', wrong, f'{columns}\n{row}\n', says)


def _ledger(wrong: str, says: str, **fields):
  """A line of the ledger."""
  record = {'query': 'image-0', 'answer': {'text': 4},
            'annotators': {'ann': {'text': 4}}, 'sources': ['x']} | fields
  return _read('ledger', 'ledger.jsonl', wrong, json.dumps(record) + '\n', says)


def _export(wrong: str, change: Callable[[dict], object], says: str | None):
  """A task in an export of Label Studio."""
  def read(folder):
    small_runs.answered(folder)
    path = folder / 'answers' / 'b.json'
    tasks = json.loads(path.read_text())
    changed = change(tasks[0])
    path.write_text(json.dumps(tasks if changed is None else changed))
    return _ask(folder)
  return hostile.Case('Label Studio', wrong, read, says)


def _annotation(wrong: str, says: str | None, **fields):
  return _export(
      wrong, lambda task: task['annotations'][0].update(fields), says)


def _choice(wrong: str, says: str | None, choice: object, number=None):
  result = [{'from_name': 'choice_text', 'value': {'choices': choice}}]
  if number is not None:
    result.append({'from_name': 'number_text', 'value': {'number': number}})
  return _annotation(wrong, says, result=result)


def _made(wrong: str, make: Callable[[pathlib.Path], None], says: str):
  """Something in `answers` that is no file."""
  def read(folder):
    small_runs.answered(folder)
    make(folder / 'answers' / 'x.jsonl')
    return _ask(folder)
  return hostile.Case('answers', wrong, read, says)


def _link_out(path):
  path.symlink_to(path.parent.parent / 'ledger.jsonl')


def _link_in(path):
  path.symlink_to(path.parent / 'a.jsonl')


def _link_loop(path):
  path.symlink_to(path)


def _sparse(path):
  with path.open('wb') as file:
    file.truncate(1 << 40)


CASES = [
    _lines('no JSON', 'image-1 3', 'x.jsonl, line 1: bad JSON'),
    _lines('not UTF-8', b'{"query": "\xff"}', 'x.jsonl: not UTF-8 text'),
    _lines('a list', '[["image-1", 3]]', 'is no object'),
    _lines('nested 985 deep', '{"reason": ' + '[' * 985 + ']' * 985 + '}',
           'nested more than 100 deep'),
    _lines('thousands of fields', json.dumps(
        {'x' * i: 1 for i in range(1, 3000)}), "unknown field 'x'"),
    _lines('a field twice', '{"query": "image-1", "query": "image-0"}',
           "a field appears twice: 'query'"),
    _line('an item beyond the pool', 'text 9 does not exist; there are 9', 9),
    _line('a negative item', 'text -1 does not exist', -1),
    _line('an integer of 400 digits', 'does not exist', 10**400),
    _line('NaN', 'text is nan, not an integer', float('nan')),
    _line('a float', 'text is 3.0, not an integer', 3.0),
    _line('true', 'text is true, not an integer', True),
    _line('a text', "text is '3', not an integer", '3'),
    _line('another modality', "about 'sketch'; image-1 needs one about text",
          {'sketch': 1}),
    _line('a query that was never asked', 'image-8 was never asked',
          query='image-8'),
    _line('a path for a query', "'query' is '../../image-1', no id",
          query='../../image-1'),
    _line('digits of another script', "'query' is 'image-\u0661', no id",
          query='image-\u0661'),
    _line('a list for a query', "'query' is [], no id", query=[]),
    _line('no name', "'annotator' is '  ', not a name", annotator='  '),
    _line('a number for a name', None, annotator=7),
    _line('half a number for a name', "'annotator' is 7.5, not a name",
          annotator=7.5),
    _line('half a surrogate pair', 'not a name', annotator='\ud800'),
    _line('a name of a megabyte', 'not a name', annotator='x' * 10**6),
    _line('a path for a name', None, annotator='../../etc/passwd'),
    _line('a reason of a megabyte', None, reason='x' * 10**6),
    _line('a list for a reason', "'reason' is [[[...]]], not a text",
          reason=[[[1]]]),
    _lines('two answers by one person',
           json.dumps(people.line('image-1', 3)) + '\n'
           + json.dumps(people.line('image-1', 5)),
           'line 2: ann answers image-1'),
    _lines('an accepted answer that changed',
           json.dumps(people.line('image-0', 5)), 'but in'),
    _made('a pipe', os.mkfifo, 'x.jsonl is no regular file'),
    _made('a folder', os.mkdir, 'cannot be read'),
    _made('a link out of the folder', _link_out, 'a link out of the folder'),
    _made('a link to itself', _link_loop, 'cannot be read'),
    _made('a terabyte', _sparse, 'at most 268435456 are read'),
    hostile.Case('answers', 'a link within the folder', lambda folder: (
        small_runs.answered(folder), _link_in(folder / 'answers/x.jsonl'),
        _ask(folder))[2], None),
    _table('no answer', None, 'image-1,,ann'),
    _table('a word for an answer', "the answer is 'three'; the number of an",
           'image-1,three,ann'),
    _table('a cell too many', 'line 2: 4 cells, but 3 columns',
           'image-1,3,ann,x'),
    _table('a quote that stays open', 'bad CSV', 'image-1,3,"ann'),
    _table('another column', "line 2: unknown field 'who'", 'image-1,3,ann',
           'query,answer,who'),
    _read('answers', 'annotators.jsonl', 'a list in a file of names', '["ann"]',
          'is no object'),
    _read('answers', 'annotators.jsonl', 'a name of two people',
          '{"names": ["ann", "bob"]}\n{"names": ["ANN"]}',
          "'ann' stands in annotators.jsonl, line 1, too"),
    _export('no list', lambda task: {'a': 1}, 'b.json: no list of tasks'),
    _export('a list of numbers', lambda task: [1], 'b.json: no list of tasks'),
    _export('a task that is empty', lambda task: [{}], None),
    _export('without data', lambda task: task.pop('data') and None, None),
    _export('of another project', lambda task: task['data'].update(pools='x'),
            None),
    _export('no list of annotations', lambda task: task.update(annotations=3),
            None),
    _export('without a query', lambda task: task['data'].pop('query') and None,
            None),
    _annotation('without a person', "'annotator' is missing: who answers?",
                completed_by=None),
    _annotation('a list for a person', "'annotator' is [1], not a name",
                completed_by=[1]),
    _annotation('results that are numbers', 'a result is 1, no object',
                result=[1]),
    _choice('a choice that was never offered', "the choice 'all of them' for",
            ['all of them']),
    _choice('an item that was not among the choices', None, ['8']),
    _choice('an item beyond the pool', 'text 99 does not exist', ['99']),
    _choice('a number of 5000 digits', 'cannot be taken as one answer',
            ['9' * 5000]),
    _choice('digits of another script', 'cannot be taken as one answer',
            ['\u0663']),
    _choice('two choices', "the choice ['1', '2'] for", ['1', '2']),
    _choice('an infinite number', 'text is inf, not an integer',
            ['none of these'], float('inf')),
    _read('Label Studio', 'answers/b.json', 'thousands of nested lists',
          '[' * 5000 + ']' * 5000, 'nested more than 100 deep'),
    _ledger('a float', 'text is 4.5, not an integer', answer={'text': 4.5}),
    _ledger('an item beyond the pool', 'text 99 does not exist',
            answer={'text': 99}),
    _ledger('an integer beyond 32 bits', 'does not exist',
            annotators={'ann': {'text': 2**40}}),
    _ledger('a query that is none', "'query' is 'image-x', no id of any item",
            query='image-x'),
    _ledger('another modality', "the answer is about 'sketch'",
            answer={'sketch': 1}),
    _ledger('a list of people', 'damaged: it must have query, answer and',
            annotators=[]),
    _ledger('a list of names', 'damaged: it must have query, answer and',
            names=[]),
    _ledger('a number for reasons', 'damaged: it must have query, answer and',
            reasons=3),
    _read('ledger', 'ledger.jsonl', 'its last line nested 100,000 deep',
          '[' * 100_000 + ']' * 100_000, 'nested more than 100 deep'),
    _read('rounds', 'round_001/queries.jsonl', 'no queries', '{"query": 1}\n',
          'line 1: no query'),
    _read('rounds', 'pools.json', 'not UTF-8', b'\xff', 'is of other items'),
]
