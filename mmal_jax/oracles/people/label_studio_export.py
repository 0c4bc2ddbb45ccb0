"""What Label Studio gives: the answers in its exports, in any of their forms.

`JSON` has a task with its annotations, as the page exports it (`completed_by`
is a number) and as snapshots and the API do (an object). `JSON-MIN`, `CSV` and
`TSV` have a record for each annotation, its results among the task's data. What
is no answer of ours is named in a note: a task of another project, a draft.
"""

from collections.abc import Iterator, Mapping, Sequence
import datetime
import re
from typing import Any

from mmal_jax.files import json_object
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import identity
from mmal_jax.oracles.people import label_studio

_NUMBER = re.compile(r'([0-9]{1,10})(?:\.0*)?')  # of an item
# Fields of a task in `JSON`; the short forms have none of them.
_OF_A_TASK = ('annotations', 'completions', 'data', 'drafts', 'predictions')
_OPEN = 'this is no answer'
# Of our own tags, and where their results hold the value.
_KINDS = {'choice': 'choices', 'number': 'number', 'row': 'number'}
_quote = json_object.quote_json


def is_task(record: Mapping[str, Any]) -> bool:
  """Whether a record is of an export, and not an answer by itself."""
  return bool(record.keys() & {'annotation_id', 'pools', *_OF_A_TASK})


def read(
    record: Mapping[str, Any], name: str, place: str, pools: str,
    sizes: Mapping[str, int], skip_is_refusal: bool, notes: list[str],
    problems: list[str],
) -> Iterator[answers_lib.Given]:
  """The answers in a task of an export, or in a record of its short forms.

  Args:
    record: the task.
    name: of the file.
    place: in which the record stands, if the task has no number.
    pools: as for `label_studio.task`.
    sizes: by modality, the number of items.
    skip_is_refusal: whether a task that was skipped counts as refused;
      else as not answered. (The short forms do not hold skipped tasks.)
    notes: takes a sentence on what holds no answer, and why.
    problems: takes one on each answer that cannot be read.

  Yields:
    The answers.
  """
  number = record.get('id')
  if number is not None:
    place = f'{name}, task {_number(number)}'
  is_short = 'annotation_id' in record or not record.keys() & {*_OF_A_TASK}
  data = record if is_short else record.get('data')
  foreign = _foreign(data, pools)
  if foreign:
    notes.append(f'{place}: {foreign}.')
    return
  if 'completions' in record and 'annotations' not in record:
    problems.append(
        f'{place}: an export of Label Studio before 1.0, which does not say '
        'who answers: export as JSON from a newer one.')
    return
  if is_short:
    annotations = [record]
    if _missing(record.get('annotation_id')) and _missing(
        record.get('annotator')):
      return  # A task that is not annotated.
  else:
    annotations = _annotations(record, place, notes)
  for position, annotation in enumerate(annotations, 1):
    of = annotation if isinstance(annotation, dict) else {}
    number = of.get('annotation_id', of.get('id', position))
    where = f'{place}, annotation {_number(number)}'
    if not isinstance(annotation, dict):
      notes.append(
          f'{where}: only {_quote(annotation)} stands there, not what was '
          f'answered: export with whole annotations; {_OPEN}.')
      continue
    if annotation.get('was_cancelled') or annotation.get('skipped'):
      if skip_is_refusal:
        yield _given(annotation, where, data, None, answers_lib.SKIPPED, True)
      continue
    wrong: list[str] = []
    given, beside = (
        _results_in_data if is_short else _results)(annotation, wrong)
    answer, reason = _answer(given, wrong)
    if wrong:
      problems += [f'{where}: {what}.' for what in wrong]
      continue
    own = answers_lib.modality_of(data['query'], sizes)
    lacking = [m for m in sizes if own and m != own and m not in answer]
    if lacking and not answer.keys() - (sizes.keys() - {own}):
      notes.append(
          f'{where}: nothing was chosen for {" and ".join(lacking)}'
          + (f' (it has only {", ".join(beside)})' if beside else '')
          + f': {_OPEN}. Choose there, submit, and export again.')
      continue
    yield _given(annotation, where, data, answer, reason, False)


def _foreign(data: Any, pools: str) -> str | None:
  """Why a task is none of ours."""
  if not isinstance(data, dict):
    return ('a task without data, so that it cannot be known of which query it '
            'is: not read. Export tasks with their data')
  if 'query' not in data:
    return ('a task of another project: its data has no \'query\', as those in '
            'tasks.json have: not read')
  if data.get('pools') != pools:
    return ('made for other pools than these (another seed, or other data): '
            'not read')
  return None


def _annotations(record, place, notes) -> Sequence[Any]:
  """A task's annotations; a note on one that only looks answered."""
  found = record.get('annotations')
  if isinstance(found, dict):
    found = [found]
  if isinstance(found, list) and found:
    return found
  if found:
    notes.append(f'{place}: \'annotations\' is {_quote(found)}, no list of '
                 f'annotations; {_OPEN}.')
  elif record.get('drafts'):
    notes.append(f'{place}: only a draft, which was not submitted; {_OPEN}. '
                 'Submit it, and export again.')
  elif record.get('predictions'):
    notes.append(f'{place}: only a prediction, which is no person\'s answer; '
                 f'{_OPEN}.')
  elif 'annotations' not in record:
    notes.append(f'{place}: a task without annotations, as in tasks.json; '
                 f'{_OPEN}. Put exports here.')
  return ()


def _given(annotation, where, data, answer, reason, skipped):
  """An answer, with what is known of who gave it, and when."""
  made = seconds(annotation.get('created_at'))
  changed = seconds(annotation.get('updated_at'))
  number = annotation.get('annotation_id', annotation.get('id'))
  unique = annotation.get('unique_id')
  return answers_lib.Given(
      where, data.get('query'), answer, _who(annotation), reason, skipped,
      None if _missing(number) else _number(number),
      unique if isinstance(unique, str) and unique else None,
      made, made if changed is None else changed)


def _who(annotation) -> Any:
  """Who made it: not who looked through it later (`updated_by`)."""
  given = [annotation[field] for field in (
      'completed_by', 'annotator', 'created_username')
           if not _missing(annotation.get(field))]
  people = [identity.parse(one) for one in given]
  # `created_username` has name, e-mail and number.
  return next((one for one, person in zip(given, people) if person and people[0]
               and set(person.keys) > set(people[0].keys)),
              given[0] if given else None)


def _missing(value: Any) -> bool:
  """Whether there is none; a table has a text for that."""
  return value is None or value != value or (
      isinstance(value, str) and value.strip().lower() in (
          '', 'nan', 'none', 'null'))


def _number(value: Any) -> str:
  """A number as it is written, be it from JSON or from a table."""
  found = _NUMBER.fullmatch(str(value).strip()) if isinstance(
      value, (int, float, str)) and not isinstance(value, bool) else None
  return found[1] if found else _quote(value)


def seconds(value: Any) -> float | None:
  """Seconds since 1970 of a time in a file; None if it is not known."""
  if isinstance(value, (int, float)) and not isinstance(value, bool):
    if not 0 <= value < 1e15:
      return None
    return value / 1000 if value > 1e11 else float(value)  # of milliseconds
  try:
    found = datetime.datetime.fromisoformat(value.strip())
    if found.tzinfo is None:
      found = found.replace(tzinfo=datetime.timezone.utc)
    return found.timestamp()
  except (AttributeError, OverflowError, ValueError):
    return None


def _results(annotation, wrong):
  """What was chosen and typed in, by tag and modality; names of all else."""
  parts = annotation.get('result')
  if isinstance(parts, dict):
    parts = [parts]
  if parts is not None and not isinstance(parts, list):
    wrong.append(f'\'result\' is {_quote(parts)}, no list of results')
    parts = None
  given, beside = {kind: {} for kind in _KINDS}, []
  for part in parts or ():
    if not isinstance(part, dict):
      wrong.append(f'a result is {_quote(part)}, no object')
      continue
    name = part.get('from_name')
    kind, _, other = str(name).partition('_')
    if kind not in _KINDS or not other:
      # A relation has no name; comments and ratings have others.
      beside.append(str(name or part.get('type') or 'one without a name'))
      continue
    found = _inner(part.get('value'), _KINDS[kind])
    into = given[kind]
    if into.setdefault(other, found) != found:
      wrong.append(f'{_quote(name)} is answered twice, by '
                   f'{_quote(into[other])} and {_quote(found)}')
  return given, beside


def _results_in_data(record, wrong):
  """The same of a record of a short form."""
  given = {kind: {} for kind in _KINDS}
  for name, value in record.items():
    kind, _, other = str(name).partition('_')
    if kind not in _KINDS or not other:
      continue
    if isinstance(value, str) and value.strip()[:1] in ('[', '{'):
      try:  # as a cell of a table holds it
        value = json_object.loads(value)
      except ValueError as e:
        wrong.append(f'{name} is {_quote(value)}: bad JSON: {e}')
        continue
    given[kind][other] = _inner(value, _KINDS[kind])
  return given, []


def _inner(value: Any, field: str) -> Any:
  """The one value of a result; None if there is none; several as a list."""
  while True:
    if isinstance(value, dict) and (field in value or not value):
      value = value.get(field)
    elif isinstance(value, list) and len(value) < 2:
      value = value[0] if value else None
    else:
      return None if _missing(value) else value


def _answer(given, wrong):
  """The answer by modality, and the reason where it names none."""
  answer, reason = {}, None
  for other in given['choice'] | given['number'] | given['row']:
    choice, number, row = (
        _whole(given[kind].get(other)) for kind in ('choice', 'number', 'row'))
    if choice is None and number is None and row is None:
      continue
    is_number = isinstance(choice, int)
    if row is not None and (choice in (label_studio.NONE_OF_THESE, None)
                            or is_number and number in (None, choice)):
      # Whether the number is that row's item is known where the items are.
      item = choice if is_number else number
      answer[other] = {'row': row} | ({} if item is None else {'item': item})
    elif choice in (label_studio.NONE_OF_THESE, None):
      answer[other] = number
      if number is None:
        reason = label_studio.NONE_OF_THESE
    elif choice == label_studio.NO_COUNTERPART and number is row is None:
      answer[other], reason = None, label_studio.NO_COUNTERPART
    elif is_number and number in (None, choice):
      answer[other] = choice
    else:
      beside = ''.join(
          f' and the {what} {_quote(typed)}' for what, typed in (
              ('number', number), ('row', row)) if typed is not None)
      wrong.append(f'the choice {_quote(choice)}{beside} for {_quote(other)} '
                   'cannot be taken as one answer')
  return answer, reason


def _whole(value: Any) -> Any:
  """An integer for what stands for one (`'7'`, `7.0`); all else as it is."""
  if isinstance(value, (float, int, str)) and not isinstance(value, bool):
    found = _NUMBER.fullmatch(str(value).strip())
    if found:
      return int(found[1])
  return value
