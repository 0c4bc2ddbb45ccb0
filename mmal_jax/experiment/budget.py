"""Rounds that spend a budget of annotations."""


def rounds(budget: int, batch: int | None, given: int | None = None) -> int:
  """How many rounds of `batch` queries make `budget` annotations.

  >>> rounds(1000, 250)
  4

  Args:
    budget: annotations in all.
    batch: queries a round; None if it is not known yet.
    given: rounds that were asked for beside the budget, if any.

  Raises:
    ValueError: if there is no such number, or `given` is another.
  """
  if batch is None:
    raise ValueError(f'budget={budget}: give --batch as well, or --rounds and '
                     '--batch in its place.')
  if batch < 1:
    raise ValueError(f'batch={batch} must be at least 1.')
  found, rest = divmod(budget, batch)
  if rest:
    raise ValueError(f'budget={budget} is not a multiple of batch={batch}.')
  if given not in (None, found):
    raise ValueError(f'budget={budget} is not rounds={given} * batch={batch}: '
                     'give one of the two.')
  return found
