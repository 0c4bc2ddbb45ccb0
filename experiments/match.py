"""Matches what a run has not asked about, as far as it has come.

Example:

  python -m experiments.match --workdir=runs/mine --strategy=mmal --seed=0 \
      --least_probability=0.99 --matched=matched

writes `matches.jsonl`, every remaining item's likeliest counterparts, and
`pairs.jsonl`, what was answered and what is at least so likely. Runs do the
same by themselves when they end; this does it before, or once more with another
probability.
"""

from collections.abc import Sequence
import pathlib

from absl import flags

from experiments import common_flags
from experiments import program
from mmal_jax.experiment import rematch
from mmal_jax.matching import approximate

_WORKDIR, _CACHE_DIR, _STRATEGY, _SEED, _MOVED = (
    common_flags.take('workdir', 'cache_dir', 'strategy', 'seed', 'moved'))
common_flags.take('compilation_cache')  # For `program.call`.
_K = flags.DEFINE_integer(
    'k', 5, 'Counterparts of each item.', lower_bound=1)
_LEAST_PROBABILITY = flags.DEFINE_float(
    'least_probability', 0.9, 'Of the pairs that are written.',
    lower_bound=0.0, upper_bound=1.0)
_RECALL = flags.DEFINE_float(
    'recall', None, 'Share of each item\'s most similar ones that is to be '
    'found, above 0 and below 1: an index takes a fraction of the time in '
    'large pools. What was found is measured and printed. Default: all, '
    'exactly.')
_MATCHED = common_flags.define_path(
    'matched', None, 'Folder to write; there must be none yet.')


def _work() -> str:
  if _MATCHED.value is None:
    raise ValueError('give --matched, the folder to write.')
  if _RECALL.value is not None:
    approximate.check(_RECALL.value)
  lines = rematch.rematch(
      pathlib.Path(_WORKDIR.value), _CACHE_DIR.value, _STRATEGY.value,
      _SEED.value, _K.value, _LEAST_PROBABILITY.value,
      pathlib.Path(_MATCHED.value), _MOVED.value, _RECALL.value)
  return '\n'.join([
      f'Matches of {_STRATEGY.value}, seed {_SEED.value}, are written to '
      f'{_MATCHED.value}.', *lines])


def main(argv: Sequence[str]) -> None:
  program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
