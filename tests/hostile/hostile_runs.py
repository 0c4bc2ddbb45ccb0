"""Bad files in the folder of a run, and bad configs."""

from collections.abc import Callable
import json
import os
import pathlib
import re

import ml_collections
import numpy as np
from orbax.checkpoint import v1 as ocp

from experiments.configs import colorswap
from mmal_jax.analysis import records
from mmal_jax.checkpoint import newest
from mmal_jax.checkpoint import pytrees
from mmal_jax.experiment import check
from mmal_jax.experiment import export
from mmal_jax.experiment import sweep
from mmal_jax.oracles import journal
from mmal_jax.workdir import layout
from mmal_jax.workdir import saved_config
from tests.hostile import hostile
from tests.support import small_runs


def _file(reader: str, make: Callable, use: Callable, name: str, wrong: str,
          content: str | bytes, says: str | None, error=ValueError):
  """A file of the folder in place of what was there."""
  def read(folder):
    make(folder)
    (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode())
    return use(folder)
  return hostile.Case(reader, wrong, read, says, error)


def _resume(folder):
  return layout.resume(folder, small_runs.CONFIG)


def _keep(folder):
  return layout.keep_until(folder, small_runs.RUN, 2)


def _report(folder):
  found = records.read([folder])
  return records.curves(found, 'annotations')[0].tolist()


def _journal(folder):
  journal.Journal(folder / 'a.journal', small_runs.silent,
                  small_runs.MODALITIES)


def _newest(folder):
  found = newest.Checkpoints(folder).newest(small_runs.TREE)
  return 'no good checkpoint' if found is None else f'step {found[0]}'


def _resumed(wrong: str, content: str | bytes, says: str):
  return _file('config.json of a run', small_runs.workdir, _resume,
               layout.CONFIG, wrong, content, says)


def _metrics(wrong: str, says: str, **fields):
  return _file('metrics.jsonl', small_runs.workdir, _keep, layout.METRICS,
               wrong, json.dumps(small_runs.metrics(0) | fields) + '\n', says)


def _queries(wrong: str, says: str, **fields):
  return _file('queries.jsonl', small_runs.workdir, _report, layout.QUERIES,
               wrong, json.dumps(small_runs.queries(1) | fields) + '\n', says)


def _reported(wrong: str, lines: list[dict], says: str):
  return _file(
      'report', small_runs.workdir, _report, layout.METRICS, wrong,
      ''.join(json.dumps(line) + '\n' for line in lines), says)


def _plan(wrong: str, content: str, says: str):
  return _file('plan of a sweep', small_runs.sweep, _report, records.PLAN,
               wrong, content, says)


def _unfinished(name: str, value, says: str):
  """A value changed in the config of a run that was stopped."""
  def read(folder):
    small_runs.workdir(folder)
    (folder / layout.SUMMARY).unlink()
    layout.write(folder / layout.CONFIG, small_runs.CONFIG | {name: value})
    _report(folder)
  return hostile.Case('config', f'{name} of a stopped run: {value!r}', read,
                      says)


def _answers(wrong: str, says: str, **fields):
  return _file('journal', small_runs.journal, _journal, 'a.journal', wrong,
               small_runs.journal_line(**fields), says)


def _claimed(folder):
  (folder / records.PLAN).write_text('{"strategies": ')
  sweep.sweep(colorswap.get_config(), {}, folder, str(folder))


def _pipe_for_a_journal(folder):
  os.mkfifo(folder / 'a.journal')
  _journal(folder)


def _state(wrong: str, change: Callable[[pathlib.Path], None], says=None):
  """A folder of checkpoints changed."""
  def read(folder):
    small_runs.states(folder)
    change(folder)
    return _newest(folder)
  return hostile.Case('states', wrong, read, says)


def _foreign(folder):
  for name in ('1abc.sha256.json', '007.sha256.json', '\u0663.sha256.json',
               'notes.txt', '.sha256.json'):
    (folder / name).write_text('{}')


def _pipe_within(folder):
  os.mkfifo(folder / '1' / 'pipe')


def _model(wrong: str, says: str, spoil: Callable):
  """A checkpoint that was spoilt, be it before it was written."""
  def read(folder):
    spoil(folder / 'model')
    return pytrees.load(folder / 'model', small_runs.TREE)
  return hostile.Case('model of a run', wrong, read, says)


def _damaged_metadata(path):
  pytrees.save(path, small_runs.TREE)
  metadata, = path.rglob('_METADATA')
  metadata.write_bytes(b'\xff')


def _indexed(index: str) -> Callable:
  """A checkpoint of one array of bytes and an index to it."""
  return lambda path: ocp.save(path, {
      '#index': np.frombuffer(index.encode(), np.uint8),
      '#bytes': np.zeros(13, np.uint8)})


def _config(wrong: str, says: str | None, key: str, value):
  """A value of the default config changed."""
  def read(folder):
    del folder
    fields = colorswap.get_config().to_dict()
    *sections, name = key.split('.')
    part = fields
    for section in sections:
      part = part.setdefault(section, {})
    part[name] = value
    check.check(ml_collections.ConfigDict(fields))
  return hostile.Case('config', wrong, read, says)


def _exported(folder):
  small_runs.config(folder)
  path = folder / layout.CONFIG
  path.write_text(re.sub(r'"rounds": \d+', '"rounds": "5"', path.read_text()))
  export.export(folder, 'mmal', 0, folder / 'out')


_DEEP = '[' * 100_000

CASES = [
    _resumed('cut off', '{"rounds": 2', 'config.json is not JSON'),
    _resumed('not UTF-8', b'\xff', 'config.json is not JSON'),
    _resumed('nested 100,000 deep', _DEEP, 'nested more than 100 deep'),
    _resumed('a list', '[]', 'holds no JSON object'),
    _resumed('a value of a megabyte', json.dumps(
        small_runs.CONFIG | {'rounds': 'x' * 10**6}),
             'holds another experiment'),
    _file('metrics.jsonl', small_runs.workdir, _keep, layout.METRICS,
          'no JSON in its midst', '{"a"\n{}\n', 'line 1: bad JSON'),
    _file('metrics.jsonl', small_runs.workdir, _keep, layout.METRICS,
          'its last line nested 100,000 deep', _DEEP,
          'nested more than 100 deep'),
    _metrics('a text for a round', "line 1: round is '0'", round='0'),
    _metrics('true for a seed', 'line 1: seed is True', seed=True),
    _metrics('NaN for annotations', 'line 1: annotations is nan',
             annotations=float('nan')),
    _metrics('a negative cost', 'line 1: cost is -1', cost=-1),
    _metrics('an integer beyond all floats', 'line 1: cost is 1000',
             cost=10**400),
    _metrics('a list of scores', 'line 1: scores is [1]', scores=[1]),
    _metrics('rounds that are missing', 'lacks rounds of'),
    _queries('without what was asked', 'line 1: asked is None', asked=None),
    _queries('a negative item', 'line 1: asked is', asked=[['image', -1]]),
    _queries('fewer answers than questions',
             '1 items were asked about, and 0 answers given',
             asked=[['image', 1]], answers=[]),
    _queries('a list for a strategy', 'line 1: strategy is []', strategy=[]),
    _queries('a run that has no metrics', 'of the rounds', seed=9),
    _reported('a round twice', [small_runs.metrics(at) for at in (0, 1, 1)],
              'each of 0 to 2 once is needed'),
    _reported('no run at all', [], 'of the rounds'),
    _reported('annotations that fall', [
        small_runs.metrics(at) | {'annotations': n}
        for at, n in ((0, 0), (1, 4), (2, 2))], 'annotations [0, 4, 2]'),
    _reported('a cost before the first round', [
        small_runs.metrics(at) | {'cost': at + 0.5} for at in range(3)],
              'cost [0.5, 1.5, 2.5]'),
    _reported('other scores in a later round', [
        small_runs.metrics(0), small_runs.metrics(1),
        small_runs.metrics(2) | {'scores': {'x': 1.0}}],
              'has other scores in some rounds'),
    _plan('cut off', '{"strategies"', 'sweep.json is not JSON'),
    _plan('without seeds', '{"strategies": ["x"], "set": {}}',
          'seeds=None must be a list'),
    _plan('a number for settings', '{"strategies": [], "seeds": [], "set": 3}',
          'set=3 must be an object'),
    *(_unfinished(name, value, says) for name, value, says in (
        ('strategies', [[1]], 'strategies=[[1]] must be names'),
        ('strategies', [], 'strategies is empty, so that there is nothing'),
        ('strategies', 'mmal', "strategies='mmal' must be a list"),
        ('seeds', [True], 'seeds=[True] must be integers from 0 on'),
        ('seeds', [{}], 'seeds=[{}] must be integers from 0 on'),
        ('seeds', [-1, 0.5], 'seeds=[-1, 0.5] must be integers from 0 on'),
        ('seeds', [], 'seeds is empty'),
        ('rounds', True, 'rounds=True must be an integer of at least 1'),
        ('rounds', None, 'rounds=None must be an integer'))),
    _plan('names of another kind', '{"strategies": [["x"]], "seeds": [0], '
          '"set": {}}', "strategies=[['x']] must be names"),
    _plan('no strategies', '{"strategies": [], "seeds": [0], "set": {}}',
          'strategies is empty'),
    _plan('a setting without values', '{"strategies": ["x"], "seeds": [0], '
          '"set": {"batch": []}}', 'set.batch is empty'),
    hostile.Case('plan of a sweep', 'cut off, and run', _claimed,
                 'sweep.json is not JSON'),
    _answers('a float for an item', 'line 1 is damaged', numbers=[0.0, 1]),
    _answers('an item beyond 32 bits', 'line 1 is damaged',
             answers=[[0, 2**40], [1, 6]]),
    _answers('a negative item', 'line 1 is damaged',
             answers=[[0, -2], [1, 6]]),
    _answers('an answer about another item', 'does not fit a run with the',
             answers=[[7, 5], [1, 6]]),
    _answers('rows of other lengths', 'line 1 is damaged',
             answers=[[0, 5], [1]]),
    _answers('rows of three modalities', 'does not fit a run with the',
             answers=[[0, 5, 5], [1, 6, 6]]),
    _answers('fewer answers than items', 'line 1 is damaged',
             answers=[[0, 5]]),
    _answers('another modality', 'does not fit a run with the modalities image',
             modality='sound'),
    _answers('a list for a modality', 'line 1 is damaged', modality=[]),
    _answers('a negative round', 'line 1 is damaged', round=-1),
    _file('journal', small_runs.journal, _journal, 'a.journal',
          'a right CRC of no JSON', f'{small_runs.seal("x")}x\n',
          'line 1 is damaged'),
    _file('journal', small_runs.journal, _journal, 'a.journal',
          'a right CRC of 100,000 lists', f'{small_runs.seal(_DEEP)}{_DEEP}\n',
          'line 1 is damaged'),
    hostile.Case('journal', 'a pipe', _pipe_for_a_journal,
                 'is no regular file'),
    _state('foreign files beside them', _foreign),
    _state('a pipe within one', _pipe_within),
    _state('a seal nested 100,000 deep', lambda folder: (
        folder / '1.sha256.json').write_text(_DEEP)),
    _state('a seal that is no UTF-8', lambda folder: (
        folder / '1.sha256.json').write_bytes(b'\xff')),
    _state('a seal of a list', lambda folder: (
        folder / '1.sha256.json').write_text('[[1]]')),
    _model('damaged', 'model cannot be read', _damaged_metadata),
    _model('of another structure', "['a'] is missing", lambda path: (
        pytrees.save(path, {'b': np.zeros(3)}))),
    _model('of another shape', "['a'] is float32[9] there, not float32[3]",
           lambda path: pytrees.save(path, {'a': np.zeros(9, np.float32)})),
    _model('an index cut off', 'cannot be read', _indexed('[["[\'a')),
    _model('an index of 10^15 numbers', 'cannot be read',
           _indexed('[["[\'a\']", "float32", [1000000000000000]]]')),
    _model('an index of -1 numbers', 'of shape [-1]',
           _indexed('[["[\'a\']", "uint8", [-1]]]')),
    _model('an index of objects', 'cannot be read',
           _indexed('[["[\'a\']", "object", [1]]]')),
    _model('an index nested 100,000 deep', 'cannot be read', _indexed(_DEEP)),
    hostile.Case('export', 'a config of another kind', _exported,
                 "rounds='5' must be a finite number"),
    _file('saved config', small_runs.config,
          lambda folder: saved_config.get_config(folder / layout.CONFIG),
          layout.CONFIG, 'no JSON', 'x', 'config.json is not JSON'),
    _config('an unknown section', 'trian is unknown; known are dataset, text',
            'trian.steps', 1),
    _config('an unknown value', 'batches is unknown; known are', 'batches', 3),
    _config('an unknown key', 'train.peak_rl is unknown; known are',
            'train.peak_rl', 1.0),
    _config('an unknown key of the model', 'model.widht is unknown; known are',
            'model.widht', 1),
    _config('an unknown key of the warm start', 'warm_start.step is unknown',
            'warm_start.step', 1),
    _config('a number for a section', 'train=3 must be a section', 'train', 3),
    _config('true for a number', 'rounds=True must be', 'rounds', True),
    _config('NaN', 'train.peak_lr=nan must be', 'train.peak_lr', float('nan')),
    _config('negative', 'batch=-1 must be', 'batch', -1),
    _config('beyond 32 bits', 'batch=1099511627776 must be at most', 'batch',
            2**40),
    _config('an integer beyond all floats', 'must be at most 1.797',
            'train.peak_lr', 10**400),
    _config('a text for a size', "model.width='64' must be", 'model.width',
            '64'),
    _config('a list for a name', 'dataset.name=[] must be a text',
            'dataset.name', []),
    _config('lists for strategies', 'must be names', 'strategies', [['mmal']]),
    _config('true for a seed', 'must be integers within', 'seeds', [True]),
    _config('a path for a strategy', "'../../mmal'", 'strategies',
            ['../../mmal']),
    _config('a text for a switch', "oracle.link='no' must be True or False",
            'oracle.link', 'no'),
    _config('a text for a cost', "costs.image='1' must be", 'costs.image',
            '1'),
    _config('images of 10^9 pixels', 'model.image_size is unknown',
            'model.image_size', 10**9),
]
