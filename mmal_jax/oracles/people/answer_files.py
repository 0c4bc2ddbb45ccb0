"""The files into which people put their answers, whatever form they have."""

from collections.abc import Iterator, Mapping
import pathlib
import re
from typing import Any

from mmal_jax.files import downloads
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import label_studio_export
from mmal_jax.oracles.people import naming
from mmal_jax.oracles.people import records as records_lib
from mmal_jax.oracles.people import spelling

_FIELDS = ('query', 'answer', 'annotator', 'reason', 'confirmed', 'changed',
           'withdrawn')
_ARCHIVES = ('.zip', '.gz', '.tgz', '.tar', '.7z', '.rar', '.bz2', '.xz')
_UNFINISHED = ('.tmp', '.part', '.partial', '.crdownload', '.download')
_SHEETS = ('.xlsx', '.xls', '.ods', '.numbers')
_quote = json_object.quote_json


def read(
    folder: pathlib.Path, sizes: Mapping[str, int], pools: str,
    skip_is_refusal: bool, notes: list[str], problems: list[str],
) -> Iterator[answers_lib.Given]:
  """The answers of all files, in the order of their names.

  Args:
    folder: of JSON lines, JSON, and tables: exports of Label Studio, or what
      people wrote down. Names that begin with a dot are passed over without a
      note. Links must not lead out of it. A file has at most
      `records.MOST_BYTES` bytes, and `records.MOST_RECORDS` lines or entries.
    sizes: by modality, the number of items.
    pools: as for `label_studio.task`.
    skip_is_refusal: as for `label_studio_export.read`.
    notes: takes a sentence on what is no answer, or is passed over.
    problems: takes one on what cannot be read.

  Yields:
    The answers, of which nothing is checked.
  """
  home = folder.resolve()
  strays = []
  for file in sorted(folder.iterdir()):
    suffix = file.suffix.lower()
    if file.name.startswith('.'):
      if suffix == '.icloud':  # in place of a file that is not here yet
        notes.append(f'{file.name}: not read: its file is only in iCloud: '
                     'download it.')
      continue
    if file.name.startswith('~') or suffix not in records_lib.SUFFIXES:
      remedy = _remedy(file, suffix)
      if remedy is None:
        strays.append(problems_lib.shortened(file.name))
      else:
        notes.append(f'{file.name}: not read: {remedy}.')
      continue
    try:
      content = durable.read(file, records_lib.MOST_BYTES, home)
    except (OSError, RuntimeError, ValueError) as e:
      problems.append(
          f'{file.name}: cannot be read: {durable.reason(e)}.')
      continue
    elsewhere = (None if not content or content.isspace()
                 else downloads.wrong(file, content))
    if elsewhere is not None:
      problems.append(f'{file.name} {elsewhere}.')
      continue
    for place, record in records_lib.read(
        content, file.name, suffix, notes, problems):
      if label_studio_export.is_task(record):
        yield from label_studio_export.read(
            record, file.name, place, pools, sizes, skip_is_refusal, notes,
            problems)
      elif suffix == '.json' and 'answer' not in record:
        notes.append(f'{place}: neither a task nor an answer: not read.')
      elif not _known_fields(record, place, problems):
        if suffix in records_lib.TABLES:
          break  # All rows have these columns.
      else:
        yield from _by_hand(
            record, place, suffix in records_lib.TABLES, notes, problems)
  if strays:
    more = f' and {len(strays) - 5} more' if len(strays) > 5 else ''
    notes.append(f'not read, being none of {", ".join(records_lib.SUFFIXES)}: '
                 f'{", ".join(strays[:5])}{more}.')


def _remedy(file: pathlib.Path, suffix: str) -> str | None:
  """What to do with a file that may hold answers; None where it cannot."""
  if file.name.startswith('~'):
    return None  # An office program's, while a file is open.
  if file.is_dir():
    return (None if file.name == '__MACOSX' else
            'a folder: put its files into the folder of answers itself')
  if suffix in _ARCHIVES:
    return 'an archive: unpack it, and put the .json or .csv file here'
  if suffix in _SHEETS:
    return 'a spreadsheet: save it as CSV'
  inner = pathlib.PurePath(file.stem).suffix.lower()
  if inner in records_lib.SUFFIXES:
    if suffix == '.txt':
      return f'if it holds answers, rename it to {file.stem}'
    if suffix in _UNFINISHED:
      return f'by its name not complete: rename it to {file.stem} once it is'
  ending = suffix.partition(' ')[0]
  if ending in records_lib.SUFFIXES:  # ".json (copy)"
    return f'if it holds answers, rename it to end in {ending}'
  return None


def _known_fields(record, place, problems) -> bool:
  """Whether a handwritten answer has the right fields."""
  fields = [str(key).strip().lower() for key in record]
  unknown = [key for key in fields if key not in _FIELDS]
  if unknown:
    problems.append(f'{place}: unknown field {_quote(unknown[0])}; known are '
                    f'{", ".join(_FIELDS)}.')
  elif len(set(fields)) < len(fields):
    problems.append(f'{place}: a field appears twice: {_quote(list(record))}.')
  return not unknown and len(set(fields)) == len(fields)


def _by_hand(
    record: dict[str, Any], place: str, table: bool, notes: list[str],
    problems: list[str],
) -> Iterator[answers_lib.Given]:
  """A handwritten answer, of a file of lines or a table."""
  fields = {key.strip().lower(): value for key, value in record.items()}
  if table:
    fields = {key: cell for key, cell in fields.items() if cell.strip()}
  said = {name: _truth(fields.get(name, False), table)
          for name in ('confirmed', 'withdrawn')}
  for name, value in said.items():
    if value is None:
      problems.append(f'{place}: \'{name}\' is {_quote(fields[name])}; true or '
                      'false is needed.')
      return
  if said['withdrawn']:
    if 'answer' in fields or 'changed' not in fields:
      problems.append(f'{place}: a line that is \'withdrawn\' needs '
                      '\'changed\', the time, and no answer.')
      return
  elif table:
    if 'answer' not in fields:
      notes.append(f'{place}: the cell of the answer is empty: this is no '
                   'answer (write null if there is no counterpart).')
      return
  elif 'answer' not in fields:
    problems.append(f'{place}: \'answer\' is missing.')
    return
  answer = fields.get('answer')
  if table and answer is not None:
    try:
      answer = _of_cell(answer)
    except ValueError:
      problems.append(f'{place}: the answer is {_quote(answer)}; the number of '
                      'an item is needed, or null.')
      return
  changed = fields.get('changed')
  if table and changed and re.fullmatch(r'[0-9]+(\.[0-9]+)?', changed.strip()):
    changed = float(changed)
  changed = label_studio_export.seconds(changed)
  if changed is None and 'changed' in fields:
    problems.append(f'{place}: \'changed\' is {_quote(fields["changed"])}; '
                    'seconds since 1970, or a time as 2026-01-31T12:00Z, are '
                    'needed.')
    return
  yield answers_lib.Given(place, fields.get('query'), answer,
                          fields.get('annotator'), fields.get('reason'),
                          changed=changed, **said)


def _truth(value: Any, table: bool) -> bool | None:
  """Whether a field says yes or no; None if it says neither."""
  if table and isinstance(value, str):
    value = {'true': True, 'yes': True, '1': True, 'x': True,
             'false': False, 'no': False, '0': False}.get(
                 spelling.normal(value).lower())
  return value if isinstance(value, bool) else None


def _of_cell(cell: str) -> Any:
  """What a cell of a table stands for: spreadsheets write `7.0`, `'7`, `7,0`.

  Raises:
    ValueError: if it is no JSON then.
  """
  try:
    value = json_object.loads(cell)
  except ValueError:
    if naming.is_name(naming.parse(cell)):
      return cell
    plain = spelling.normal(cell)
    value = json_object.loads('null' if plain.lower() == 'null' else re.sub(
        r'^([0-9]+),0{1,2}$', r'\1', plain))
  return int(value) if isinstance(value, float) and value.is_integer() else (
      value)
