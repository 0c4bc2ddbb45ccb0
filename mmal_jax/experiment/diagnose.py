"""Why a strategy won or lost: what kind of items it asked for.

In every seed one model judges all strategies: the one after round 1, which they
share, since all ask for the same random batch there. It is trained once more,
and has not seen what is asked from round 2 on.
Columns, over the queries of these later rounds:

  images   percentage of the queries that are images
  density  mean percentile, among all items left after round 1, of an item's
           mean similarity to its 10 nearest: low is rare, high is redundant
  margin   mean percentile of the margin between an item's two best matches
  twins    mean percentile of the similarity of these two with each other
  found    percentage with the counterpart (or its equal) among the 10 best
           matches: these the model knew already
"""

from collections.abc import Sequence
import pathlib

import numpy as np

from mmal_jax import observe
from mmal_jax.analysis import queries as queries_lib
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import earlier
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.workdir import finished
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import records_file

_MODALITIES = ('image', 'text')
_COLUMNS = ('images', 'density', 'margin', 'twins', 'found')


def diagnose(
    folder: pathlib.Path, cache_dir: str, moved: Sequence[str] = ()
) -> str:
  """The table of an experiment: means over seeds, and what ± is.

  Args:
    folder: of the experiment.
    cache_dir: of rendered datasets.
    moved: as for `earlier.of_folder`.
  """
  before = earlier.of_folder(folder, moved)
  settings = before.settings
  before.check_data()
  if (folder / workdir_lib.SUMMARY).exists():
    finished.check_records(folder)
  records = records_file.queries(folder / workdir_lib.QUERIES)
  expected = settings.rounds * len(settings.strategies) * len(settings.seeds)
  if settings.rounds < 2 or len(records) < expected:
    raise ValueError(
        f'workdir={str(folder)!r} holds {len(records)} of {expected} rounds; '
        'a finished experiment of at least two rounds a run is needed.')
  annotators = settings.annotators
  if annotators.buffer is not None or annotators.missing or (
      annotators.name not in oracles_lib.RIGHT or annotators.wrong
      or annotators.refuse):
    raise ValueError('only whole pools with nothing missing, whose queries '
                     'were all answered rightly, can be judged.')
  experiment = before.build(folder, cache_dir)
  if tuple(experiment.data.pool.items) != _MODALITIES:
    raise ValueError(f'the pools hold {tuple(experiment.data.pool.items)}; '
                     f'only {_MODALITIES} can be judged.')
  rows = {name: [] for name in ('all items', *settings.strategies)}
  for seed in settings.seeds:
    statistics, left = _judge(experiment, seed)
    rows['all items'].append(_describe(statistics, left))
    for strategy in settings.strategies:
      asked = {m: [] for m in _MODALITIES}
      for record in records:
        if (record['seed'], record['strategy']) == (seed, strategy) and (
            record['round'] > 1):
          for modality, number in record['asked']:
            asked[modality].append(number)
      if not any(asked.values()):
        raise ValueError(f'{strategy}, seed {seed}, asked about nothing after '
                         'round 1: there is nothing to describe.')
      rows[strategy].append(_describe(statistics, {
          m: np.array(indices, int) for m, indices in asked.items()}, left))
  table = tables.printed([['asked for by', *_COLUMNS]] + [
      [name] + [tables.mean([seen[c] for seen in of_seeds])
                for c in _COLUMNS] for name, of_seeds in rows.items()])
  return f'{table}\n\n{tables.legend(len(settings.seeds))}'


def _judge(
    experiment: build_lib.Experiment, seed: int
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
  """Statistics by modality, and the pool indices `[n]` that they belong to."""
  pools, hidden, oracle = build_lib.annotators_of(experiment, seed)
  rounds = build_lib.rounds(
      experiment, summary_lib.BASELINE, pools, oracle,
      build_lib.initial_state(experiment, pools.sizes, seed))
  next(rounds)  # zero-shot
  views = observe.make_views(
      next(rounds), experiment.learner, pools, pools.arrived(0))
  left = {m: np.flatnonzero(view.remaining) for m, view in views.items()}
  embeddings = {m: np.asarray(view.pool)[left[m]] for m, view in views.items()}
  statistics = {}
  for side, modality in enumerate(_MODALITIES):
    other = _MODALITIES[1 - side]
    pairs = hidden.tuples[np.argsort(hidden.tuples[:, side])]
    counterparts = pairs[left[modality], 1 - side]
    statistics[modality] = queries_lib.item_statistics(
        embeddings[modality], embeddings[other],
        # What was asked in round 1 has left with its counterparts.
        np.searchsorted(left[other], counterparts),
        pools.items[other].ids[left[other]])
  return statistics, left


def _describe(
    statistics: dict[str, dict[str, np.ndarray]],
    asked: dict[str, np.ndarray],
    left: dict[str, np.ndarray] | None = None,
) -> dict[str, float]:
  """A row of the table; each modality weighs as much as it was asked."""
  left = asked if left is None else left
  total = sum(map(len, asked.values()))
  row = dict.fromkeys(_COLUMNS, 0.0)
  row['images'] = 100 * len(asked['image']) / total
  for modality, indices in asked.items():
    if not len(indices):
      continue
    weight = len(indices) / total
    places = np.searchsorted(left[modality], indices)
    for name, values in statistics[modality].items():
      row[name] += weight * (
          100 * float(np.mean(values[places])) if name == 'found'
          else queries_lib.percentile(values, places))
  return row
