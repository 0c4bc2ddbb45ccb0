"""Multimodal active learning with unaligned data.

Names are looked up when they are first used: to import the package costs
nothing, and starts no accelerator.
"""

from mmal_jax import extras as _extras

__version__ = '0.4.0'
# By public name: its module, and its name there.
_WHERE = {
    'Config': ('ml_collections', 'ConfigDict'),
    'Query': ('mmal_jax.acquire.views', 'Query'),
    'Session': ('mmal_jax.session.session', 'Session'),
    'STRATEGIES': ('mmal_jax.acquire.registry', 'STRATEGIES'),
    'View': ('mmal_jax.acquire.views', 'View'),
    'ask': ('mmal_jax.asking', 'ask'),
    'config_of': ('mmal_jax.config.create', 'config_of'),
    # Not `embed`: the first import of the subpackage of that name would take
    # its place.
    'embed_items': ('mmal_jax.embed.items', 'embed_items'),
    'load_pretrained': ('mmal_jax.embed.encoder', 'load'),
    'match': ('mmal_jax.matching.match', 'match'),
    'open_rows': ('mmal_jax.embed.disk', 'open_rows'),
    'row_sharding': ('mmal_jax.parallel.sharding', 'row_sharding'),
    'run': ('mmal_jax.experiment.start', 'run'),
}
__all__ = sorted(('__version__', *_WHERE))


def __getattr__(name: str):
  if name not in _WHERE:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}.')
  module, attribute = _WHERE[name]
  return getattr(_extras.load(module, f'for mmal_jax.{name}'), attribute)


def __dir__():
  return sorted({*globals(), *__all__})
