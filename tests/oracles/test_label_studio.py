"""Label Studio's formats: tasks it takes, exports it gives.

Where its own package is installed, it has the last word on both.
"""

import copy
import json

import numpy as np
import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people import label_studio
from tests.support import people


@pytest.fixture(name='asked', params=['image', 'text'])
def _asked(tmp_path, request):
  """A folder in which items 0 to 5 of a modality were asked about."""
  def make(**arguments):
    return files.files(tmp_path, people.shown(), candidates=3, **arguments)
  with pytest.raises(oracle_lib.Waiting):
    people.asks(make(), range(6), request.param)
  return tmp_path, make, request.param


def _tasks(folder):
  return json.loads((folder / 'round_001' / 'tasks.json').read_text())


def _region(kind, other, value):
  return {'id': f'{kind}{other}', 'from_name': f'{kind}_{other}',
          'to_name': 'item', 'origin': 'manual',
          'type': {'choice': 'choices', 'number': 'number'}[kind],
          'value': {{'choice': 'choices', 'number': 'number'}[kind]: value}}


def _export(folder, modality):
  """As Label Studio would export it: what was chosen, typed in, skipped."""
  other = {'image': 'text', 'text': 'image'}[modality]
  results = [
      [_region('choice', other, ['1'])],
      [_region('choice', other, [label_studio.NO_COUNTERPART])],
      [_region('choice', other, [label_studio.NONE_OF_THESE]),
       _region('number', other, 8)],
      [_region('choice', other, [label_studio.NONE_OF_THESE])],
      None, []]
  export = []
  for number, (task, result) in enumerate(zip(_tasks(folder), results)):
    annotations = [] if result == [] else [{
        'id': 100 + number, 'completed_by': 3, 'result': result or [],
        'was_cancelled': result is None, 'ground_truth': False,
        'created_at': '2025-01-01T00:00:00.000000Z',
        'updated_at': '2025-01-01T00:00:00.000000Z', 'lead_time': 4.2,
        'task': 10 + number, 'project': 1}]
    export.append({'id': 10 + number, 'annotations': annotations,
                   'predictions': [], 'drafts': [], **task})
  return export


def _minimal(export):
  """The same as JSON-MIN, which leaves out what was skipped."""
  found = []
  for task in export:
    given = task['annotations'] or [
        {'result': [], 'completed_by': None, 'id': None}]
    for one in given:
      if one.get('was_cancelled'):
        continue
      record = {**copy.deepcopy(task['data']), 'id': task['id']}
      for part in one['result']:
        value = part['value']
        record[part['from_name']] = (
            value['choices'][0] if 'choices' in value else [value])
      found.append(record | {
          'annotator': one['completed_by'], 'annotation_id': one['id'],
          'created_at': None, 'updated_at': None, 'lead_time': 4.2})
  return found


def _put(folder, content, name='export.json'):
  (folder / 'answers' / name).write_text(json.dumps(content))


def _answers(counterparts, modality):
  """Rows for items 0 to 5; None: not answered."""
  rows = [[-1, -1] if c is None else [i, c] if modality == 'image' else [c, i]
          for i, c in enumerate(counterparts)]
  return np.array(rows)


@pytest.mark.parametrize('form', [lambda x: x, _minimal], ids=['json', 'min'])
def test_exports_are_read(asked, form):
  folder, make, modality = asked
  oracle = make()
  _put(folder, form(_export(folder, modality)))
  np.testing.assert_array_equal(
      people.asks(oracle, range(6), modality, None),
      _answers([1, -1, 8, -1, None, None], modality))
  ledger = [json.loads(line) for line in
            (folder / 'ledger.jsonl').read_text().splitlines()]
  assert [list(x['annotators']) for x in ledger] == [['3']] * 4
  assert [x.get('reasons') for x in ledger] == [
      None, {'3': 'no counterpart'}, None, {'3': 'none of these'}]
  assert ledger[0]['sources'] == ['export.json, task 10, annotation 100']
  # The next export holds the earlier answers once more.
  export = _export(folder, modality)
  export[5]['annotations'] = copy.deepcopy(export[0]['annotations'])
  _put(folder, form(export), 'later.json')
  with pytest.raises(oracle_lib.Waiting, match='4 of 6') as e:
    people.asks(oracle, range(6), modality)
  other, = {'image', 'text'} - {modality}
  assert f'{other} 1 is the counterpart of {modality}-0, too' in str(e.value)
  people.give(folder, 'sure.jsonl', people.line(
      f'{modality}-5', 1, 3, confirmed=True))
  np.testing.assert_array_equal(
      people.asks(oracle, range(6), modality, None),
      _answers([1, -1, 8, -1, None, 1], modality))


def test_skipped_may_count_as_refused(asked):
  folder, make, modality = asked
  _put(folder, _export(folder, modality))
  np.testing.assert_array_equal(
      people.asks(make(skip_is_refusal=True), range(6), modality, None),
      _answers([1, -1, 8, -1, -1, None], modality))


def test_an_annotator_by_mail_and_two_who_disagree(asked):
  folder, make, modality = asked
  export = _export(folder, modality)
  again = copy.deepcopy(export[0]['annotations'][0])
  again['id'], again['completed_by'] = 7, {'id': 4, 'email': 'b@x.org'}
  again['result'][0]['value']['choices'] = ['2']
  export[0]['annotations'].append(again)
  _put(folder, export)
  assert (people.asks(make(), [0], modality, None) == -1).all()
  conflict = json.loads((folder / 'conflicts.jsonl').read_text())
  assert [list(x.values()) for x in conflict['answers'].values()] == [[1], [2]]
  assert list(conflict['answers']) == ['3', 'b@x.org']


def _spoil(export, how):
  first = export[0]['annotations'][0]
  result = first['result']
  other = result[0]['from_name'].partition('_')[2]
  if how == 'a choice and another number':
    result.append(_region('number', other, 4))
  elif how == 'no counterpart, and a number':
    result[0]['value']['choices'] = [label_studio.NO_COUNTERPART]
    result.append(_region('number', other, 4))
  elif how == 'two choices':
    result[0]['value']['choices'] = ['1', '2']
  elif how == 'two results of one name':
    result.append(_region('choice', other, ['2']))
  elif how == 'half a number':
    result[:] = [_region('number', other, 4.5)]
  elif how == 'too large a number':
    result[:] = [_region('number', other, people.N)]
  elif how == 'unknown choice':
    result[0]['value']['choices'] = ['maybe']
  elif how == 'no annotator':
    first['completed_by'] = None
  elif how == 'a query that was never asked':
    export[0]['data']['query'] = 'image-8'
  elif how == 'a query whose id was edited':
    export[0]['data']['query'] = 'Image 1'
  elif how == 'results that are numbers':
    first['result'] = [3]
  elif how == 'of before 1.0':
    export[0]['completions'] = export[0].pop('annotations')
  elif how == 'no tasks':
    return {'a': 1}
  return export


@pytest.mark.parametrize('how,part', [
    ('a choice and another number', 'choice 1 and the number 4 for'),
    ('no counterpart, and a number', "'no counterpart' and the number 4"),
    ('two choices', 'cannot be taken as one answer'),
    ('two results of one name', "is answered twice, by '1' and '2'"),
    ('half a number', '4.5, not an integer'),
    ('too large a number', '9 does not exist'),
    ('unknown choice', "'maybe' for"),
    ('no annotator', "annotation 100: 'annotator' is missing: who answers?"),
    ('a query that was never asked', 'annotation 100: image-8 was never asked'),
    ('a query whose id was edited', "annotation 100: 'query' is 'Image 1', no"),
    ('results that are numbers', 'annotation 100: a result is 3, no object'),
    ('of before 1.0', 'bad.json, task 10: an export of Label Studio before'),
    ('no tasks', 'no list of tasks')])
def test_what_cannot_be_read_is_refused(asked, how, part):
  folder, make, modality = asked
  _put(folder, _spoil(_export(folder, modality), how), 'bad.json')
  (folder / 'answers' / 'worse.json').write_text('[{]')
  with pytest.raises(ValueError) as e:
    people.asks(make(), [1], modality, None)
  assert part in str(e.value) and 'worse.json: bad JSON' in str(e.value)
  assert 'has 2 problem(s)' in str(e.value)
  assert not (folder / 'ledger.jsonl').exists()


def test_a_whole_number_that_was_typed_in_is_an_integer(asked):
  folder, make, modality = asked
  export = _export(folder, modality)
  export[2]['annotations'][0]['result'][1]['value']['number'] = 8.0
  _put(folder, export)
  assert 8 in people.asks(make(), [2], modality, None)


def test_texts_cannot_be_taken_for_markup_or_variables():
  query = {'query': 'image-1', 'file': 'images/image-1.png', 'candidates': {
      'text': [{'item': 7, 'text': '$item <b>"é"</b>\nend'}]}}
  data = label_studio.task(
      query, label_studio.local_address('f/round_001'), 'p')['data']
  assert data['item'] == '/data/local-files/?d=f/round_001/images/image-1.png'
  assert data['candidates_text'][0] == {'value': '7', 'html': (
      '<b>7</b> $item &lt;b&gt;&quot;é&quot;&lt;/b&gt;<br>end')}


def test_label_studio_agrees(asked, tmp_path_factory):
  interface_lib = pytest.importorskip('label_studio_sdk.label_interface')
  converter_lib = pytest.importorskip('label_studio_sdk.converter')
  folder, make, modality = asked
  config = (folder / 'round_001' / 'labeling_config.xml').read_text()
  interface = interface_lib.LabelInterface(config)
  interface.validate()
  export = _export(folder, modality)
  for task in _tasks(folder):
    assert interface.validate_task(task)
    assert not interface.validate_task({'data': {}})
  for task in export:
    for annotation in task['annotations']:
      assert interface.validate_annotation(annotation)
  wrong = _region('choice', 'sound', ['1'])
  assert not interface.validate_annotation({'result': [wrong]})
  # Its own JSON-MIN of that export.
  work = tmp_path_factory.mktemp('converter')
  (work / 'export.json').write_text(json.dumps(export))
  converter_lib.Converter(config, str(work)).convert_to_json_min(
      str(work / 'export.json'), str(work / 'min'), is_dir=False)
  minimal = json.loads((work / 'min' / 'result.json').read_text())
  ours = _minimal(export)
  for theirs, mine in zip(minimal, ours, strict=True):
    for key in ('created_at', 'updated_at', 'lead_time'):
      del theirs[key], mine[key]
  assert minimal == ours
  _put(folder, minimal)
  np.testing.assert_array_equal(
      people.asks(make(), range(6), modality, None),
      _answers([1, -1, 8, -1, None, None], modality))
