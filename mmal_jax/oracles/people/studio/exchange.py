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

from absl import logging

from mmal_jax.files import durable
from mmal_jax.files import plain_text
from mmal_jax.oracles.people import inbox
from mmal_jax.oracles.people import label_studio
from mmal_jax.oracles.people import ledger as ledger_lib
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people import status as status_lib
from mmal_jax.oracles.people.studio import client as client_lib
from mmal_jax.oracles.people.studio import images
from mmal_jax.oracles.people.studio import projects as projects_lib

_TASKS = 50  # that are sent at a time
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
    self._projects = projects_lib.Projects(folder, client, title, people)
    self._sent: set[str] = set()
    self.where = ('the project(s) '
                  f'{plain_text.for_terminal(title.strip())!r} of Label Studio '
                  f'at {client.url}')

  def check(self, modalities: Iterable[str]) -> None:
    """Sees whether the server answers, and takes the token.

    Not where all that was asked is settled: what is left of such a run may not
    need the server any more.

    Args:
      modalities: of the questions.

    Raises:
      OSError: if it does not answer for minutes.
      ValueError: if it refuses the token, or could not have such projects.
    """
    for modality in modalities:
      self._projects.check_name(modality)
    asked = rounds.asked(self._folder)
    if asked and asked.keys() <= self._settled().keys():
      return
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
    _, pools = inbox.pools_of(self._folder)
    entries = self._settled()
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
    on the server, what was accepted stays. Questions that were sent, and are
    not there any more, are sent again.

    Raises:
      OSError: if the server does not answer for minutes.
      ValueError: if it refuses something.
    """
    asked = rounds.asked(self._folder)
    if not asked:
      return
    entries = self._settled()
    # Where all is settled, the project may be gone by now.
    by: dict[str, dict[str, str]] = {}
    for query, name in asked.items():
      if query not in entries:
        by.setdefault(query.rpartition('-')[0], {})[query] = name
    gone: set[str] = set()
    for modality, open_ in by.items():
      number = self._client.tried(lambda m=modality: self._projects.known(m))
      if number is None:
        continue
      # Mostly the last round's: others need not be listed again and again.
      name, *more = set(open_.values())
      name = None if more else name
      tasks = self._client.tried(lambda n=number, name=name: self._tasks(
          n, name))
      tasks = [task for task in tasks if task['data'].get('query') in open_]
      gone |= (open_.keys() & self._sent) - {
          task['data']['query'] for task in tasks}
      answered = [task for task in tasks
                  if task.get('annotations') or task.get('drafts')]
      people = self._client.tried(self._users) if any(
          task.get('annotations') for task in answered) else {}
      self._keep(modality, [_kept(task, people) for task in answered])
    if gone:
      self._sent -= gone
      logging.warning(
          '%d question(s) are not in %s any more, and go out again: %s',
          len(gone), self.where, ', '.join(sorted(gone)[:5]))
      self.send()

  def _settled(self) -> Mapping[str, ledger_lib.Entry]:
    """What was accepted, by query."""
    return ledger_lib.read(self._folder / status_lib.LEDGER,
                           *inbox.pools_of(self._folder))

  def _send(self, modality, queries, pools) -> None:
    """Sends queries of one modality, of which some may be there."""
    folder, client = self._folder, self._client
    interface = durable.read(
        folder / queries[-1][0] / rounds.LABELING).decode()
    number = client.tried(
        lambda: self._projects.questions(modality, interface))
    there = self._once(number)
    missing = [(name, query) for name, query in queries
               if query['query'] not in there]
    if not missing:
      return
    files = [folder / name / file
             for name, query in missing for file in _files(query)]
    found = images.addresses(
        client, client.tried(self._projects.images), files) if files else {}
    key = self._projects.key()
    tasks = []
    for name, query in missing:
      task = label_studio.task(
          query, lambda file, name=name: found[folder / name / file], pools)
      task['data'] |= {projects_lib.KEY: key, 'round': name}
      tasks.append(task)
    for first in range(0, len(tasks), _TASKS):
      self._import(number, tasks[first:first + _TASKS])
    client.tried(lambda: self._all_there(number, tasks))
    self._once(number)
    logging.warning(
        '%d question(s) are asked at %s/projects/%d', len(tasks), client.url,
        number)

  def _import(self, number, tasks) -> None:
    """Sends tasks that are not there yet."""
    def send(some):
      if some:
        self._client.call('POST', f'projects/{number}/import', some)

    # What was sent without an answer may be there.
    self._client.tried(lambda: send(tasks), lambda: send(
        self._missing(number, tasks)))

  def _all_there(self, number, tasks) -> None:
    """Sees that tasks are there, which may take a server some time.

    Raises:
      client.Unanswered: if they are not.
    """
    missing = len(self._missing(number, tasks))
    if missing:
      raise client_lib.Unanswered(
          f'Label Studio at {self._client.url} took {len(tasks)} question(s), '
          f'but does not list {missing} of them in project {number}.')

  def _missing(self, number, tasks) -> list[Mapping[str, Any]]:
    """Those of some tasks that are not there."""
    there = {task['data'].get('query') for task in self._tasks(number)}
    return [task for task in tasks if task['data']['query'] not in there]

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

  def _tasks(self, number, name=None) -> list[dict[str, Any]]:
    """All tasks of this folder in a project, with their annotations.

    Args:
      number: of the project.
      name: of the only round whose tasks are meant; None: all.
    """
    key, size = self._projects.key(), projects_lib.PAGE
    found, page = {}, 1
    while True:
      answer = self._client.call(
          'GET', 'tasks', project=number, page=page, page_size=size,
          fields='all', resolve_uri='false',
          query=projects_lib.filtered(key, name))
      some = client_lib.listed(answer, 'tasks')
      # By number: a task that is made meanwhile moves others along.
      found |= {task['id']: task for task in some
                if task.get('data', {}).get(projects_lib.KEY) == key}
      total = answer.get('total') if isinstance(answer, dict) else None
      if not some or not isinstance(total, int) or page * size >= total:
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

  def _keep(self, modality: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    file = self._folder / status_lib.ANSWERS / f'label_studio_{modality}.json'
    if tasks:
      durable.write(file, (json.dumps(tasks, indent=1) + '\n').encode())
    else:
      file.unlink(missing_ok=True)


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
