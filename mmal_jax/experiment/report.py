"""Tables and pictures of finished experiments, one or several together.

A strategy that was run under different settings is several strategies here,
distinguished by what differs. Only seeds that all of them were run with count;
what that leaves out is reported.
"""

from collections.abc import Callable, Sequence
import pathlib

from mmal_jax.analysis import calibrated
from mmal_jax.analysis import figures
from mmal_jax.analysis import map_2d
from mmal_jax.analysis import plot
from mmal_jax.analysis import records as records_lib
from mmal_jax.analysis import saved_answers
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.data.images import image_listing
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import gallery
from mmal_jax.experiment import report_page
from mmal_jax.experiment import shown_run
from mmal_jax.files import durable
from mmal_jax.files import plain_text
from mmal_jax.workdir import layout as workdir_lib

_REPORT, _PAGE = 'report.md', 'report.html'
_CALIBRATION = 'calibration.png'
MAPS = (map_2d.PCA, map_2d.UMAP, 'none')
_OURS = (_REPORT, _PAGE, 'summary.json', 'curves.png', 'modalities.png',
         'asked.md', 'asked.png', _CALIBRATION)
_DRAFTS = tuple(f'.{name}.draft' for name in _OURS)  # where a crash left them


def write(
    paths: Sequence[pathlib.Path],
    out: pathlib.Path,
    cache_dir: str,
    baseline: str = summary_lib.BASELINE,
    metric: str | None = None,
    x: str | None = None,
    asked: bool = True,
    show: str | None = None,
    show_seed: int | None = None,
    moved: Sequence[str] = (),
    map_by: str = map_2d.PCA,
    notify: Callable[[str], None] | None = None,
) -> str:
  """Writes the report; returns its main table.

  Args:
    paths: of experiments and sweeps, as for `records.read`.
    out: folder to write to; made if there is none.
    cache_dir: of rendered datasets.
    baseline: as for `records.baselines`.
    metric: to compare by; None for the data's own headline.
    x: `annotations` or `cost`; None for `cost` if answers of a run had one.
    asked: whether to show what was asked.
    show: a label; None for the first that is no baseline.
    show_seed: its seed; None for the first.
    moved: `KEY=PATH` each: where data of the run to show lie now.
    map_by: one of `MAPS`: how the map of the pool is made, or that none is.
    notify: takes lines for the user, about what is being done.

  Raises:
    ValueError: as `records.read` and `records.curves`, for a `baseline`,
      `metric`, `show` or `show_seed` that no run has (`random` may be missing),
      for another `map_by`, or if `out` holds what no report wrote.
    ImportError: if the map is to be made by a package that is missing.
  """
  if map_by not in MAPS:
    raise ValueError(f'map_by={map_by!r} is none of {_listed(MAPS)}.')
  if map_by == map_2d.UMAP:
    map_2d.load_umap()  # Before anything is written.
  records = records_lib.read(paths)
  if x is None:
    x = records_lib.axis(
        run.config for runs in records.runs.values() for run in runs)
  grid, scores, read_off = records_lib.curves(records, x)
  if len(grid) < 2:
    raise ValueError(f'a run has no {x}: there is no curve to draw.')
  metrics = tuple(next(iter(scores.values())))
  metric = evaluate.headline(metrics) if metric is None else metric
  if metric not in metrics:
    raise ValueError(f'metric={metric!r} is unknown; all runs have '
                     f'{_listed(metrics)}.')
  baselines = records_lib.baselines(records, baseline)
  if not baselines and baseline != summary_lib.BASELINE:
    raise ValueError(f'baseline={baseline!r} is none of the runs: '
                     f'{_listed(records.runs)}.')
  run = _run_to_show(records, baselines, show, show_seed)
  whole_pool, unlike = records_lib.whole_pool(records, metric)
  summary = summary_lib.summarise(
      grid, scores, metric, baselines, whole_pool,
      records_lib.answers(records, grid, x))
  notes = [*records.notes, *([unlike] if unlike else [])]
  if not baselines:
    notes.append(f'There is no run of {baseline}: nothing is compared.')
  if read_off is not None:
    notes.append(read_off)
  shown, unseen = None, []
  why_not = 'It was left out by --noasked.'
  if asked:
    if notify is not None:
      notify('Reading the data, to show what was asked (--noasked leaves that '
             'out) ...')
    try:
      shown = shown_run.read(run, cache_dir, moved, notes)
    except (ValueError, OSError) as e:
      why_not = (
          f'What was asked is not shown: {e} Say where the data lie now with '
          '--moved=KEY=PATH, or leave this out with --noasked.')
      unseen.append(why_not)
  notes += unseen
  _prepare(out)
  shares = records_lib.shares(records)
  workdir_lib.write(out / 'summary.json', summary | {
      'seeds': records.seeds, 'query_percent': shares, 'notes': notes,
      'settings': records.settings})
  figures.save(plot.curves(summary), out / 'curves.png')
  figures.save(plot.modalities(shares), out / 'modalities.png')
  matched = calibrated.table(records, tables.markdown)
  if matched:
    figures.save(calibrated.draw(records), out / _CALIBRATION, 100)
  link = ''
  if shown is not None:
    title = f'What {run.label} asked with seed {run.seed}'
    drawn = gallery.write(shown.items, run.queries, title, out)
    link = (f'[{plain_text.for_markdown(title)}](asked.md), in its first and '
            'its last round') + (
        '.' if drawn else ': features cannot be looked at, and there is no '
        'picture of them.')
  durable.write(
      out / _REPORT,
      _markdown(records, summary, notes, shares, link, matched))
  durable.write(out / _PAGE, report_page.render(
      records, run, summary, notes, shown, why_not,
      None if map_by == 'none' else map_by, cache_dir, notify))
  return '\n\n'.join((
      tables.score_table(summary), tables.comparison_table(summary),
      *map(plain_text.for_terminal, (
          ' '.join([tables.legend(len(records.seeds)),
                    *saved_answers.references(summary)]), *unseen))))


def _markdown(records, summary, notes, shares, link, matched) -> str:
  seeds = records.seeds
  metric, x = plain_text.for_markdown(summary['headline']), summary['x']
  end = summary['annotations'][-1]
  legend = tables.legend(len(seeds))
  parts = ['# Report', '\n'.join(f'* {note}' for note in (
      f'Means over the seeds {", ".join(map(str, seeds))}.',
      'Scores are percentages.', *map(plain_text.for_markdown, notes))),
      '## Scores after ' + (f'a cost of {end:.5g}' if x == summary_lib.COST
                            else f'{end:.7g} annotations'),
      tables.score_table(summary, tables.markdown), legend,
      '## Against the baseline',
      tables.comparison_table(summary, tables.markdown),
      '\n'.join([legend, *map(plain_text.for_markdown,
                              saved_answers.references(summary))]),
      f'"mean {metric}" is the area under the curve over {x}. p-values are '
      'two-sided and not corrected for the number of comparisons; that of all '
      f'sign flips is at least {2 / 2**len(seeds):.2g} with {len(seeds)} '
      'seed(s).',
      f'## {metric} over {x}', '![curves](curves.png)',
      tables.curve_table(summary, form=tables.markdown), legend,
      '## What was asked about', '![modalities](modalities.png)',
      _share_table(shares)]
  if records.settings:
    parts[2:2] = ['## Settings in which the experiments differ',
                  tables.markdown(records_lib.setting_rows(records))]
  if matched:
    parts[-3:-3] = [
        '## The rest of the pool, matched',
        'What no answer names, matched after the last round. "error" is the '
        'expected calibration error of each item\'s likeliest counterpart, and '
        'of pairs that are each other\'s likeliest. "had" are right pairs, in '
        'percent of those that remain, if as many are taken as leave that '
        'share of them right.', matched, f'![calibration]({_CALIBRATION})']
  return '\n\n'.join([*parts, link]).rstrip() + '\n'


def _share_table(shares) -> str:
  rounds = max(len(percent) for by_modality in shares.values()
               for percent in by_modality.values())
  rows = [['queries in round (%)', 'modality',
           *(str(1 + t) for t in range(rounds))]]
  for label, by_modality in shares.items():
    for modality, percent in by_modality.items():
      cells = ['-' if p != p else f'{p:.0f}' for p in percent]
      rows.append([label, modality, *cells, *['-'] * (rounds - len(cells))])
  return tables.markdown(rows)


def _run_to_show(records, baselines, show, seed) -> records_lib.Run:
  labels = list(records.runs)
  if show is None:
    show = next((label for label in labels
                 if baselines.get(label) != label), labels[0])
  seed = records.seeds[0] if seed is None else seed
  for flag, value, known in (
      ('show', show, labels), ('show_seed', seed, records.seeds)):
    if value not in known:
      raise ValueError(f'{flag}={value!r} is none of {known}.')
  return records.runs[show][records.seeds.index(seed)]


def _listed(names) -> str:
  """Names that others gave, in a message."""
  return ', '.join(map(plain_text.for_terminal, names))


def _prepare(out: pathlib.Path) -> None:
  out.mkdir(parents=True, exist_ok=True)
  # A folder of such a name is none of ours; a link is replaced, as a file is.
  foreign = sorted(
      path.name for path in out.iterdir()
      if (path.name not in (*_OURS, *_DRAFTS)
          or path.is_dir() and not path.is_symlink())
      and not image_listing.is_of_a_system(path.name))
  if foreign:
    raise ValueError(f'out={str(out)!r} holds {foreign[:3]}, which no report '
                     'wrote; choose another.')
  # Nothing of an earlier report may pass for this one's.
  for name in (*_OURS, *_DRAFTS):
    (out / name).unlink(missing_ok=True)
