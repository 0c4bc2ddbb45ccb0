"""Folders of questions, one a round, for people to answer."""

from collections.abc import Mapping
import json
import os
import pathlib
import shlex
import shutil
import uuid

import numpy as np

from mmal_jax import durable
from mmal_jax.align.people import answers as answers_lib
from mmal_jax.align.people import label_studio
from mmal_jax.align.people import shown as shown_lib
from mmal_jax.data import json_lines
from mmal_jax.data import problems as problems_lib


def asked(folder: pathlib.Path) -> dict[str, str]:
  """The round's name of every query that was ever written.

  Raises:
    ValueError: if a round is damaged.
  """
  found: dict[str, str] = {}
  for _, path in _numbered(folder):
    problems: list[str] = []
    content = durable.read(path / 'queries.jsonl')
    for place, query in json_lines.read(content, 'queries.jsonl', problems):
      if isinstance(query.get('query'), str):
        found[query['query']] = path.name
      else:
        problems.append(f'{place}: no query.')
    problems_lib.report(str(path), problems)
  return found


def write(
    folder: pathlib.Path,
    shown: Mapping[str, shown_lib.Shown],
    modality: str,
    numbers: np.ndarray,
    candidates: Mapping[str, np.ndarray],
    pools: str,
    link: bool,
) -> pathlib.Path:
  """Writes the next round; it appears once it is complete.

  Args:
    folder: of all rounds.
    shown: by modality, what is seen of its items.
    modality: of the items to ask about.
    numbers: `[q]` int, of the items.
    candidates: by other modality, `[q, k]` int item numbers, best first; -1
      where there are fewer.
    pools: as for `label_studio.task`.
    link: as for `shown.put`.

  Returns:
    Its folder.

  Raises:
    ValueError: if another program writes one at the same time.
  """
  last = max((number for number, _ in _numbered(folder)), default=0)
  path = folder / f'round_{last + 1:03d}'
  draft = folder / f'.draft_{uuid.uuid4().hex}'
  os.makedirs(draft / 'images')
  try:
    _fill(draft, folder, path.name, shown, modality, numbers.tolist(),
          candidates, pools, link)
    if path.exists():
      raise ValueError(f'{path} has just appeared: does another program use '
                       f'{str(folder)!r} at the same time?')
    os.rename(draft, path)
  except BaseException:
    shutil.rmtree(draft)
    raise
  return path


def _fill(
    draft, folder, name, shown, modality, numbers, candidates, pools, link
) -> None:
  """Writes the files of a round."""
  def put(of, number):
    query = answers_lib.query_id(of, number)
    return {'item': number, **shown_lib.put(
        shown[of], number, query, draft, link)}

  queries = [
      {'query': answers_lib.query_id(modality, number), 'modality': modality,
       **put(modality, number), 'candidates': {
           other: [put(other, n) for n in rows[row].tolist() if n >= 0]
           for other, rows in candidates.items()}}
      for row, number in enumerate(numbers)]
  tasks = [label_studio.task(query, f'{folder.name}/{name}', pools)
           for query in queries]
  sizes = {other: len(shown[other]) for other in candidates}
  durable.write(draft / 'queries.jsonl', json_lines.dump(queries))
  durable.write(draft / 'tasks.json',
                json.dumps(tasks, ensure_ascii=False, indent=1) + '\n')
  durable.write(draft / 'labeling_config.xml', label_studio.config(
      modality, shown_lib.are_images(shown[modality]), sizes))
  durable.write(draft / 'README.txt', _readme(folder, queries[0], sizes))


def _numbered(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
  return sorted((int(path.name[6:]), path) for path in folder.glob('round_*')
                if path.name[6:].isdecimal())


def _readme(folder, query, sizes) -> str:
  one = {other: 7 if size > 7 else 0 for other, size in sizes.items()}
  given = {'query': query['query'], 'annotator': 'ann'}
  lines = [
      given | {'answer': next(iter(one.values())) if len(one) == 1 else one},
      given | {'answer': None, 'reason': 'blurred'}]
  return _README.format(
      modality=query['modality'], others=' and '.join(sizes), folder=folder,
      parent=shlex.quote(str(folder.parent)), lines=json_lines.dump(lines),
      none_of_these=label_studio.NONE_OF_THESE,
      no_counterpart=label_studio.NO_COUNTERPART)


_README = '''\
What to do
==========
Every query here shows one {modality}. Say which {others} belongs to it. The
candidates are the likeliest by the model's lights, best first; the right one
need not be among them. All texts and image files by number are listed in

  {folder}/items_*.jsonl

Answers go to the folder

  {folder}/answers

in files of any name, as many as you like. All answers are checked before any is
used, and an answer that has been used cannot be changed any more. Copy a file
there under a name that begins with a dot, and rename it when it is complete.
Answers that come after the last round is over are not collected any more.

By hand
-------
The queries are in queries.jsonl, one a line. Write a file NAME.jsonl with a
line for each answer; "answer" is the number of the counterpart, null for none
or for "I cannot say". Who you are must be said, a reason may be:

{lines}
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
   counts as refused.
6. Export as JSON or JSON-MIN, and copy the file, NAME.json, to the folder of
   answers. Exports of all of a project may stand beside earlier ones as long as
   nobody has changed an annotation in between.

If people disagree
------------------
{folder}/conflicts.jsonl lists the queries that stay open because of it. Talk
about them, and let one of you change the line, or the annotation; its export
then takes the place of the earlier ones, which would contradict it.
'''
