"""Blocks of two pools, of which one or both lie on disk."""

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import deal as deal_lib
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib


def map_blocks(
    function: Callable[..., tuple[Any, Any]],
    views: Sequence[views_lib.View],
    key: jax.Array,
    block: int,
    *by_item: Sequence[Any],
) -> tuple[Any, Any]:
  """A function of every block (`deal.deal`), its results in the items' places.

  A pool on disk is read once, a group at a time, in the order of its rows.

  Args:
    function: `(x [r, d], y [c, d], i [r] int32, j [c], *by_item)` to pytrees of
      `[r, ...]` and `[c, ...]`; of numbers i and j that are -1 the rows may be
      anything, and the results are dropped.
    views: two.
    key: deals.
    block: most items of either pool in a block.
    *by_item: pairs of `[n, ...]` and `[m, ...]`, more of what it needs.

  Returns:
    Pytrees of `[n, ...]` and `[m, ...]`, 0 of what does not remain; over a mesh
    where the pool lies so.
  """
  views = [views_lib.located(view) for view in views]
  lengths = [len(view.remaining) for view in views]
  places = [np.asarray(some) for some in deal_lib.deal(
      key, tuple(jnp.asarray(rows_lib.on_host(view.remaining, n))
                 for view, n in zip(views, lengths)),
      tuple(view.size or n for view, n in zip(views, lengths)), block)]
  sources = [(views[0].pool, views[1].pool), *by_item]
  found, waiting = [None, None], []
  for group in zip(*places):
    readers = None  # Lets go of the last group's rows: two are not held.
    readers = [tuple(map(_reader, pair, group)) for pair in sources]
    for items in zip(*group):
      pools, *rows = (
          [read(some) for read, some in zip(pair, items)] for pair in readers)
      waiting.append((items, function(*pools, *items, *sum(rows, []))))
      # The device works on one block while the next is put together.
      if len(waiting) > 1:
        _keep(found, lengths, *waiting.pop(0))
  _keep(found, lengths, *waiting.pop())
  return tuple(
      jax.tree.map(functools.partial(rows_lib.laid, rows=view.rows), some)
      for some, view in zip(found, views))


def _reader(pool, items):
  """A function of `[k]` numbers, of a group's `items`, to rows; -1 gets any."""
  if not isinstance(pool, disk.DiskRows):
    return lambda some: rows_lib.take(jnp.asarray(pool), some)
  numbers = np.sort(items[items >= 0])
  if not len(numbers):
    numbers = np.zeros(1, int)
  rows = pool.take(numbers)
  return lambda some: np.take(
      rows, np.searchsorted(numbers, np.maximum(some, numbers[0])), axis=0)


def _keep(found, lengths, items, results):
  """Puts a block's results in their places."""
  for side, (n, numbers, some) in enumerate(zip(lengths, items, results)):
    if found[side] is None:
      found[side] = jax.tree.map(
          lambda x, n=n: np.zeros((n,) + x.shape[1:], x.dtype), some)
    there = numbers >= 0

    def put(whole, values, numbers=numbers, there=there):
      whole[numbers[there]] = np.asarray(values)[there]

    jax.tree.map(put, found[side], some)
