"""What strategies save against their baselines, in words and in cells."""

from typing import Any

import numpy as np

from mmal_jax.analysis import summary as summary_lib


def in_words(summary: dict[str, Any]) -> str:
  """What every strategy has saved against random, a line each, losses too.

  Args:
    summary: from `summarise`.

  Returns:
    Lines; none without a run of `BASELINE`.
  """
  m, baseline = summary['headline'], summary_lib.BASELINE
  if baseline not in summary['strategies']:
    return ''
  lines = [_end(summary, baseline)]
  for name, entry in summary['strategies'].items():
    if name != baseline and 'saving' in entry:
      points = summary_lib.pm(entry['minus_baseline'][m], '+')
      lines.append(f'{name} {_got_there(summary, name)}; it ends at '
                   f'{entry["final"][m]["mean"]:.1f} % ({points} points).')
  return '\n'.join(lines)


def references(summary: dict[str, Any]) -> list[str]:
  """A sentence for each baseline: what its end is, and where it first was."""
  baselines = dict.fromkeys(
      entry['baseline'] for entry in summary['strategies'].values()
      if 'baseline' in entry)
  others = [name for name, entry in summary['strategies'].items()
            if entry.get('baseline') not in (None, name)]
  return [_end(summary, name) for name in baselines] if others else []


def of_baseline(summary: dict[str, Any], name: str) -> str:
  """Where a baseline first has the score that it ends with: `90 of 120`."""
  first = _first(summary, name)
  text = _number(summary, first)
  whole = _number(summary, summary['annotations'][-1])
  text = text if whole == text else f'{text} of {whole}'
  if summary['x'] == summary_lib.COST:
    text += f' ({_bought(summary, name, first):.0f} annotations)'
  return text


def needed(summary: dict[str, Any], name: str) -> str:
  """Where a strategy has what its baseline ends with, and the baseline has it.
  """
  entry = summary['strategies'][name]
  baseline = entry['baseline']
  x = entry['saving']['needed']
  beside = [f'{baseline.partition(",")[0]}: '
            f'{_number(summary, _first(summary, baseline))}']
  if summary['x'] == summary_lib.COST:
    beside.insert(0, f'{_bought(summary, name, x):.0f} annotations')
  return f'{_number(summary, x)} ({", ".join(beside)})'


def shortly(summary: dict[str, Any], name: str) -> str:
  """For pictures: `52 instead of 60, 13 % saved`.

  Of costs, `48.2 (21 annotations) instead of 72.3, 33 % saved`.
  """
  entry = summary['strategies'][name]
  saving = entry['saving']
  text = _number(summary, saving['needed'])
  if summary['x'] == summary_lib.COST:
    text += f' ({_bought(summary, name, saving["needed"]):.0f} annotations)'
  first = _number(summary, _first(summary, entry['baseline']))
  return f'{text} instead of {first}, {_percent(saving["percent"])}'


def _percent(percent: float) -> str:
  return f'{percent:.0f} % saved' if percent >= 0 else (
      f'{-percent:.0f} % more')


def _first(summary, baseline: str) -> float:
  """Where the baseline's mean curve first has the score that it ends with."""
  return summary['strategies'][baseline]['saving']['needed']


def _end(summary, baseline: str) -> str:
  """Where a baseline ends; and since when, if it was there before."""
  m, points = summary['headline'], summary['annotations']
  curve = summary['strategies'][baseline]['curves'][m].mean(0)
  text = (f'{baseline} ends at {curve[-1]:.1f} % ({m}) '
          f'{_with(summary, baseline, points[-1])}')
  first = _first(summary, baseline)
  if not first:
    return (f'{text}, no higher than before any answer ({curve[0]:.1f} %): '
            'there is nothing to save.')
  if first < points[-1] * (1 - 1e-9):
    return (f'{text}. Its mean curve first reaches that score '
            f'{_with(summary, baseline, first)}, and ends no higher: savings '
            f'are measured against {_number(summary, first)}.')
  return f'{text}.'


def _got_there(summary, name: str) -> str:
  """When, and what it saved, in words."""
  saving = summary['strategies'][name]['saving']
  if np.isnan(saving['needed']):
    return 'does not get there: it saves nothing'
  text = f'gets there {_with(summary, name, saving["needed"])}'
  if not np.isnan(saving['percent']):
    text += f': {_percent(saving["percent"])}'
  per_seed, reached = saving['per_seed'], saving['reached']
  if not reached.all():
    return text + f' ({reached.sum()} of {len(reached)} seeds get there)'
  if len(per_seed) > 1 and not np.isnan(per_seed).any():
    text += f' ({summary_lib.pm(summary_lib.cell(per_seed))} % seed by seed)'
  return text


def _with(summary, name: str, x: float) -> str:
  """`with 20 annotations`, or `at a cost of 31.5 (20 annotations)`."""
  if summary['x'] == summary_lib.COST:
    return (f'at a cost of {_number(summary, x)} '
            f'({_bought(summary, name, x):.0f} annotations)')
  return f'with {_number(summary, x)} annotations'


def _bought(summary, name: str, cost: float) -> float:
  """How many annotations a strategy got for a cost."""
  return np.interp(cost, summary['annotations'],
                   summary['strategies'][name]['answers'].mean(0))


def _number(summary, x: float) -> str:
  if summary['x'] == summary_lib.COST and x < 1000:
    return f'{x:.3g}'
  return f'{x:.0f}'
