"""Where rendered datasets and warm starts are kept between runs."""

import os


def default() -> str:
  """This user's folder, as the XDG specification has it."""
  return os.path.join(
      os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'),
      'mmal_jax')
