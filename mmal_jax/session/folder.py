"""The folder of a session: what it is made of, its journals, what was learnt.

`session.json` is written last: a folder without it holds no session. It and
`run.json` have checksums, `items` has a seal, and the journals and `states` are
those of runs: an answer is on the disk before anything is made of it.
"""

from collections.abc import Mapping
import os
import pathlib
from typing import Any, NamedTuple
import urllib.parse
import uuid

from etils import epath
import numpy as np

from mmal_jax.checkpoint import newest
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_listing
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import lock
from mmal_jax.files import numpy_file
from mmal_jax.files import problems as problems_lib
from mmal_jax.files import seals
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.pools import pools as pools_lib
from mmal_jax.session import items as items_lib
from mmal_jax.session import shown as shown_lib
from mmal_jax.session import state as state_lib
from mmal_jax.workdir import checksums
from mmal_jax.workdir import json_files

SESSION, RUN = 'session.json', checksums.PROVENANCE
ITEMS, STATES, PEOPLE, REJECTED = 'items', 'states', 'people', 'rejected'
JOURNAL, SHOWN, _ENDING = 'session.journal', 'shown.journal', '.journal'
_OURS = {SESSION, RUN, ITEMS, f'{ITEMS}{seals.ENDING}', STATES, PEOPLE,
         REJECTED, JOURNAL, SHOWN, lock.NAME}


class Settings(NamedTuple):
  """What a session is made of, beside its items.

  Attributes:
    learner: its name.
    values: of the learner.
    strategy: its name.
    shared_space: whether features of all modalities lie in one space.
    budget: questions in all.
    people: how many have to have answered a question.
    candidates: that a question has of each modality.
    seed: of all that is random.
  """

  learner: str
  values: Mapping[str, Any]
  strategy: str
  shared_space: bool
  budget: int | None
  people: int
  candidates: int
  seed: int


def check_new(folder: pathlib.Path) -> None:
  """Makes a folder that a session may be written to.

  Raises:
    ValueError: if it holds a session, or anything else to lose.
  """
  folder.mkdir(parents=True, exist_ok=True)
  present = {path.name for path in folder.iterdir()
             if not image_listing.is_of_a_system(path.name)}
  if SESSION in present:
    raise ValueError(f'folder={str(folder)!r} holds a session: Session.load('
                     f'{str(folder)!r}) goes on with it.')
  drafts = {f'.{name}.draft' for name in _OURS}
  foreign = sorted(present - _OURS - drafts)
  if foreign:
    raise ValueError(f'folder={str(folder)!r} is not empty: it holds '
                     f'{foreign[:3]}. Choose another.')
  if JOURNAL in present and journal_lib.read(folder / JOURNAL):
    raise ValueError(
        f'folder={str(folder)!r} holds answers, but no {SESSION} that says of '
        'what: put it back, or choose another folder.')


def create(
    folder: pathlib.Path, shown: shown_lib.Items, pools: pools_lib.Pools
) -> str:
  """Writes what a session is made of, all but `SESSION`.

  Args:
    folder: that `check_new` has passed, and that is locked.
    shown: its items, as they are seen.
    pools: their features.

  Returns:
    The id of the session.
  """
  for name in sorted(_OURS - {lock.NAME}):
    durable.remove(folder / name)
  session = uuid.uuid4().hex
  json_files.write(folder / RUN, {
      'experiment': session, 'settings': {}, 'rounding': {}})
  within = folder / ITEMS
  within.mkdir()
  for modality, items in pools.items.items():
    np.save(within / f'{modality}.npy', items.values)
    records = _records(within, modality, shown[modality])
    durable.write(within / f'{modality}.jsonl', json_lines.dump(records))
  seals.write(epath.Path(within), _run(session))
  (folder / PEOPLE).mkdir()
  return session


def complete(folder: pathlib.Path, settings: Settings, modalities) -> None:
  """Makes a session of the folder; from here on it can be loaded."""
  json_files.write(folder / SESSION, {
      'modalities': list(modalities), **settings._asdict()})


def _records(within, modality, shown):
  """A line for each item; images that have no file of their own get one."""
  if isinstance(shown, int):
    return []
  if not isinstance(shown, image_files.ImageFiles):
    return [{'text': text} for text in shown]
  records = []
  for number, source in enumerate(shown.paths):
    if isinstance(source, pathlib.Path):
      records.append({'file': str(source.absolute())})
      continue
    (within / modality).mkdir(exist_ok=True)
    name = f'{modality}/{number:06d}'
    (within / name).write_bytes(source.read_bytes())
    records.append({'own': name, 'name': str(source)})
  return records


def read(folder: pathlib.Path) -> tuple[str, Settings, items_lib.Given]:
  """What a session is made of.

  Returns:
    Its id, its settings, and its items.

  Raises:
    ValueError: if there is none, or anything of it was changed.
  """
  if not (folder / SESSION).exists():
    raise ValueError(f'{str(folder)!r} holds no session: there is no {SESSION} '
                     'in it.')
  fields = json_files.read(folder / SESSION)
  session = checksums.experiment_in(folder)
  try:
    modalities = fields.pop('modalities')
    settings = Settings(**fields)
    items_lib.check_names(modalities)
  except (KeyError, TypeError) as e:
    raise ValueError(f'{folder / SESSION} is damaged, or a later version wrote '
                     f'it: {e}.') from e
  within = folder / ITEMS
  wrong = seals.wrong_with(
      epath.Path(within), _run(session), what='items',
      remedy='Restore them from a copy of this very session.')
  if wrong is not None:
    raise ValueError(f'{within} is damaged: {wrong}. Restore it from a copy of '
                     'this very session.')
  shown, items = {}, {}
  for modality in modalities:
    path = within / f'{modality}.npy'
    rows = numpy_file.read(path, str(path))
    items[modality] = items_lib.of_rows(rows)
    shown[modality] = _shown(within, modality, len(rows))
  return session, settings, items_lib.Given(
      shown, pools_lib.Pools(items))


def _shown(within, modality, count) -> shown_lib.Shown:
  path = within / f'{modality}.jsonl'
  problems: list[str] = []
  records = [record for _, record in json_lines.read(
      durable.read(path, durable.MOST_OF_OURS), path.name, problems)]
  problems_lib.report(path, problems)
  if not records:
    return count
  if 'text' in records[0]:
    return [record['text'] for record in records]
  return image_files.ImageFiles(
      [record['file'] if 'file' in record else
       image_files.Encoded(record['name'], durable.read(
           within / record['own'], within=within.resolve()))
       for record in records], shown_lib.THUMBNAIL)


def journal(
    folder: pathlib.Path, session: str, modalities, name: str = JOURNAL
) -> journal_lib.Journal:
  """The journal of what was asked, and what is agreed upon; or `SHOWN`."""
  return journal_lib.Journal(folder / name, None, modalities, _run(session))


def journal_of(
    folder: pathlib.Path, session: str, modalities, person: str,
    of: str = PEOPLE,
) -> journal_lib.Journal:
  """The journal of one person's votes; or of what they have `REJECTED`."""
  (folder / of).mkdir(exist_ok=True)
  name = urllib.parse.quote(person, safe='')
  # No file is hidden, or leads out of the folder.
  return journal_lib.Journal(
      folder / of / f'_{name}{_ENDING}', None, modalities,
      _run(session) | {'person': person})


def people(folder: pathlib.Path, of: str = PEOPLE) -> list[str]:
  """Names of all who have voted; or have `REJECTED` anything."""
  if not (folder / of).exists():
    return []
  return sorted(
      urllib.parse.unquote(name[1:].removesuffix(_ENDING))
      for name in os.listdir(folder / of)
      if name.startswith('_') and name.endswith(_ENDING))


def checkpoints(folder: pathlib.Path, session: str) -> newest.Checkpoints:
  """What was learnt, round by round."""
  return newest.Checkpoints(folder / STATES, run=_run(session))


def newest_learnt(
    kept: newest.Checkpoints, made: state_lib.Made
) -> state_lib.Learnt | None:
  """What the last sealed round has left; None of none."""
  found = kept.newest(
      state_lib.learnt(state_lib.begin(made)), lambda tree: int(tree.round))
  return None if found is None else found[1]


def _run(session: str) -> dict[str, str]:
  return {'session': session}
