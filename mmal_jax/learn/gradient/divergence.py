"""Training that went to NaN or infinity: in which step, and by which items."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmal_jax.data import encode
from mmal_jax.embed import in_memory as embed_lib
from mmal_jax.models import names

_SHOWN = 8  # Of the numbers of a list's items.
# At a time: a step may read more than fit, and take them in parts.
_BATCH = 512


class Diverged(ValueError):
  """A loss, a gradient or a parameter has become NaN or infinite."""


class Read(NamedTuple):
  """Items of one modality that a step has read.

  Attributes:
    modality: of the items.
    kind: put before the modality in the message.
    items: n of them.
    rows: `[b]` int, which of them.
    counts: `[b]` bool; False for rows that only fill up the batch.
    numbers: `[n]` int, by which the items are called.
  """

  modality: str
  kind: str
  items: encode.Items
  rows: np.ndarray
  counts: np.ndarray
  numbers: np.ndarray


def first_bad(losses: np.ndarray, norms: np.ndarray) -> int | None:
  """The first step whose loss or gradient is not finite, from 0 on.

  Args:
    losses: `[steps]`.
    norms: `[steps]`, of the gradients.
  """
  bad = np.flatnonzero(~(np.isfinite(losses) & np.isfinite(norms)))
  return int(bad[0]) if bad.size else None


def not_finite(params: nnx.State, opt_state: optax.OptState) -> list[str]:
  """Names of what holds a NaN or an infinity.

  Args:
    params: of a `DualEncoder`.
    opt_state: of its optimizer, a moving average included.

  Returns:
    Names; `scale` is the loss's, the exponential of a parameter.
  """
  tree = {'params': params, 'optimizer': opt_state,
          'scale': jnp.exp(params['logit_scale'][...])}
  named = [(name, leaf) for name, leaf in zip(
      names.all_names(tree), jax.tree.leaves(tree), strict=True)
           if jnp.issubdtype(leaf.dtype, jnp.inexact)]
  finite = np.asarray(_are_finite([leaf for _, leaf in named]))
  return [name for (name, _), good in zip(named, finite) if not good]


def blame(
    graphdef: nnx.GraphDef, params: nnx.State, reads: Sequence[Read]
) -> str:
  """Which of the items that a step has read are to blame for its result.

  Args:
    graphdef: of a `DualEncoder`.
    params: finite ones, from before the training: those of the step itself are
      gone, and may have spoilt every item.
    reads: all that the step has read.

  Returns:
    The items of which the values, or the embeddings by `params`, are not
    finite, in words; where there is none, the whole minibatch, shortened.
  """
  guilty = [r._replace(rows=_guilty(graphdef, params, r)) for r in reads]
  if any(len(r.rows) for r in guilty):
    return f'not finite by themselves: {_listed(guilty)}'
  return 'its minibatch: ' + _listed(
      [r._replace(rows=r.rows[r.counts]) for r in reads])


def _guilty(graphdef, params, read: Read) -> np.ndarray:
  rows = np.unique(read.rows)
  values = read.items.take(rows).values
  bad = np.zeros(len(rows), bool)
  if isinstance(values, np.ndarray) and np.issubdtype(
      values.dtype, np.inexact):
    bad |= ~np.isfinite(values).reshape(len(rows), -1).all(axis=1)
  for first, embeddings in embed_lib.embed_batches(
      graphdef, params, values, read.modality, _BATCH):
    bad[first:first + len(embeddings)] |= ~np.isfinite(
        np.asarray(embeddings)).all(axis=1)
  return rows[bad]


def _listed(reads: Sequence[Read]) -> str:
  """`image 3, 5; text 8, 9, 2, ... (64 in all)`."""
  parts = []
  for read in reads:
    if len(read.rows):
      numbers = read.numbers[read.rows].tolist()
      more = f', ... ({len(numbers)} in all)' if len(numbers) > _SHOWN else ''
      parts.append(f'{read.kind}{read.modality} '
                   f'{", ".join(map(str, numbers[:_SHOWN]))}{more}')
  return '; '.join(parts)


@jax.jit
def _are_finite(leaves: list[Any]) -> jax.Array:
  return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])
