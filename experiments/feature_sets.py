"""The same comparison on every feature set of a folder, and one table of all.

Example:

  python -m experiments.feature_sets --sets=DIR --workdir=runs/sets

Every `.npz` of the folder is a set: arrays `image` and `text` of one row an
item, further modalities by their names, and `split`, `train` or `test` for each
row. The same command again goes on where it was stopped.
"""

from collections.abc import Sequence
import pathlib
import sys
from typing import Any
import zipfile

from absl import flags
import numpy as np

from experiments import common_flags
from experiments import program
from experiments import run as run_lib
from experiments.configs import features
from mmal_jax.analysis import calibrated
from mmal_jax.analysis import records
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.data.images import image_listing
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import check as check_lib
from mmal_jax.experiment import datasets
from mmal_jax.files import downloads
from mmal_jax.files import numpy_file
from mmal_jax.files import plain_text
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import lines as lines_lib

_WORKDIR, _CACHE_DIR = common_flags.take('workdir', 'cache_dir')
_SETS = common_flags.define_path('sets', None, 'Folder of .npz files.')
_NAMES = flags.DEFINE_list(
    'names', None, 'Of the sets to take. Default: all.')
_STRATEGIES = flags.DEFINE_list(
    'of', ['random', 'mmal', 'mmal_plus'], 'Strategies to compare.')
_NUM_SEEDS = flags.DEFINE_integer(
    'num_seeds', 20, 'Seeds, from 0 on.', lower_bound=1)
_NUM_ROUNDS = flags.DEFINE_integer(
    'num_rounds', 6, 'Rounds of queries.', lower_bound=1)
_SHARE = flags.DEFINE_float(
    'share', 0.05, 'Queries of a round, as a share of the pool.',
    lower_bound=0.0, upper_bound=1.0)
_LEARNER = flags.DEFINE_string(
    'learner', 'closed_form', 'Who learns: train.learner of the config.')
_WORLD = flags.DEFINE_bool(
    'world', True, 'Whether the closed form learns from a closed world.')
_MATCH = flags.DEFINE_bool(
    'match', False, 'Match what remains after the last round, and tell how true'
    ' the stated probabilities are.')


# Flags of `experiments.run`, and what stands for them here.
_MINE = {
    'strategies': 'of', 'seeds': 'num_seeds', 'rounds': 'num_rounds',
    'batch': 'share', 'budget': 'share', 'config': None, 'init': None,
    'model': None, 'oracle': None, 'resume': None, 'overwrite': None,
    'states': None, 'show_config': None}


def config_of(path: pathlib.Path) -> Any:
  """The config of one set; ValueError, naming it, for arrays that lack."""
  wrong = downloads.wrong(path) or downloads.archive(path, is_zip=True)
  if wrong is not None:
    raise ValueError(f'{path} {wrong}.')
  try:
    with zipfile.ZipFile(path) as archive:
      names = [name.removesuffix('.npy') for name in archive.namelist()]
  except (zipfile.BadZipFile, OSError, EOFError) as e:
    raise ValueError(
        f'{path} is no .npz file, or a damaged one: np.savez writes them.'
    ) from e
  missing = [m for m in ('image', 'text', 'split') if m not in names]
  if missing:
    raise ValueError(f'{path} has no array {missing[0]!r}; it holds '
                     f'{plain_text.for_terminal(", ".join(names)) or "none"}.')
  others = [m for m in names if m not in ('image', 'text', 'split')]
  try:
    split = numpy_file.read(path, 'split')
    if split.dtype.kind == 'S':
      split = np.char.decode(split, 'utf-8')
    pool = int(np.sum(split == 'train'))
  except Exception as e:  # `zipfile` and NumPy raise a dozen kinds
    raise ValueError(f'{path}: its array split cannot be read: '
                     f'{e or type(e).__name__}.') from e
  config = features.get_config(','.join(others))
  for key in ('images', 'texts', 'split'):
    config.dataset[key] = str(path)
  for m in others:
    config.dataset.others[m] = str(path)
  config.train.learner = _LEARNER.value
  config.closed_form.world = _WORLD.value
  if not _MATCH.value:
    config.matches = None
  config.strategies = tuple(_STRATEGIES.value)
  config.seeds = tuple(range(_NUM_SEEDS.value))
  config.rounds = _NUM_ROUNDS.value
  config.batch = max(1, round(_SHARE.value * pool))
  check_lib.check(config)
  return config


def rows_of(name: str, folder: pathlib.Path) -> tuple[list[list[str]], str]:
  """The table's rows of one finished set, and a table of its curves."""
  found = records.read([folder])
  grid, scores, _ = records.curves(found, 'annotations')
  metrics = tuple(next(iter(scores.values())))
  m = evaluate.headline(metrics)
  summary = summary_lib.summarise(grid, scores, m)
  rows = []
  for strategy, entry in summary['strategies'].items():
    final, saving = entry['final'][m], entry.get('saving')
    row = [name, strategy, summary_lib.pm(entry['zero_shot'][m]),
           f'{grid[-1]:.0f}', summary_lib.pm(final)]
    if strategy == summary_lib.BASELINE or saving is None:
      rows.append(row + ['-'] * 5)
      continue
    area, end = (entry[key][m] for key in (
        'mean_score_minus_baseline', 'minus_baseline'))
    per_seed = saving['per_seed'][np.isfinite(saving['per_seed'])]
    rows.append(row + [
        summary_lib.pm(end, '+'), summary_lib.pm(area, '+'),
        tables.p_value(area['p_paired_t']),
        '-' if np.isnan(saving['percent']) else f'{saving["percent"]:.0f} %',
        f'{np.median(per_seed):.0f} % ({len(per_seed)} of '
        f'{len(saving["per_seed"])})' if len(per_seed) else 'no seed'])
  whole = lines_lib.whole_pool(folder / workdir_lib.WHOLE_POOL)
  if whole:
    values = summary_lib.cell(np.array([r['scores'][m] for r in whole]))
    rows.append([name, 'whole pool', '-', str(whole[0]['aligned']),
                 summary_lib.pm(values), *['-'] * 5])
  return rows, tables.curve_table(summary)


_HEADER = ['set', 'strategy', 'zero-shot', 'answers', 'mean_r10',
           'at the end - random\'s', 'mean over the curve - random\'s', 'p',
           'saved', 'median over seeds that get there']


def _refuse_others() -> None:
  """Refuses flags of `experiments.run`, which is imported, but not asked."""
  for name, mine in _MINE.items():
    if flags.FLAGS[name].present:
      raise ValueError(f'--{name} is not for feature sets'
                       + (f': use --{mine}.' if mine else '.'))


def _work() -> str:
  _refuse_others()
  if _SETS.value is None:
    raise ValueError('give --sets, a folder of .npz files.')
  paths = sorted(
      path for path in pathlib.Path(_SETS.value).glob('*')
      if path.suffix.lower() == '.npz'
      and not image_listing.is_of_a_system(path.name))
  unknown = set(_NAMES.value or ()) - {path.stem for path in paths}
  if unknown:
    there = plain_text.for_terminal(', '.join(path.stem for path in paths))
    raise ValueError(
        f'names={",".join(_NAMES.value)!r}: {_SETS.value!r} holds no '
        f'{min(unknown)}.npz; it holds {there or "none"}.')
  if _NAMES.value:
    paths = [path for path in paths if path.stem in _NAMES.value]
  if not paths:
    raise ValueError(f'sets={_SETS.value!r} holds no .npz file to take.')
  configs = {path: config_of(path) for path in paths}
  for path, config in configs.items():  # Before the first one is run.
    try:
      datasets.load_raw(config, _CACHE_DIR.value)
    except (ValueError, TypeError) as e:
      raise ValueError(f'{path}: {e}') from e
  rows, legend = [_HEADER], tables.legend(_NUM_SEEDS.value)
  for path, config in configs.items():
    folder = pathlib.Path(_WORKDIR.value) / path.stem
    run_lib.run(
        config, folder, _CACHE_DIR.value, resume=True,
        notify=lambda line: program.say(line, sys.stderr))
    mine, curves = rows_of(path.stem, folder)
    rows += mine
    parts = [tables.printed([_HEADER, *mine]), legend, curves, legend]
    if _MATCH.value:
      parts.append(calibrated.table(records.read([folder])))
    program.say('\n\n'.join(parts))
  return f'{tables.printed(rows)}\n\n{legend}'


def main(argv: Sequence[str]) -> None:
  program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
