"""What runs, and people that they ask, leave in their folders: the smallest."""

import json
import pathlib
import re
import zlib

import numpy as np

from experiments.configs import colorswap
from mmal_jax.checkpoint import newest
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files as people_lib
from mmal_jax.workdir import layout as workdir_lib
from tests.support import people

MODALITIES = ('image', 'text')
RUN = {'strategy': 'mmal', 'seed': 0}
CONFIG = {'strategies': ['mmal'], 'seeds': [0], 'rounds': 2, 'batch': 2,
          'train': {'shift': 0}, 'costs': {'budget': None}}
TREE = {'a': np.zeros(3, np.float32)}


def config(folder: pathlib.Path) -> None:
  """The default config, as a run writes it."""
  workdir_lib.write(
      folder / workdir_lib.CONFIG, colorswap.get_config().to_dict())


def silent(modality, numbers, suggest=None):
  """An oracle that never answers."""
  del modality, suggest
  return np.full((len(numbers), 2), oracle_lib.NONE, np.int32)


def journal(folder: pathlib.Path) -> None:
  """Two calls of two rounds."""
  def answers(modality, numbers, suggest=None):
    del modality, suggest
    return np.stack([numbers, numbers + 5], 1).astype(np.int32)

  made = journal_lib.Journal(folder / 'a.journal', answers, MODALITIES)
  for at in range(2):
    made.begin(at)
    made('image', np.array([2 * at, 2 * at + 1], np.int32))


def is_sealed(prefix: str) -> bool:
  """Whether a line's beginning is the CRC of the journal."""
  return bool(re.fullmatch('[0-9a-f]{8} ', prefix))


def seal(text: str) -> str:
  """What stands before a line of the journal."""
  return f'{zlib.crc32(text.encode("utf-8", "surrogatepass")):08x} '


def journal_line(**changes) -> str:
  """A line whose CRC is right, whatever it says."""
  text = json.dumps({
      'call': 0, 'round': 0, 'modality': 'image', 'numbers': [0, 1],
      'answers': [[0, 5], [1, 6]]} | changes)
  return f'{seal(text)}{text}\n'


def metrics(at: int) -> dict:
  """A record of `metrics.jsonl`."""
  return RUN | {'round': at, 'annotations': 2 * at, 'cost': 2.0 * at,
                'aligned': at, 'scores': {'text': 10.0 * at, 'image': 5.0},
                'seconds': 1.0}


def queries(at: int) -> dict:
  """A record of `queries.jsonl`."""
  return RUN | {'round': at, 'asked': [['image', 3 * at], ['text', 1]],
                'answers': [[3 * at, 1], [0, 1]]}


def workdir(folder: pathlib.Path) -> None:
  """A finished experiment of two rounds."""
  (folder / workdir_lib.CONFIG).write_text(json.dumps(CONFIG))
  (folder / workdir_lib.METRICS).write_text(''.join(
      json.dumps(metrics(at)) + '\n' for at in range(3)))
  (folder / workdir_lib.QUERIES).write_text(''.join(
      json.dumps(queries(at)) + '\n' for at in (1, 2)))
  (folder / workdir_lib.SUMMARY).write_text('{}')


def sweep(folder: pathlib.Path) -> None:
  """A sweep of one cell."""
  cell = folder / 'cells' / 'mmal-train.shift=0-seed0'
  cell.mkdir(parents=True)
  workdir(cell)
  (folder / 'sweep.json').write_text(json.dumps({
      'strategies': ['mmal'], 'seeds': [0], 'set': {'train.shift': ['0']},
      'config': {key: value for key, value in CONFIG.items()
                 if key not in ('strategies', 'seeds')}}))


def states(folder: pathlib.Path) -> None:
  """A checkpoint."""
  kept = newest.Checkpoints(folder)
  kept.save(1, TREE)
  kept.wait()


def tabled(folder: pathlib.Path) -> None:
  """As `answered`, and an answer in a table by one of two names."""
  answered(folder)
  (folder / 'answers' / 'b.json').unlink()
  (folder / 'answers' / 'c.csv').write_text(
      'query;answer;annotator;reason\nimage-1;3;Bob;\nimage-1;3.0;7;"a;b"\n')
  (folder / 'annotators.jsonl').write_text('{"names": ["bob", 7]}\n')


def answered(folder: pathlib.Path) -> None:
  """Two queries: one is in the ledger, the other's answer in `answers`."""
  oracle = people_lib.files(folder, people.shown(), enough=0.5)
  try:
    people.asks(oracle, [0, 1])
  except oracle_lib.Waiting:
    pass
  people.give(folder, 'a.jsonl', people.line('image-0', 4, reason='clear'))
  people.asks(oracle, [0, 1])
  people.give(folder, 'a.jsonl', people.line('image-0', 4, reason='clear'))
  pools = json.loads((folder / 'round_001/tasks.json').read_text())[
      0]['data']['pools']
  (folder / 'answers' / 'b.json').write_text(json.dumps([{
      'id': 1, 'data': {'query': 'image-1', 'pools': pools},
      'annotations': [{
          'id': 7, 'completed_by': {'id': 1, 'email': 'a@b.c'},
          'was_cancelled': False, 'result': [
              {'from_name': 'choice_text', 'type': 'choices',
               'value': {'choices': ['none of these']}},
              {'from_name': 'number_text', 'type': 'number',
               'value': {'number': 3}}]}]}]))
