"""Small experiments of which copies are damaged: finished, killed, and others.
"""

from collections.abc import Callable, Sequence
import contextlib
import functools
import json
import pathlib
import shutil
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from experiments import run
from mmal_jax.checkpoint import newest
from mmal_jax.checkpoint import packed
from mmal_jax.files import durable
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import registry
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people import rounds
from mmal_jax.workdir import layout
from tests.support import programs
from tests.support import published_files
from tests.support import tiny
from tests.support import torch_models

_OF_ONE_RUN = 'seconds', 'compilations', 'embedded_per_second', 'crc32', 'files'


class Made(NamedTuple):
  """An experiment, and all that parts of it may be exchanged with.

  Each is a folder with the experiment in `w`, people's in `asked`.

  Attributes:
    live: where programs run; a copy of one of the others is put there.
    flags: of the run.
    finished: as it ended.
    unfinished: as a kill left it, amid a round.
    before: earlier copies of the finished one, the oldest first.
    until: how many of them are earlier than the kill.
    same: of the same config.
    other: of another config.
    strategies: of the runs.
    seeds: of the runs.
  """

  live: pathlib.Path
  flags: Sequence[str]
  finished: pathlib.Path
  unfinished: pathlib.Path
  before: Sequence[pathlib.Path]
  until: int
  same: pathlib.Path
  other: pathlib.Path
  strategies: Sequence[str]
  seeds: Sequence[int]

  def resume(self) -> None:
    """Runs the program in `live`; where it ends to wait, people answer."""
    with people_who_answer():
      for _ in range(20):
        try:
          return programs.call(run, *self.flags, '--resume')
        except SystemExit as e:
          if e.code != run.WAITING:
            raise
        # Questions of a seed that is done, which may be damaged, are past.
        seed = layout.waiting(self.live / 'w')['seed']
        answer(self.live / 'asked' / f'seed{seed}', 0)
    raise AssertionError('it waits, whatever is answered.')

  def put(self, tree: pathlib.Path) -> pathlib.Path:
    """Copies one of the folders to `live`."""
    shutil.rmtree(self.live, ignore_errors=True)
    shutil.copytree(tree, self.live)
    return self.live


@contextlib.contextmanager
def people_who_answer():
  """Whoever is asked answers at once, but for some that are late."""
  def make(tuples, modalities, shown, **config):
    del tuples, modalities
    return files.files(shown=shown(), **config, sleep=functools.partial(
        answer, pathlib.Path(config['folder']), late=True))

  with mock.patch.dict(registry.ORACLES, files=make):
    yield


def answer(
    folder: pathlib.Path, seconds: float, most: int = 100, late: bool = False
) -> None:
  """Answers open queries by the item of the same number, in one new file.

  Args:
    folder: of the questions.
    seconds: in place of which this is done.
    most: how many of them.
    late: whether those about some items are left until the next round.
  """
  del seconds
  answers = folder / 'answers'
  given = ''.join(path.read_text('utf-8', 'replace')
                  for path in sorted(answers.glob('*.jsonl')))
  asked = rounds.asked(folder)
  lines = []
  for query, name in asked.items():
    number = int(query.rpartition('-')[2])
    if f'"{query}"' not in given and (
        number % 4 or name < max(asked.values()) or not late):
      lines.append(json.dumps(
          {'query': query, 'answer': number, 'annotator': 'ann',
           'confirmed': True}) + '\n')
  if lines:
    number = len(list(answers.glob('*')))
    while (answers / f'{number}.jsonl').exists():
      number += 1
    durable.write(answers / f'{number}.jsonl', ''.join(lines[:most]))


def make(
    home: pathlib.Path, flags: Sequence[str], strategies: Sequence[str],
    seeds: Sequence[int], killed: tuple[str, int], others: Sequence[str],
) -> Made:
  """Runs everything.

  Args:
    home: empty folder.
    flags: of the experiment.
    strategies: of the runs.
    seeds: of the runs.
    killed: run, as `mmal-seed0`, and round whose records were written, but not
      its state.
    others: flags of the experiment of another config.
  """
  live = home / 'live'
  flags = [*flags, f'--strategies={",".join(strategies)}',
           f'--seeds={",".join(map(str, seeds))}', f'--workdir={live / "w"}',
           f'--cache_dir={home / "cache"}']
  before: list[pathlib.Path] = []
  unfinished: list[tuple[pathlib.Path, int]] = []
  save = newest.Checkpoints.save

  def copy():
    number = len(before) + len(unfinished)
    before.append(home / f'before{number:02d}')
    shutil.copytree(live, before[-1])

  def copied(kept, step, tree):
    kept.wait()
    copy()
    if (kept._folder.name, step) == killed:  # pylint: disable=protected-access
      unfinished.append((before.pop(), len(before)))
    save(kept, step, tree)

  def call(into, *more):
    shutil.rmtree(live, ignore_errors=True)
    live.mkdir()
    programs.call(run, *flags, *more)
    shutil.copytree(live, home / into)

  with people_who_answer():
    call('same')
    call('other', *others)
    with mock.patch.object(newest.Checkpoints, 'save', copied):
      call('finished')
  (tree, until), = unfinished
  return Made(live, flags, home / 'finished', tree, before, until,
              home / 'same', home / 'other', strategies, seeds)


def features(home: pathlib.Path, *more: str) -> list[str]:
  """Flags of a small experiment on noisy features, which it makes."""
  (home / 'data').mkdir(parents=True)
  rng = np.random.default_rng(5)
  pairs = tiny.feature_pairs(48, 5)
  for name, values in pairs.items.items():
    np.save(home / 'data' / f'{name}.npy', (
        values + 2 * rng.normal(size=values.shape)).astype(np.float32))
  return [*programs.features(home / 'data'), '--batch=5', '--rounds=3',
          '--config.train.learner=closed_form', *more]


def asking(home: pathlib.Path) -> list[str]:
  """Flags of one that asks people."""
  return features(
      home, '--oracle=files', f'--config.oracle.folder={home}/live/asked',
      '--config.oracle.wait_seconds=1e6', '--config.oracle.enough=0.2')


def make_waiting(home: pathlib.Path) -> Made:
  """One that waits for people, who have answered a part of a round."""
  live, seeds = home / 'live', (0, 1)
  flags = [*features(home, '--rounds=2', '--oracle=files'),
           f'--config.oracle.folder={live}/asked', '--strategies=mmal',
           '--seeds=0,1', f'--workdir={live / "w"}',
           f'--cache_dir={home / "cache"}']
  trees = {name: home / name for name in ('waiting', 'before', 'finished',
                                          'same', 'other')}
  made = Made(live, flags, trees['finished'], trees['waiting'],
              [trees['before']], 1, trees['same'], trees['other'], ('mmal',),
              seeds)

  def until_it_waits(*more):
    with people_who_answer(), programs.ends(run.WAITING):
      programs.call(run, *flags, '--resume', *more)

  def begin(*more):
    shutil.rmtree(live, ignore_errors=True)
    until_it_waits(*more)
    while not (live / 'asked' / 'seed1' / 'pools.json').exists():
      answer(live / 'asked' / 'seed0', 0)
      until_it_waits(*more)

  for name, more in (('other', ['--batch=4']), ('same', [])):
    begin(*more)
    made._replace(flags=[*flags, *more]).resume()
    shutil.copytree(live, trees[name])
  begin()
  shutil.copytree(live, trees['before'])
  answer(live / 'asked' / 'seed1', 0, most=3)
  until_it_waits()
  ledger = live / 'asked' / 'seed1' / 'ledger.jsonl'
  assert len(ledger.read_text().splitlines()) == 3
  shutil.copytree(live, trees['waiting'])
  made.resume()
  shutil.copytree(live, trees['finished'])
  return made


def pretrained(home: pathlib.Path) -> list[str]:
  """Flags of one that starts from a checkpoint, which it makes."""
  for name in ('published', 'photos'):
    (home / name).mkdir()
  published_files.publish(
      torch_models.siglip(vocab=300), home / 'published',
      'SiglipImageProcessor')
  published_files.photos(home / 'photos')
  return [f'--config={programs.CONFIGS}/pretrained.py:paired_folder',
          f'--init={home / "published"}',
          f'--config.dataset.folder={home / "photos"}', '--batch=4',
          '--config.train.steps_per_round=2', '--config.train.batch_size=8',
          '--config.train.learner=gradient', '--config.train.peak_lr=0.01',
          '--rounds=2']


def results(root: pathlib.Path) -> dict[str, Any]:
  """All that a finished experiment comes to, by the file that says it."""
  folder = root / 'w'
  found: dict[str, Any] = {}
  for name in (layout.METRICS, layout.QUERIES, layout.WHOLE_POOL):
    found[name] = sorted(
        (json.dumps(comparable(line), sort_keys=True)
         for line in layout.read_lines(folder / name)))
  # A run that was resumed may say it twice.
  found[layout.CALIBRATION] = {
      json.dumps(comparable(line), sort_keys=True)
      for line in layout.read_lines(folder / layout.CALIBRATION)}
  for name in (layout.CONFIG, layout.ITEMS, layout.SUMMARY):
    found[name] = comparable(json.loads((folder / name).read_text()))
  for path in (folder / layout.JOURNALS).glob('*.journal'):
    found[f'{layout.JOURNALS}/{path.name}'] = journal_lib.read(path)
  for path in (folder / layout.MATCHES).glob('*-seed*/*'):
    if 'damaged' not in path.parent.name:
      found[f'{layout.MATCHES}/{path.parent.name}/{path.name}'] = (
          path.read_bytes())
  for path in (folder / layout.STATES).glob('*-seed*'):
    last = max(int(p.name) for p in path.iterdir() if p.name.isdecimal())
    found[f'{layout.STATES}/{path.name}'] = last, _values(path / str(last))
  for path in (folder / layout.MODELS).glob('*-seed*'):
    if path.is_dir() and 'damaged' not in path.name:
      found[f'{layout.MODELS}/{path.name}'] = _values(path)
  return found


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
  """The first file in which two results differ; '' if none does."""
  return next((name for name in sorted({*one, *other})
               if one.get(name) != other.get(name)), '')


def comparable(fields: dict[str, Any]) -> dict[str, Any]:
  """Without what every run has of its own."""
  return {key: value for key, value in fields.items() if key not in _OF_ONE_RUN}


def _values(path: pathlib.Path) -> dict[str, bytes]:
  from orbax.checkpoint import v1 as ocp  # pylint: disable=g-import-not-at-top
  return {name: np.asarray(value).tobytes()
          for name, value in packed.unpack(ocp.load(path)).items()}


def outputs(folder: pathlib.Path) -> dict[str, bytes]:
  """The files that a program wrote, but for pictures."""
  return {str(path.relative_to(folder)): path.read_bytes()
          for path in sorted(folder.rglob('*'))
          if path.is_file() and path.suffix != '.png'}


Program = Callable[[], None]
