"""One training step, on a minibatch drawn from the aligned pairs."""

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
from mmal_jax.models import partition
from mmal_jax.train import augment
from mmal_jax.train import freeze
from mmal_jax.train import gradient
from mmal_jax.train import loss as loss_lib
from mmal_jax.train import optimizer as optimizer_lib
from mmal_jax.train import pairwise
from mmal_jax.train import unaligned as unaligned_lib


class Learner(NamedTuple):
  """What is fixed over a run; hashable, so that jit can key on it.

  Attributes:
    graphdef: the structure of a `DualEncoder`.
    optimizer: its optax transformation.
    batch_size: rows of a minibatch.
    shift: images are shifted at random by up to so many pixels; 0 for features.
    loss: of embeddings, as `loss.sigmoid_loss`.
    frozen: patterns of the parameters that the optimizer leaves alone.
    parts: a batch's activations are held in so many parts, one after the other.
    mesh: from `sharding.make_mesh`: where parameters and batches lie.
    unaligned: how to learn from unaligned items as well; None not at all.
  """

  graphdef: nnx.GraphDef
  optimizer: optax.GradientTransformation
  batch_size: int
  shift: int = 0
  loss: pairwise.Loss = loss_lib.sigmoid_loss
  frozen: tuple[str, ...] = ()
  parts: int = 1
  mesh: jax.sharding.Mesh | None = None
  unaligned: unaligned_lib.Unaligned | None = None

  def __hash__(self) -> int:
    # Jit asks at every step, and that of a graphdef takes milliseconds.
    return hash(self[1:])


class Pool(NamedTuple):
  """Unaligned items, all by modality, on the host.

  Attributes:
    items: of the pool.
    rows: `[k]` int of those that remain unaligned, at least one.
    reference: `[n, r]` float32 rows of norm 1, of all items (see
      `align.reference`).
    aligned_reference: `[capacity, r]`, of the items that each row of the
      aligned table names; where it names none, of any.
  """

  items: Mapping[str, encode.Items]
  rows: Mapping[str, np.ndarray]
  reference: Mapping[str, np.ndarray]
  aligned_reference: Mapping[str, np.ndarray]


def minibatch(
    key: jax.Array, num_pairs: jax.Array, capacity: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
  """Draws rows out of the first `num_pairs`, without replacement.

  Args:
    key: typed random key.
    num_pairs: scalar int; how many of the rows are filled.
    capacity: number of rows, filled or not.
    batch_size: rows wanted, at most `capacity`.

  Returns:
    Row numbers `[batch_size]`, and `[batch_size]` bool: False where there were
    fewer filled rows than wanted.
  """
  filled = jnp.arange(capacity) < num_pairs
  lots = jnp.where(filled, jax.random.uniform(key, (capacity,)), -1.0)
  lots, rows = jax.lax.top_k(lots, batch_size)
  return rows, lots >= 0


@functools.partial(
    jax.jit, static_argnames='learner', donate_argnames=('params', 'opt_state'))
def train_step(
    learner: Learner,
    params: nnx.State,
    opt_state: optax.OptState,
    key: jax.Array,
    batch: gradient.Batch,
) -> tuple[nnx.State, optax.OptState, jax.Array]:
  """Takes one optimizer step.

  Args:
    learner: model structure, loss, optimizer.
    params: parameters; their memory is reused.
    opt_state: state of the optimizer; its memory is reused.
    key: typed random key of this step.
    batch: aligned pairs.

  Returns:
    New parameters, new optimizer state, and the loss before the step.
  """
  if learner.shift:
    batch = batch._replace(items=_shifted(key, batch.items, learner.shift))
    if batch.unaligned is not None:
      values = _shifted(
          jax.random.fold_in(key, 0), batch.unaligned.values, learner.shift)
      batch = batch._replace(unaligned=batch.unaligned._replace(values=values))
  loss, gradients = gradient.loss_and_gradient(
      learner.graphdef, learner.loss, params, batch, learner.frozen,
      learner.parts, learner.mesh, learner.unaligned)
  _, fixed = freeze.split(params, learner.frozen)
  gradients = freeze.join(
      params, gradients, jax.tree.map(jnp.zeros_like, fixed), learner.frozen)
  updates, opt_state = learner.optimizer.update(gradients, opt_state, params)
  params = optax.apply_updates(params, updates)
  if learner.mesh is not None:
    params, opt_state = (
        jax.lax.with_sharding_constraint(
            tree, partition.shardings(tree, learner.mesh))
        for tree in (params, opt_state))
  return params, opt_state, loss


def fit(
    learner: Learner,
    params: nnx.State,
    opt_state: optax.OptState | None,
    key: jax.Array,
    items: Mapping[str, encode.Items],
    aligned: np.ndarray,
    num_aligned: int | np.ndarray,
    steps: int,
    pool: Pool | None = None,
) -> tuple[nnx.State, optax.OptState, jax.Array]:
  """Takes `steps` steps, each on a random minibatch of the aligned pairs.

  Args:
    learner: what is fixed over a run.
    params: parameters.
    opt_state: state of the optimizer; None for a fresh one.
    key: typed random key of all these steps.
    items: by modality, of a pool, on the host.
    aligned: `[capacity, M]` int32, rows of these items, a column a modality in
      their order; -1 where an item is missing.
    num_aligned: how many rows of `aligned` are filled; they come first.
    steps: at least 1.
    pool: unaligned items, for a learner that learns from them, too.

  Returns:
    Parameters, optimizer state, and the mean loss over all steps.
  """
  # Steps reuse the memory of what they are given, and others still need it.
  params = _copy(params)
  opt_state = (optimizer_lib.init(learner.optimizer, params)
               if opt_state is None else _copy(opt_state))
  # A Python loop over a jitted step: XLA's CPU backend runs a scan's body on
  # one thread.
  losses = []
  for shift_key, batch in _batches(
      learner, key, items, np.asarray(aligned), num_aligned, steps, pool):
    params, opt_state, loss = train_step(
        learner, params, opt_state, shift_key, batch)
    losses.append(loss)
  return params, opt_state, jnp.mean(jnp.stack(losses))


@jax.jit
def _copy(tree):
  return jax.tree.map(jnp.copy, tree)


def _batches(
    learner, key, items, aligned, num_aligned, steps, pool
) -> Iterator[tuple[jax.Array, gradient.Batch]]:
  """Yields each step's own key and its minibatch, where it belongs."""
  size = min(learner.batch_size, len(aligned))
  shift_keys, rows, valid = _plan(
      key, jnp.asarray(num_aligned), len(aligned), size, steps)
  divisor = learner.parts * (1 if learner.mesh is None else learner.mesh.size)
  missing = -size % divisor
  rows, valid = (
      np.pad(np.asarray(x), ((0, 0), (0, missing))) for x in (rows, valid))
  # [steps, b, M]
  tuples = np.where(valid[..., None], aligned[rows], -1)
  columns = dict(zip(items, np.moveaxis(np.maximum(tuples, 0), -1, 0)))
  streams = [encode.stream(items[m].values, columns[m]) for m in items]
  unaligned = itertools.repeat(None)
  if pool is not None and learner.unaligned is not None:
    unaligned = _unaligned(learner, key, pool, rows, divisor)
  for i, (values, others) in enumerate(zip(
      zip(*streams, strict=True), unaligned)):
    batch = gradient.Batch(
        dict(zip(items, values)),
        {m: items[m].ids[columns[m][i]] for m in items},
        dict(zip(items, tuples[i].T >= 0)), others)
    if learner.mesh is not None:
      where = partition.batch_rows(learner.mesh)
      batch = jax.tree.map(lambda x: sharding.shard_rows(x, where), batch)
    yield shift_keys[i], batch


def _unaligned(
    learner, key, pool, aligned_rows, divisor
) -> Iterator[unaligned_lib.Items]:
  """Yields each step's unaligned items."""
  size = learner.unaligned.size
  size += -size % divisor
  rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
  rows = {m: rng.choice(some, (len(aligned_rows), size))
          for m, some in pool.rows.items()}
  streams = [encode.stream(pool.items[m].values, rows[m]) for m in rows]
  for i, values in enumerate(zip(*streams, strict=True)):
    yield unaligned_lib.Items(
        dict(zip(rows, values)),
        {m: pool.reference[m][rows[m][i]] for m in rows},
        {m: pool.aligned_reference[m][aligned_rows[i]] for m in rows})


def _shifted(key, items, most):
  """Items of which the images are shifted, each modality's on its own."""
  shifted = dict(items)
  images = [m for m, values in items.items() if values.ndim == 4]
  for i, modality in enumerate(images):
    own = key if not i else jax.random.fold_in(key, i)
    shifted[modality] = augment.random_shift(own, items[modality], most)
  return shifted


@functools.partial(
    jax.jit, static_argnames=('capacity', 'batch_size', 'steps'))
def _plan(key, num_aligned, capacity, batch_size, steps):
  """The keys of all steps, and the rows of their minibatches."""
  def of_step(step):
    key_rows, key_shift = jax.random.split(jax.random.fold_in(key, step))
    rows, valid = minibatch(key_rows, num_aligned, capacity, batch_size)
    return key_shift, rows, valid

  # One after the other: all at once would hold steps * capacity numbers.
  return jax.lax.map(of_step, jnp.arange(steps))
