"""Every oracle by name: `ORACLES[name](pairing) -> Oracle`."""

from mmal_jax.align import exact

ORACLES = {'exact': exact.exact}
