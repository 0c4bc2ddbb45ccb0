"""Every oracle, and every kind of mistake, by name.

`ORACLES[name](tuples, modalities, shown, **values) -> Oracle`, of the hidden
tuples (None where they are unknown) and a function that returns what people
see of each item, by modality; its other arguments are values of the section
`oracle` of a config. `MISTAKES[name](pools, seed) -> Mistake`.
"""

from collections.abc import Callable
from typing import Any

from mmal_jax.oracles import exact
from mmal_jax.oracles import similar
from mmal_jax.oracles import wrong
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people.page import page
from mmal_jax.oracles.people.studio import studio


def _exact(tuples, modalities, shown, **values):
  del shown
  if tuples is None:
    raise ValueError('oracle=\'exact\' needs pairs, and the pools of this '
                     'dataset are loose: ask people, oracle=\'files\'.')
  return exact.exact(tuples, modalities, **values)


ORACLES: dict[str, Callable[..., Any]] = {
    'exact': _exact,
    'files': lambda tuples, modalities, shown, **values: files.files(
        shown=shown(), **values),
    'page': lambda tuples, modalities, shown, **values: page.page(
        shown=shown(), **values),
    'label_studio': lambda tuples, modalities, shown, **values: studio.studio(
        shown=shown(), **values),
}
# Of these, those that ask people, in a folder of their own for each seed, while
# runs may have to wait; those that have to know which items belong together;
# those that answer all runs of a seed alike; and those that answer every query,
# and rightly.
ASK_PEOPLE = frozenset({'files', 'page', 'label_studio'})
NEED_PAIRS = frozenset({'exact'})
REPEAT = frozenset({'exact'})
RIGHT = frozenset({'exact'})
# Of those whose people answer elsewhere than in their folder, what brings the
# answers there, `EXCHANGES[name](folder, **values)`; and the values without
# which that cannot be.
EXCHANGES = {'label_studio': studio.exchange_of}
NEED_VALUES = {'label_studio': {
    'url': 'http://localhost:8080', 'project': 'TITLE'}}
# Whose arguments an oracle's values are, if not its own.
_VALUES_OF = {
    'exact': exact.exact, 'files': files.files, 'page': page.page,
    'label_studio': studio.studio}
MISTAKES = {
    'uniform': lambda pools, seed: wrong.uniform(pools.sizes, seed),
    'near': lambda pools, seed: similar.nearest_other(pools.items),
}


def values_of(name: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
  """The function whose arguments a config may give, and which it may not."""
  return (_VALUES_OF.get(name, ORACLES[name]),
          ('tuples', 'modalities', 'shown', 'form', 'exchange'))
