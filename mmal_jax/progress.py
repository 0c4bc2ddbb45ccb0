"""Steps of long work, counted for whoever wants to show how far it is.

The library counts and shows nothing by itself: a program, or a notebook, says
by `shown_by` who shows it: `bar`, for one.
"""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import contextvars
import importlib.util
import sys
import threading
from typing import TypeVar
import warnings

from mmal_jax import extras
from mmal_jax.files import plain_text

tqdm = extras.Lazy('tqdm', 'to show how far work is')
auto = extras.Lazy('tqdm.auto', 'to show how far work is')

T = TypeVar('T')
# (steps, number of steps, what they are) -> the same steps
Show = Callable[[Iterable[T], int, str], Iterable[T]]

_STILL = 5.0  # seconds after which a first step is explained
_SHOW: contextvars.ContextVar[Show | None] = contextvars.ContextVar(
    'show', default=None)


def steps(of: Iterable[T], total: int, what: str) -> Iterable[T]:
  """The steps of some work, shown as they are taken.

  Args:
    of: the steps.
    total: how many there are.
    what: they are, in a word or two: `training`.

  Returns:
    The same steps.
  """
  show = _SHOW.get()
  return of if show is None else show(of, total, what)


@contextlib.contextmanager
def shown_by(show: Show | None) -> Iterator[None]:
  """While it lasts, `show` shows all steps; None shows nothing.

  >>> def show(of, total, what):
  ...   print(what, total)
  ...   return of
  >>> with shown_by(show):
  ...   list(steps(range(3), 3, 'training'))
  training 3
  [0, 1, 2]
  """
  token = _SHOW.set(show)
  try:
    yield
  finally:
    _SHOW.reset(token)


def by_default() -> Show | None:
  """Who shows steps already; else `auto_bar`, where tqdm is installed."""
  if _SHOW.get() is not None:
    return _SHOW.get()
  return None if importlib.util.find_spec('tqdm') is None else auto_bar


def auto_bar(of: Iterable[T], total: int, what: str) -> Iterable[T]:
  """Shows steps of more than a second as fits: a notebook's bar, or a text.
  """
  with warnings.catch_warnings():
    # In a notebook without ipywidgets it is a text, which is no fault.
    warnings.filterwarnings('ignore', 'IProgress not found')
    tqdm_class = auto.tqdm
  return tqdm_class(
      of, plain_text.for_terminal(what), total, leave=False, delay=1)


def bar(of: Iterable[T], total: int, what: str) -> Iterator[T]:
  """Shows steps by a bar on the terminal, for `shown_by`.

  The first step of a program compiles it, and a bar stands still meanwhile.

  Args:
    of: the steps.
    total: how many there are.
    what: they are.

  Yields:
    The same steps.
  """
  what = plain_text.for_terminal(what)
  still = threading.Timer(_STILL, tqdm.tqdm.write, [
      f'{what}: still at the first step, which may compile for a minute.',
      sys.stderr])
  still.daemon = True
  still.start()
  try:
    for step in tqdm.tqdm(
        of, what, total, leave=False, delay=1, dynamic_ncols=True,
        mininterval=0.1 if sys.stderr.isatty() else 10):
      yield step
      still.cancel()  # Once the step that was handed out is done.
  finally:
    still.cancel()
