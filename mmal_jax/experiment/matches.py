"""What a run did not ask about: its likeliest counterparts, on disk.

`matches.jsonl` has a line for each item that remains, `pairs.jsonl` the pairs
that were answered and those that are likely enough, as `data.paired_folder`
reads them where items are images and texts in files. How true the stated
probabilities are is in `calibration.jsonl`, of runs whose pairing is
hidden and not unknown; nothing else is made of the hidden pairing.
"""

from collections.abc import Mapping, Sequence
import hashlib
import json
import pathlib
from typing import Any

from absl import logging
from etils import epath
import numpy as np

from mmal_jax import remaining_matches
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.data import encode
from mmal_jax.data.images import image_files
from mmal_jax.evaluate import calibration
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import gallery
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import seals
from mmal_jax.learn import learner as learner_lib
from mmal_jax.matching import pool as pool_lib
from mmal_jax.parallel import processes
from mmal_jax.pools import pools as pools_lib
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import provenance
from mmal_jax.workdir import records_file

MATCHES, PAIRS = 'matches.jsonl', 'pairs.jsonl'
PRECISIONS = (0.9, 0.99)

Found = Mapping[tuple[str, str], pool_lib.Matches]


def write(
    experiment: build_lib.Experiment,
    state: state_lib.RunState,
    pools: pools_lib.Pools,
    hidden: pools_lib.Hidden | None,
    strategy: str,
    seed: int,
    folder: pathlib.Path,
) -> None:
  """Matches what remains after a run's last round; once.

  Nothing is written where the config wants no counterparts, where the learner
  can hold no answers out, of a stream, and of too few answers. What was written
  is sealed; if it was damaged since, it is put aside, with a warning, and
  written again.

  Args:
    experiment: of the run.
    state: after the last round.
    pools: of the learner.
    hidden: what the annotators know.
    strategy: of the run.
    seed: of the run.
    folder: of the experiment.

  Raises:
    ValueError: if the matches that lie there are another run's.
  """
  wanted = experiment.settings.matches
  out = workdir_lib.matches_path(folder, strategy, seed)
  if (not wanted.k
      or experiment.settings.annotators.buffer is not None
      or not isinstance(experiment.learner, learner_lib.HoldsOut)
      or processes.from_primary(
          lambda: _is_written(folder, strategy, seed))):
    return
  if state.num_aligned < pool_lib.LEAST:
    logging.warning(
        '%s, seed %d: %d answers name counterparts, too few to match the rest.',
        strategy, seed, state.num_aligned)
    return
  found = find(experiment, state, pools, strategy, wanted.k)
  about = {'strategy': strategy, 'seed': seed,
           'annotations': state.annotations}

  def work():
    if hidden is not None:
      for record in calibration_records(found, hidden, pools, state.modalities):
        workdir_lib.append(folder / workdir_lib.CALIBRATION, about | record)
    out.parent.mkdir(exist_ok=True)
    save(experiment, state, pools, hidden, found, wanted.least_probability,
         out)
    seals.write(epath.Path(out), provenance.of_run(folder, strategy, seed),
                _calibrated(folder, strategy, seed))

  processes.from_primary(work)


def _is_written(folder: pathlib.Path, strategy: str, seed: int) -> bool:
  """Whether a run's matches are there as they were written."""
  out = epath.Path(workdir_lib.matches_path(folder, strategy, seed))
  if not out.exists():
    return False
  wrong = wrong_with(folder, strategy, seed)
  if wrong is not None:
    seals.quarantine(out, f'What was matched of {out.name}', wrong)
  return wrong is None


def wrong_with(folder: pathlib.Path, strategy: str, seed: int) -> str | None:
  """What is wrong with the matches of a run that are there; None if nothing is.

  Args:
    folder: of the experiment.
    strategy: of the run.
    seed: of the run.

  Raises:
    ValueError: if they are another run's.
  """
  return seals.wrong_with(
      epath.Path(workdir_lib.matches_path(folder, strategy, seed)),
      provenance.of_run(folder, strategy, seed),
      _calibrated(folder, strategy, seed), 'matches',
      'Put those of this very run there, or move them away: --resume writes '
      'them again.')


def _calibrated(
    folder: pathlib.Path, strategy: str, seed: int
) -> dict[str, str]:
  """By `CALIBRATION`, the digest of a run's records there; none of none."""
  found = {  # A run that was stopped may have written them twice.
      json.dumps(record['of']): record
      for record in records_file.calibration(folder / workdir_lib.CALIBRATION)
      if (record['strategy'], record['seed']) == (strategy, seed)}
  return {workdir_lib.CALIBRATION: hashlib.sha256(json.dumps(
      found, sort_keys=True).encode()).hexdigest()} if found else {}


def find(
    experiment: build_lib.Experiment,
    state: state_lib.RunState,
    pools: pools_lib.Pools,
    strategy: str,
    k: int,
    recall: float | None = None,
) -> Found:
  """What `remaining_matches.match` finds of a run's state."""
  return remaining_matches.match(
      state, experiment.learner, pools, k,
      chosen=not strategies_lib.find(strategy).uniform, recall=recall)


def save(
    experiment: build_lib.Experiment,
    state: state_lib.RunState,
    pools: pools_lib.Pools,
    hidden: pools_lib.Hidden | None,
    found: Found,
    least_probability: float,
    out: pathlib.Path,
) -> None:
  """Writes `MATCHES` and `PAIRS`.

  Args:
    experiment: of the run.
    state: of which `found` is.
    pools: of the learner.
    hidden: used only for which row of the data each item is.
    found: of `find`.
    least_probability: of the pairs.
    out: folder for both.
  """
  items = dict(experiment.load_seen().pool.items)
  shown = gallery.RawItems(items, {
      m: np.arange(len(x)) for m, x in items.items()}
                          if hidden is None else hidden.rows)
  out.mkdir(exist_ok=True)
  durable.write(out / MATCHES, json_lines.dump(
      record for couple, matches in found.items()
      for record in _records(shown, *couple, matches)))
  base = _base(experiment.settings.matches.image_folders, items)
  durable.write(out / PAIRS, json_lines.dump(  # The last: all is there.
      _pairs(state, found, shown, base, least_probability, pools)))


def _records(shown, modality, other, matches):
  """A line for each item."""
  for item, partners, probabilities, mutual in zip(*matches[:4]):
    yield {
        'modality': modality, 'item': int(item),
        'name': shown.text(modality, item), 'of': other,
        'counterparts': [
            {'item': int(j), 'name': shown.text(other, j),
             'probability': round(float(p), 4)}
            for j, p in zip(partners, probabilities) if j >= 0],
        'mutual': bool(mutual)}


def _base(
    folders: Sequence[pathlib.Path], items: Mapping[str, Any]
) -> pathlib.Path | None:
  """The folder of the images, where these are files of their own."""
  images = items.get('image')
  if not isinstance(images, image_files.ImageFiles) or not all(
      isinstance(path, pathlib.Path) for path in images.paths):
    return None
  for folder in folders:
    for base in (folder, folder.resolve()):  # Loaders follow a link to it.
      if all(path.is_relative_to(base) for path in images.paths):
        return base
  return None


def _pairs(state, found, shown, base, least_probability, pools):
  """What was answered, and what is likely enough; nothing twice."""
  there = set()
  for modality, other in found:
    a, b = map(state.modalities.index, (modality, other))
    if a > b:
      continue
    likely = pool_lib.pairs(
        found[modality, other], found[other, modality], least_probability)
    answered = state.aligned_rows[:, [a, b]]
    answered = answered[(answered >= 0).all(axis=1)]
    rows = np.concatenate([answered, likely.rows])
    stated = np.r_[np.ones(len(answered)), likely.probabilities]
    ids = [pools.items[m].ids for m in (modality, other)]
    for (i, j), p in zip(rows.tolist(), stated):
      key = modality, other, int(ids[0][i]), int(ids[1][j])
      if key in there:
        continue
      there.add(key)
      names = [shown.text(modality, i), shown.text(other, j)]
      if base is not None and modality == 'image':
        names[0] = pathlib.Path(names[0]).relative_to(base).as_posix()
      record = {modality: names[0], other: names[1]}
      # `paired_folder` knows no further column.
      yield record if base is not None else record | {
          'probability': round(float(p), 4)}


def calibration_records(
    found: Found,
    hidden: pools_lib.Hidden,
    pools: pools_lib.Pools,
    modalities: tuple[str, ...],
) -> list[dict[str, Any]]:
  """How true what was stated is, in which only the hidden pairing counts.

  Args:
    found: of `remaining_matches.match`.
    hidden: of the run.
    pools: of the run.
    modalities: their names, of the columns of the hidden tuples.

  Returns:
    For any two modalities: bins of the stated probabilities of each item's
    first counterpart and of pairs, how many pairs there are, and how
    many are at each of `PRECISIONS`.
  """
  records = []
  for modality, other in found:
    a, b = map(modalities.index, (modality, other))
    if a > b:
      continue
    ways = found[modality, other], found[other, modality]
    true = [_true(hidden.tuples[:, columns], pools.items[m], pools.items[n])
            for m, n, columns in (
                (modality, other, [a, b]), (other, modality, [b, a]))]
    ids = pools.items[other].ids, pools.items[modality].ids
    stated, right = [], []
    for way, of, of_ids in zip(ways, true, ids):
      stated.append(way.probabilities[:, 0])
      right.append(of_ids[way.counterparts[:, 0]] == of[way.items])
    pairs = pool_lib.pairs(*ways, 0.0)
    pair_right = ids[0][pairs.rows[:, 1]] == true[0][pairs.rows[:, 0]]
    records.append({
        'of': [modality, other],
        'items': _bins(np.concatenate(stated), np.concatenate(right)),
        'pairs': _bins(pairs.probabilities, pair_right),
        'to_be_had': int(np.sum(true[0][ways[0].items] >= 0)),
        'had': {str(p): calibration.had_at_precision(
            pairs.probabilities, pair_right, p) for p in PRECISIONS}})
  return records


def _true(tuples: np.ndarray, one: encode.Items, other: encode.Items):
  """`[n]`: what number the counterpart of each item has; -1 of none."""
  found = np.full(len(one), -1)
  both = tuples[(tuples >= 0).all(axis=1)]
  found[both[:, 0]] = other.ids[both[:, 1]]
  return found


def _bins(stated, right) -> dict[str, Any]:
  return calibration.bins(stated, right)._asdict()
