"""The minibatches of a round's training: which rows, and their values."""

from collections.abc import Iterator, Mapping
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.data import encode
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import replay as replay_lib
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.learn.gradient import twins as twins_lib
from mmal_jax.learn.gradient import unaligned as unaligned_lib
from mmal_jax.models import partition
from mmal_jax.parallel import sharding


class Rows(NamedTuple):
  """What all steps of a round read; `s` steps of `b` rows.

  Attributes:
    shift_keys: `[s]` typed random keys.
    rows: `[s, b - r]` of the aligned table.
    tuples: `[s, b - r, M]`, what stands there; -1 in rows that only fill up.
    columns: by modality, `[s, b - r]` rows of the items that are read.
    replayed: `[s, r]` rows of the replay; they come last in a minibatch.
    unaligned: by modality, `[s, u]` rows of the pool; empty without one.
    twins: by modality of words, `[s, t, length]` tokens and `[s, t]` bool,
      which of them are twins; empty without any.
  """

  shift_keys: jax.Array
  rows: np.ndarray
  tuples: np.ndarray
  columns: dict[str, np.ndarray]
  replayed: np.ndarray
  unaligned: dict[str, np.ndarray]
  twins: dict[str, tuple[np.ndarray, np.ndarray]]


class Source(NamedTuple):
  """Where minibatches are drawn from.

  Attributes:
    items: by modality, of a pool, on the host.
    aligned: `[capacity, M]` int32, rows of these items, a column a modality in
      their order; -1 where an item is missing.
    num_aligned: how many rows of `aligned` are in use; they come first.
    pool: what has arrived, for a recipe that learns from more than the aligned.
    replay: known pairs that join every minibatch; None for none.
  """

  items: Mapping[str, encode.Items]
  aligned: np.ndarray
  num_aligned: int
  pool: learner_lib.Pool | None = None
  replay: replay_lib.Replay | None = None


def draw(
    recipe: step_lib.Recipe, key: jax.Array, source: Source, steps: int
) -> Rows:
  """Draws the minibatches of all steps.

  Args:
    recipe: sizes.
    key: typed random key.
    source: what is drawn from.
    steps: s.
  """
  aligned, pool, replay = source.aligned, source.pool, source.replay
  capacity = len(aligned)
  # A replay fills up what a small capacity leaves of a minibatch (all of it, if
  # its worth and the number of aligned tuples come to a batch or more).
  size = recipe.batch_size if replay else min(recipe.batch_size, capacity)
  divisor = recipe.parts * (1 if recipe.mesh is None else recipe.mesh.size)
  shift_keys, rows, valid = (np.asarray(x) if i else x for i, x in enumerate(
      _plan(key, jnp.asarray(source.num_aligned), capacity,
            min(size, capacity), steps)))
  size += -size % divisor
  rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
  replayed = np.zeros((steps, 0), int)
  if replay is not None:
    count = replay.rows(size, source.num_aligned)
    replayed = rng.integers(
        0, len(next(iter(replay.items.values()))), (steps, count))
  mine = size - replayed.shape[1]
  rows, valid = (
      np.pad(x, ((0, 0), (0, max(mine - x.shape[1], 0))))[:, :mine]
      for x in (rows, valid))
  # [steps, b - r, M]
  tuples = np.where(valid[..., None], aligned[rows], -1)
  columns = dict(zip(source.items, np.moveaxis(np.maximum(tuples, 0), -1, 0)))
  unaligned = {}
  if recipe.unaligned is not None and _is_left(pool):
    count = recipe.unaligned.size
    count += -count % divisor
    unaligned = {m: rng.choice(some, (steps, count))
                 for m, some in pool.rows.items()}
  return Rows(shift_keys, rows, tuples, columns, replayed, unaligned,
              _draw_twins(recipe, rng, source, tuples, size, divisor))


def _is_left(pool) -> bool:
  """Whether there are unaligned items to learn from, and known resemblances."""
  return pool is not None and pool.reference is not None and all(
      map(len, pool.rows.values()))


def _draw_twins(recipe, rng, source, tuples, size, divisor):
  """By modality of words, tokens, and which of them are twins."""
  if recipe.twins is None or source.pool is None:
    return {}
  count = min(recipe.twins.size + -recipe.twins.size % divisor, size)
  # Rows that are not there, and those that are replayed, have no twins.
  tuples = tuples[:, :count]
  tuples = np.pad(tuples, ((0, 0), (0, count - tuples.shape[1]), (0, 0)),
                  constant_values=-1)
  drawn = {}
  for column, (m, items) in enumerate(source.items.items()):
    if twins_lib.has_words(items):
      values, ids, found = twins_lib.draw(
          rng, tuples[..., column], items, source.pool.items[m])
      drawn[m] = values, found & ~_are_aligned(source, column, tuples, ids)
  return drawn


def _are_aligned(source, column, tuples, ids) -> np.ndarray:
  """Whether an item of a row is known to belong to the row's twin as well.

  An image may have several captions.
  """
  every = list(source.items.values())
  aligned = source.aligned[:source.num_aligned]
  found = np.zeros(ids.shape, bool)
  for other, items in enumerate(every):
    if other != column:
      both = aligned[(aligned[:, [column, other]] >= 0).all(axis=1)]
      # Two numbers of 32 bits in one.
      known = (items.ids[both[:, other]].astype(np.int64) << 32
               | every[column].ids[both[:, column]])
      rows = tuples[..., other]
      pairs = items.ids[np.maximum(rows, 0)].astype(np.int64) << 32 | ids
      found |= (rows >= 0) & np.isin(pairs, known)
  return found


def read(
    recipe: step_lib.Recipe, source: Source, drawn: Rows, first: int = 0
) -> Iterator[tuple[jax.Array, gradient.Batch]]:
  """Yields each step's own key and its minibatch, where it belongs.

  Args:
    recipe: where they belong.
    source: of the minibatches.
    drawn: from `draw`.
    first: step, from 0 on.
  """
  items, replay = source.items, source.replay
  streams = [encode.stream(items[m].values, drawn.columns[m][first:])
             for m in items]
  replayed = itertools.repeat(None)
  if replay is not None:
    replayed = zip(*(
        encode.stream(replay.items[m].values, drawn.replayed[first:])
        for m in items), strict=True)
    replayed_ids = {
        m: replay.ids(m, drawn.replayed, items[m], column[column >= 0])
        for m, column in zip(items, np.moveaxis(drawn.tuples, -1, 0))}
  unaligned = itertools.repeat(None)
  if drawn.unaligned:
    unaligned = _read_unaligned(source, drawn, first)
  for i, (values, others, more) in enumerate(zip(
      zip(*streams, strict=True), unaligned, replayed), first):
    ids = {m: items[m].ids[drawn.columns[m][i]] for m in items}
    valid = dict(zip(items, drawn.tuples[i].T >= 0))
    if more is not None:
      values = list(map(np.concatenate, zip(values, more)))
      ids = {m: np.concatenate([ids[m], replayed_ids[m][i]]) for m in items}
      there = np.ones(drawn.replayed.shape[1], bool)
      valid = {m: np.concatenate([valid[m], there]) for m in items}
    twins = None
    if drawn.twins:
      twins = twins_lib.Items(*(
          {m: both[part][i] for m, both in drawn.twins.items()}
          for part in range(2)))
    batch = gradient.Batch(dict(zip(items, values)), ids, valid, others, twins)
    if recipe.mesh is not None:
      where = partition.batch_rows(recipe.mesh)
      batch = jax.tree.map(lambda x: sharding.shard_rows(x, where), batch)
    yield drawn.shift_keys[i], batch


def _read_unaligned(source, drawn, first) -> Iterator[unaligned_lib.Items]:
  """Yields each step's unaligned items, from the first that is wanted on."""
  pool, rows, count = source.pool, drawn.unaligned, drawn.replayed.shape[1]
  streams = [encode.stream(pool.items[m].values, rows[m][first:])
             for m in rows]
  known = np.arange(drawn.rows.shape[1] + count) < drawn.rows.shape[1]
  for i, values in enumerate(zip(*streams, strict=True), first):
    yield unaligned_lib.Items(
        dict(zip(rows, values)),
        {m: pool.reference[m][rows[m][i]] for m in rows},
        # Of what is replayed no resemblance is known.
        {m: np.pad(pool.aligned_reference[m][drawn.rows[i]],
                   ((0, count), (0, 0))) for m in rows},
        None if source.replay is None else known)


def of_step(
    source: Source, drawn: Rows, step: int,
    numbers: Mapping[str, np.ndarray] | None,
) -> list[divergence.Read]:
  """All items that one step has read, but for twins: these are of the pool.

  Args:
    source: of the minibatches.
    drawn: from `draw`.
    step: from 0 on.
    numbers: by modality, `[n]` int, by which errors call the items; None: by
      their rows.
  """
  def called(some, numbers, m):
    return np.arange(len(some[m])) if numbers is None else numbers[m]

  reads = [
      divergence.Read(m, '', items, drawn.columns[m][step], counts,
                      called(source.items, numbers, m))
      for (m, items), counts in zip(
          source.items.items(), drawn.tuples[step].T >= 0)]
  if source.replay is not None:
    rows = drawn.replayed[step]
    reads += [
        divergence.Read(m, 'replayed ', items, rows, np.ones(len(rows), bool),
                        np.arange(len(items)))
        for m, items in source.replay.items.items()]
  pool = source.pool
  return reads + [
      divergence.Read(m, 'unaligned ', pool.items[m], rows[step],
                      np.ones(rows.shape[1], bool),
                      called(pool.items, pool.numbers, m))
      for m, rows in drawn.unaligned.items()]


@functools.partial(
    jax.jit, static_argnames=('capacity', 'batch_size', 'steps'))
def _plan(key, num_aligned, capacity, batch_size, steps):
  """The keys of all steps, and the rows of their minibatches."""
  def of_step(step):
    key_rows, key_shift = jax.random.split(jax.random.fold_in(key, step))
    rows, valid = step_lib.minibatch(
        key_rows, num_aligned, capacity, batch_size)
    return key_shift, rows, valid

  # One after the other: all at once would hold steps * capacity numbers.
  return jax.lax.map(of_step, jnp.arange(steps))
