"""The flags of all programs on one experiment: where it and its cache lie."""

from absl import flags

from experiments import cache
from experiments import paths

WORKDIR = paths.define(
    'workdir', None,
    'Folder of the experiment: metrics, queries, models, summary and curves.',
    required=True)
CACHE_DIR = cache.CACHE_DIR
flags.adopt_module_key_flags(cache)
