"""From a config to the closed form."""

from collections.abc import Mapping
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.learn import maker as maker_lib
from mmal_jax.learn.closed_form import learner as learner_lib
from mmal_jax.models import partition
from mmal_jax.models import registry as models_lib

# Values of `train` for which it has no use, and what they usually are.
_ONLY_BY_GRADIENT = {
    'freeze': 'none', 'lr_factors': '', 'ema': 0.0, 'pseudo_pairs': 0.0}


def heads(
    widths: Mapping[str, int],
    mesh: jax.sharding.Mesh | None,
    has_prior: bool,
    rank: int,
    world: bool,
) -> tuple[learner_lib.ClosedForm, nnx.State]:
  """The closed form, and parameters of its heads to start from.

  Args:
    widths: of each modality's features.
    mesh: over which rows are laid.
    has_prior: whether features were alike across modalities before any answer.
    rank: principal directions of each modality that are kept.
    world: whether it learns from the closed world.
  """
  items = {m: jax.ShapeDtypeStruct((width,), jnp.float32)
           for m, width in widths.items()}
  graphdef, params = nnx.split(models_lib.linear(
      items, 0, rngs=nnx.Rngs(0), embed_dim=rank, shared=has_prior), nnx.Param)
  return learner_lib.ClosedForm(
      graphdef, has_prior, rank, world,
      None if mesh is None else partition.batch_rows(mesh)), (
          partition.place(params, mesh))


def make(
    given: maker_lib.Given, *, rank: int = 256, world: bool = True
) -> maker_lib.Made:
  """The closed form on features.

  Args:
    given: with features for data.
    rank: principal directions of each modality that are kept.
    world: whether all that remains has its counterpart among what remains.
  """
  widths = {m: items.values.shape[1]
            for m, items in given.data.pool.items.items()}
  return heads(widths, given.mesh, given.has_prior, rank, world)


def check(config: Any) -> None:
  """Refuses what only training by gradient makes use of.

  Raises:
    ValueError: naming the value, and what to give in its place.
  """
  for key, usual in _ONLY_BY_GRADIENT.items():
    if config.train[key] not in (None, usual):
      raise ValueError(
          f'train.{key}={config.train[key]!r} is of training by gradient and '
          'does not go with train.learner=\'closed_form\': give '
          f'--config.train.{key}={usual!r}.')
  if config.train.unaligned:
    raise ValueError(
        'train.unaligned is a loss of training by gradient and does not go '
        'with train.learner=\'closed_form\', which learns from unaligned items '
        'by itself (closed_form.world).')


MAKER = maker_lib.Maker(
    'heads on frozen features by regularised CCA, and the closed world', make,
    ('closed_form',), works_on_features=True, not_exported=(
        'it leaves the checkpoint as it is'), check=check)
