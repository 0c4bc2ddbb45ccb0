"""Tables and pictures of finished experiments, one or several together.

Example:

  python -m experiments.report --workdirs=runs/a,runs/b --out=runs/report

Folders may hold experiments or sweeps. A strategy that was run under different
settings is several strategies here, distinguished by what differs. Only seeds
that all of them were run with count; what that leaves out is reported.
"""

from collections.abc import Sequence
import pathlib
from typing import Any

from absl import flags

from experiments import common_flags
from experiments import program
from mmal_jax.analysis import summary
from mmal_jax.experiment import report
from mmal_jax.terminal import messages

_CACHE_DIR, _OUT, _MOVED = common_flags.take('cache_dir', 'out', 'moved')
_WORKDIRS = common_flags.define_paths(
    'workdirs', None,
    'Folders of finished experiments or sweeps, with commas between them.')
_BASELINE = flags.DEFINE_string(
    'baseline', summary.BASELINE,
    'Strategy that the others are compared with, in the same settings; or one '
    'label of the report, settings and all, to compare all with that.')
_METRIC = flags.DEFINE_string(
    'metric', None, 'Score to compare by. Default: group, or mean_r10 where '
    'the data has no groups.')
_X = flags.DEFINE_enum(
    'x', None, ['annotations', 'cost'],
    'What a strategy has to save: answers, or what they cost. Default: cost '
    'where answers had one (costs of the config).')
_ASKED = flags.DEFINE_bool(
    'asked', True, 'Show what was asked; needs the data.')
_SHOW = flags.DEFINE_string(
    'show', None, 'Label whose queries are shown. Default: the first that is '
    'no baseline.')
_SHOW_SEED = flags.DEFINE_integer(
    'show_seed', None, 'Seed whose queries are shown. Default: the first.')
_MAP = flags.DEFINE_enum(
    'map', report.MAPS[0], report.MAPS,
    'How the map of the pool in report.html is made: by principal components, '
    'by the package umap-learn, or not at all. Of images and texts it is made '
    'by the encoder of the run that is shown, which takes its time.')


def options() -> dict[str, Any]:
  """What the flags say of `report.write`, by its names."""
  return {
      'baseline': _BASELINE.value, 'metric': _METRIC.value, 'x': _X.value,
      'asked': _ASKED.value, 'show': _SHOW.value,
      'show_seed': _SHOW_SEED.value, 'moved': _MOVED.value,
      'map_by': _MAP.value}


def _work() -> str:
  for flag in (_WORKDIRS, _OUT):
    if not flag.value:
      raise ValueError(f'--{flag.name} is needed.')
  tables = report.write(
      [pathlib.Path(path) for path in _WORKDIRS.value],
      pathlib.Path(_OUT.value), _CACHE_DIR.value, notify=messages.notify,
      **options())
  return f'{tables}\nWritten to {_OUT.value}.'


def main(argv: Sequence[str]) -> None:
  program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
