"""Every oracle, and every kind of mistake, by name.

`ORACLES[name](tuples, modalities, shown, **config) -> Oracle`, of the hidden
tuples (None where nobody knows them) and a function that returns what people
see of each item, by modality; `MISTAKES[name](pools, seed) -> Mistake`.
"""

from mmal_jax.oracles import exact
from mmal_jax.oracles import similar
from mmal_jax.oracles import wrong
from mmal_jax.oracles.people import files


def _exact(tuples, modalities, shown):
  del shown
  if tuples is None:
    raise ValueError('oracle=\'exact\' needs pairs, and the pools of this '
                     'dataset are loose: ask people, oracle=\'files\'.')
  return exact.exact(tuples, modalities)


ORACLES = {
    'exact': _exact,
    'files': lambda tuples, modalities, shown, **config: files.files(
        shown=shown(), **config),
}
MISTAKES = {
    'uniform': lambda pools, seed: wrong.uniform(pools.sizes, seed),
    'near': lambda pools, seed: similar.nearest_other(pools.items),
}
