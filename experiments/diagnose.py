"""Why a strategy won or lost: what kind of items it asked for.

Example:

  python -m experiments.diagnose --workdir=/tmp/colorswap

Reads a finished experiment. In every seed one model judges all strategies: the
one after round 1, which they share, since all ask for the same random batch
there. It is trained once more, and has not seen what is asked from round 2 on.
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

from experiments import common_flags
from experiments import program
from mmal_jax.experiment import diagnose

_WORKDIR, _CACHE_DIR, _MOVED = (
    common_flags.take('workdir', 'cache_dir', 'moved'))


def main(argv: Sequence[str]) -> None:
  program.call(lambda: diagnose.diagnose(
      pathlib.Path(_WORKDIR.value), _CACHE_DIR.value, _MOVED.value), argv)


if __name__ == '__main__':
  program.start(main)
