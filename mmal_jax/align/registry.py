"""Every oracle by name.

`ORACLES[name](tuples, pools) -> Oracle`; `MISTAKES[name](pools, seed)`.
"""

from mmal_jax.align import exact
from mmal_jax.align import similar
from mmal_jax.align import wrong

ORACLES = {'exact': lambda tuples, sizes: exact.exact(tuples, tuple(sizes))}
MISTAKES = {
    'uniform': lambda pools, seed: wrong.uniform(pools.sizes, seed),
    'near': lambda pools, seed: similar.nearest_other(pools.items),
}
