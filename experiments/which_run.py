"""The flags of programs on a single run: whose results are taken."""

from absl import flags

STRATEGY = flags.DEFINE_string(
    'strategy', 'mmal', 'Of the run whose results are taken.')
SEED = flags.DEFINE_integer('seed', 0, 'Of that run.')
