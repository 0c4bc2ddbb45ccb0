"""Describes the items that the strategies of a finished experiment asked for.

Example:

  python -m experiments.diagnose --workdir=/tmp/colorswap
"""

from collections.abc import Sequence
import pathlib

from experiments import common_flags
from experiments import program
from mmal_jax.experiment import diagnose

_WORKDIR, _CACHE_DIR, _MOVED = (
    common_flags.take('workdir', 'cache_dir', 'moved'))
common_flags.take('compilation_cache')  # For `program.call`.
# What --help shows: the columns, too.
__doc__ = f'{__doc__}\n{diagnose.__doc__}'


def main(argv: Sequence[str]) -> None:
  program.call(lambda: diagnose.diagnose(
      pathlib.Path(_WORKDIR.value), _CACHE_DIR.value, _MOVED.value), argv)


if __name__ == '__main__':
  program.start(main)
