"""Ask and tell, from Python: `mmal_jax.Session`."""

from __future__ import annotations  # So that help() shows short types.

from collections.abc import Iterable, Mapping
import os
import pathlib
from typing import Any
import warnings

import numpy as np

from mmal_jax import remaining_matches
from mmal_jax.acquire import arguments
from mmal_jax.acquire import check
from mmal_jax.acquire import mixups
from mmal_jax.acquire import strategy as strategy_lib
from mmal_jax.embed import encoder as encoder_lib
from mmal_jax.embed import in_memory
from mmal_jax.matching import match as match_lib
from mmal_jax.matching import pool as pool_lib
from mmal_jax.session import annotation
from mmal_jax.session import answers as answers_lib
from mmal_jax.session import book
from mmal_jax.session import folder as folder_lib
from mmal_jax.session import held
from mmal_jax.session import items as items_lib
from mmal_jax.session import learners
from mmal_jax.session import likely
from mmal_jax.session import questions as questions_lib
from mmal_jax.session import shown as shown_lib
from mmal_jax.session import state as state_lib
from mmal_jax.session import steps
from mmal_jax.session import store as store_lib
from mmal_jax.session import telling
from mmal_jax.session import votes as votes_lib

Strategy = strategy_lib.Strategy


class Session(steps.Steps):
  """Asks which items belong together, is told, and learns.

  It goes as a run does, by the same code: the first questions are drawn at
  random, and all others are chosen by a strategy, with what the answers before
  them have taught. With a folder, an answer is on the disk when `tell` returns.

  >>> rng = np.random.default_rng(0)
  >>> hidden = rng.normal(size=(60, 4))
  >>> session = Session(images=hidden @ rng.normal(size=(4, 9)),
  ...                   texts=hidden @ rng.normal(size=(4, 7)))
  >>> session.tell([q.number for q in session.ask(12)])
  >>> session.fit().answers
  12
  """

  def __init__(
      self,
      items: Mapping[str, Any] | None = None,
      /,
      *,
      images: Any = None,
      texts: Any = None,
      encoder: Any = None,
      features: Mapping[str, Any] | None = None,
      known_pairs: Any = (),
      strategy: str | Strategy | None = None,
      learner: str = learners.CLOSED_FORM,
      values: Mapping[str, Any] | None = None,
      shared_space: bool | None = None,
      budget: int | None = None,
      people: int = 1,
      candidates: int = 5,
      seed: int = 0,
      folder: str | os.PathLike[str] | None = None,
  ):
    """Begins a session.

    Args:
      items: by modality, in place of `images` and `texts`: any names, and more
        than two of them.
      images: n images: `[n, d]` floats, features of them; a folder; paths;
        images of Pillow; arrays of pixels; a column of Hugging Face's
        `datasets`. It is the modality `image`.
      texts: m texts: features; strings; a file of one a line; a folder of
        `.txt` files, one a text. It is the modality `text`.
      encoder: of items that are no features: a model of `load_pretrained`, or
        by modality, a function of its items that returns `[n, d]` floats.
      features: by modality, `[n, d]` floats of items, in place of an encoder.
      known_pairs: `[a, M]` int, numbers of items that are known to belong
        together, a column a modality.
      strategy: a name as of `mmal_jax.ask`, or a strategy; None takes `mmal`
        where features share a space, and `mmal_plus` elsewhere.
      learner: `closed_form`, which takes a second, or `gradient`.
      values: of the learner: `rank` and `world`, or those of a config's
        section `train`, as `{'steps_per_round': 50}`.
      shared_space: whether features of all modalities lie in one space; None:
        if they are of a model of `load_pretrained`.
      budget: questions in all; None: as many as there are items.
      people: how many have to answer a question, and more than half of them
        alike.
      candidates: counterparts that a question shows of each modality.
      seed: of all that is random.
      folder: where the session is kept, as `save` does; None: nowhere.

    Raises:
      TypeError: for arguments of other types.
      ValueError: for values out of bounds, all that `session.items.read` names,
        known pairs that contradict one another, or a folder that is not empty.
    """
    items = items_lib.by_modality(items, images, texts)
    for name, value in (('people', people), ('candidates', candidates),
                        ('budget', 1 if budget is None else budget)):
      items_lib.check_count(name, value)
    check.options(None, None, None, seed)
    learners.check_types(strategy, values, shared_space)
    if shared_space is None:
      shared_space = isinstance(encoder, encoder_lib.Encoder)
    if folder is not None:
      folder = pathlib.Path(folder).expanduser()
      folder_lib.check_new(folder)
    given = items_lib.read(items, encoder, features)
    known = answers_lib.known_pairs(known_pairs, given.pools.sizes)
    if strategy is None:
      strategy = 'mmal' if shared_space else 'mmal_plus'
    self._begin(given, folder_lib.Settings(
        learner, dict(values or {}), strategy, bool(shared_space),
        None if budget is None else int(budget) + len(known), int(people),
        int(candidates), int(seed)))
    if known:
      self._state = state_lib.with_answers(state_lib.with_items(
          self._made, self._state, known), known)
      self._store.enter(book.records_of(0, known))
    if folder is not None:
      self.save(folder)

  @classmethod
  def load(cls, folder: str | os.PathLike[str]) -> Session:
    """Goes on with the session in a folder, whatever became of its program.

    Raises:
      ValueError: if there is none, another program has it, or what lies there
        was changed or is damaged.
    """
    folder = pathlib.Path(folder).expanduser()
    if not (folder / folder_lib.SESSION).exists():
      folder_lib.read(folder)  # Which says so, and makes no lock.
    session, hold = object.__new__(cls), held.Hold(folder)
    try:
      name, settings, given = folder_lib.read(folder)
      session._begin(given, settings)
      store = store_lib.InFolder(folder, name, hold, session._modalities)
      session._store = store
      session._state = book.replayed(
          session._made, store.records, store.learnt(session._made))
      session._agree()  # What a crash came between.
    except BaseException:
      hold.release()
      raise
    return session

  def save(self, folder: str | os.PathLike[str]) -> None:
    """Writes the session to a folder, and goes on there.

    Args:
      folder: a new or empty one. In its own all is written already.

    Raises:
      OSError: if it cannot be written.
      ValueError: if the folder is not empty, or the strategy is no name.
    """
    self._check_open()
    folder = pathlib.Path(folder).expanduser()
    if self._store.is_in(folder):
      return
    if not isinstance(self._settings.strategy, str):
      raise ValueError('a session is saved with the name of its strategy, and '
                       'its strategy is no name.')
    folder_lib.check_new(folder)
    hold = held.Hold(folder)
    try:
      folder_lib.check_new(folder)  # Nobody has used it since.
      name = folder_lib.create(
          folder, self._given.shown, self._given.pools)
      store = store_lib.InFolder(folder, name, hold, self._modalities)
      self._store.copy_to(store)
      store.keep(self._state)
      folder_lib.complete(folder, self._settings, self._modalities)
    except BaseException:
      hold.release()
      raise
    self._store.close()
    self._store = store

  def close(self) -> None:
    """Frees the folder: the session is over."""
    self._store.close()

  def __enter__(self) -> Session:
    return self

  def __exit__(self, *unused: Any) -> None:
    self.close()

  def ask(self, n: int = 10, by: str | None = None) -> questions_lib.Questions:
    """The open questions; if there are none, new ones.

    What was told before is learnt first, as by `fit`.

    Args:
      n: how many new ones, as far as items and the budget go.
      by: who is asked: without the questions that this person has answered.

    Returns:
      The questions, each with its likeliest counterparts; none once all is
      asked, or the budget is spent.
    """
    self._check_open()
    items_lib.check_count('n', n)
    if by is not None:
      votes_lib.person(by)
    if not state_lib.open_items(self._state):
      if state_lib.is_due(self._state):
        self.fit()
      self._ask_anew(int(n))
    found = questions_lib.of(
        telling.open_for(self._state, self._store.votes, by),
        self._given.shown, self._settings.candidates, self._suggest)
    self._show({(q.modality, q.number): q.candidates for q in found})
    return found

  def page(
      self, path: str | os.PathLike[str] = 'questions.html',
      by: str | None = None,
  ) -> list[pathlib.Path]:
    """Writes the open questions as a page for annotators, of one HTML file.

    A browser shows it, without a server; all is in it, also what can be
    searched. `tell` takes the file of answers that it gives.

    Args:
      path: of the file. If items of several modalities are asked about, there
        is a file of each, with the modality in its name.
      by: who is asked, as in `ask`.

    Returns:
      The paths of the files.

    Raises:
      OSError: if they cannot be written.
      ValueError: if no question is open, the path does not end in `.html`, or
        an image cannot be read.
    """
    self._check_open()
    written = annotation.write(
        path, self._given, telling.open_for(
            self._state, self._store.votes, by), self._suggest,
        self._settings.candidates, self._round, self._store.id)
    self._show(written.shown)
    return written.paths

  def tell(self, answers: Any, by: str | None = None) -> None:
    """Takes answers, all of them or none.

    Args:
      answers: by question, or `(modality, number)` of its item, the number of
        its counterpart; with more than two modalities these by modality. Or
        `'no counterpart'`; or `'none of these'` or `'skip'`, which put the
        question aside: nothing is learnt of its item, but that none of these
        candidates is its counterpart. Or a list of that, one for each question
        of `ask`. Or the path of a file of answers that a page gave, or of a
        folder of these. Another answer to the same question corrects it.
      by: who answers; needed where several people have to. A file says it.

    Raises:
      OSError: if they cannot be written: nothing more can be told then.
      TypeError: if they are no answers by question, no list, and no path.
      ValueError: naming every item that does not exist or was not asked about,
        and every answer that contradicts another, or is none.
    """
    self._check_open()
    if isinstance(answers, questions_lib.Question):
      raise TypeError('answers is a question: give tell({question: answer}).')
    if isinstance(answers, (str, os.PathLike)):
      self._tell_file(answers, by)
      return
    if by is None and self._settings.people > 1:
      raise ValueError(f'people={self._settings.people} have to answer each '
                       'question: say by= whom these answers are.')
    self._enter(answers, self._judged(answers, by), by)

  def put_aside(self, questions: Iterable[Any]) -> None:
    """Puts open questions aside, whatever people say of them.

    Nothing is learnt of them, and they may still be answered. So what people
    disagree on is not asked again.

    Args:
      questions: of `ask`, or `(modality, number)` of their items.

    Raises:
      OSError: as `tell`.
      ValueError: naming what was never asked about, or is answered.
    """
    self._check_open()
    if isinstance(questions, (str, questions_lib.Question)) or not isinstance(
        questions, Iterable):
      raise TypeError(f'questions={arguments.shown(questions)} must be a list '
                      'of them, [question] for one.')
    self._take(self._judged(
        dict.fromkeys(questions, answers_lib.SKIP), None))

  def fit(self) -> state_lib.Fit:
    """Learns from all answers; at once if there is nothing new.

    Raises:
      learn.gradient.divergence.Diverged: if training diverges.
    """
    self._check_open()
    if state_lib.is_due(self._state):
      self._store.check_takes()  # Else what is learnt lacks what is there.
      self._state = state_lib.fitted(self._made, self._state, self._see())
      self._store.keep(self._state)
    return state_lib.fit_of(self._state)

  def match(
      self, probability: float = 0.95, of: tuple[str, str] | None = None,
      recall: float | None = None) -> questions_lib.Pairs:
    """Pairs among all that no answer names, with calibrated probabilities.

    Args:
      probability: that a pair has at least.
      of: two modalities; None: the first two.
      recall: within (0, 1), the share of similar items that is to be found, as
        for `mmal_jax.match`: quicker in large pools. None finds all.

    Raises:
      ValueError: for too few answers, a learner that holds none out, modalities
        that there are not, or a recall out of bounds.

    Warns:
      UserWarning: if answers that are held out are matched hardly better than
        by chance.
    """
    self._check_open()
    of = items_lib.two(self._modalities[:2] if of is None else of,
                       self._modalities)
    items_lib.check_probability(probability)
    match_lib.check_recall(recall)
    if self._state.told or self._state.is_stale:
      self.fit()
    if mixups.at_chance(state_lib.fit_of(self._state).skill, len(self.known)):
      warnings.warn(
          f'of {len(self.known)} answers those held out are matched hardly '
          'better than by chance: are items numbered from 0, in the order in '
          'which they were given?', stacklevel=2)
    ways = remaining_matches.match(
        self._state.run, self._made.learner, self._made.pools,
        self._settings.candidates, chosen=not self._made.strategy.uniform,
        apart=likely.by_modalities(self._apart, self._modalities),
        recall=recall)
    found = pool_lib.pairs(ways[of], ways[of[::-1]], probability)
    return questions_lib.Pairs(
        of, found.rows, found.probabilities,
        {way: ways[way] for way in (of, of[::-1])}, self._given.shown)

  def candidates(
      self, modality: str, number: int, other: str, k: int
  ) -> tuple[int, ...]:
    """Numbers of an item's k likeliest counterparts, the likeliest first."""
    items_lib.check_item(modality, number, self._given.pools.sizes)
    items_lib.two((modality, other), self._modalities)
    items_lib.check_count('k', k)
    found = self._suggest(modality, np.array([number], np.int32), other, k)[0]
    return tuple(found[found >= 0].tolist())

  def item(self, modality: str, number: int) -> Any:
    """What is seen of an item: its text, the path of its image, its number."""
    items_lib.check_item(modality, number, self._given.pools.sizes)
    return shown_lib.item(self._given.shown[modality], number)

  def embeddings(self, modality: str) -> np.ndarray:
    """`[n, d]` float32 rows of norm 1, of all items, as learnt so far."""
    items_lib.check_modality(modality, self._modalities)
    run, learner = self._state.run, self._made.learner
    return np.asarray(in_memory.embed(
        learner.graphdef, learner.encoder(run.params, run.learner_state),
        self._made.pools.items[modality].values, modality))

  @property
  def known(self) -> np.ndarray:
    """`[a, M]` int, numbers of what was answered to belong together."""
    return state_lib.known(self._state)

  def __repr__(self) -> str:
    sizes = ', '.join(
        f'{n} of {m}' for m, n in self._given.pools.sizes.items())
    return (f'<Session of {sizes}: round {self._round}, '
            f'{len(state_lib.answered(self._state))} answers, '
            f'{len(state_lib.open_items(self._state))} open questions>')
