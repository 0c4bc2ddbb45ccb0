"""The folder of an experiment, as crashes and people leave it."""

import contextlib
import shutil
import subprocess
import sys

import pytest

from mmal_jax.files import durable
from mmal_jax.workdir import layout
from mmal_jax.workdir import states
from tests.support import small_runs


def _begun(folder):
  small_runs.workdir(folder)
  for name in (layout.JOURNALS, layout.STATES):
    (folder / name).mkdir()
    (folder / name / 'a.journal').write_text('an answer')


def test_answers_without_a_config_are_lost_by_no_resume(tmp_path):
  _begun(tmp_path)
  assert layout.resume(tmp_path, small_runs.CONFIG)
  (tmp_path / layout.CONFIG).unlink()
  with pytest.raises(ValueError, match='holds answers.* but no config.json'):
    layout.resume(tmp_path, small_runs.CONFIG)
  layout.claim(tmp_path)  # as by --overwrite
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', [
    layout.METRICS, layout.QUERIES, layout.STATES, layout.SUMMARY])
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
    layout.resume(tmp_path, small_runs.CONFIG)
  assert (tmp_path / name).exists()


def test_what_was_being_begun_is_begun_anew(tmp_path):
  for name in (layout.PROVENANCE, layout.ITEMS):
    layout.write(tmp_path / name, {'experiment': 'a'})
  for name in (layout.JOURNALS, layout.STATES):
    (tmp_path / name).mkdir()
  (tmp_path / layout.STATES / states.RECORD).touch()  # --states=W/states
  (tmp_path / layout.METRICS).write_text('half a li')
  assert layout.resume(tmp_path, small_runs.CONFIG) is None


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
    patch.setattr(layout.pathlib.Path, 'unlink', or_die(
        layout.pathlib.Path.unlink))
    with contextlib.suppress(StopIteration):
      layout.claim(tmp_path)
      assert last > 20 and not list(tmp_path.iterdir())
  layout.check(tmp_path, overwrite=False, resume=True)
  assert not layout.resume(tmp_path, small_runs.CONFIG)


def test_states_elsewhere_are_cleared_only_of_what_is_replaced(tmp_path):
  states, mine, others = (tmp_path / name for name in 'abc')
  for folder, config in ((mine, {'states': str(states)}), (others, {})):
    folder.mkdir()
    layout.write(folder / layout.CONFIG, config)
  layout.claim_states(str(states), others)  # There is nothing yet.
  (states / 'mmal-seed0').mkdir(parents=True)
  for folder in (others, tmp_path):
    with pytest.raises(ValueError, match="not empty: it holds .'mmal-seed0'"):
      layout.claim_states(str(states), folder)
  for name in ('thesis.tex', 'notes-seed3', 'mmal-seed3.txt'):
    (states / name).touch()
    with pytest.raises(ValueError, match=f"not empty: it holds .'{name}'"):
      layout.claim_states(str(states), mine)
    (states / name).unlink()
  layout.claim_states(str(states), mine)
  assert not list(states.iterdir())
  # Nor need be known whose they are where there are none.
  (mine / layout.CONFIG).write_text('{"cut o')
  layout.claim_states(str(states), mine)


@pytest.mark.parametrize('name', [layout.METRICS, layout.QUERIES])
def test_a_state_that_is_newer_than_its_records_is_refused(tmp_path, name):
  _begun(tmp_path)
  lines = (tmp_path / name).read_text().splitlines(keepends=True)
  assert len(layout.keep_until(tmp_path, small_runs.RUN, 2)) == 3
  (tmp_path / name).write_text(''.join(lines[:-1]))
  with pytest.raises(ValueError, match=f'{name} lacks rounds .* to 2'):
    layout.keep_until(tmp_path, small_runs.RUN, 2)
  assert len(layout.keep_until(tmp_path, small_runs.RUN, 1)) == 2
  (tmp_path / name).unlink()
  assert not layout.keep_until(tmp_path, small_runs.RUN, -1)


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
from mmal_jax.files import durable
for _ in range({lines}):
  durable.append(pathlib.Path({str(path)!r}), '{{"a": 1}}' + chr(10))
'''
  both = [subprocess.Popen([sys.executable, '-c', program]) for _ in range(2)]
  assert [one.wait() for one in both] == [0, 0]
  assert path.read_text() == '{"a": 1}\n' * 2 * lines


def test_the_id_of_an_experiment_is_read_once_for_all_lines(
    tmp_path, monkeypatch):
  of_run, path = tmp_path / layout.PROVENANCE, tmp_path / layout.METRICS
  layout.write(of_run, {'experiment': 'one'})
  opened, read = [], durable.read

  def counted(file, *args, **kwargs):
    opened.append(str(file))
    return read(file, *args, **kwargs)

  monkeypatch.setattr(durable, 'read', counted)
  for at in range(10):
    layout.append(path, {'a': at})
  assert len(layout.read_lines(path)) == 10
  assert opened.count(str(of_run)) == 1
  layout.write(of_run, {'experiment': 'two'})  # of the same size
  with pytest.raises(ValueError, match='line 1 was changed'):
    layout.read_lines(path)
  of_run.unlink()
  with pytest.raises(ValueError, match='run.json is missing'):
    layout.read_lines(path)


def test_numbers_that_no_line_may_hold_are_named(tmp_path):
  small_runs.workdir(tmp_path)
  path = tmp_path / layout.METRICS
  lines = path.read_text().splitlines()
  for value in ('NaN', 'Infinity', '-Infinity'):
    path.write_text('\n'.join([f'{{"any": [{value}]}}', *lines]) + '\n')
    with pytest.raises(ValueError, match='line 1: any is .* holds NaN'):
      layout.keep_until(tmp_path, small_runs.RUN, 1)
