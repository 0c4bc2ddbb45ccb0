"""The flags that all programs share: where an experiment and its cache lie."""

import os

from absl import flags

WORKDIR = flags.DEFINE_string(
    'workdir', None,
    'Folder of the experiment: metrics, queries, models, summary and curves.',
    required=True)
CACHE_DIR = flags.DEFINE_string(
    'cache_dir',
    os.path.join(os.environ.get('XDG_CACHE_HOME') or
                 os.path.expanduser('~/.cache'), 'mmal_jax'),
    'Folder that keeps rendered datasets and warm starts between runs.')
