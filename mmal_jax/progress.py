"""Steps of long work, counted for whoever wants to show how far it is.

The library counts and shows nothing by itself: a program, or a notebook, says
by `shown_by` who shows it.
"""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import contextvars
from typing import TypeVar

T = TypeVar('T')
# (steps, number of steps, what they are) -> the same steps
Show = Callable[[Iterable[T], int, str], Iterable[T]]

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
