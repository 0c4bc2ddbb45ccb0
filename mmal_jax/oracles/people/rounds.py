"""Folders of questions, one a round, for people to answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import functools
import json
import os
import pathlib
import shlex
import shutil
from typing import Any, NamedTuple
import uuid

import numpy as np

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import plain_text
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people import label_studio

PAGE = 'page.html'  # of a round whose questions are on a page
LABELING = 'labeling_config.xml'
_DRAFT = '.draft_'  # a round that is being written


class Form(NamedTuple):
  """In which form questions go out.

  Attributes:
    counterparts: of each question and modality, how many likely ones it takes.
    fill: writes the files of a round into an empty folder: `fill(folder, round,
      shown, modality, numbers, counterparts, pools)`, `round` being the folder
      it becomes, and the others as for `write`. `queries.jsonl` is one of them.
  """

  counterparts: int
  fill: Callable[..., None]


def label_studio_form(candidates: int, link: bool) -> Form:
  """Tasks for Label Studio, with their images beside them.

  Args:
    candidates: how many are shown.
    link: as for `display.put`.
  """
  return Form(candidates, functools.partial(_fill, link=link))


def asked(folder: pathlib.Path) -> dict[str, str]:
  """The round's name of every query that was ever written.

  Raises:
    ValueError: if a round is damaged.
  """
  return {query['query']: name for name, query in questions(folder)}


def candidates(
    folder: pathlib.Path
) -> dict[str, dict[str, list[dict[str, Any]]]]:
  """By query and modality, the candidates that were shown, best first.

  Raises:
    ValueError: if a round is damaged.
  """
  return {query['query']: query.get('candidates', {})
          for _, query in questions(folder)}


def questions(
    folder: pathlib.Path
) -> Iterator[tuple[str, dict[str, Any]]]:
  """The records of all rounds' `queries.jsonl`, with the rounds' names.

  Raises:
    ValueError: if a round is damaged.
  """
  for _, path in _numbered(folder):
    problems: list[str] = []
    content = durable.read(path / 'queries.jsonl')
    for place, query in json_lines.read(content, 'queries.jsonl', problems):
      if not isinstance(query.get('query'), str):
        problems.append(f'{place}: no query.')
      elif not _are_candidates(query.get('candidates', {})):
        problems.append(f'{place}: "candidates" must be an object with a list '
                        'of items, each an object with an "item", for each '
                        'modality. Restore the file as it was written.')
      else:
        yield path.name, query
    problems_lib.report(str(path), problems)


def _are_candidates(value: Any) -> bool:
  return isinstance(value, dict) and all(
      isinstance(shown, list) and all(
          isinstance(one, dict) and type(one.get('item')) is int
          for one in shown)
      for shown in value.values())


def write(
    folder: pathlib.Path,
    form: Form,
    shown: Mapping[str, display.Items],
    modality: str,
    numbers: np.ndarray,
    counterparts: Mapping[str, np.ndarray],
    pools: str,
) -> pathlib.Path:
  """Writes the next round; it appears once it is complete.

  Args:
    folder: of all rounds.
    form: of the questions.
    shown: by modality, what is seen of its items.
    modality: of the items to ask about.
    numbers: `[q]` int, of the items.
    counterparts: by other modality, `[q, k]` int item numbers, the likeliest
      first; -1 where there are fewer.
    pools: as for `label_studio.task`.

  Returns:
    Its folder.

  Raises:
    ValueError: if another program writes one at the same time.
  """
  last = max((number for number, _ in _numbered(folder)), default=0)
  path = folder / f'round_{last + 1:03d}'
  for old in folder.glob(f'{_DRAFT}*'):
    # One program at a time asks there: it is of one that died.
    if old.is_dir() and not old.is_symlink():
      shutil.rmtree(old)
  draft = folder / f'{_DRAFT}{uuid.uuid4().hex}'
  os.makedirs(draft)
  try:
    form.fill(draft, path, shown, modality, numbers.tolist(), counterparts,
              pools)
    if path.exists():
      raise ValueError(f'{path} has just appeared: does another program use '
                       f'{str(folder)!r} at the same time?')
    os.rename(draft, path)
  except BaseException:
    shutil.rmtree(draft)
    raise
  return path


def _fill(
    draft, path, shown, modality, numbers, candidates, pools, *, link
) -> None:
  """Writes the files of a round for Label Studio."""
  folder = path.parent
  queries = fill_questions(
      draft, shown, modality, numbers, candidates, link)
  address = label_studio.local_address(f'{folder.name}/{path.name}')
  tasks = [label_studio.task(query, address, pools) for query in queries]
  durable.write(draft / 'tasks.json',
                json.dumps(tasks, ensure_ascii=False, indent=1) + '\n')
  how = _LABEL_STUDIO.format(
      folder=plain_text.for_terminal(str(folder)),
      # To be copied into a shell: exact.
      parent=shlex.quote(str(folder.parent)),
      none_of_these=label_studio.NONE_OF_THESE,
      no_counterpart=label_studio.NO_COUNTERPART)
  durable.write(draft / 'README.txt', readme(
      path, queries[0], {other: len(shown[other]) for other in candidates},
      shown, how))


def fill_questions(
    draft: pathlib.Path, shown: Mapping[str, display.Items], modality: str,
    numbers: Sequence[int], candidates: Mapping[str, np.ndarray], link: bool,
) -> list[dict[str, Any]]:
  """Writes questions, their images, and Label Studio's labeling interface.

  Args:
    draft: an empty folder.
    shown: as for `write`.
    modality: likewise.
    numbers: likewise.
    candidates: as `counterparts` for `write`.
    link: as for `display.put`.

  Returns:
    The records of `queries.jsonl`.
  """
  os.makedirs(draft / 'images')

  def put(of, number):
    query = answers_lib.query_id(of, number)
    return {'item': number, **display.put(
        shown[of], number, query, draft, link)}

  queries = [
      {'query': answers_lib.query_id(modality, number), 'modality': modality,
       **put(modality, number), 'candidates': {
           other: [put(other, n) for n in rows[row].tolist() if n >= 0]
           for other, rows in candidates.items()}}
      for row, number in enumerate(numbers)]
  sizes = {other: len(shown[other]) for other in candidates}
  durable.write(draft / 'queries.jsonl', json_lines.dump(queries))
  durable.write(draft / LABELING, label_studio.config(
      modality, display.are_images(shown[modality]), sizes,
      [other for other in sizes if display.have_rows(shown[other])]))
  return queries


def _numbered(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
  return sorted((int(path.name[6:]), path) for path in folder.glob('round_*')
                if path.name[6:].isdecimal())


def readme(
    path: pathlib.Path, query: Mapping[str, Any], sizes: Mapping[str, int],
    shown: Mapping[str, display.Items], how: str,
    unlisted: str = 'only candidates can be seen',
) -> str:
  """Instructions for the people who answer.

  Args:
    path: of the round.
    query: one of the round.
    sizes: by modality of a counterpart, how many items there are.
    shown: by modality, what is seen of its items.
    how: a section on how questions of this form are answered.
    unlisted: what to do about items that no file lists.
  """
  folder = path.parent
  one = {other: 7 if size > 7 else 0 for other, size in sizes.items()}
  given = {'query': query['query'], 'annotator': 'ann'}
  lines = [
      given | {'answer': next(iter(one.values())) if len(one) == 1 else one},
      given | {'answer': None, 'reason': 'blurred'}]
  confirmed = lines[0] | {'confirmed': True}
  return _README.format(
      modality=query['modality'], others=' and '.join(sizes),
      folder=plain_text.for_terminal(str(folder)), how=how,
      lines=json_lines.dump(lines), confirmed=json_lines.dump([confirmed]),
      items=_items(folder, sizes, shown, unlisted),
      rows=_ROWS if any(display.have_rows(shown[m]) for m in sizes) else '')


def _items(folder, sizes, shown, unlisted) -> str:
  """Where to look for an item that is no candidate."""
  lines = []
  for modality in sizes:
    items = shown[modality]
    found = display.catalogue(
        items[:1] if isinstance(items, (Sequence, np.ndarray))
        else items.select(np.zeros(1, int)))
    if not found:
      lines.append(f'  no file lists the {modality} items: {unlisted}')
      continue
    what = ('the path of its file' if 'file' in found[0] else 'its text')
    if 'row' in found[0]:
      what += ', and "row", its row in the file of features, from 0 on'
    lines.append(f'  {plain_text.for_terminal(str(folder))}/'
                 f'items_{modality}.jsonl\n'
                 f'    of each {modality} its number, "item"; {what}')
  return '\n'.join(lines)


_ROWS = '''\
It is NOT the row of your file: "row 144 of FILE" may well be item 1463. If you
know the row, write it so in place of the number:

  {"row": 144}    or    "row 144"    or, as it is shown,    "row 144 of FILE"

In Label Studio type it into the field for the row.

A number alone always is an item's. One that is no candidate's, but the row of a
candidate, is in doubt (see below); {"item": 144} is not.
'''

_LABEL_STUDIO = '''\
With Label Studio
-----------------
1. Let it serve the images, and start it:

     export LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
     export LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={parent}
     label-studio start

2. Make a project, and paste labeling_config.xml as code of its labeling
   interface. Rounds about the same modality can share a project.
3. In the settings of the project, Cloud Storage, Add Source Storage, Local
   Files, give as absolute local path {folder}
   and save without syncing: it only permits that files there are shown.
4. Import tasks.json.
5. For each task choose a candidate, "{no_counterpart}", or "{none_of_these}":
   then type in the number of the right one if you know it; else the query
   counts as refused. A task that is submitted with nothing chosen, and a draft,
   are no answers.
6. Export as JSON, JSON-MIN, CSV or TSV, and copy the file to the folder of
   answers. Exports of all of a project may stand beside earlier ones.
'''

_README = '''\
What to do
==========
Every query here shows one {modality}. Say which {others} belongs to it. The
candidates are the likeliest under the model, best first; the right one need not
be among them. To look for others:

{items}

An answer is the number of an item: "item" there, and in front of a candidate.
{rows}
Answers go to the folder

  {folder}/answers

in files of any name that end in .jsonl, .json, .csv or .tsv, as many as you
like; other files are not read. All answers are checked before any is used, and
an answer that has been used cannot be changed any more. Copy a file there under
a name that begins with a dot, and rename it when it is complete. Answers that
come after the last round is over are not collected any more.

{how}
By hand
-------
The queries are in queries.jsonl, one a line. Write a file NAME.jsonl with a
line for each answer; "answer" is the number of the counterpart, null for none
or for "I cannot say". Who you are must be said, a reason may be:

{lines}
Or fill a table with the columns query, answer, annotator (and reason,
confirmed, changed), and save it as NAME.csv.

Who is who
----------
An annotator is one person under every name: the number that Label Studio gives
(1), an e-mail, or a name in a file that was written by hand. Letter case,
blanks and quotes do not count. Exports that have number and e-mail (snapshots,
the API) say that both are one person's. Where nothing does, say so in

  {folder}/annotators.jsonl

with a line for each person that has all their names:

{{"names": ["1", "ann@example.org", "Ann"]}}

If each of you runs a Label Studio, all of you may be number 1 there: write the
answers into tables or .jsonl files under your names instead.

If you answer a query twice, the answer that was changed last holds, where the
files have its time ("changed" on a line); and an answer holds against a skipped
task. Else two answers that differ are refused: remove one of them. A line with
"withdrawn": true and "changed" in place of an answer takes back what its
annotator had answered until then.

If an answer is in doubt
------------------------
An answer remains open, too, if it looks like a slip: where another query of the
same modality has the same counterpart, which is not the first candidate here
and which only one person names here; or where a number may be meant as a row.
Change it, or say that it is right: the same answer, with "confirmed", in any
file of answers, under the same name (of Label Studio the number, or e-mail):

{confirmed}
If people disagree
------------------
{folder}/conflicts.jsonl lists queries with answers that differ. Those whose
"state" is "open" stay open: talk about them, and let one of you change the
line, or the annotation, and export again. "perhaps one person" stay open until
annotators.jsonl says who is who, "in doubt" until they are changed or confirmed
as said above. Those whose state is "accepted before" are answered; later
answers of others are not used.
'''
