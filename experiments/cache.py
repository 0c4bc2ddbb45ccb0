"""The flag of what is kept between runs."""

import os

from absl import flags

CACHE_DIR = flags.DEFINE_string(
    'cache_dir',
    os.path.join(os.environ.get('XDG_CACHE_HOME') or
                 os.path.expanduser('~/.cache'), 'mmal_jax'),
    'Folder that keeps rendered datasets and warm starts between runs.')
