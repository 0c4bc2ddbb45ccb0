"""Questions to a Label Studio in memory, and the people who answer there."""

import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people.studio import client as client_lib
from mmal_jax.oracles.people.studio import studio
from tests.support import fake_label_studio
from tests.support import people


def oracle(server, folder, **more):
  """One that never sleeps."""
  arguments = dict(url=server.url, project='pairs', candidates=4,
                   shown=people.shown(), sleep=lambda seconds: None)
  return studio.studio(folder, **(arguments | more))


def ask(asked, numbers=(5, 3, 0), modality='image', **more):
  """Asks an oracle, and has to wait; the message."""
  with pytest.raises(oracle_lib.Waiting) as e:
    people.asks(asked, numbers, modality, **more)
  return str(e.value)


def by_query(server):
  """The tasks, each of which is there once."""
  found = {task['data']['query']: task for task in server.tasks.values()}
  assert len(found) == len(server.tasks)
  return found


def answer(server, query, choice, other='text', who=1, number=None, **more):
  """Answers as a person; None skips."""
  task = by_query(server)[query]
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  parts = {'choice': ('choices', [str(choice)]), 'number': ('number', number)}
  return client.call('POST', f'tasks/{task["id"]}/annotations/', {
      'completed_by': who, 'was_cancelled': choice is None, 'result': [
          {'id': name, 'from_name': f'{name}_{other}', 'to_name': 'item',
           'type': kind, 'value': {kind: value}}
          for name, (kind, value) in parts.items()
          if choice is not None and value is not None]} | more)
