"""Multimodal active learning with unaligned data.

Names are looked up when they are first used: to import the package costs
nothing, and starts no accelerator.
"""

import importlib

_WHERE = {
    'ask': 'mmal_jax.asking',
    'match': 'mmal_jax.matching.match',
    'Query': 'mmal_jax.acquire.views',
    'STRATEGIES': 'mmal_jax.acquire.registry',
}
__all__ = sorted(_WHERE)


def __getattr__(name: str):
  if name not in _WHERE:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}.')
  return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__():
  return sorted({*globals(), *__all__})
