"""Embeds whole pools, batch by batch, at one compiled shape."""

from collections.abc import Callable, Iterator
import functools
import time

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax import progress
from mmal_jax.data import encode as encode_lib
from mmal_jax.models import partition
from mmal_jax.parallel import sharding

# (modality, items, seconds) -> None
Report = Callable[[str, int, float], None]


@functools.partial(
    jax.jit, static_argnames=('graphdef', 'modality', 'mesh'))
def _embed_batch(graphdef, params, batch, modality, mesh):
  model = nnx.merge(graphdef, partition.gathered(params, mesh))
  return model.encode(modality, batch)


def embed(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: encode_lib.Values,
    modality: str,
    batch_size: int = 512,
    report: Report | None = None,
) -> jax.Array:
  """Embeds n items of one modality.

  Args:
    graphdef: of a `DualEncoder`, from `nnx.split`.
    params: its parameters. Where they lie over a mesh, batches do, too: for a
      batch, the tower's parameters that are cut are gathered, each once, and
      nothing else is exchanged.
    items: `[n, ...]` pixels, tokens or features.
    modality: of the items.
    batch_size: rows at a time.
    report: called with how long that took, compilation included.

  Returns:
    `[n, embed_dim]` float32, rows of norm 1, on one device. Of parameters over
    a mesh, `[m, embed_dim]` over all of its devices (`partition.batch_rows`),
    each of which embeds its own rows: n of them, and copies of the first up to
    a multiple of the devices.

  Raises:
    ValueError: if an embedding is NaN or infinite: training has diverged; or
      if there is no item.
  """
  if not len(items):
    raise ValueError(f'there are no {modality}s to embed.')
  started = time.perf_counter()
  mesh = partition.mesh_of(params)
  if mesh is None:
    embeddings = jnp.concatenate([
        batch for _, batch in embed_batches(
            graphdef, params, items, modality, batch_size)])
    check_finite(np.asarray(embeddings), modality)
  else:
    embeddings = _over_mesh(graphdef, params, items, modality, batch_size, mesh)
  if report is not None:
    report(modality, len(items), time.perf_counter() - started)
  return embeddings


def embed_to_host(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: encode_lib.Values,
    modality: str,
    batch_size: int = 512,
) -> np.ndarray:
  """As `embed`, to `[n, embed_dim]` on each host: for few items.

  Args:
    graphdef: as for `embed`, like all that follows.
    params: parameters.
    items: `[n, ...]`.
    modality: of the items.
    batch_size: rows at a time.

  Raises:
    ValueError: as `embed`.
  """
  if not len(items):
    raise ValueError(f'there are no {modality}s to embed.')
  embeddings = np.concatenate([
      np.asarray(batch) for _, batch in embed_batches(
          graphdef, params, items, modality, batch_size)])
  check_finite(embeddings, modality)
  return embeddings


def _over_mesh(graphdef, params, items, modality, batch_size, mesh):
  """Batches of which each device's rows are the next ones of its own part."""
  n, rows = len(items), partition.batch_rows(mesh)
  size = -(-n // mesh.size)  # of a part
  count = -(-n // batch_size)
  step = -(-size // count)
  # The last reaches back into the one before, so that all are of one shape.
  firsts = [min(first, size - step) for first in range(0, size, step)]
  of_part = np.arange(mesh.size)[:, None] * size
  numbers = [(of_part + first + np.arange(step)).ravel() for first in firsts]
  batches = encode_lib.stream(items, [np.where(r < n, r, 0) for r in numbers])
  embeddings = None
  for first, batch in progress.steps(
      zip(firsts, batches), len(firsts), f'embedding {modality}s'):
    found = _embed_batch(
        graphdef, params, sharding.shard_rows(batch, rows), modality, mesh)
    if embeddings is None:
      embeddings = _room(found, size * mesh.size, rows)
    embeddings = _put(embeddings, found, first, rows)
  bad = np.asarray(_rows_not_finite(embeddings, rows))
  if bad.any():
    check_finite(np.where(bad[:n, None], np.nan, 0.0), modality)
  return embeddings


@functools.partial(jax.jit, static_argnames=('n', 'rows'))
def _room(like, n, rows):
  return jax.lax.with_sharding_constraint(
      jnp.zeros((n, like.shape[1]), like.dtype), rows)


@functools.partial(jax.jit, static_argnames='rows', donate_argnums=0)
def _put(embeddings, batch, first, rows):

  def local(axis, mine, batch, first):
    del axis
    return jax.lax.dynamic_update_slice_in_dim(mine, batch, first, 0)

  return sharding.map_rows(
      local, rows, (embeddings, batch), (first,), returns_rows=True)


@functools.partial(jax.jit, static_argnames='rows')
def _rows_not_finite(embeddings, rows):

  def local(axis, mine):
    return sharding.gather(
        ~jnp.isfinite(mine).all(axis=1), axis).reshape(-1)

  return sharding.map_rows(local, rows, (embeddings,))


def embed_batches(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: encode_lib.Values,
    modality: str,
    batch_size: int,
    start: int = 0,
) -> Iterator[tuple[int, jax.Array]]:
  """Yields `(first row, embeddings)` of batch after batch, unchecked.

  Args:
    graphdef: as for `embed`, like all up to `batch_size`.
    params: parameters.
    items: `[n, ...]`.
    modality: of the items.
    batch_size: rows at a time, at most, but for the rounding to a multiple of
      the mesh's devices. The last batch is padded with copies of the first
      row, so that all run the same program.
    start: the row to begin with.

  Yields:
    Row number, and `[b, embed_dim]` float32 with b at most `batch_size`.
  """
  n, mesh = len(items), partition.mesh_of(params)
  # As many batches as that size needs, but all as full as can be.
  batch_size = -(-n // -(-n // batch_size))
  if mesh is not None:
    batch_size += -batch_size % mesh.size
    whole = jax.sharding.NamedSharding(mesh, partition.P())
  firsts = range(start, n, batch_size)
  rows = [np.arange(first, first + batch_size) for first in firsts]
  batches = encode_lib.stream(items, [np.where(r < n, r, 0) for r in rows])
  coming = None
  for first in progress.steps(firsts, len(firsts), f'embedding {modality}s'):
    try:
      batch = next(batches)
    except ValueError:  # An image cannot be read: those before it are done.
      if coming is not None:
        yield coming
      raise
    if mesh is not None:
      batch = sharding.shard_rows(batch, partition.batch_rows(mesh))
    embeddings = _embed_batch(graphdef, params, batch, modality, mesh)
    if mesh is not None:
      # Whole on each device, of which the first's is taken.
      embeddings = jax.device_put(embeddings, whole).addressable_data(0)
    # The device has the next batch before the host waits for this one.
    if coming is not None:
      yield coming
    coming = first, embeddings[:n - first]
  if coming is not None:
    yield coming


def check_finite(
    embeddings: np.ndarray, modality: str, rows: np.ndarray | None = None
) -> None:
  """Refuses embeddings that are no numbers.

  Args:
    embeddings: `[b, d]`.
    modality: what they are of.
    rows: `[b]` int, their numbers; from 0 on if None.

  Raises:
    ValueError: naming the first row that has a NaN or an infinity.
  """
  bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
  if bad.size:
    first = bad[0] if rows is None else rows[bad[0]]
    raise ValueError(
        f'{bad.size} of {len(embeddings)} {modality} embeddings are NaN or '
        f'infinite, the first in row {first}: training has diverged, '
        'or its input was bad.')
