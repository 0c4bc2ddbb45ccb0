"""What fits a TPU slice before it is rented: by its compiler, without a TPU.

Example:

  python -m experiments.plan --topology=v5e:4x4 --mesh_fsdp=4 --pool=10000000

compiles acquisition, the closed form, embedding and a step of training for the
chips of that slice, and prints for each what a chip needs of its memory, what
it computes and moves, the least time that this takes at the published peaks,
and what the chips say to each other. Nothing runs on a TPU, and none is needed:
libtpu compiles on any Linux machine, pip install "mmal_jax[tpu]". All programs
take some ten minutes of two cores; --programs takes some of them.
"""

from collections.abc import Sequence

from absl import flags
import jax

from experiments import program
from mmal_jax.models import config as config_lib
from mmal_jax.models.pretrained import presets
from mmal_jax.planning import plan
from mmal_jax.planning import programs
from mmal_jax.terminal import messages

_DEFAULTS = programs.Sizes(10_000_000)
_TOPOLOGY = flags.DEFINE_string(
    'topology', 'v5e:4x4', 'Chips along each axis of a slice: v4, v5e, v5p or '
    'v6e, as v5p:2x2x4.')
_DATA = flags.DEFINE_integer(
    'mesh_data', -1, 'As config.mesh.data; -1 takes all chips.')
_FSDP = flags.DEFINE_integer('mesh_fsdp', 1, 'As config.mesh.fsdp.')
_POOL = flags.DEFINE_integer(
    'pool', _DEFAULTS.pool, 'Items of each of two modalities.', lower_bound=1)
_WIDTH = flags.DEFINE_integer(
    'width', _DEFAULTS.width, 'Values of an embedding.', lower_bound=1)
_DTYPE = flags.DEFINE_enum(
    'pool_dtype', _DEFAULTS.dtype, config_lib.DTYPES, 'Of the pools.')
_QUERIES = flags.DEFINE_integer(
    'queries', _DEFAULTS.queries, 'Of a round.', lower_bound=1)
_ALIGNED = flags.DEFINE_integer(
    'aligned', _DEFAULTS.aligned, 'Room for aligned pairs.', lower_bound=1)
_PRESET = flags.DEFINE_enum(
    'preset', _DEFAULTS.model, list(presets.PRESETS), 'In bfloat16.')
_PAIRS = flags.DEFINE_integer(
    'pairs', _DEFAULTS.pairs, 'Of a training step, and of embedding.',
    lower_bound=1)
_REMAT = flags.DEFINE_bool(
    'remat', False, 'As config.model.remat, of the training step.')
_PARTS = flags.DEFINE_integer(
    'parts', 1, 'As config.train.parts.', lower_bound=1)
_PROGRAMS = flags.DEFINE_list(
    'programs', list(programs.NAMES), 'To compile, in this order.')
_LARGEST = flags.DEFINE_bool(
    'largest', False, 'Find the largest pools that fit, too: a few minutes.')


def _work() -> str:
  jax.config.update('jax_platforms', 'cpu')  # Leaves a TPU to others.
  # What is compiled for other machines is kept, but cannot be read again.
  jax.config.update('jax_enable_compilation_cache', False)
  return plan.plan(
      _TOPOLOGY.value, _DATA.value, _FSDP.value, programs.Sizes(
          _POOL.value, _WIDTH.value, _DTYPE.value, _QUERIES.value,
          _ALIGNED.value, model=_PRESET.value, pairs=_PAIRS.value,
          remat=_REMAT.value, parts=_PARTS.value),
      _PROGRAMS.value, _LARGEST.value, messages.notify)


def main(argv: Sequence[str]) -> None:
  program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
