"""Sizes of the tiles that kernels work on: one table, by use and by platform.

A tile is so many rows of one array times so many of another, in one product.
Too small a tile leaves a matrix unit half empty, or pays for each step of a
loop; too large a one does not stay in the cache (CPU) or on the chip (TPU).
`experiments.benchmarks.run --only=tiles` prints what other sizes would take.
"""

from typing import NamedTuple

import jax

# `with compiled_for('tpu'):` lowers programs for devices that this process does
# not have. JAX keeps traces of either kind apart.
compiled_for = jax.make_user_context(None)
# `with instead((use, tile)):` takes another tile for a use, to compare.
instead = jax.make_user_context(None)


class Tile(NamedTuple):
  """A tile.

  Attributes:
    rows: of the array that is cut into tiles, at a time.
    columns: rows of the other array, at a time; None for all of them.
  """

  rows: int
  columns: int | None = None


# CPU: measured on two cores (Xeon, AVX-512), D = 256 and 512. TPU: the fewest
# cycles by libtpu's own estimate for a v5e; nothing was run. GPU: not measured.
# A product of a few thousand rows fills the chip, and what comes after it
# should stay within the cache of some 50 MB; larger tiles mean fewer launches.
TILES = {
    # Rows of a pool against the centres of a cover: the minimum of each row.
    'nearest': {
        'cpu': Tile(4096, 64), 'gpu': Tile(65536, 128), 'tpu': Tile(8192, 128)},
    # Rows that can still matter, gathered, against the newest centres.
    'refresh': {'cpu': Tile(1024), 'gpu': Tile(16384), 'tpu': Tile(4096)},
    # Rows of a pool against candidates: maxima and sums of each candidate.
    'matches': {
        'cpu': Tile(4096, 256), 'gpu': Tile(16384, 512),
        'tpu': Tile(4096, 256)},
    # Rows of a pool against the other pool: the k best of each row.
    'best_matches': {
        'cpu': Tile(256, 4096), 'gpu': Tile(4096, 4096),
        'tpu': Tile(256, 4096)},
    # Rows sorted by group against their own group: the k nearest of each.
    'typicality': {
        'cpu': Tile(256, 1024), 'gpu': Tile(4096, 4096),
        'tpu': Tile(256, 1024)},
    # Rows against the centres of clusters: the nearest of each row.
    'kmeans': {
        'cpu': Tile(4096), 'gpu': Tile(16384), 'tpu': Tile(4096)},
    # Rows of a pool against the points to cover: the sum of what each adds.
    'gains': {
        'cpu': Tile(256), 'gpu': Tile(4096), 'tpu': Tile(256)},
}


def of(use: str) -> Tile:
  """The tile of a use, on the platform that a program is compiled for.

  >>> with compiled_for('cpu'):
  ...   of('nearest').columns
  64

  Args:
    use: out of `TILES`. Platforms that the table does not know get the tiles of
      a GPU, which suppose least.
  """
  if instead.value is not None and instead.value[0] == use:
    return instead.value[1]
  platform = compiled_for.value or jax.default_backend()
  return TILES[use].get(platform, TILES[use]['gpu'])
