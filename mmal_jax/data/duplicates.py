"""Duplicates in a user's files: refused, or left out on request."""

from collections.abc import Iterable

from absl import logging

from mmal_jax.files import problems as problems_lib

_MAX_NAMED = 3
_MAX_WAYS = 10  # sentences that name the way out
WAY_OUT = 'or give drop_duplicates=True'


def settle(
    what: str, copies: Iterable[str], drop: bool | None, problems: list[str]
) -> None:
  """Reports copies as problems, or logs that they are left out.

  Args:
    what: the kind of items they are, `images` for one.
    copies: a sentence for each, without a full stop, that names it and the item
      that is kept.
    drop: whether they are left out.
    problems: takes the sentences if they are not, each with the way out.
  """
  copies = list(copies)
  if not drop:
    problems += [
        f'{copy}: delete one{f", {WAY_OUT}" if i < _MAX_WAYS else ""}.'
        for i, copy in enumerate(copies)]
  elif copies:
    more = ', ...' if len(copies) > _MAX_NAMED else ''
    logging.warning(
        '%d %s are left out as duplicates: %s%s', len(copies), what,
        '; '.join(map(problems_lib.shortened, copies[:_MAX_NAMED])), more)
