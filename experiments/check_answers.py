"""Checks people's answers in a second: takes none, and changes nothing.

Example:

  python -m experiments.check_answers --workdir=/tmp/people_run

for a run with --oracle=files that waits. Every problem of the files in the
folder of answers is named, with file and line; and what `--resume` would take
for good, what people disagree about, and what is still open. The status is 1
if there are problems, else 0. Where people answer in Label Studio
(--oracle=label_studio), what they answered is fetched first. If the folder of
questions was moved: `--moved=oracle.folder=PATH`.
"""

from collections.abc import Sequence
import pathlib

from experiments import common_flags
from experiments import program
from mmal_jax.experiment import check_answers

_WORKDIR, _CACHE_DIR, _MOVED = (
    common_flags.take('workdir', 'cache_dir', 'moved'))


def main(argv: Sequence[str]) -> None:
  program.call(lambda: check_answers.check(
      pathlib.Path(_WORKDIR.value), _MOVED.value), argv)


if __name__ == '__main__':
  program.start(main)
