"""The folder of an experiment, as crashes and people leave it."""

import contextlib
import shutil
import subprocess
import sys

import pytest

from experiments import states
from experiments import workdir
from mmal_jax import durable
from tests import small_runs


def _begun(folder):
  small_runs.workdir(folder)
  for name in (workdir.JOURNALS, workdir.STATES):
    (folder / name).mkdir()
    (folder / name / 'a.journal').write_text('an answer')


def test_answers_without_a_config_are_lost_by_no_resume(tmp_path):
  _begun(tmp_path)
  assert workdir.take_up(tmp_path, small_runs.CONFIG)
  (tmp_path / workdir.CONFIG).unlink()
  with pytest.raises(ValueError, match='holds answers.* but no config.json'):
    workdir.take_up(tmp_path, small_runs.CONFIG)
  workdir.claim(tmp_path)  # as by --overwrite
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', [
    workdir.METRICS, workdir.QUERIES, workdir.STATES, workdir.SUMMARY])
def test_nor_are_other_results(tmp_path, name):
  _begun(tmp_path)
  for path in list(tmp_path.iterdir()):
    if path.name == name:
      continue
    if path.is_dir():
      shutil.rmtree(path)
    else:
      path.unlink()
  with pytest.raises(ValueError, match=f'holds results, in {name}, but no'):
    workdir.take_up(tmp_path, small_runs.CONFIG)
  assert (tmp_path / name).exists()


def test_what_was_being_begun_is_begun_anew(tmp_path):
  for name in (workdir.PROVENANCE, workdir.ITEMS):
    workdir.write(tmp_path / name, {'experiment': 'a'})
  for name in (workdir.JOURNALS, workdir.STATES):
    (tmp_path / name).mkdir()
  (tmp_path / workdir.STATES / states.RECORD).touch()  # --states=W/states
  (tmp_path / workdir.METRICS).write_text('half a li')
  assert workdir.take_up(tmp_path, small_runs.CONFIG) is None


@pytest.mark.parametrize('last', range(0, 32, 2))
def test_what_was_half_cleared_is_begun_anew(tmp_path, monkeypatch, last):
  _begun(tmp_path)
  todo = iter(range(last))

  def or_die(function):
    def called(*args, **kwargs):
      next(todo)
      return function(*args, **kwargs)
    return called

  with monkeypatch.context() as patch:
    patch.setattr(shutil, 'rmtree', or_die(shutil.rmtree))
    patch.setattr(workdir.pathlib.Path, 'unlink', or_die(
        workdir.pathlib.Path.unlink))
    with contextlib.suppress(StopIteration):
      workdir.claim(tmp_path)
      assert last > 20 and not list(tmp_path.iterdir())
  workdir.check(tmp_path, overwrite=False, resume=True)
  assert not workdir.take_up(tmp_path, small_runs.CONFIG)


def test_states_elsewhere_are_cleared_only_of_what_is_replaced(tmp_path):
  states, mine, others = (tmp_path / name for name in 'abc')
  for folder, config in ((mine, {'states': str(states)}), (others, {})):
    folder.mkdir()
    workdir.write(folder / workdir.CONFIG, config)
  workdir.claim_states(str(states), others)  # There is nothing yet.
  (states / 'mmal-seed0').mkdir(parents=True)
  for folder in (others, tmp_path):
    with pytest.raises(ValueError, match="not empty: it holds .'mmal-seed0'"):
      workdir.claim_states(str(states), folder)
  for name in ('thesis.tex', 'notes-seed3', 'mmal-seed3.txt'):
    (states / name).touch()
    with pytest.raises(ValueError, match=f"not empty: it holds .'{name}'"):
      workdir.claim_states(str(states), mine)
    (states / name).unlink()
  workdir.claim_states(str(states), mine)
  assert not list(states.iterdir())
  # Nor need be known whose they are where there are none.
  (mine / workdir.CONFIG).write_text('{"cut o')
  workdir.claim_states(str(states), mine)


@pytest.mark.parametrize('name', [workdir.METRICS, workdir.QUERIES])
def test_a_state_that_is_newer_than_its_records_is_refused(tmp_path, name):
  _begun(tmp_path)
  lines = (tmp_path / name).read_text().splitlines(keepends=True)
  assert len(workdir.keep_until(tmp_path, small_runs.RUN, 2)) == 3
  (tmp_path / name).write_text(''.join(lines[:-1]))
  with pytest.raises(ValueError, match=f'{name} lacks rounds .* to 2'):
    workdir.keep_until(tmp_path, small_runs.RUN, 2)
  assert len(workdir.keep_until(tmp_path, small_runs.RUN, 1)) == 2
  (tmp_path / name).unlink()
  assert not workdir.keep_until(tmp_path, small_runs.RUN, -1)


@pytest.mark.parametrize('torn', [
    b'', b'{"b"', b'\0\0\0', b'\0\0\0}\n', b'{"b": \0\0}\n', b'{"b": 1}\0'])
def test_lines_go_on_after_what_is_whole(tmp_path, torn):
  path = tmp_path / 'a.jsonl'
  path.write_bytes(b'{"a": 1}\n' + torn)
  assert durable.whole_lines(path) == b'{"a": 1}\n'
  durable.append(path, '{"c": 2}\n')
  assert path.read_bytes() == b'{"a": 1}\n{"c": 2}\n'
  path.write_bytes(torn)
  assert durable.whole_lines(path) == b''


def test_two_programs_add_lines_to_one_file(tmp_path):
  path, lines = tmp_path / 'a.jsonl', 100
  program = f'''
import pathlib
from mmal_jax import durable
for _ in range({lines}):
  durable.append(pathlib.Path({str(path)!r}), '{{"a": 1}}' + chr(10))
'''
  both = [subprocess.Popen([sys.executable, '-c', program]) for _ in range(2)]
  assert [one.wait() for one in both] == [0, 0]
  assert path.read_text() == '{"a": 1}\n' * 2 * lines


def test_the_id_of_an_experiment_is_read_once_for_all_lines(
    tmp_path, monkeypatch):
  of_run, path = tmp_path / workdir.PROVENANCE, tmp_path / workdir.METRICS
  workdir.write(of_run, {'experiment': 'one'})
  opened, read = [], durable.read

  def counted(file, *args, **kwargs):
    opened.append(str(file))
    return read(file, *args, **kwargs)

  monkeypatch.setattr(durable, 'read', counted)
  for at in range(10):
    workdir.append(path, {'a': at})
  assert len(workdir.read_lines(path)) == 10
  assert opened.count(str(of_run)) == 1
  workdir.write(of_run, {'experiment': 'two'})  # of the same size
  with pytest.raises(ValueError, match='line 1 was changed'):
    workdir.read_lines(path)
  of_run.unlink()
  with pytest.raises(ValueError, match='run.json is missing'):
    workdir.read_lines(path)
