"""Whole runs that ask at a Label Studio, which is one in memory."""

import re
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import pytest

from experiments import run
from experiments.configs import features as features_config
from mmal_jax.experiment import check_answers
from mmal_jax.experiment import preemption
from mmal_jax.oracles.people import label_studio
from mmal_jax.oracles.people.studio import client as client_lib
from tests.support import fake_label_studio
from tests.support import outcomes

pytestmark = [pytest.mark.long, pytest.mark.usefixtures('quick_compilation')]
_ROUNDS = 3


@pytest.fixture(name='server')
def _server(monkeypatch):
  server = fake_label_studio.Fake()
  monkeypatch.setenv('LABEL_STUDIO_API_KEY', fake_label_studio.TOKEN)
  yield server
  server.close()


def _main(work, *arguments):
  features = [f'--config.dataset.{m}s={work.parent / m}.npy'
              for m in ('image', 'text')]
  argv = ['run', f'--config={features_config.__file__}', f'--workdir={work}',
          '--seeds=0', '--strategies=mmal', '--batch=5', f'--rounds={_ROUNDS}',
          '--config.train.steps_per_round=2', '--config.model.width=8',
          f'--cache_dir={work.parent / "cache"}', *features, *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    run.main(flags.FLAGS(argv))


def _answer_all(server):
  """As somebody who knows: the row of a feature is its counterpart's, too."""
  client = client_lib.Client(server.url, fake_label_studio.TOKEN)
  for task in list(server.tasks.values()):
    if task['annotations']:
      continue
    other, = (name.partition('_')[2] for name in task['data']
              if name.startswith('candidates_'))
    row, = re.findall('row ([0-9]+) of', task['data']['item'])
    values = (('choice', 'choices', [label_studio.NONE_OF_THESE]),
              ('row', 'number', int(row)))
    client.call('POST', f'tasks/{task["id"]}/annotations/', {'result': [
        {'id': tag, 'from_name': f'{tag}_{other}', 'to_name': 'item',
         'type': kind, 'value': {kind: value}} for tag, kind, value in values]})


def test_a_run_of_three_rounds_is_the_exact_oracle_s(server, tmp_path, capsys):
  outcomes.save_features(tmp_path, 60)
  _main(tmp_path / 'exact')
  arguments = ('--oracle=label_studio', '--config.oracle.project=pairs',
               f'--config.oracle.folder={tmp_path / "people"}')
  for number in range(_ROUNDS + 1):
    # A server may have got another address meanwhile.
    url = server.url.replace('127.0.0.1', [
        '127.0.0.1', 'localhost'][number > 2])
    try:
      _main(tmp_path / 'asked', *arguments, f'--config.oracle.url={url}',
            *(['--resume'] if number else []))
      assert number == _ROUNDS
    except SystemExit as e:
      assert e.code == run.WAITING and number < _ROUNDS
      said = capsys.readouterr().out
      assert f"'pairs' of Label Studio at {url}" in said
      assert f'{number + 1} question' not in said
      assert len(server.tasks) == 5 * (number + 1)
      # It ends again at once, and nothing goes out twice.
      with pytest.raises(SystemExit):
        _main(tmp_path / 'asked', *arguments, f'--config.oracle.url={url}',
              '--resume')
      assert len(server.tasks) == 5 * (number + 1)
      _answer_all(server)
      assert '5 answer(s) would be accepted' in check_answers.check(
          tmp_path / 'asked')
  found, exact = (outcomes.metrics(tmp_path / name)
                  for name in ('asked', 'exact'))
  assert [line['annotations'] for line in found] == [0, 5, 10, 15]
  assert found == exact
  assert len(server.projects) <= 2  # Nothing has images.
  for path in tmp_path.rglob('*'):
    assert not path.is_file() or fake_label_studio.TOKEN.encode() not in (
        path.read_bytes())


def test_a_run_waits_for_a_server_and_its_people(server, tmp_path, monkeypatch):
  outcomes.save_features(tmp_path, 60)
  fetch = client_lib.Client.call

  def call(self, method, path, *arguments, **more):
    found = fetch(self, method, path, *arguments, **more)
    if path.endswith('/import'):
      _answer_all(server)
    return found

  monkeypatch.setattr(client_lib.Client, 'call', call)
  _main(tmp_path / 'asked', '--oracle=label_studio', '--rounds=2',
        f'--config.oracle.url={server.url}', '--config.oracle.project=pairs',
        f'--config.oracle.folder={tmp_path / "people"}',
        '--config.oracle.wait_seconds=3600')
  assert [line['annotations'] for line in outcomes.metrics(
      tmp_path / 'asked')] == [0, 5, 10]


@pytest.mark.parametrize('trouble', ['down', 'lost'])
def test_a_server_that_is_down_is_no_fault_of_the_run(
    server, tmp_path, monkeypatch, capsys, trouble):
  """Whenever it is: the same command goes on later."""
  outcomes.save_features(tmp_path, 60)
  monkeypatch.setattr(client_lib, 'PATIENCE_SECONDS', 0)
  monkeypatch.setattr(preemption, 'end', sys.exit)  # It would end the tests.
  arguments = ('--oracle=label_studio', '--config.oracle.project=pairs',
               f'--config.oracle.url={server.url}',
               f'--config.oracle.folder={tmp_path / "people"}', '--resume')

  def ends(status):
    with pytest.raises(SystemExit) as e:
      _main(tmp_path / 'asked', *arguments)
    assert e.value.code == status
    return ''.join(capsys.readouterr())

  server.trouble = lambda method, path: trouble
  said = ends(preemption.PREEMPTED)
  assert f'Label Studio at {server.url} does not answer: ' in said
  assert 'Nothing that was answered is lost' in said and '--resume' in said
  server.trouble = lambda method, path: None
  ends(run.WAITING)
  assert len(server.tasks) == 5
  server.trouble = lambda method, path: trouble
  assert 'does not answer' in ends(preemption.PREEMPTED)
  with pytest.raises(OSError, match='does not answer'):
    check_answers.check(tmp_path / 'asked')
  server.trouble = lambda method, path: None
  assert '0 of 5' in ends(run.WAITING)
  assert len(server.tasks) == 5


@pytest.mark.parametrize('arguments, what', [
    ([], 'needs oracle.url: add --config.oracle.url=http://localhost:8080'),
    (['--config.oracle.url=http://localhost:8080'], 'needs oracle.project'),
    (['--config.oracle.url=http://a:b@host', '--config.oracle.project=x'],
     'without user, password'),
    (['--config.oracle.url=host', '--config.oracle.project=x'],
     "url='host' is no address")])
def test_what_is_missing_is_said_before_anything_is_read(
    tmp_path, arguments, what):
  with pytest.raises(SystemExit) as e:
    _main(tmp_path / 'asked', '--oracle=label_studio',
          f'--config.oracle.folder={tmp_path}', *arguments)
  assert what in str(e.value) and 'b@host' not in str(e.value)
  assert not list(tmp_path.iterdir())
