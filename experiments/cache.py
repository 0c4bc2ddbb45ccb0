"""The flag of what is kept between runs."""

import os

from experiments import paths

CACHE_DIR = paths.define(
    'cache_dir',
    os.path.join(os.environ.get('XDG_CACHE_HOME') or
                 os.path.expanduser('~/.cache'), 'mmal_jax'),
    'Folder that keeps rendered datasets and warm starts between runs.')
