"""Rounds of questions to a Label Studio, and answers from there.

The folder of questions remains what a run goes by. A round is written there
before it is sent, and what comes is put into its folder of answers, as an
export would be. Each task says of which folder it is, and which query: what is
on the server already is found by that, and is never sent twice, whenever the
run was killed.
"""

from collections.abc import Iterable, Mapping, Sequence
import json
import pathlib
from typing import Any
import uuid
from xml.etree import ElementTree

from absl import logging

from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.oracles.people import inbox
from mmal_jax.oracles.people import label_studio
from mmal_jax.oracles.people import ledger as ledger_lib
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people import status as status_lib
from mmal_jax.oracles.people.studio import client as client_lib
from mmal_jax.oracles.people.studio import images

RECORD = 'label_studio.json'
_LONGEST_TITLE = 50  # that Label Studio takes
_TASKS = 50  # that are sent, or listed, at a time
_KEY = 'asked_by'  # in a task's data
_ABOUT_FILES = ('Images that the questions of other projects show: these need '
                'it, though it has no tasks.')
# What is kept of a task and of an annotation.
_OF_ANNOTATION = ('id', 'completed_by', 'result', 'was_cancelled',
                  'created_at', 'updated_at', 'unique_id', 'lead_time')


class Exchange:
  """A folder of questions and its projects on a Label Studio, one a modality.

  Attributes:
    where: people answer, in words.
  """

  def __init__(
      self, folder: pathlib.Path, client: client_lib.Client, title: str,
      people: int = 1,
  ):
    """Asks the server nothing yet.

    Args:
      folder: of all rounds.
      client: of the server.
      title: of the projects, before the modality.
      people: who are to answer each question.
    """
    self._folder, self._client = folder, client
    self._title, self._people = title, people
    self._sent: set[str] = set()
    self.where = ('the project(s) '
                  f'{plain_text.for_terminal(title.strip())!r} of Label Studio '
                  f'at {client.url}')

  def check(self, modalities: Iterable[str]) -> None:
    """Sees whether the server answers, and takes the token.

    Args:
      modalities: of the questions.

    Raises:
      OSError: if it does not answer for minutes.
      ValueError: if it refuses the token, or could not have such projects.
    """
    for modality in modalities:
      name = self._name(modality)
      if not self._title.strip() or not name.isprintable() or (
          len(name) > _LONGEST_TITLE):
        raise ValueError(
            f'project={json_object.quote(self._title)} would be called '
            f'{json_object.quote(name)}: Label Studio takes titles of at most '
            f'{_LONGEST_TITLE} letters, in one line.')
    self._client.tried(
        lambda: self._client.call('GET', 'current-user/whoami'))

  def send(self) -> None:
    """Sends what has not been sent, but for what is answered.

    Raises:
      OSError: if the server does not answer for minutes.
      ValueError: if it refuses something, or does not serve the images.
    """
    open_ = [(name, query) for name, query in rounds.questions(self._folder)
             if query['query'] not in self._sent]
    if not open_:
      return
    sizes, pools = inbox.pools_of(self._folder)
    entries = ledger_lib.read(
        self._folder / status_lib.LEDGER, sizes, pools)
    by: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, query in open_:
      if query['query'] not in entries:
        by.setdefault(query['modality'], []).append((name, query))
    for modality, queries in by.items():
      self._send(modality, queries, pools)
    self._sent.update(query['query'] for _, query in open_)

  def fetch(self) -> None:
    """Puts what is answered into the folder of answers.

    Answers to queries that are settled are left out: whatever becomes of them
    on the server, what was accepted stays.

    Raises:
      OSError: if the server does not answer for minutes.
      ValueError: if it refuses something.
    """
    asked = rounds.asked(self._folder)
    if not asked:
      return
    sizes, pools = inbox.pools_of(self._folder)
    entries = ledger_lib.read(
        self._folder / status_lib.LEDGER, sizes, pools)
    # Where all is settled, the project may be gone by now.
    for modality in dict.fromkeys(
        query.rpartition('-')[0] for query in asked if query not in entries):
      number = self._client.tried(
          lambda m=modality: self._known(self._name(m)))
      if number is None:
        continue
      tasks = self._client.tried(lambda n=number: self._tasks(n))
      people = self._client.tried(self._users) if any(
          task.get('annotations') for task in tasks) else {}
      answered = [_kept(task, people) for task in tasks
                  if task['data'].get('query') not in entries
                  and (task.get('annotations') or task.get('drafts'))]
      self._keep(modality, answered)

  def _send(self, modality, queries, pools) -> None:
    """Sends queries of one modality, of which some may be there."""
    folder, client = self._folder, self._client
    interface = durable.read(
        folder / queries[-1][0] / rounds.LABELING).decode()
    number = client.tried(
        lambda: self._project(self._name(modality), interface))
    there = self._once(number)
    missing = [(name, query) for name, query in queries
               if query['query'] not in there]
    if not missing:
      return
    files = [folder / name / file
             for name, query in missing for file in _files(query)]
    found = images.addresses(
        client, client.tried(self._project_of_files), files) if files else {}
    key = self._record()['key']
    tasks = []
    for name, query in missing:
      task = label_studio.task(
          query, lambda file, name=name: found[folder / name / file], pools)
      task['data'] |= {_KEY: key, 'round': name}
      tasks.append(task)
    for first in range(0, len(tasks), _TASKS):
      self._import(number, tasks[first:first + _TASKS])
    self._once(number)
    logging.warning(
        '%d question(s) are asked at %s/projects/%d', len(tasks), client.url,
        number)

  def _import(self, number, tasks) -> None:
    """Sends tasks that are not there yet."""
    def send():
      there = {task['data'].get('query') for task in self._tasks(number)}
      missing = [task for task in tasks if task['data']['query'] not in there]
      if missing:
        self._client.call('POST', f'projects/{number}/import', missing)

    self._client.tried(send)

  def _once(self, number) -> set[str]:
    """The queries whose tasks are there, each once.

    A request that was given up may still have been carried out, beside the one
    that took its place. Of tasks that are there twice all but one go that
    nobody has touched.
    """
    by: dict[str, list[Mapping[str, Any]]] = {}
    for task in self._client.tried(lambda: self._tasks(number)):
      by.setdefault(task['data'].get('query'), []).append(task)
    for tasks in by.values():
      tasks.sort(key=lambda task: (not _is_touched(task), task['id']))
      for task in tasks[1:]:
        if not _is_touched(task):
          self._client.tried(lambda n=task['id']: self._remove(n))
    return set(by)

  def _remove(self, task: int) -> None:
    try:
      self._client.call('DELETE', f'tasks/{task}/')
    except client_lib.Refused as e:
      if e.status != 404:  # It is gone.
        raise

  def _tasks(self, number) -> list[dict[str, Any]]:
    """All tasks of this folder in a project, with their annotations."""
    key = self._record()['key']
    query = {'filters': {'conjunction': 'and', 'items': [{
        'filter': f'filter:tasks:data.{_KEY}', 'operator': 'equal',
        'type': 'String', 'value': key}]}, 'ordering': ['tasks:id']}
    found, page = {}, 1
    while True:
      answer = self._client.call(
          'GET', 'tasks', project=number, page=page, page_size=_TASKS,
          fields='all', resolve_uri='false', query=json.dumps(query))
      some = client_lib.listed(answer, 'tasks')
      # By number: a task that is made meanwhile moves others along.
      found |= {task['id']: task for task in some
                if task.get('data', {}).get(_KEY) == key}
      total = answer.get('total') if isinstance(answer, dict) else None
      if not some or not isinstance(total, int) or page * _TASKS >= total:
        return list(found.values())
      page += 1

  def _users(self) -> dict[int, dict[str, Any]]:
    """By their numbers, who may have answered."""
    try:
      users = client_lib.listed(self._client.call('GET', 'users/'), 'users')
    except client_lib.Refused as e:
      if e.status in (403, 404):  # Not for everyone to see: numbers remain.
        return {}
      raise
    return {user.get('id'): {'id': user.get('id'), 'email': user.get('email')}
            for user in users}

  def _project_of_files(self) -> int:
    """The number of the project that images are uploaded to.

    Label Studio takes files only for projects whose tasks hold nothing else.
    """
    return self._project(f'{self._title.strip()}: files', None)

  def _project(self, name: str, interface: str | None) -> int:
    """The number of a project, which is found or made. May be repeated.

    Args:
      name: its title.
      interface: that it has to have; None: any.
    """
    number = self._known(name)
    if number is None:
      found = [one for one in self._projects(name) if one.get('title') == name]
      if len(found) > 1:
        raise ValueError(
            f'{self._client.url} has {len(found)} projects with the title '
            f'{name!r}, of the numbers {[one["id"] for one in found]}: give '
            'others another title.')
      made = found[0] if found else self._client.call(
          'POST', 'projects/', {'title': name} | (
              {'description': _ABOUT_FILES} if interface is None else {
                  'label_config': interface,
                  'maximum_annotations': self._people}))
      number = made['id']
    else:
      made = self._client.call('GET', f'projects/{number}/')
    lacking = _parts(interface) - _parts(made.get('label_config'))
    if lacking:
      raise ValueError(
          f'the project {name!r} (number {number}) of {self._client.url} has '
          'another labeling interface than these questions need, without '
          f'{", ".join(sorted(part[1] for part in lacking))}: is it of another '
          'run? Choose another title by oracle.project, or put the interface '
          f'of {rounds.LABELING} back.')
    record = self._record()
    record['projects'][name] = {'url': self._client.url, 'id': number}
    self._write(record)
    return number

  def _projects(self, name) -> list[Mapping[str, Any]]:
    """Projects with a title like this."""
    found, page = [], 1
    while True:
      answer = self._client.call(
          'GET', 'projects/', title=name, page=page, page_size=_TASKS)
      found += client_lib.listed(answer, 'results')
      if not isinstance(answer, dict) or not answer.get('next'):
        return found
      page += 1

  def _known(self, name: str) -> int | None:
    """The number of a project that was used before, if it is of this server."""
    of = self._record()['projects'].get(name)
    if of is None or of['url'] != self._client.url:
      return None
    try:
      self._client.call('GET', f'projects/{of["id"]}/')
    except client_lib.Refused as e:
      if e.status != 404:
        raise
      raise ValueError(
          f'the project {name!r} (number {of["id"]}), which questions were '
          f'sent to, is gone from {self._client.url}, or may not be seen '
          'with this token. Bring it back; or remove '
          f'{self._folder / RECORD}, and all open questions go out anew.'
      ) from e
    return of['id']

  def _name(self, modality: str) -> str:
    return f'{self._title.strip()} ({modality})'

  def _record(self) -> dict[str, Any]:
    """What tells this folder's tasks from others, and its projects.

    Raises:
      ValueError: if it is damaged.
    """
    path = self._folder / RECORD
    try:
      record = json_object.parse(durable.read(path), path)
    except FileNotFoundError:
      record = {'key': uuid.uuid4().hex, 'projects': {}}
      # Before anything is sent under it.
      self._write(record)
    projects = record.get('projects')
    if not isinstance(record.get('key'), str) or not isinstance(
        projects, dict) or not all(
            isinstance(one, dict) and isinstance(one.get('url'), str)
            and type(one.get('id')) is int for one in projects.values()):
      raise ValueError(f'{path} is damaged: restore it. Without it, the '
                       'questions on the server are not known again.')
    return record

  def _write(self, record) -> None:
    durable.write(self._folder / RECORD, json.dumps(record, indent=1) + '\n')

  def _keep(self, modality: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    file = self._folder / status_lib.ANSWERS / f'label_studio_{modality}.json'
    content = (json.dumps(tasks, indent=1) + '\n').encode()
    if tasks or file.exists():
      durable.write(file, content)


def _files(query: Mapping[str, Any]) -> list[str]:
  """The image files of a query."""
  return [one['file'] for one in (
      query, *(one for some in query['candidates'].values() for one in some))
          if 'file' in one]


def _is_touched(task: Mapping[str, Any]) -> bool:
  """Whether there is an answer to it, or the beginning of one."""
  return bool(task.get('annotations') or task.get('drafts')
              or task.get('draft_exists') or task.get('total_annotations')
              or task.get('cancelled_annotations'))


def _kept(
    task: Mapping[str, Any], people: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
  """A task as an export has it, with number and e-mail of who answered."""
  def annotation(one):
    if not isinstance(one, dict):
      return one
    kept = {field: one[field] for field in _OF_ANNOTATION if field in one}
    who = kept.get('completed_by')
    if isinstance(who, int) and who in people:
      kept['completed_by'] = people[who]
    return kept

  return {
      'id': task['id'],
      'data': {field: task['data'].get(field) for field in ('query', 'pools')},
      'annotations': [annotation(one) for one in task.get('annotations') or ()],
      'drafts': bool(task.get('drafts'))}


def _parts(interface: str | None) -> set[tuple[str, ...]]:
  """The tags of a labeling interface that answers come from."""
  try:
    root = ElementTree.fromstring(interface or '<View/>')
  except ElementTree.ParseError:
    return set()
  return {(tag.tag, tag.get('name'), tag.get('toName') or '',
           tag.get('value') or '', tag.get('max') or '')
          for tag in root.iter() if tag.get('name')}
