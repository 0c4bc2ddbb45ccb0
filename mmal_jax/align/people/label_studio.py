"""The formats of Label Studio: tasks and their interface out, exports in.

Images are named by `/data/local-files/?d=PATH`, PATH relative to Label Studio's
document root, from which it serves the files themselves: tasks with images as
base64 would be slow to load, and Label Studio advises against them.
"""

from collections.abc import Iterator, Mapping
import html
import re
from typing import Any
import urllib.parse
from xml.sax import saxutils

from mmal_jax.data import json_object

NONE_OF_THESE = 'none of these'
NO_COUNTERPART = 'no counterpart'
_NUMBER = re.compile('[0-9]{1,10}')  # of an item, as `task` writes it


def config(modality: str, image: bool, others: Mapping[str, int]) -> str:
  """The labeling interface for queries of one modality.

  Args:
    modality: of the items that are asked about.
    image: whether they are images.
    others: by modality of a counterpart, how many items there are.

  Returns:
    XML.
  """
  tag = ('<Image name="item" value="$item" zoom="true"/>' if image else
         '<Text name="item" value="$item"/>')
  lines = [f'  <Header value="This {modality}:"/>', f'  {tag}']
  for other, size in others.items():
    lines += [
        f'  <Header value="Which {other} belongs to it?"/>',
        f'  <Choices name="choice_{other}" toName="item" '
        f'value="$candidates_{other}" choice="single-radio" '
        'layout="vertical" required="true"/>',
        f'  <Header value="{saxutils.escape(NONE_OF_THESE)}, but you know the '
        f'number of the right {other}:" size="5"/>',
        f'  <Number name="number_{other}" toName="item" min="0" '
        f'max="{size - 1}" step="1"/>']
  return '\n'.join(['<View>', *lines, '</View>', ''])


def task(
    query: dict[str, Any], round_path: str, pools: str
) -> dict[str, dict[str, Any]]:
  """One task of the import format.

  Args:
    query: as in `queries.jsonl`.
    round_path: of the round's folder, relative to Label Studio's document root.
    pools: marks the pools whose item numbers these are.
  """
  def url(file):
    path = urllib.parse.quote(f'{round_path}/{file}')
    return f'/data/local-files/?d={path}'

  def option(candidate):
    number = str(candidate['item'])
    if 'file' in candidate:
      body = (f'<img src="{html.escape(url(candidate["file"]))}" '
              'style="max-height: 200px; max-width: 100%">')
    else:
      body = html.escape(candidate['text']).replace('\n', '<br>')
    # The value comes back in the export; in a text there, Label Studio would
    # put task data in the place of words that begin with a dollar sign.
    return {'value': number, 'html': f'<b>{number}</b> {body}'}

  data = {
      'query': query['query'], 'pools': pools,
      'item': url(query['file']) if 'file' in query else query['text']}
  for other, candidates in query['candidates'].items():
    data[f'candidates_{other}'] = [
        *map(option, candidates),
        {'value': NONE_OF_THESE}, {'value': NO_COUNTERPART}]
  return {'data': data}


def read(
    content: bytes, name: str, pools: str, skip_is_refusal: bool,
    problems: list[str],
) -> Iterator[tuple[str, dict[str, Any]]]:
  """The answers in an export of the form JSON or JSON-MIN.

  Args:
    content: of the file.
    name: of the file.
    pools: as for `task`.
    skip_is_refusal: whether a task that somebody skipped counts as refused;
      else as not answered. (JSON-MIN does not hold skipped tasks.)
    problems: is told what cannot be read.

  Yields:
    `(place, fields)`, fields as in a line of an answers' `.jsonl`.
  """
  try:
    tasks = json_object.loads(content)
  except ValueError as e:
    problems.append(f'{name}: bad JSON: {e}.')
    return
  if not isinstance(tasks, list) or not all(isinstance(t, dict) for t in tasks):
    problems.append(f'{name}: no list of tasks.')
    return
  for position, one in enumerate(tasks):
    place = f'{name}, task {json_object.told(one.get("id", position))}'
    data, annotations = one, [one]
    if 'annotations' in one:
      data, annotations = one.get('data'), one['annotations']
    elif 'annotator' not in one:
      problems.append(f'{place}: neither JSON nor JSON-MIN: it has no '
                      'annotations and no annotator.')
      continue
    elif one['annotator'] is None and one.get('annotation_id') is None:
      continue  # JSON-MIN's form of a task without annotations.
    try:
      if data['pools'] != pools:
        problems.append(f'{place}: made for other pools than these.')
        continue
      for annotation in annotations:
        number = annotation.get('annotation_id', annotation.get('id'))
        at = f'{place}, annotation {json_object.told(number)}'
        if not annotation.get('was_cancelled'):
          given = _results(annotation)
          answer, reason = _answer(*given, at, problems)
        elif skip_is_refusal:
          answer, reason = None, 'skipped'
        else:
          continue
        fields = {'query': data['query'], 'annotator': _who(annotation),
                  'answer': answer}
        yield at, fields | ({} if reason is None else {'reason': reason})
    except (AttributeError, IndexError, KeyError, TypeError) as e:
      problems.append(f'{place}: not as Label Studio exports it: '
                      f'{type(e).__name__} {json_object.told(str(e))}.')


def _who(annotation) -> Any:
  """Who it is, by name or number; anything else is refused as it is."""
  who = annotation.get('completed_by', annotation.get('annotator'))
  if isinstance(who, dict):
    who = who.get('email') or who.get('id')
  return str(who) if type(who) is int else who


def _results(annotation) -> tuple[dict[str, Any], dict[str, Any]]:
  """What was chosen and what was typed in, by modality of the counterpart."""
  if 'result' in annotation:
    named = {}
    for part in annotation['result']:
      if part['from_name'] in named:
        raise KeyError(f'{part["from_name"]} stands twice')
      named[part['from_name']] = part['value']
  else:  # JSON-MIN has the results among the data.
    named = {k: v if k.startswith('choice_') else v[0]
             for k, v in annotation.items()
             if k.startswith(('choice_', 'number_'))}
  chosen, typed = {}, {}
  for name, value in named.items():
    kind, _, other = name.partition('_')
    if kind == 'choice':
      choices = value['choices'] if isinstance(value, dict) else [value]
      # Two are none that is known, and refused as such.
      chosen[other] = choices[0] if len(choices) == 1 else choices
    elif kind == 'number':
      typed[other] = value['number']
  return chosen, typed


def _answer(chosen, typed, place, problems):
  """The answer by modality, and the reason for one that is nothing."""
  answer, reason = {}, None
  for other in chosen | typed:
    choice, number = chosen.get(other), typed.get(other)
    if isinstance(number, float) and number.is_integer():
      number = int(number)
    if choice == NONE_OF_THESE or choice is None:
      answer[other] = number
      if number is None:
        reason = NONE_OF_THESE
    elif choice == NO_COUNTERPART and number is None:
      answer[other], reason = None, NO_COUNTERPART
    elif isinstance(choice, str) and _NUMBER.fullmatch(choice) and (
        number in (None, int(choice))):
      answer[other] = int(choice)
    else:
      told = json_object.told
      typed_too = '' if number is None else f' and the number {told(number)}'
      problems.append(f'{place}: the choice {told(choice)}{typed_too} for '
                      f'{told(other)} cannot be taken as one answer.')
      answer[other] = None
  return answer, reason
