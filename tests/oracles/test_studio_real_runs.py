"""Whole runs at a real Label Studio: killed, refused, resumed.

Skipped where none is installed; CONTRIBUTING says how one is.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image
import pytest

from experiments import run
from mmal_jax.experiment import preemption
from mmal_jax.oracles.people import label_studio
from mmal_jax.oracles.people.studio import client as client_lib
from mmal_jax.oracles.people.studio import projects
from tests.support import outcomes
from tests.support import real_label_studio

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    real_label_studio.PROGRAM is None, reason='no Label Studio is installed')]
_BATCH, _ROUNDS, _PAIRS = 8, 3, 40
_RUN = '''
from mmal_jax.oracles.people.studio import client
client.PATIENCE_SECONDS = 3
from experiments import program
from experiments import run
program.start(run.main, run.parse_flags)
'''
_SECONDS = 1200  # that a program may take


@pytest.fixture(name='server', scope='module')
def _server(tmp_path_factory):
  server = real_label_studio.Real(tmp_path_factory.mktemp('label_studio'))
  yield server
  server.stop()


def _photos(folder: pathlib.Path) -> dict[bytes, str]:
  """A folder of pairs; by what an image holds, its caption."""
  rng, captions, lines = np.random.default_rng(0), {}, []
  folder.mkdir()
  for i in range(_PAIRS):
    file = folder / f'{i}.png'
    Image.fromarray(rng.integers(256, size=(8, 8, 3)).astype(np.uint8)).save(
        file)
    captions[file.read_bytes()] = f'noise {i}: $1 <b>"é"</b>'
    lines.append({'image': file.name, 'text': captions[file.read_bytes()]})
  (folder / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, lines)))
  return captions


class _Run:
  """A run of programs, and the people whom it asks at a server."""

  def __init__(self, folder, server):
    self.server, self.work = server, folder / 'asked'
    self.captions = _photos(folder / 'photos')
    self.people = folder / 'people' / 'seed0'
    self.client = client_lib.Client(server.url, server.personal_token)
    self.said = []
    self._others = (
        '--oracle=label_studio', f'--config.oracle.url={server.url}',
        '--config.oracle.project=run', '--config.oracle.candidates=3',
        f'--config.oracle.folder={self.people.parent}')

  def start(self, *arguments, work=None, token=None):
    if work is None:
      work, arguments = self.work, (*self._others, *arguments)
    folder = work.parent
    command = [
        sys.executable, '-c', _RUN, '--config=images_and_texts',
        f'--config.dataset.folder={folder / "photos"}', f'--workdir={work}',
        f'--cache_dir={folder / "cache"}', '--config.dataset.image_size=8',
        '--config.train.learner=closed_form', '--config.model.width=16',
        '--config.model.depth=1', '--seeds=0', '--strategies=mmal@both',
        f'--rounds={_ROUNDS}', f'--batch={_BATCH}', *arguments]
    token = token or self.server.personal_token
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': os.getcwd(),
                          'LABEL_STUDIO_API_KEY': token})

  def ends(self, status, *arguments, **more):
    """Runs a program to its end; what it says."""
    process = self.start(*arguments, **more)
    said, _ = process.communicate(timeout=_SECONDS)
    assert process.returncode == status, said
    self.said.append(said)
    return said

  def killed_once(self, there, after, *arguments):
    """Kills a program some time after something is there."""
    process, end = self.start(*arguments), time.monotonic() + _SECONDS
    while not there() and process.poll() is None:
      assert time.monotonic() < end
      time.sleep(0.02)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    self.said.append(process.communicate()[0])
    return process.returncode

  def tasks(self):
    """By query, each of which is there once."""
    found = []
    for modality in ('image', 'text'):
      for project in self.client.call(
          'GET', 'projects/', title=f'run ({modality})')['results']:
        found += self.client.call(
            'GET', 'tasks', project=project['id'], fields='all',
            page_size=100)['tasks']
    # The project may be others', too.
    key = json.loads((self.people / projects.RECORD).read_text())[
        'key'] if found else None
    found = [task for task in found if task['data'][projects.KEY] == key]
    by = {task['data']['query']: task for task in found}
    assert len(by) == len(found)
    return by

  def answer(self, task, who, wrong=0):
    """As a person who knows, and may be wrong by some items.

    What is asked about is looked at where the task shows it.
    """
    own, other = sorted(('image', 'text'),
                        key=lambda m: not task['data']['query'].startswith(m))
    item = task['data']['item']
    items = [json.loads(line) for line in (
        self.people / f'items_{other}.jsonl').read_text().splitlines()]
    if own == 'image':
      caption = self.captions[self.client.fetch(item)]
      number, = (one['item'] for one in items if one['text'] == caption)
    else:
      number, = (one['item'] for one in items if self.captions[
          pathlib.Path(one['file']).read_bytes()] == item)
    number = (number + wrong) % len(items)
    offered = [one['value'] for one in task['data'][f'candidates_{other}']]
    result = [('choice', 'choices', [str(number)])]
    if str(number) not in offered:
      result = [('choice', 'choices', [label_studio.NONE_OF_THESE]),
                ('number', 'number', number)]
    return {'completed_by': who, 'result': [
        {'id': name, 'from_name': f'{name}_{other}', 'to_name': 'item',
         'type': kind, 'value': {kind: value}} for name, kind, value in result]}

  def give(self, query, who=1, **more):
    """Submits an answer; its number."""
    task = self.tasks()[query]
    return self.client.call('POST', f'tasks/{task["id"]}/annotations/',
                            self.answer(task, who, **more))['id']

  def ledger(self):
    path = self.people / 'ledger.jsonl'
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_is_the_exact_oracle_s_whatever_happens(server, tmp_path):
  asked = _Run(tmp_path, server)
  asked.ends(0, work=tmp_path / 'exact')
  bob = asked.client.call('POST', 'users/', {
      'email': 'bob@example.org', 'username': 'bob',
      'password': 'for-tests-2'})['id']
  # The wrong token, before anything is sent.
  wrong = 'W' + server.old_token[1:]
  said = asked.ends(1, token=wrong)
  assert 'does not accept the token in LABEL_STUDIO_API_KEY' in said
  assert wrong not in said and not asked.tasks()
  # Killed while the first round is sent.
  record = asked.people / projects.RECORD
  for after in (0, 0.4):
    assert asked.killed_once(record.exists, after, '--resume') in (
        -signal.SIGKILL, run.WAITING)
  said = asked.ends(run.WAITING, '--resume')
  assert f"'run' of Label Studio at {server.url}" in said
  tasks = asked.tasks()
  assert len(tasks) == _BATCH
  # One is changed, one skipped, which another person answers.
  changed, skipped, *others = tasks
  number = asked.give(changed, wrong=3)
  asked.client.call('PATCH', f'annotations/{number}/',
                    asked.answer(tasks[changed], 1))
  asked.client.call('POST', f'tasks/{tasks[skipped]["id"]}/annotations/', {
      'completed_by': 1, 'was_cancelled': True, 'result': []})
  for query in others:
    asked.give(query)
  said = asked.ends(run.WAITING, '--resume')
  assert f'{_BATCH - 1} of {_BATCH} queries' in said
  assert len(asked.ledger()) == _BATCH - 1
  asked.give(skipped, bob)
  # Killed once what was answered is known.
  assert asked.killed_once(lambda: len(asked.ledger()) == _BATCH, 0,
                           '--resume') == -signal.SIGKILL
  first = asked.ledger()
  # The server is down, and then without its images.
  server.stop()
  said = asked.ends(preemption.PREEMPTED, '--resume')
  assert re.search(r'Label Studio at \S+ does not answer: Connection refused. '
                   'It was tried for', said)
  server.start()
  uploaded = [path for path in server.folder.glob('**/media/upload/**/*')
              if path.is_file()]
  for path in uploaded:
    path.rename(f'{path}.moved')
  said = asked.ends(1, '--resume')
  assert 'does not serve the images of the questions, which have not' in said
  assert re.search('is answered by (404|500) ', said), said
  assert len(asked.tasks()) == _BATCH
  for path in uploaded:
    pathlib.Path(f'{path}.moved').rename(path)
  for number in range(2, _ROUNDS + 1):
    said = asked.ends(run.WAITING, '--resume')
    assert len(asked.tasks()) == number * _BATCH
    done = {json.loads(line)['query'] for line in asked.ledger()}
    for query in asked.tasks().keys() - done:
      asked.give(query, [1, bob][number % 2])
  asked.ends(0, '--resume')
  assert asked.ledger()[:_BATCH] == first
  assert {query.rpartition('-')[0] for query in asked.tasks()} == {
      'image', 'text'}
  assert len(asked.ledger()) == len(asked.tasks()) == _ROUNDS * _BATCH
  found, exact = (outcomes.metrics(tmp_path / name)
                  for name in ('asked', 'exact'))
  assert found == exact
  assert found[-1]['annotations'] == _ROUNDS * _BATCH
  who = {name for line in asked.ledger()
         for name in json.loads(line)['annotators']}
  assert who == {'ann@example.org', 'bob@example.org'}
  secrets = server.personal_token, server.old_token, wrong
  texts = [*asked.said, *(
      path.read_bytes().decode('latin-1') for path in tmp_path.rglob('*')
      if path.is_file())]
  assert len(texts) > 50
  for secret in (*secrets, *(
      part for part in server.personal_token.split('.')[1:])):
    assert not any(secret in text for text in texts)


def test_a_run_waits_while_people_answer(server, tmp_path):
  asked = _Run(tmp_path, server)
  asked.ends(0, work=tmp_path / 'exact')
  process = asked.start('--config.oracle.wait_seconds=1000')
  given, end = set(), time.monotonic() + _SECONDS
  while process.poll() is None:
    assert time.monotonic() < end
    if (asked.people / projects.RECORD).exists():
      for query in asked.tasks().keys() - given:
        asked.give(query)
        given.add(query)
    time.sleep(0.5)
  said, _ = process.communicate()
  assert process.returncode == 0, said
  assert outcomes.metrics(asked.work) == outcomes.metrics(tmp_path / 'exact')
