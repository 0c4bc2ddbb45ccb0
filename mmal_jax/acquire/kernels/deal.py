"""Two pools dealt out to blocks at random, so that either is read in order.

A block holds items of all of a group, and a group is consecutive in its pool:
so a pool on disk is read once, a group at a time, and not row by row. Which
group of the one pool meets which of the other is random, too.
"""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.parallel import rows as rows_lib

# Rows of a pool that are dealt out together: all, of one that is no larger.
_GROUP = 2**17
# A block's width is rounded up to a multiple of 256 where that adds no more
# than a sixteenth: on CPU the scores of a plan take several times as long at
# odd widths (measured at 7,693, beside 7,680 and 7,936).
_MULTIPLE, _MOST_ADDED = 256, 1 / 16


@functools.partial(jax.jit, static_argnames=('sizes', 'block', 'rows'))
def deal(
    key: jax.Array,
    remaining: tuple[jax.Array, jax.Array],
    sizes: tuple[int, int],
    block: int,
    rows: jax.sharding.NamedSharding | None = None,
) -> tuple[jax.Array, jax.Array]:
  """What remains of two pools, in blocks of which each is matched on its own.

  Args:
    key: draws.
    remaining: `[n]` and `[m]` bool, padded at their ends or not.
    sizes: n and m without padding.
    block: most items of either pool in a block.
    rows: how both masks lie over a mesh, if they do.

  Returns:
    `([groups, blocks, slots], [groups, blocks, other slots])` int32, each
    remaining item once, evenly spread; -1 in what is left.
  """
  groups = _parts(max(sizes), _GROUP)
  blocks = _parts(_parts(max(sizes), groups), block)
  x, y = (
      _dealt(part, rows_lib.everywhere(mask, rows), n, groups, blocks)
      for part, mask, n in zip(jax.random.split(key), remaining, sizes))
  return x, y[jax.random.permutation(jax.random.fold_in(key, 2), groups)]


def _parts(n, size):
  return -(-n // size)


def _rounded(slots):
  rounded = _parts(slots, _MULTIPLE) * _MULTIPLE
  return rounded if rounded - slots <= _MOST_ADDED * slots else slots


def _dealt(key, remaining, n, groups, blocks):
  slots = _rounded(_parts(_parts(n, groups), blocks))
  items = jnp.nonzero(remaining, size=n, fill_value=0)[0].astype(jnp.int32)
  # Groups are of what remains: they are as even where that lies unevenly.
  least, more = jnp.divmod(jnp.sum(remaining), groups)
  group, slot = jnp.arange(groups), jnp.arange(slots * blocks)
  first = group * least + jnp.minimum(group, more)
  there = slot[None] < (least + (group < more))[:, None]
  items = items[jnp.minimum(first[:, None] + slot[None], n - 1)]
  lots = jax.random.uniform(key, remaining.shape)[items]
  order = jnp.argsort(jnp.where(there, -lots, 1.0), axis=1)
  items = jnp.take_along_axis(jnp.where(there, items, -1), order, axis=1)
  return items.reshape(groups, slots, blocks).swapaxes(1, 2)
