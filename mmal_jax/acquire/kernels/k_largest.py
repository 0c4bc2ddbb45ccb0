r"""The k largest values of each row, of which tile after tile is seen.

To select from all values of a tile would take longer than the product that they
come from. But the k largest lie in the k groups whose maxima are largest, and
of a group that has nothing above what was found before, nothing is needed: soon
that is nearly every one. So maxima of groups are compared, and the values of
few groups.
"""

import math

import jax
import jax.numpy as jnp

from mmal_jax.parallel import rows as rows_lib

# How many groups of each row are looked into: as few of these as will do for
# all rows of the tile, or k.
_GROUPS = (2, 4, 8)
# Tiles are of a multiple of that many rows, so that they can be cut in groups.
_MULTIPLE = 64

Found = tuple[jax.Array, jax.Array]


def nothing(n: int, k: int) -> Found:
  """`([n, k] int32, [n, k] float32)`: no index, -1, and -inf."""
  return jnp.full((n, k), -1, jnp.int32), jnp.full((n, k), -jnp.inf)


def size(n: int, most: int) -> int:
  """How many rows a tile has, for tiles of about equal size.

  >>> size(4103, 4096), size(40, 4096)
  (2112, 40)

  Args:
    n: rows of all tiles together, at least 1.
    most: rows of a tile, rounded up to a multiple that can be cut into groups.

  Returns:
    At most n.
  """
  count = -(-n // most)
  if n % _MULTIPLE and count == 1 and n > 16 * _MULTIPLE:
    count = 2  # The second reaches back into the first.
  rounded = -(-(-(-n // count)) // _MULTIPLE) * _MULTIPLE
  return rounded if rounded <= n else n


def add(found: Found, first: jax.Array, values: jax.Array, axis: int) -> Found:
  """What was found, and what is larger in a tile.

  Args:
    found: `([n, k] int32 indices, [n, k] float32 values)`, by falling value.
    first: scalar int32, index of the tile's first value; above all that were
      found.
    values: `[c, n]` for axis 0, `[n, c]` for axis 1; no NaN. -inf is never
      found.
    axis: along which lies what is compared.

  Returns:
    As `found`; ties go to the lowest index.
  """
  _, best = found
  k, c = best.shape[1], values.shape[axis]
  group = _group(c, k)
  count = c // group
  shape = list(values.shape)
  shape[axis:axis + 1] = count, group
  grouped = values.reshape(shape)
  maxima = jnp.max(grouped, axis=axis + 1)
  maxima = maxima.T if axis == 0 else maxima
  # Of equal ones the first is taken: the groups lie in the order of their
  # values, so the lowest index is in it.
  _, places = rows_lib.top_k(
      jnp.concatenate([best, maxima], axis=1), k, None)
  groups = jnp.sort(jnp.where(places < k, count, places - k), axis=1)

  def look_into(some):
    return lambda: _of_groups(found, first, grouped, groups[:, :some], axis)

  fewer = [some for some in _GROUPS if some < k]
  needed = jnp.max(jnp.sum(groups < count, axis=1))
  return jax.lax.switch(
      jnp.sum(needed > jnp.array(fewer, jnp.int32)),
      [look_into(some) for some in (*fewer, k)])


def _group(c: int, k: int) -> int:
  """Values of a group, so that groups and values of k are about as many."""
  wanted = 2 ** max(0, round(math.log2(c / k) / 2))
  return math.gcd(c, wanted)


def _of_groups(found, first, grouped, groups, axis):
  """What was found, and what is larger in some groups of each row.

  Args:
    found: as for `add`.
    first: as for `add`.
    grouped: `[g, s, n]` for axis 0, `[n, g, s]` for axis 1.
    groups: `[n, c]` int32, rising; g for none.
    axis: as for `add`.
  """
  index, best = found
  n, k = best.shape
  count, group = grouped.shape[axis:axis + 2]
  taken = jnp.minimum(groups, count - 1)
  if axis == 0:
    values = jnp.moveaxis(
        jnp.take_along_axis(grouped, taken.T[:, None], axis=0), 2, 0)
  else:
    values = jnp.take_along_axis(grouped, taken[:, :, None], axis=1)
  values = jnp.where(groups[:, :, None] < count, values, -jnp.inf)
  # Found ones first, and groups in their order: ties stay with the lowest.
  best, places = rows_lib.top_k(
      jnp.concatenate([best, values.reshape(n, -1)], axis=1), k, None)
  before = jnp.take_along_axis(index, jnp.minimum(places, k - 1), axis=1)
  fresh = jnp.maximum(places - k, 0)
  of = jnp.take_along_axis(taken, fresh // group, axis=1)
  return jnp.where(
      places < k, before, first + of * group + fresh % group), best
