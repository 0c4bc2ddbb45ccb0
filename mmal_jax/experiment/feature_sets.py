"""The same comparison on every feature set of a folder, in one table."""

from collections.abc import Callable, Collection, Mapping, Sequence
import os
import pathlib
from typing import Any
import zipfile

import numpy as np

from mmal_jax.analysis import calibrated
from mmal_jax.analysis import records
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.data.images import image_listing
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import check as check_lib
from mmal_jax.experiment import datasets
from mmal_jax.experiment import run as run_lib
from mmal_jax.files import downloads
from mmal_jax.files import numpy_file
from mmal_jax.files import plain_text
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import lines as lines_lib

_HEADER = ['set', 'strategy', 'zero-shot', 'answers', 'mean_r10',
           'at the end - random\'s', 'mean over the curve - random\'s', 'p',
           'saved', 'median over seeds that get there']


def find(
    folder: str | os.PathLike[str], names: Collection[str] | None = None
) -> list[pathlib.Path]:
  """The `.npz` files of a folder, or those of the names given.

  Raises:
    ValueError: if there is none, or not all that are named.
  """
  paths = sorted(
      path for path in pathlib.Path(folder).glob('*')
      if path.suffix.lower() == '.npz'
      and not image_listing.is_of_a_system(path.name))
  unknown = set(names or ()) - {path.stem for path in paths}
  if unknown:
    there = plain_text.for_terminal(', '.join(path.stem for path in paths))
    raise ValueError(
        f'names={",".join(names)!r}: {os.fspath(folder)!r} holds no '
        f'{min(unknown)}.npz; it holds {there or "none"}.')
  if names:
    paths = [path for path in paths if path.stem in names]
  if not paths:
    raise ValueError(f'sets={os.fspath(folder)!r} holds no .npz file to take.')
  return paths


def config_of(
    path: pathlib.Path,
    get_config: Callable[[str], Any],
    *,
    strategies: Sequence[str],
    num_seeds: int,
    rounds: int,
    share: float,
    learner: str = 'closed_form',
    world: bool = True,
    match: bool = False,
) -> Any:
  """The config of one set.

  Args:
    path: of the `.npz`.
    get_config: that of features, of which the further modalities are given with
      commas between them.
    strategies: to compare.
    num_seeds: seeds, from 0 on.
    rounds: of queries.
    share: queries of a round, as a share of the pool.
    learner: `train.learner` of the config.
    world: whether the closed form learns from a closed world.
    match: whether what remains after the last round is matched.

  Raises:
    ValueError: naming the set, for arrays that lack or cannot be read.
  """
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
  config = get_config(','.join(others))
  for key in ('images', 'texts', 'split'):
    config.dataset[key] = str(path)
  for m in others:
    config.dataset.others[m] = str(path)
  config.train.learner = learner
  config.closed_form.world = world
  if not match:
    config.matches.k = 0
  config.strategies = tuple(strategies)
  config.seeds = tuple(range(num_seeds))
  config.rounds = rounds
  config.batch = max(1, round(share * pool))
  check_lib.check(config)
  return config


def _rows_of(name: str, folder: pathlib.Path) -> tuple[list[list[str]], str]:
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


def run(
    configs: Mapping[pathlib.Path, Any],
    workdir: str | os.PathLike[str],
    cache_dir: str,
    *,
    say: Callable[[str], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> str:
  """Runs all sets, each in a folder of its own; goes on where it was stopped.

  Args:
    configs: by path of the set, from `config_of`.
    workdir: of the folders.
    cache_dir: of warm starts.
    say: takes the tables of each set when it is finished.
    notify: takes lines for the user, about what is being done.

  Returns:
    One table of all sets.

  Raises:
    ValueError: naming the set that cannot be read, before the first is run.
  """
  for path, config in configs.items():
    try:
      datasets.load_raw(config, cache_dir)
    except (ValueError, TypeError) as e:
      raise ValueError(f'{path}: {e}') from e
  rows = [_HEADER]
  for path, config in configs.items():
    folder = pathlib.Path(workdir) / path.stem
    run_lib.run(config, folder, cache_dir, resume=True, notify=notify)
    legend = tables.legend(len(config.seeds))
    mine, curves = _rows_of(path.stem, folder)
    rows += mine
    parts = [tables.printed([_HEADER, *mine]), legend, curves, legend]
    if config.matches.k:
      parts.append(calibrated.table(records.read([folder])))
    if say is not None:
      say('\n\n'.join(parts))
  return f'{tables.printed(rows)}\n\n{legend}'
