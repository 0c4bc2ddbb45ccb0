"""The folder of one experiment: what lies there, and who may write to it."""

import os
import pathlib
from typing import Any, NamedTuple

from absl import logging
from etils import epath

from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.config import paths
from mmal_jax.data.images import image_listing
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import lock
from mmal_jax.files import plain_text
from mmal_jax.workdir import checksums
from mmal_jax.workdir import json_files
from mmal_jax.workdir import records_file
from mmal_jax.workdir import same_config
from mmal_jax.workdir import states as states_lib

# All that an experiment writes, and so all that `--overwrite` may remove.
CONFIG = checksums.CONFIG
ITEMS = 'items.json'
PROVENANCE = records_file.PROVENANCE
TOKENIZER = 'tokenizer.json'
PRETRAINED = 'pretrained'
METRICS = 'metrics.jsonl'
QUERIES = 'queries.jsonl'
WHOLE_POOL = 'whole_pool.jsonl'
SUMMARY = 'summary.json'
CURVES = 'curves.png'
JOURNALS = 'journals'
STATES = states_lib.FOLDER
MODELS = 'models'
MATCHES = 'matches'
LOGS = 'logs'  # For programs that show a run as it goes on.
CALIBRATION = 'calibration.jsonl'
WAITING = 'waiting.json'  # The queries for which a run waits.
PROFILE = 'profile'  # Traces of rounds, which are no results.
_OURS = (CONFIG, ITEMS, PROVENANCE, TOKENIZER, PRETRAINED, METRICS, QUERIES,
         WHOLE_POOL, SUMMARY, CURVES, JOURNALS, STATES, MODELS, MATCHES,
         CALIBRATION, WAITING, LOGS, PROFILE, lock.NAME)
MAY_CHANGE = same_config.MAY_CHANGE
_DRAFTS = tuple(f'.{name}.draft' for name in _OURS)  # where a crash left them
_CLEARED = f'.{CONFIG}.draft'  # While a folder is cleared, there is one.

read_lines = records_file.read
read, write = json_files.read, json_files.write
states_of = states_lib.states_of


def check(
    path: str | os.PathLike[str], *, overwrite: bool, resume: bool
) -> None:
  """Makes sure of a folder that can be written and holds nothing to lose.

  It is made if there is none; nothing in it is touched.

  Raises:
    ValueError: if it is in use and neither `overwrite` nor `resume` is given,
      if both are, or if it cannot be made.
  """
  if overwrite and resume:
    raise ValueError('--overwrite and --resume: give one of the two.')
  if '://' in str(path):
    raise ValueError(f'workdir={str(path)!r} must be a local folder.')
  path = pathlib.Path(path)
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise ValueError(f'workdir={str(path)!r} cannot be made: {e}.') from e
  if not os.access(path, os.W_OK):
    raise ValueError(f'workdir={str(path)!r} cannot be written to.')
  present = sorted(p.name for p in path.iterdir())
  foreign = [name for name in present if name not in (*_OURS, *_DRAFTS)
             and not image_listing.is_of_a_system(name)]
  if foreign:
    raise ValueError(
        f'workdir={str(path)!r} is not empty: it holds {foreign[:3]}, which no '
        'experiment wrote; choose another.')
  if not (overwrite or resume) and set(present) - {lock.NAME} and not all(
      map(image_listing.is_of_a_system, set(present) - {lock.NAME})):
    raise ValueError(
        f'workdir={str(path)!r} is not empty: give --resume to continue the '
        'experiment there, --overwrite to replace it, or choose another.')


class Begun(NamedTuple):
  """An experiment that can be gone on with.

  Attributes:
    moved: dotted keys of the paths to data and checkpoint that are others now.
      What lies there must be the same (`identity.check`).
  """

  moved: list[str]


def batch_of(path: str | os.PathLike[str]) -> int | None:
  """The batch of the begun experiment in a folder, if there is one."""
  config = pathlib.Path(path) / CONFIG
  return read(config).get('batch') if config.exists() else None


def resume(
    path: str | os.PathLike[str], config: dict[str, Any]
) -> Begun | None:
  """The begun experiment in a folder that `check` has passed, if there is one.

  Raises:
    ValueError: if it is one of another config, saying in what; or if it has
      none, but answers or other results.
  """
  path = pathlib.Path(path) / CONFIG
  if not path.exists():
    # Written once there is a config.
    left = [name for name in (JOURNALS, METRICS, QUERIES, STATES, MODELS,
                              MATCHES, SUMMARY) if _has(path.parent / name)]
    if left and not (path.parent / _CLEARED).exists():
      what = 'answers' if left[0] == JOURNALS else 'results'
      raise ValueError(
          f'workdir={str(path.parent)!r} holds {what}, in {left[0]}, but no '
          f'{CONFIG} that says of what: put it back, choose another folder, or '
          'give --overwrite to lose them.')
    return None
  now, there = same_config.as_read(config), config_lib.completed(read(path))
  different = same_config.lines(there, now)
  if different:
    raise ValueError('\n'.join([
        f'workdir={str(path.parent)!r} holds another experiment; choose another'
        ' folder, give --overwrite to replace it, or undo:', *different]))
  states = differences.value(now, paths.STATES)
  if states is not None and (path.parent / METRICS).exists() and (
      not epath.Path(states).exists()):
    raise ValueError(
        f'states={states!r} does not exist, but the run has saved states there:'
        ' say where they lie now (--states), or make that folder, empty, to '
        'compute all rounds again with the answers in the journals.')
  return Begun(same_config.moved(there, now, path.parent))


def _has(path: pathlib.Path) -> bool:
  """Whether a file has a whole line, or a run has left anything in a folder."""
  if not path.is_dir():
    return bool(durable.whole_lines(path))
  # `--states` may name the folder for states in the workdir.
  return any(entry.name not in (lock.NAME, states_lib.RECORD)
             and not image_listing.is_of_a_system(entry.name)
             for entry in path.iterdir())


def is_same(folder: pathlib.Path, config: dict[str, Any]) -> bool:
  """Whether an experiment was begun with this config, value by value."""
  there, now = config_lib.completed(
      read(folder / CONFIG)), same_config.as_read(config)
  return not differences.keys(there, now)


def claim(path: str | os.PathLike[str]) -> pathlib.Path:
  """Clears a folder that `check` has passed of an earlier experiment."""
  path = pathlib.Path(path)
  if (path / CONFIG).exists():
    # From here on there is no experiment to resume, whatever is still there.
    os.replace(path / CONFIG, path / _CLEARED)
    durable.sync_folder(path)
  for name in sorted({*_OURS, *_DRAFTS} - {lock.NAME, _CLEARED}) + [_CLEARED]:
    durable.remove(path / name)
  return path


def waiting(folder: pathlib.Path) -> dict[str, Any]:
  """The queries for which a run waits, and its seed; empty if it does not.

  What is damaged is of no use, and no loss: the run finds it out again.
  """
  try:
    return read(folder / WAITING)
  except FileNotFoundError:
    return {}
  except ValueError as e:
    logging.warning('%s It is not used.', e)
    return {}


def journal_path(
    folder: pathlib.Path, strategy: str, seed: int
) -> pathlib.Path:
  """Where the answers of a run are kept."""
  return folder / JOURNALS / f'{strategy}-seed{seed}.journal'


def has_begun(folder: pathlib.Path, seed: int) -> bool:
  """Whether a run of a seed has been evaluated before its first questions."""
  return has_rounds(folder, {'seed': seed}, least=0)


def has_rounds(
    folder: pathlib.Path, run: dict[str, Any], least: int = 1
) -> bool:
  """Whether a round from `least` on is recorded of a run.

  Args:
    folder: of the experiment.
    run: the fields that its records have in common.
    least: number of a round.
  """
  path = folder / METRICS
  return path.exists() and any(
      run.items() <= record.items() and isinstance(record.get('round'), int)
      and record['round'] >= least for record in read_lines(path))


def claim_states(path: str, folder: pathlib.Path) -> None:
  """Makes sure of a folder elsewhere for states, with nothing in it to lose.

  Args:
    path: any that `etils.epath` takes. It is cleared of states of the
      experiment that is replaced.
    folder: of the experiment.

  Raises:
    ValueError: if there is anything else.
  """
  foreign, runs = states_lib.foreign_in(path), states_lib.runs_in(path)
  there = states_lib.read(path)
  if there is not None:
    mine = there['experiment'] == records_file.experiment_in(folder) and (
        states_lib.user_besides(path, folder) is None)
  else:
    mine = not runs or (folder / CONFIG).exists() and (
        read(folder / CONFIG).get('states') == path) and (
            states_lib.sealed_of(path) <= {records_file.experiment_in(folder)})
  if foreign or not mine:
    whose = '' if there is None else f' but of that in {there["workdir"]!r}'
    raise ValueError(
        f'states={path!r} is not empty: it holds '
        f'{(foreign or runs or [states_lib.RECORD])[:3]}, not of the experiment'
        f' in {str(folder)!r}{whose}. It is left as it is: choose another '
        'folder.')
  states_lib.clear(path)


def state_path(
    folder: pathlib.Path, strategy: str, seed: int, states: str | None = None
) -> epath.Path:
  """Where the last states of a run are kept.

  Args:
    folder: of the experiment.
    strategy: of the run.
    seed: of the run.
    states: where those of the experiment lie, if not in its folder.
  """
  root = folder / STATES if states is None else states
  return epath.Path(root) / f'{strategy}-seed{seed}'


def model_path(
    folder: pathlib.Path, strategy: str, seed: int, mirror: str | None = None
) -> epath.Path:
  """Where the parameters that a run on a checkpoint ended with are kept.

  Args:
    folder: of the experiment.
    strategy: of the run.
    seed: of the run.
    mirror: of the experiment: as with states, several hosts write there.
  """
  root = folder if mirror is None else mirror
  return epath.Path(root) / MODELS / f'{strategy}-seed{seed}'


def runs_in(folder: pathlib.Path) -> str:
  """In words, the runs of an experiment of which anything is recorded."""
  path = folder / METRICS
  found = sorted({(str(record.get('strategy')), record.get('seed'))
                  for record in (read_lines(path) if path.exists() else ())},
                 key=str)
  return plain_text.for_terminal(', '.join(
      f'--strategy={strategy} --seed={seed}' for strategy, seed in found)
  ) or 'none'


def matches_path(
    folder: pathlib.Path, strategy: str, seed: int
) -> pathlib.Path:
  """Where the likeliest counterparts of what a run did not ask about lie."""
  return folder / MATCHES / f'{strategy}-seed{seed}'


def append(path: pathlib.Path, record: dict[str, Any]) -> None:
  """Adds a line to a JSON-lines file; it is on the disk when it returns.

  In the folder of an experiment it has a checksum (`lines.line`). With more
  records than it was finished with, one is finished no longer.
  """
  (path.parent / SUMMARY).unlink(missing_ok=True)
  durable.append(path, records_file.line(path, json_files.plain(record)))


def keep_until(
    folder: pathlib.Path, run: dict[str, Any], last: int
) -> list[dict[str, Any]]:
  """Drops what is recorded of a run's rounds after the `last`.

  Args:
    folder: of the experiment.
    run: the fields that distinguish its records from those of other runs.
    last: round, from 0 on; -1 for none at all.

  Returns:
    Its metrics that stay, a record a round.

  Raises:
    ValueError: if one is missing, or a line is damaged.
  """
  before = {METRICS: records_file.metrics(folder / METRICS),
            QUERIES: records_file.queries(folder / QUERIES)}
  for name, lines in before.items():
    kept = [line for line in lines
            if line['round'] <= last or not run.items() <= line.items()]
    if len(kept) < len(lines):
      (folder / SUMMARY).unlink(missing_ok=True)
      durable.write(folder / name, ''.join(
          records_file.line(folder / name, line) for line in kept))
  stay = {name: [line for line in lines
                 if line['round'] <= last and run.items() <= line.items()]
          for name, lines in before.items()}
  for name, first in ((METRICS, 0), (QUERIES, 1)):
    rounds = [line['round'] for line in stay[name]]
    if rounds != list(range(first, last + 1)):
      raise ValueError(
          f'{folder / name} lacks rounds of '
          f'{", ".join(f"{key} {value}" for key, value in run.items())}: it '
          f'holds {json_object.quote(rounds)} of {first} to {last}. Restore it '
          'from a copy of this very experiment; or move the states of this run '
          'away, to compute its rounds again with the answers in its journal.')
  return stay[METRICS]
