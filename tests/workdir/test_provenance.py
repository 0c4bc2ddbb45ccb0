"""Journals, states and records belong to one run, and are taken for no other's.
"""

import json
import re
import shutil

import jax
import pytest

from experiments import match
from experiments import report
from experiments import run
from mmal_jax.analysis import records
from mmal_jax.workdir import layout
from mmal_jax.workdir import provenance
from tests.support import programs
from tests.support import small_runs

_RUNS = [f'{strategy}-seed{seed}' for strategy in ('random', 'mmal')
         for seed in (0, 1)]


def _run(folder, *arguments):
  programs.call(
      run, *programs.features(folder.parent / 'data'), *programs.SMALL,
      '--strategies=random,mmal', '--seeds=0,1', '--config.whole_pool=True',
      f'--workdir={folder}', f'--cache_dir={folder.parent / "cache"}',
      *arguments)


@pytest.fixture(name='two', scope='module')
def _two(tmp_path_factory):
  """Two finished experiments of the same config and data."""
  home = tmp_path_factory.mktemp('two')
  programs.save_features(home / 'data')
  for name in ('one', 'other'):
    _run(home / name)
  return home


def _copy(two, unfinished):
  """A copy of the first; of an unfinished one the last round is to be done."""
  folder = two / 'copy'
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(two / 'one', folder)
  if unfinished:
    (folder / layout.SUMMARY).unlink()
    for name in _RUNS:
      (folder / layout.STATES / name / '2.sha256.json').unlink()
      shutil.rmtree(folder / layout.STATES / name / '2')
  return folder


def _found(folder):
  """What was asked, answered and scored."""
  metrics = [(line['strategy'], line['seed'], line['round'], line['scores'])
             for line in layout.read_lines(folder / layout.METRICS)]
  queries = layout.read_lines(folder / layout.QUERIES)
  return sorted(metrics, key=str), sorted(queries, key=str)


def _edit(name, old, new):
  def change(folder, other):
    del other
    text = (folder / name).read_text('utf-8')
    changed = re.sub(old, new, text, count=1)
    assert changed != text
    (folder / name).write_text(changed, 'utf-8')
  return change


def _from_other(name):
  def change(folder, other):
    if (folder / name).is_dir():
      shutil.rmtree(folder / name)
      shutil.copytree(other / name, folder / name)
    else:
      shutil.copy(other / name, folder / name)
  return change


def _copy_of(name, source):
  return lambda folder, _: shutil.copy(folder / source, folder / name)


def _exchanged(one, two):
  def change(folder, other):
    del other
    (folder / one).rename(folder / 'x')
    (folder / two).rename(folder / one)
    (folder / 'x').rename(folder / two)
  return change


def _gone(name):
  return lambda folder, _: (folder / name).unlink()


def _without_line(name, number):
  def change(folder, other):
    del other
    lines = (folder / name).read_text().splitlines(keepends=True)
    del lines[number]
    (folder / name).write_text(''.join(lines))
  return change


_JOURNAL = f'{layout.JOURNALS}/{{}}.journal'.format
_STATES = f'{layout.STATES}/{{}}'.format


@pytest.mark.long
@pytest.mark.parametrize('unfinished', [False, True], ids=['whole', 'part'])
@pytest.mark.parametrize('change,said', [
    (_copy_of(_JOURNAL('random-seed1'), _JOURNAL('random-seed0')),
     'random-seed1.journal is the journal of .* seed 0, not of .* seed 1'),
    (_exchanged(_JOURNAL('random-seed0'), _JOURNAL('mmal-seed0')),
     'journal of .* strategy mmal, seed 0, not of .* strategy random'),
    (_from_other(_JOURNAL('mmal-seed1')), 'is the journal of experiment'),
    (_without_line(_JOURNAL('mmal-seed1'), 0), 'a run that it does not name'),
    (_without_line(_JOURNAL('mmal-seed1'), 1), 'line 2 is damaged, or one'),
    (_gone(_JOURNAL('mmal-seed0')), 'mmal-seed0.journal lacks'),
    (_exchanged(_STATES('random-seed0'), _STATES('mmal-seed0')),
     'holds a state of .* strategy mmal, seed 0, not of .* strategy random'),
    (_exchanged(_STATES('mmal-seed1'), _STATES('mmal-seed0')), 'a state of'),
    (_from_other(_STATES('mmal-seed0')), 'a state of experiment'),
    (_from_other(layout.STATES), 'a state of experiment'),
    (_edit(layout.METRICS, r'"aligned": 3\b', '"aligned": 2'),
     r'metrics.jsonl, line \d+ was changed'),
    (_edit(layout.METRICS, r'"annotations": 0', '"annotations": 1'),
     r'metrics.jsonl, line \d+ was changed'),
    (_edit(layout.METRICS, '"strategy": "random"', '"strategy": "mmal"'),
     r'metrics.jsonl, line \d+ was changed'),
    (_edit(layout.METRICS, ', "crc32": "[0-9a-f]*"', ''), 'was changed'),
    (_edit(layout.QUERIES, r'\["image", (\d+)\]', r'["image", 1\1]'),
     r'queries.jsonl, line \d+ was changed'),
    (_from_other(layout.METRICS), 'is of another experiment'),
    (_from_other(layout.QUERIES), 'is of another experiment'),
    (_from_other(layout.PROVENANCE),
     'config.json was changed .* not of the experiment that run.json beside'),
    (_from_other(layout.CONFIG), 'config.json was changed .* or is not of'),
    (_from_other(layout.ITEMS), 'items.json was changed .* or is not of'),
    (_edit(layout.CONFIG, '"divergence"', '"convergence"'),
     'config.json was changed'),
    (_edit(layout.ITEMS, '"pool image": "[0-9a-f]', '"pool image": "x'),
     'items.json was changed'),
    (_edit(layout.PROVENANCE, '"jaxlib": "[0-9]', '"jaxlib": "x'),
     'run.json is damaged, or was changed'),
    (_gone(layout.PROVENANCE), 'run.json is missing, which says'),
    (_edit(layout.PROVENANCE, '"experiment"', '"experimint"'), 'is damaged'),
    (_gone(layout.ITEMS), 'items.json is missing, which says'),
    (_edit(layout.WHOLE_POOL, r'"aligned": (\d)', r'"aligned": 1\1'),
     r'whole_pool.jsonl, line \d+ was changed')])
def test_what_is_of_another_run_or_was_changed_is_refused_by_name(
    two, unfinished, change, said):
  folder = _copy(two, unfinished)
  change(folder, two / 'other')
  with programs.ends() as e:
    _run(folder, '--resume')
  assert re.search(said, e.value.code, re.DOTALL), e.value.code
  assert 'put back the journal' not in e.value.code
  # What is another's is left as it is.
  assert not list((folder / layout.STATES).rglob('damaged_*'))


@pytest.mark.long
@pytest.mark.parametrize('unfinished', [False, True], ids=['whole', 'part'])
@pytest.mark.parametrize('change', [
    lambda folder, _: None,
    lambda folder, _: shutil.rmtree(folder / layout.STATES),
    lambda folder, _: [
        path.write_bytes(path.read_bytes()[:-3]) for path in (
            folder / layout.STATES).rglob('1.sha256.json')]])
def test_what_is_whole_or_can_be_computed_again_ends_the_same(
    two, unfinished, change):
  folder = _copy(two, unfinished)
  change(folder, two / 'other')
  _run(folder, '--resume')
  assert _found(folder) == _found(two / 'one')


@pytest.mark.long
def test_an_older_copy_of_a_journal_is_refused_or_answered_again(two):
  name, number = _JOURNAL('mmal-seed1'), -1
  folder = _copy(two, unfinished=False)
  _without_line(name, number)(folder, None)
  with programs.ends() as e:
    _run(folder, '--resume')
  assert 'mmal-seed1.journal lacks 3 of the 6 answers' in e.value.code
  folder = _copy(two, unfinished=True)  # Its state has not used the last ones.
  _without_line(name, number)(folder, None)
  _run(folder, '--resume')
  assert _found(folder) == _found(two / 'one')


def test_an_older_state_with_a_seal_without_a_name_is_quarantined(two, caplog):
  folder = _copy(two, unfinished=False)
  states = folder / _STATES('mmal-seed0')
  for step in '12':  # As an earlier version wrote them.
    path = states / f'{step}.sha256.json'
    path.write_text(path.read_text().replace(f' "name": "{step}",\n', ''))
  shutil.rmtree(states / '2')
  shutil.copytree(states / '1', states / '2')
  shutil.copy(states / '1.sha256.json', states / '2.sha256.json')
  shutil.copytree(folder, two / 'matched')
  with programs.ends() as e:
    programs.call(match, f'--workdir={two / "matched"}', '--strategy=mmal',
                  '--seed=0', f'--matched={two / "m"}')
  assert 'holds no state of the last round of a finished run' in e.value.code
  caplog.clear()
  _run(folder, '--resume')
  assert 'step 2 in' in caplog.text and 'it holds step 1' in caplog.text
  assert _found(folder) == _found(two / 'one')


@pytest.mark.long
def test_an_experiment_of_a_version_without_checksums_goes_on(two):
  folder = _copy(two, unfinished=True)
  for path in folder.glob('*.json'):
    path.write_text(re.sub(r',\s*"crc32": "[0-9a-f]*"', '', path.read_text()))
  _run(folder, '--resume')
  assert _found(folder) == _found(two / 'one')
  # Where run.json has one, all have.
  path = _copy(two, unfinished=True) / layout.CONFIG
  path.write_text(re.sub(r',\s*"crc32": "[0-9a-f]*"', '', path.read_text()))
  with pytest.raises(SystemExit, match='its checksum does not fit'):
    _run(folder, '--resume')


def test_a_report_refuses_records_that_were_changed(two, tmp_path):
  folder = _copy(two, False)
  _edit(layout.METRICS, r'"annotations": 3\b', '"annotations": 2')(folder, 0)
  with programs.ends() as e:
    programs.call(report, f'--workdirs={folder}', f'--out={tmp_path / "r"}',
                  '--workdir=x')
  assert re.search(r'metrics.jsonl, line \d+ was changed', e.value.code)


def test_settings_that_draw_other_numbers_are_refused(two, caplog):
  folder = _copy(two, True)
  path = folder / layout.PROVENANCE
  good = json.loads(path.read_text())
  name = 'jax_threefry_partitionable'
  now = jax.config.jax_threefry_partitionable
  assert good['settings'][name] == now
  layout.write(path, good | {
      'settings': good['settings'] | {name: not now}})
  with programs.ends() as e:
    _run(folder, '--resume')
  assert f'{name} is {now} now, and was {not now}' in e.value.code
  layout.write(path, good | {
      'rounding': good['rounding'] | {'device': 'TPU v9'}})
  provenance.check(folder)
  assert "was 'TPU v9' when the experiment was begun" in caplog.text


def _finished(folder, strategy, settings):
  folder.mkdir()
  layout.write(folder / layout.PROVENANCE,
                provenance.begin() | {'settings': settings})
  layout.write(folder / layout.CONFIG,
                small_runs.CONFIG | {'strategies': [strategy]})
  for at in range(3):
    of = {'strategy': strategy}
    layout.append(folder / layout.METRICS, small_runs.metrics(at) | of)
    if at:
      layout.append(folder / layout.QUERIES, small_runs.queries(at) | of)
  layout.write(folder / layout.ITEMS, {})
  layout.write(folder / layout.SUMMARY, {})
  return folder


@pytest.mark.parametrize('others,said', [
    ({'jax_enable_x64': False, 'jax_random_seed_offset': 1}, []),
    ({'jax_random_seed_offset': 1}, []),  # An earlier version recorded fewer.
    ({'jax_enable_x64': True, 'jax_random_seed_offset': 0}, [
        'jax_enable_x64 is False in {a}, True in {b}.',
        'jax_random_seed_offset is 0 in {b}, 1 in {a}.'])])
def test_a_report_says_which_settings_differ(tmp_path, caplog, others, said):
  a = _finished(tmp_path / 'a', 'mmal', {
      'jax_enable_x64': False, 'jax_random_seed_offset': 1})
  b = _finished(tmp_path / 'b', 'random', others)
  notes = records.read([a, b]).notes
  assert [note.partition('same seed: ')[2] for note in notes] == [
      text.format(a=a, b=b) for text in said]
  assert all(note in caplog.text for note in notes)


@pytest.mark.parametrize('name,value', [
    ('jax_high_dynamic_range_gumbel', True),
    ('jax_explicit_x64_dtypes', 'allow'), ('jax_random_seed_offset', 1),
    ('jax_default_prng_impl', 'rbg'), ('jax_numpy_dtype_promotion', 'strict')])
def test_a_setting_that_decides_numbers_is_recorded_and_compared(
    tmp_path, caplog, name, value):
  path, before = tmp_path / layout.PROVENANCE, getattr(jax.config, name)
  good = provenance.begin()
  layout.write(path, good)
  jax.config.update(name, value)
  try:
    with pytest.raises(ValueError, match=f'{name} is {value!r} now, and was'):
      provenance.check(tmp_path)
    # An earlier version did not record it: it may have been the same.
    del good['settings'][name]
    layout.write(path, good)
    provenance.check(tmp_path)
    assert f'{name} is {value!r} now; what it was' in caplog.text
    layout.write(path, provenance.begin())
    caplog.clear()
    provenance.check(tmp_path)
  finally:
    jax.config.update(name, before)
  layout.write(path, good)
  provenance.check(tmp_path)
  assert not caplog.text


def test_the_gumbel_setting_draws_other_numbers():
  def drawn():
    return jax.random.categorical(
        jax.random.key(0), jax.numpy.zeros([50, 50])).tolist()

  before, there = jax.config.jax_high_dynamic_range_gumbel, drawn()
  jax.config.update('jax_high_dynamic_range_gumbel', not before)
  try:
    assert drawn() != there
  finally:
    jax.config.update('jax_high_dynamic_range_gumbel', before)


@pytest.mark.parametrize('name,value', [
    ('devices', 4), ('device', 'TPU v9'), ('jax', '0.1'),
    ('jax_softmax_custom_jvp', True), ('jax_use_shardy_partitioner', False)])
def test_what_changes_rounding_is_a_warning(tmp_path, caplog, name, value):
  path, good = tmp_path / layout.PROVENANCE, provenance.begin()
  layout.write(path, good | {'rounding': good['rounding'] | {name: value}})
  provenance.check(tmp_path)
  assert re.search(f'{name} is .* now, and was {value!r} when', caplog.text)
  # What an earlier version did not record is not compared.
  caplog.clear()
  del good['rounding'][name]
  layout.write(path, good)
  provenance.check(tmp_path)
  assert not caplog.text


def test_the_number_of_devices_is_recorded():
  assert provenance.begin()['rounding']['devices'] == jax.device_count()
