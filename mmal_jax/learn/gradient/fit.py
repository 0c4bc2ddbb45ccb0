"""One round's training: steps on minibatches of the aligned pairs."""

from collections.abc import Iterator, Mapping
import functools
import itertools
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmal_jax import sharding
from mmal_jax.data import encode
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.learn.gradient import unaligned as unaligned_lib
from mmal_jax.models import partition


class _Rows(NamedTuple):
  """What all steps of a round read; `s` steps of `b` rows.

  Attributes:
    shift_keys: `[s]` typed random keys.
    rows: `[s, b]` of the aligned table.
    tuples: `[s, b, M]`, what stands there; -1 in rows that only fill up.
    columns: by modality, `[s, b]` rows of the items that are read.
    unaligned: by modality, `[s, u]` rows of the pool; empty without one.
  """

  shift_keys: jax.Array
  rows: np.ndarray
  tuples: np.ndarray
  columns: dict[str, np.ndarray]
  unaligned: dict[str, np.ndarray]


def fit(
    recipe: step_lib.Recipe,
    params: nnx.State,
    opt_state: optax.OptState | None,
    key: jax.Array,
    items: Mapping[str, encode.Items],
    aligned: np.ndarray,
    num_aligned: int | np.ndarray,
    steps: int,
    pool: learner_lib.Pool | None = None,
    numbers: Mapping[str, np.ndarray] | None = None,
) -> tuple[nnx.State, optax.OptState, jax.Array]:
  """Takes `steps` steps, each on a random minibatch of the aligned pairs.

  Args:
    recipe: what is fixed over a run.
    params: parameters.
    opt_state: state of the optimizer; None for a fresh one.
    key: typed random key of all these steps.
    items: by modality, of a pool, on the host.
    aligned: `[capacity, M]` int32, rows of these items, a column a modality in
      their order; -1 where an item is missing.
    num_aligned: how many rows of `aligned` are filled; they come first.
    steps: at least 1.
    pool: unaligned items, for a recipe that learns from them, too.
    numbers: by modality, `[n]` int, by which errors call the items; None: by
      their rows.

  Returns:
    Parameters, optimizer state, and the mean loss over all steps.

  Raises:
    divergence.Diverged: if the loss or the gradient of a step is NaN or
      infinite, or what the last one leaves is. It names the first such step,
      and the items that it has read.
  """
  start = params
  # Steps reuse the memory of what they are given, and others still need it.
  params = _copy(params)
  opt_state = (optimizer_lib.init(recipe.optimizer, params)
               if opt_state is None else _copy(opt_state))
  # A Python loop over a jitted step: XLA's CPU backend runs a scan's body on
  # one thread.
  losses, norms = [], []
  rows = _draw(
      recipe, key, items, np.asarray(aligned), num_aligned, steps, pool)
  for shift_key, batch in _batches(recipe, items, rows, pool):
    params, opt_state, loss, norm = step_lib.train_step(
        recipe, params, opt_state, shift_key, batch)
    losses.append(loss)
    norms.append(norm)
  losses, norms = jnp.stack(losses), jnp.stack(norms)
  # Only now, as nobody waits for a step. What follows a bad one is lost work.
  bad = divergence.first_bad(np.asarray(losses), np.asarray(norms))
  left = '' if bad is not None else ', '.join(
      divergence.not_finite(params, opt_state)[:3])
  if bad is not None or left:
    bad = steps - 1 if bad is None else bad
    left = left and f', after which {left} are not finite'
    blamed = divergence.blame(
        recipe.graphdef, start, _reads(items, rows, bad, pool, numbers))
    raise divergence.Diverged(
        f'training diverged in step {bad + 1} of {steps}: loss '
        f'{losses[bad]:.4g}, norm of the gradient {norms[bad]:.4g}{left}; '
        f'{blamed}.')
  return params, opt_state, jnp.mean(losses)


@jax.jit
def _copy(tree):
  return jax.tree.map(jnp.copy, tree)


def _draw(
    recipe, key, items, aligned, num_aligned, steps, pool
) -> _Rows:
  """Draws the minibatches of all steps."""
  size = min(recipe.batch_size, len(aligned))
  shift_keys, rows, valid = _plan(
      key, jnp.asarray(num_aligned), len(aligned), size, steps)
  divisor = recipe.parts * (1 if recipe.mesh is None else recipe.mesh.size)
  missing = -size % divisor
  rows, valid = (
      np.pad(np.asarray(x), ((0, 0), (0, missing))) for x in (rows, valid))
  # [steps, b, M]
  tuples = np.where(valid[..., None], aligned[rows], -1)
  columns = dict(zip(items, np.moveaxis(np.maximum(tuples, 0), -1, 0)))
  unaligned = {}
  if pool is not None and recipe.unaligned is not None:
    size = recipe.unaligned.size
    size += -size % divisor
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    unaligned = {m: rng.choice(some, (steps, size))
                 for m, some in pool.rows.items()}
  return _Rows(shift_keys, rows, tuples, columns, unaligned)


def _batches(
    recipe, items, drawn, pool
) -> Iterator[tuple[jax.Array, gradient.Batch]]:
  """Yields each step's own key and its minibatch, where it belongs."""
  streams = [encode.stream(items[m].values, drawn.columns[m]) for m in items]
  unaligned = itertools.repeat(None)
  if drawn.unaligned:
    unaligned = _unaligned(pool, drawn)
  for i, (values, others) in enumerate(zip(
      zip(*streams, strict=True), unaligned)):
    batch = gradient.Batch(
        dict(zip(items, values)),
        {m: items[m].ids[drawn.columns[m][i]] for m in items},
        dict(zip(items, drawn.tuples[i].T >= 0)), others)
    if recipe.mesh is not None:
      where = partition.batch_rows(recipe.mesh)
      batch = jax.tree.map(lambda x: sharding.shard_rows(x, where), batch)
    yield drawn.shift_keys[i], batch


def _unaligned(pool, drawn) -> Iterator[unaligned_lib.Items]:
  """Yields each step's unaligned items."""
  rows = drawn.unaligned
  streams = [encode.stream(pool.items[m].values, rows[m]) for m in rows]
  for i, values in enumerate(zip(*streams, strict=True)):
    yield unaligned_lib.Items(
        dict(zip(rows, values)),
        {m: pool.reference[m][rows[m][i]] for m in rows},
        {m: pool.aligned_reference[m][drawn.rows[i]] for m in rows})


def _reads(items, drawn, step, pool, numbers) -> list[divergence.Read]:
  """All that one step has read."""
  def called(some, numbers, m):
    return np.arange(len(some[m])) if numbers is None else numbers[m]

  return [
      divergence.Read(m, '', items[m], drawn.columns[m][step], counts,
                      called(items, numbers, m))
      for m, counts in zip(items, drawn.tuples[step].T >= 0)
  ] + [
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
