"""Sizes of the tiles that kernels work on: one table, by use and by platform.

A tile is a block of rows of one array times a block of rows of another.
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


# CPU: measured on two cores (Xeon, AVX-512) that others used, too: sizes near
# these are alike within what the machine drifts. TPU: by libtpu's estimate
# of cycles for a v5e, 2^20 rows and 4,096 others, D = 512; nothing was run. A
# product fills the matrix unit from 128 columns on, and tiles of 65,536 rows do
# not stay on the chip. GPU: not measured. A product of a few thousand rows
# fills the chip, what follows it should stay within a cache of some 50 MB, and
# larger tiles mean fewer launches.
TILES = {
    # Rows of a pool against the centres of a cover: the minimum of each row.
    # TPU: 70.7 million cycles; 65,536 x 64 take 202, 8,192 x 512 take 62.7, but
    # where fewer centres come at a time, the rest of 512 would be padding.
    'nearest': {
        'cpu': Tile(4096, 64), 'gpu': Tile(65536, 128), 'tpu': Tile(8192, 256)},
    # Rows that can still matter, gathered, against the newest centres. TPU: not
    # estimated.
    'refresh': {'cpu': Tile(1024), 'gpu': Tile(16384), 'tpu': Tile(4096)},
    # Rows of a pool against the picks of a design. TPU: not estimated.
    'design': {'cpu': Tile(1024), 'gpu': Tile(16384), 'tpu': Tile(16384)},
    # Rows of a pool against candidates: maxima and sums of each candidate. TPU:
    # 191 million cycles; 4,096 x 256 take 263, 1,024 x 256 take 391.
    'matches': {
        'cpu': Tile(4096, 256), 'gpu': Tile(16384, 512),
        'tpu': Tile(16384, 512)},
    # Rows of a pool against the other pool: the k best of each row. TPU:
    # 57.4 million cycles; 256 x 4,096 take 80.9, 1,024 x 1,024 take 202, before
    # maxima of groups were compared. What `top_k` takes, of which libtpu says
    # nothing, is not among them.
    'best_matches': {
        'cpu': Tile(256, 4096), 'gpu': Tile(4096, 4096),
        'tpu': Tile(1024, 4096)},
    # The same of both pools at a time: the k best of each row and of each
    # column. TPU: not estimated.
    'best_both_ways': {
        'cpu': Tile(1024, 1024), 'gpu': Tile(4096, 4096),
        'tpu': Tile(4096, 4096)},
    # Rows sorted by group against their own group: the k nearest of each. TPU:
    # 3,794 million cycles for groups of 52,000; 256 x 1,024 take 9,435;
    # without `top_k`.
    'typicality': {
        'cpu': Tile(256, 1024), 'gpu': Tile(4096, 4096),
        'tpu': Tile(1024, 4096)},
    # Rows against the centres of clusters: the nearest of each row. TPU: from
    # 1,024 rows on within 6 % of each other.
    'kmeans': {
        'cpu': Tile(2048), 'gpu': Tile(16384), 'tpu': Tile(4096)},
    # Rows of a pool against the points to cover: the sum of what each adds.
    # TPU: 55.0 million cycles; 256 rows take 77.1.
    'gains': {
        'cpu': Tile(256), 'gpu': Tile(4096), 'tpu': Tile(1024)},
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
