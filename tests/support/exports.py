"""Exports of Label Studio for tests: one person's answers, in every form."""

import csv
import io
import json

FORMS = ('page', 'snapshot', 'min', 'csv', 'tsv', 'tasks')
NAMES = {'page': 'page.json', 'snapshot': 'snapshot.json', 'min': 'min.json',
         'csv': 'table.csv', 'tsv': 'table.tsv', 'tasks': 'api.json'}
_TIME = '2026-03-0{}T10:00:00.{:06}Z'


def result(other, choice):
  """What was chosen."""
  return {'id': 'r', 'from_name': f'choice_{other}', 'to_name': 'item',
          'type': 'choices', 'value': {'choices': [str(choice)]}}


def annotation(number, who, results, day=1, **more):
  """One annotation, as the page exports it."""
  time = _TIME.format(day, number)
  return {'id': number, 'completed_by': who, 'result': results,
          'was_cancelled': False, 'ground_truth': False, 'created_at': time,
          'updated_at': time, 'lead_time': 3.5, **more}


def tasks(folder, choices, who, first=1, day=1):
  """An export, as the page writes it, of the first round's tasks.

  Args:
    folder: in which people are asked.
    choices: what is chosen for each task; None for one without annotations.
    who: `completed_by`.
    first: number of the first annotation.
    day: on which all was done.
  """
  asked = json.loads((folder / 'round_001' / 'tasks.json').read_text())
  made = []
  for number, (task, choice) in enumerate(zip(asked, choices)):
    other, = (key.removeprefix('candidates_') for key in task['data']
              if key.startswith('candidates_'))
    made.append({
        'id': 30 + number, 'data': task['data'], 'drafts': [],
        'predictions': [], 'annotations': [] if choice is None else [
            annotation(first + number, who, [result(other, choice)], day)]})
  return made


def of_form(made, form, email=None):
  """The content of a file in one of `FORMS`; e-mails where a form has them."""
  made = json.loads(json.dumps(made))
  if form in ('snapshot', 'tasks'):
    for task in made:
      for one in task['annotations']:
        one['completed_by'] = {'id': one['completed_by'], 'email': email,
                               'first_name': '', 'last_name': ''}
  if form == 'tasks':
    return json.dumps({'tasks': made, 'total': len(made)})
  if form in ('page', 'snapshot'):
    return json.dumps(made)
  short = []
  for task in made:
    for one in task['annotations'] or [{'result': []}]:
      record = {**task['data'], 'id': task['id']}
      for part in one['result']:
        record[part['from_name']] = part['value']['choices'][0]
      short.append(record | {
          'annotator': email or one.get('completed_by'),
          'annotation_id': one.get('id'), 'lead_time': one.get('lead_time'),
          **{key: one.get(key) for key in ('created_at', 'updated_at')}})
  if form == 'min':
    return json.dumps(short)
  names = sorted({key for record in short for key in record})
  out = io.StringIO()
  writer = csv.DictWriter(out, names, delimiter=',' if form == 'csv' else '\t')
  writer.writeheader()
  for record in short:
    writer.writerow({
        key: json.dumps(value) if isinstance(value, list) else value
        for key, value in record.items()})
  return out.getvalue()
