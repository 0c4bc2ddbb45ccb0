"""The oracle that is people at a Label Studio, which is reached by its API."""

from collections.abc import Callable, Mapping, Sequence
import functools
import os
import pathlib
import time
from typing import Any

import numpy as np

from mmal_jax.files import durable
from mmal_jax.files import plain_text
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people import label_studio
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people.studio import client as client_lib
from mmal_jax.oracles.people.studio import exchange as exchange_lib


def studio(
    folder: str | os.PathLike[str],
    shown: Mapping[str, display.Items],
    url: str,
    project: str,
    candidates: int = 10,
    enough: float = 1.0,
    wait_seconds: float | None = None,
    conflicts: str = 'ask',
    people: int = 1,
    skip_is_refusal: bool = False,
    link: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> oracle_lib.Oracle:
  """Makes an oracle as `files.files`, which brings questions to Label Studio.

  The token is read from the variable LABEL_STUDIO_API_KEY of the environment,
  and written nowhere. Each modality that is asked about has a project of its
  own, `PROJECT (MODALITY)`, which is found by this title or made. Images are
  uploaded there, and fetched as a browser will before a question goes out.
  Answers come into the folder of answers, to which others may be added by hand.

  Args:
    folder: as for `files.files`.
    shown: likewise.
    url: address of the Label Studio.
    project: title of its projects, to which the modality is added.
    candidates: as for `files.files`.
    enough: likewise.
    wait_seconds: likewise.
    conflicts: likewise.
    people: likewise; to so many people Label Studio gives each task.
    skip_is_refusal: as for `files.files`.
    link: likewise.
    sleep: likewise.
    clock: likewise.

  Returns:
    The oracle, as that of `files.files`. It also raises OSError if the server
    does not answer for minutes, and ValueError for what it refuses.

  Raises:
    OSError: if the server does not answer for minutes.
    TypeError: if items cannot be shown.
    ValueError: if an argument is out of range, the folder is of other pools, or
      there is no token that the server takes.
  """
  display.check(shown)
  exchange = exchange_of(
      pathlib.Path(os.path.abspath(folder)), url, project, people, sleep, clock)
  exchange.check(shown)
  return files.files(
      folder, shown, candidates, enough, wait_seconds, conflicts, people,
      skip_is_refusal, sleep=sleep, clock=clock, exchange=exchange,
      form=rounds.Form(candidates, functools.partial(
          _fill, link=link, where=exchange.where)))


def exchange_of(
    folder: pathlib.Path, url: str, project: str, people: int,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic, **others: Any,
) -> exchange_lib.Exchange:
  """What brings a folder's questions to a Label Studio, and answers back.

  Args:
    folder: of all rounds.
    url: as for `studio`.
    project: likewise.
    people: likewise.
    sleep: likewise.
    clock: likewise.
    **others: values of the oracle that make no difference to that.

  Raises:
    ValueError: if there is no such address, or no token.
  """
  del others
  return exchange_lib.Exchange(
      folder, client_lib.Client(
          url, client_lib.token_of_environment(), sleep, clock),
      project, people)


def _fill(
    draft: pathlib.Path, path: pathlib.Path,
    shown: Mapping[str, display.Items], modality: str, numbers: Sequence[int],
    counterparts: Mapping[str, np.ndarray], pools: str, *, link: bool,
    where: str,
) -> None:
  del pools  # The tasks are not among the files.
  queries: list[dict[str, Any]] = rounds.fill_questions(
      draft, shown, modality, numbers, counterparts, link)
  how = _HOW.format(
      where=where,
      none_of_these=label_studio.NONE_OF_THESE,
      no_counterpart=label_studio.NO_COUNTERPART)
  durable.write(draft / 'README.txt', rounds.readme(
      path, queries[0], {other: len(shown[other]) for other in counterparts},
      shown, plain_text.for_terminal(how, lines=True)))


_HOW = '''\
With Label Studio
-----------------
The questions are in {where}.
For each task choose a candidate, "{no_counterpart}", or "{none_of_these}": then
type in the number of the right one if you know it; else the query counts as
refused. A task that is submitted with nothing chosen, and a draft, are no
answers. The run fetches answers by itself; one that it has used stays as it is,
whatever is changed there later.
'''
