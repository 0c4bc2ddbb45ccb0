"""The numbers behind the closing tables: what `summary.json` holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmal_jax.analysis import curves as curves_lib
from mmal_jax.analysis import savings as savings_lib
from mmal_jax.analysis import significance

BASELINE = 'random'
# What curves are drawn over.
ANNOTATIONS, COST = 'annotations', 'cost'


def summarise(
    annotations: np.ndarray,
    scores: dict[str, dict[str, np.ndarray]],
    headline: str,
    baselines: Mapping[str, str] | None = None,
    whole_pool: Sequence[Mapping[str, Any]] = (),
    answers: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
  """Everything that `summary.json` holds.

  Args:
    annotations: `[t]` annotations, or their costs, at each point of the curves.
    scores: by strategy and metric, `[seeds, t]` percentages; the rows of all
      strategies belong to the same seeds.
    headline: the metric whose target counts.
    baselines: by strategy, the one that it is compared with; a strategy that is
      left out is compared with none. By default all are with `BASELINE`, if it
      is there.
    whole_pool: records of `whole_pool.of_seed`, one a seed, if there are any.
    answers: by strategy `[seeds, t]` annotations at each point, where the
      points are costs; None where they are annotations themselves.

  Returns:
    `headline`, `x` (what the points are, `annotations` or `cost`),
    `annotations` (the points), and by strategy: `final` and `zero_shot` scores,
    `mean_score` (the area under the curve; not of a curve of one point), the
    differences to the baseline of what is final and of the area, the `curves`,
    the `answers`, and the `saving`. Of each score the mean over seeds, standard
    deviation, and half the 95 % confidence interval of the mean; of each
    difference the p-values of two paired tests. Of the whole pool, where it was
    aligned, the `final` scores.
  """
  if baselines is None:
    baselines = dict.fromkeys(scores, BASELINE) if BASELINE in scores else {}
  summary = {
      'headline': headline, 'x': COST if answers is not None else ANNOTATIONS,
      'annotations': annotations, 'strategies': {}}
  # Where nothing was answered, no curve has an area.
  areas = {strategy: {m: curves_lib.mean_score(annotations, s)
                      for m, s in by_metric.items() if len(annotations) > 1}
           for strategy, by_metric in scores.items()}
  for strategy, by_metric in scores.items():
    entry = {
        'final': {m: cell(s[:, -1]) for m, s in by_metric.items()},
        'zero_shot': {m: cell(s[:, 0]) for m, s in by_metric.items()},
        'mean_score': {m: cell(area) for m, area in areas[strategy].items()},
        'curves': by_metric,
    }
    if answers is not None:
      entry['answers'] = answers[strategy]
    baseline = baselines.get(strategy)
    if baseline is not None:
      # Seed by seed: the seeds differ more than the strategies do.
      others, other_areas = scores[baseline], areas[baseline]
      entry['baseline'] = baseline
      entry['minus_baseline'] = {
          m: _difference(s[:, -1] - others[m][:, -1])
          for m, s in by_metric.items()}
      entry['mean_score_minus_baseline'] = {
          m: _difference(area - other_areas[m])
          for m, area in areas[strategy].items()}
      entry['saving'] = savings_lib.saving(
          annotations, by_metric[headline], others[headline])._asdict()
    summary['strategies'][strategy] = entry
  if whole_pool:
    summary['whole_pool'] = {
        'aligned': int(np.mean([record['aligned'] for record in whole_pool])),
        'final': {m: cell(np.array([r['scores'][m] for r in whole_pool]))
                  for m in whole_pool[0]['scores']
                  if all(m in r['scores'] for r in whole_pool)}}
  return summary


def cell(values: np.ndarray) -> dict[str, float]:
  """Mean and spread over seeds; NaN for what a single seed does not give."""
  spread = np.std(values, ddof=1) if len(values) > 1 else np.nan
  return {'mean': np.mean(values), 'std': spread,
          'ci95': float(significance.half_width(values))}


def pm(of: dict[str, float], sign: str = '') -> str:
  """A mean and half its 95 % interval, where there is one.

  >>> pm({'mean': 12.34, 'ci95': 0.42}), pm({'mean': 1.0, 'ci95': np.nan}, '+')
  ('12.3 ± 0.4', '+1.0')
  """
  text = f'{of["mean"]:{sign}.1f}'
  return text if np.isnan(of['ci95']) else f'{text} ± {of["ci95"]:.1f}'


def _difference(values: np.ndarray) -> dict[str, float]:
  few = len(values) <= significance.MOST_SEEDS
  return cell(values) | {
      'p_paired_t': significance.paired_t(values),
      'p_sign_flips': significance.sign_flips(values) if few else np.nan}
