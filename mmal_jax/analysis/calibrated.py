"""Of a report: how true the probabilities of matches are, and what they give.

Runs write it to `calibration.jsonl` (`mmal_jax.experiment.matches`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmal_jax.analysis import figures
from mmal_jax.analysis import plot_lines
from mmal_jax.analysis import records as records_lib
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.evaluate import calibration
from mmal_jax.files import plain_text

_HIGH = 0.9  # of what is stated at least so much, how much is true
_MARKERS = 'os^Dvx*'  # one for any two modalities


def table(
    records: records_lib.Records, form: tables.Form = tables.printed
) -> str:
  """A row for each label and any two modalities; '' where nothing was matched.

  The calibration errors are those of each run; their mean is shown.

  Args:
    records: of `records.read`.
    form: of the table.
  """
  rows = [['strategy', 'modalities', 'answers', 'error (%)',
           'error of pairs (%)', 'pairs stated ≥ 90 %', 'stated (%)',
           'true (%)', 'had at 90 % precision', 'had at 99 % precision']]
  for label, of, found in _by_couple(records):
    errors = {
        what: np.mean([100 * calibration.expected_error(_bins(record[what]))
                       for record in found]) for what in ('items', 'pairs')}
    high = _together([_above(record['pairs']) for record in found])
    count = np.sum(high.count)
    stated, true = (
        f'{100 * high.count @ x / count:.1f}' if count else '-'
        for x in (high.stated, high.true))
    had = [np.mean([100 * record['had'][p] / max(record['to_be_had'], 1)
                    for record in found]) for p in ('0.9', '0.99')]
    rows.append([
        label, '-'.join(of), f'{_mean(found, "annotations"):.7g}',
        f'{errors["items"]:.1f}', f'{errors["pairs"]:.1f}',
        f'{count / len(found):.7g}', stated, true,
        *(f'{percent:.1f} %' for percent in had)])
  return form(rows) if len(rows) > 1 else ''


def draw(records: records_lib.Records) -> Any:
  """Precision against stated probability, of all seeds' items together.

  Labels look as in the other pictures; markers distinguish modalities.

  Args:
    records: of `records.read`.

  Returns:
    The `matplotlib.figure.Figure`.
  """
  figure, ((axes,),) = figures.new(1, 1, (5, 5))
  axes.plot([0, 1], [0, 1], color='grey', linestyle=':', label='as stated')
  looks = plot_lines.looks(list(records.runs), summary_lib.BASELINE)
  couples = list(dict.fromkeys(of for _, of, _ in _by_couple(records)))
  for label, of, found in _by_couple(records):
    bins = _together([_bins(record['items']) for record in found])
    axes.plot(bins.stated, bins.true, markersize=4,
              marker=_MARKERS[couples.index(of) % len(_MARKERS)],
              label=plain_text.for_terminal(f'{label}, {"-".join(of)}'),
              **looks[label])
  axes.set(xlabel='stated probability', ylabel='share that is right',
           xlim=(0, 1), ylim=(0, 1))
  axes.grid(alpha=0.3)
  for text in axes.legend(fontsize='small').get_texts():
    text.set_parse_math(False)
  return figure


def _by_couple(records):
  """`(label, modalities, a record a seed)`."""
  for label, runs in records.runs.items():
    by_couple: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
      for record in run.calibration:
        by_couple.setdefault(tuple(record['of']), []).append(record)
    for of, found in by_couple.items():
      yield label, of, found


def _mean(found, name) -> float:
  return float(np.mean([record[name] for record in found]))


def _bins(fields: dict[str, Sequence[float]]) -> calibration.Bins:
  return calibration.Bins(*(
      np.array(fields[name]) for name in calibration.Bins._fields))


def _above(fields) -> calibration.Bins:
  found = _bins(fields)
  high = found.least >= _HIGH - 1e-9
  return calibration.Bins(*(values[high] for values in found))


def _together(parts: Sequence[calibration.Bins]) -> calibration.Bins:
  """The bins of several runs as one's."""
  least = np.unique(np.concatenate([part.least for part in parts]))
  count = np.zeros(len(least), int)
  stated, true = np.zeros(len(least)), np.zeros(len(least))
  for part in parts:
    at = np.searchsorted(least, part.least)
    count[at] += part.count.astype(int)
    stated[at] += part.count * part.stated
    true[at] += part.count * part.true
  return calibration.Bins(
      least, count, stated / np.maximum(count, 1), true / np.maximum(count, 1))
