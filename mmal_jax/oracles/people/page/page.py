"""The oracle that is people at a page: one HTML file a round."""

from collections.abc import Callable, Mapping
import os
import pathlib
import time

from absl import logging

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people.page import filling
from mmal_jax.oracles.people.page import server


def page(
    folder: str | os.PathLike[str],
    shown: Mapping[str, display.Items],
    candidates: int = 10,
    searched: int = 2000,
    port: int | None = None,
    enough: float = 1.0,
    wait_seconds: float | None = None,
    conflicts: str = 'ask',
    people: int = 1,
    skip_is_refusal: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> oracle_lib.Oracle:
  """Makes an oracle as `files.files`, whose questions are on a page.

  Every round writes `round_NNN/page.html`, which holds all that it shows. What
  it gives are JSON lines, as people write them by hand.

  Args:
    folder: as for `files.files`.
    shown: likewise.
    candidates: likewise.
    searched: how many items of each other modality a page holds to be searched;
      where more remain, it is the likeliest.
    port: of localhost at which the page is served, to save answers as they are
      given, while the program runs; 0: any that is free; None: not served.
    enough: as for `files.files`.
    wait_seconds: likewise.
    conflicts: likewise.
    people: likewise.
    skip_is_refusal: whether who skips a question refuses it.
    sleep: as for `files.files`.
    clock: likewise.

  Returns:
    The oracle, as that of `files.files`.

  Raises:
    OSError: if the port is taken.
    TypeError: if items cannot be shown.
    ValueError: if an argument is out of range, or the folder is of other pools.
  """
  if searched < 0:
    raise ValueError(f'searched={searched!r} must be at least 0.')
  oracle = files.files(
      folder, shown, candidates, enough, wait_seconds, conflicts, people,
      skip_is_refusal, sleep=sleep, clock=clock,
      form=filling.form(candidates, searched, skip_is_refusal))
  if port is not None:
    url = server.of_process(port).add(pathlib.Path(os.path.abspath(folder)))
    logging.warning('Questions are answered at %s', url)
  return oracle
