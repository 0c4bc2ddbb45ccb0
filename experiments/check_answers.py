"""Checks people's answers in a second: takes none, and changes nothing.

Example:

  python -m experiments.check_answers --workdir=/tmp/people_run

for a run with --oracle=files that waits. Every problem of the files in the
folder of answers is named, with file and line; and what `--resume` would take
for good, what people disagree about, and what is still open. The status is 1
if there are problems, else 0.
"""

from collections.abc import Sequence
import pathlib

from absl import app
from absl import flags

from experiments import annotators
from experiments import folders
from experiments import program
from experiments import workdir as workdir_lib
from experiments.configs import saved
from mmal_jax.align.people import inbox
from mmal_jax.align.people import rounds
from mmal_jax.align.people import status as status_lib

flags.adopt_module_key_flags(folders)  # --help tells of them.


def check(workdir: pathlib.Path) -> str:
  """How the answers to an experiment's questions stand.

  Args:
    workdir: of the experiment.

  Raises:
    ValueError: if it asks no people, or listing every problem of the answers.
  """
  try:
    config = saved.get_config(workdir / workdir_lib.CONFIG)
  except FileNotFoundError:
    raise ValueError(f'workdir={str(workdir)!r} holds no experiment.') from None
  if config.oracle.name != 'files':
    raise ValueError(f'the experiment in workdir={str(workdir)!r} asks no '
                     f'people (oracle={config.oracle.name!r}).')
  parts = []
  for seed in config.seeds:
    folder = annotators.folder_of(config, seed)
    if (folder / inbox.POOLS).exists():
      parts.append(f'Seed {seed}: {_check(config, folder)}')
  return '\n\n'.join(parts) or 'No questions have gone out yet.'


def _check(config, folder) -> str:
  sizes, pools = inbox.pools_of(folder)
  asked = rounds.asked(folder)
  rules = annotators.rules_of(config)
  found = status_lib.find(folder, sizes, asked, pools, rules)
  left = [query for query in asked if query not in found.entries
          and query not in found.decision.accepted]
  n = len(found.entries)
  lines = [f'{len(asked)} queries in {folder}; {n} answered before, '
           f'{len(left)} open.']
  words = status_lib.in_words(
      folder, found, tuple(sizes), rules, left,
      '{} answer(s) would be accepted for good by --resume.')
  return '\n'.join(filter(None, (*lines, words)))


def main(argv: Sequence[str]) -> None:
  program.call(lambda: check(pathlib.Path(folders.WORKDIR.value)), argv)


if __name__ == '__main__':
  app.run(main)
