"""The projects of a folder on a Label Studio: found again, found, or made."""

from collections.abc import Mapping
import json
import pathlib
from typing import Any
import uuid
from xml.etree import ElementTree

from absl import logging

from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people.studio import client as client_lib

RECORD = 'label_studio.json'
KEY = 'asked_by'  # in a task's data
_LONGEST_TITLE = 50  # that Label Studio takes
PAGE = 50  # tasks, or projects, that are listed at a time
_ABOUT_FILES = ('Images that the questions of other projects show: these need '
                'it, though it has no tasks.')


class Projects:
  """One project a modality, and one for images."""

  def __init__(
      self, folder: pathlib.Path, client: client_lib.Client, title: str,
      people: int,
  ):
    """Asks the server nothing yet.

    Args:
      folder: of all rounds.
      client: of the server.
      title: of the projects, before the modality.
      people: who are to answer each question.
    """
    self._folder, self._client = folder, client
    self._title, self._people = title.strip(), people

  def check_name(self, modality: str) -> None:
    """Refuses a title that Label Studio would not take.

    Raises:
      ValueError: if it is too long, empty, or not of one line.
    """
    name = self._name(modality)
    if not self._title or not name.isprintable() or (
        len(name) > _LONGEST_TITLE):
      raise ValueError(
          f'project={json_object.quote(self._title)} would be called '
          f'{json_object.quote(name)}: Label Studio takes titles of at most '
          f'{_LONGEST_TITLE} letters, in one line.')

  def key(self) -> str | None:
    """What tells this folder's tasks from others; None if none were sent."""
    record = self._record()
    return record and record['key']

  def known(self, modality: str) -> int | None:
    """The number of a modality's project that was used before.

    Returns:
      None if there is none on this server.

    Raises:
      client.Unanswered: if there is no answer.
      ValueError: if it is gone.
    """
    return self._known(self._name(modality))

  def questions(self, modality: str, interface: str) -> int:
    """The number of a modality's project, which is found or made.

    May be repeated.

    Args:
      modality: of the questions.
      interface: labeling interface that the project has to have.

    Raises:
      client.Unanswered: if there is no answer.
      ValueError: if there are several of its title, or it is of others.
    """
    name = self._name(modality)
    made = self._found_or_made(name, {
        'label_config': interface, 'maximum_annotations': self._people})
    number = made['id']
    lacking = _parts(interface) - _parts(made.get('label_config'))
    if lacking:
      raise ValueError(
          f'the project {name!r} (number {number}) of {self._client.url} has '
          'another labeling interface than these questions need, without '
          f'{", ".join(sorted(part[1] for part in lacking))}: is it of another '
          'run? Choose another title by oracle.project, or put the interface '
          f'of {rounds.LABELING} back.')
    if made.get('maximum_annotations', self._people) < self._people:
      # Else nobody but the first would ever get a task.
      self._client.call('PATCH', f'projects/{number}/', {
          'maximum_annotations': self._people})
      logging.warning(
          'The project %r gives each of its tasks to %d people now, not to %d.',
          name, self._people, made['maximum_annotations'])
    self._remember(name, number)
    return number

  def images(self) -> int:
    """The number of the project that images are uploaded to.

    Label Studio takes files only for projects whose tasks hold nothing else.
    Raises as `questions`.
    """
    name = f'{self._title}: files'
    number = self._found_or_made(name, {'description': _ABOUT_FILES})['id']
    self._remember(name, number)
    return number

  def _name(self, modality: str) -> str:
    return f'{self._title} ({modality})'

  def _found_or_made(self, name, values) -> Mapping[str, Any]:
    number = self._known(name)
    if number is not None:
      return self._client.call('GET', f'projects/{number}/')
    found = [one for one in self._listed(name) if one.get('title') == name]
    if len(found) > 1:
      raise ValueError(
          f'{self._client.url} has {len(found)} projects with the title '
          f'{name!r}, of the numbers {[one["id"] for one in found]}: give '
          'others another title.')
    before = (self._record() or {'projects': {}})['projects'].get(name)
    if before and 'label_config' in values:
      logging.warning(
          'At %s the questions that went to %s are not found: all that are open'
          ' go out there, too.', self._client.url, before['url'])
    return found[0] if found else self._client.call(
        'POST', 'projects/', {'title': name, **values})

  def _listed(self, name) -> list[Mapping[str, Any]]:
    """Projects with a title like this."""
    found, page = [], 1
    while True:
      answer = self._client.call(
          'GET', 'projects/', title=name, page=page, page_size=PAGE)
      found += client_lib.listed(answer, 'results')
      if not isinstance(answer, dict) or not answer.get('next'):
        return found
      page += 1

  def _known(self, name: str) -> int | None:
    record = self._record()
    of = record and record['projects'].get(name)
    if not of:
      return None
    if of['url'] != self._client.url:
      # The same server may have got another address, and its project another
      # title.
      return of['id'] if self._has_ours(of['id'], record['key']) else None
    try:
      self._client.call('GET', f'projects/{of["id"]}/')
    except client_lib.Refused as e:
      if e.status != 404:
        raise
      raise ValueError(
          f'the project {name!r} (number {of["id"]}), which questions were '
          f'sent to, or their images, is gone from {self._client.url}, or may '
          'not be seen with this token. Bring it back; or remove '
          f'{self._folder / RECORD}, and all open questions go out anew.'
      ) from e
    return of['id']

  def _has_ours(self, number: int, key: str) -> bool:
    """Whether a project has tasks of this folder."""
    try:
      answer = self._client.call(
          'GET', 'tasks', project=number, page_size=1, query=filtered(key))
    except client_lib.Refused as e:
      if e.status in (403, 404):
        return False
      raise
    return any(client_lib.listed(answer, 'tasks'))

  def _record(self) -> dict[str, Any] | None:
    """The key of this folder's tasks, and its projects; None if there is none.

    Raises:
      ValueError: if it is damaged.
    """
    path = self._folder / RECORD
    try:
      record = json_object.parse(durable.read(path), path)
    except FileNotFoundError:
      return None
    projects = record.get('projects')
    if not isinstance(record.get('key'), str) or not isinstance(
        projects, dict) or not all(
            isinstance(one, dict) and isinstance(one.get('url'), str)
            and type(one.get('id')) is int for one in projects.values()):
      raise ValueError(f'{path} is damaged: restore it. Without it, the '
                       'questions on the server are not known again.')
    return record

  def _remember(self, name: str, number: int) -> None:
    record = self._record() or {'key': uuid.uuid4().hex, 'projects': {}}
    record['projects'][name] = {'url': self._client.url, 'id': number}
    durable.write(self._folder / RECORD, json.dumps(record, indent=1) + '\n')


def filtered(key: str, round_name: str | None = None) -> str:
  """A query of tasks: those with a key, of one round or of all."""
  items = {KEY: key} | ({} if round_name is None else {'round': round_name})
  return json.dumps({'filters': {'conjunction': 'and', 'items': [
      {'filter': f'filter:tasks:data.{field}', 'operator': 'equal',
       'type': 'String', 'value': value} for field, value in items.items()]},
                     'ordering': ['tasks:id']})


def _parts(interface: str | None) -> set[tuple[str, ...]]:
  """The tags of a labeling interface that answers come from."""
  try:
    root = ElementTree.fromstring(interface or '<View/>')
  except ElementTree.ParseError:
    return set()
  return {(tag.tag, tag.get('name'), tag.get('toName') or '',
           tag.get('value') or '', tag.get('max') or '')
          for tag in root.iter() if tag.get('name')}
