"""How people's answers stand: takes none, and changes nothing."""

from collections.abc import Sequence
import pathlib

from mmal_jax.config import paths
from mmal_jax.experiment import earlier
from mmal_jax.files import plain_text
from mmal_jax.oracles.people import inbox
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people import status as status_lib
from mmal_jax.workdir import layout as workdir_lib


def check(workdir: pathlib.Path, moved: Sequence[str] = ()) -> str:
  """How the answers to an experiment's questions stand.

  Where people answer elsewhere, the answers are brought here first.

  Args:
    workdir: of the experiment.
    moved: as for `earlier.of_folder`.

  Raises:
    OSError: if answers cannot be brought here for minutes.
    ValueError: if it asks no people, its questions are gone, or listing every
      problem of the answers, of all seeds.
  """
  settings = earlier.of_folder(workdir, moved).settings
  annotators = settings.annotators
  if not annotators.are_people:
    raise ValueError(f'the experiment in workdir={str(workdir)!r} asks no '
                     f'people (oracle={annotators.name!r}).')
  parts, problems = [], []
  waiting = workdir_lib.waiting(workdir)
  for seed in settings.seeds:
    folder = annotators.folder_of(seed)
    try:
      if (folder / inbox.POOLS).exists():
        if waiting.get('seed') == seed:
          _check_asked(folder, waiting.get('queries'))
        annotators.fetch(seed)
        parts.append(f'Seed {seed}: {_check(annotators.rules, folder)}')
      elif _has_asked(workdir, settings.strategies, seed):
        problems.append(
            f'{folder / inbox.POOLS} is not there, though seed {seed} has '
            'asked questions: put the folder back, or say where it lies now: '
            f'--moved={paths.PEOPLE}=PATH, of the folder that holds '
            f'{folder.name}.')
    except ValueError as e:
      problems.append(str(e))
  if problems:
    raise ValueError('\n'.join(problems))
  return '\n\n'.join(parts) or 'No questions have gone out yet.'


def _has_asked(workdir, strategies, seed) -> bool:
  """Whether the runs of a seed wait for answers, or have used some."""
  if workdir_lib.waiting(workdir).get('seed') == seed:
    return True
  journals = [workdir_lib.journal_path(workdir, strategy, seed)
              for strategy in strategies]
  return any(path.exists() and path.stat().st_size for path in journals)


def _check_asked(folder, queries) -> None:
  """Refuses a folder without the queries that a run waits for."""
  asked = rounds.asked(folder)
  never = [query for query in queries if query not in asked] if isinstance(
      queries, list) else []
  if never:
    raise ValueError(
        f'{folder} is not that of this run, which waits for '
        f'{plain_text.for_terminal(", ".join(map(str, never[:3])))}: nothing '
        'of the kind was asked there. Put the right folder back, or say where '
        f'it lies now: --moved={paths.PEOPLE}=PATH, of the folder that holds '
        f'{folder.name}.')


def _check(rules, folder) -> str:
  sizes, pools = inbox.pools_of(folder)
  asked = rounds.asked(folder)
  found = status_lib.find(folder, sizes, asked, pools, rules)
  left = [query for query in asked if query not in found.entries
          and query not in found.decision.accepted]
  n = len(found.entries)
  lines = [f'{len(asked)} queries in {folder}; {n} answered before, '
           f'{len(left)} open.']
  words = status_lib.in_words(
      folder, found, tuple(sizes), rules, left,
      '{} answer(s) would be accepted for good by --resume.', entered=False)
  return '\n'.join(filter(None, (*lines, words)))
