"""What the acquisition costs, beside other packages and the machine itself.

Example:

  python -m experiments.benchmarks.run --out=/tmp/benchmarks

Prints a table for every benchmark and writes all numbers to JSON files. For the
packages to compare with: pip install -e '.[bench]'.
"""

from collections.abc import Sequence
import pathlib
import sys
import time

from absl import app
from absl import flags
from absl import logging
import jax

from experiments import common_flags
from experiments import program
from experiments.benchmarks import blocks
from experiments.benchmarks import closed_form
from experiments.benchmarks import design
from experiments.benchmarks import devices
from experiments.benchmarks import disk
from experiments.benchmarks import durable
from experiments.benchmarks import embed
from experiments.benchmarks import facility
from experiments.benchmarks import memory
from experiments.benchmarks import neighbours
from experiments.benchmarks import peers
from experiments.benchmarks import plain
from experiments.benchmarks import points
from experiments.benchmarks import precision
from experiments.benchmarks import result
from experiments.benchmarks import roofline
from experiments.benchmarks import scaling
from experiments.benchmarks import sinkhorn
from experiments.benchmarks import size
from experiments.benchmarks import step
from experiments.benchmarks import stream
from experiments.benchmarks import tiles
from experiments.benchmarks import train
from mmal_jax.terminal import messages
from mmal_jax.workdir import layout

BENCHMARKS = {
    'peers': peers.run,
    'plain': plain.run,
    'facility': facility.run,
    'points': points.run,
    'blocks': blocks.run,
    'scaling': scaling.run,
    'memory': memory.run,
    'step': step.run,
    'size': size.run,
    'roofline': roofline.run,
    'sinkhorn': sinkhorn.run,
    'devices': devices.run,
    'disk': disk.run,
    'design': design.run,
    'precision': precision.run,
    'train': train.run,
    'embed': embed.run,
    'stream': stream.run,
    'durable': durable.run,
    'closed_form': closed_form.run,
    'tiles': tiles.run,
    'neighbours': neighbours.run,
}
_OUT = 'runs/benchmarks'  # The JSON files, one a benchmark.
_OUT, = common_flags.take('out')
_ONLY = flags.DEFINE_list(
    'only', None, 'Benchmarks to run, with commas between them, out of: '
    f'{", ".join(BENCHMARKS)}. Default: all.')
_SMALL = flags.DEFINE_bool(
    'small', False, 'Sizes that take seconds, to see that all works.')


def main(argv: Sequence[str]) -> None:
  logging.set_verbosity(logging.WARNING)  # JAX logs what is missing.
  names = list(BENCHMARKS) if _ONLY.value is None else _ONLY.value
  unknown = [name for name in names if name not in BENCHMARKS]
  if unknown or len(argv) > 1:
    messages.end_with(f'unknown {(unknown + argv[1:])[0]!r}; --only takes '
                      f'{", ".join(BENCHMARKS)}.')
  folder = pathlib.Path(_OUT.value or _OUT)
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    messages.write(f'{name} ...', sys.stderr)
    start = time.perf_counter()
    found = BENCHMARKS[name](_SMALL.value)
    record = result.record(found, _SMALL.value)
    record['took'] = time.perf_counter() - start
    layout.write(folder / f'{name}.json', record)
    messages.write(result.markdown(found))
    jax.clear_caches()  # Of compiled programs, which are of no use to the next.


if __name__ == '__main__':
  app.run(main, flags_parser=program.parse_flags)
