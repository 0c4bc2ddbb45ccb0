"""From a config to fine-tuning from closed-form heads."""

from typing import Any

from flax import nnx
import jax

from mmal_jax.data import encode
from mmal_jax.learn import fine_tune
from mmal_jax.learn import maker as maker_lib
from mmal_jax.learn.closed_form import learner as closed_form_lib
from mmal_jax.learn.closed_form import make as closed_form
from mmal_jax.learn.gradient import make as gradient
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition


def make(given: maker_lib.Given) -> maker_lib.Made:
  """Heads on the towers, and what trains both.

  Args:
    given: with pretrained towers.
  """
  with_heads, params, heads = headed(
      given.config, given.graphdef, given.params, given.mesh)
  trained = gradient.by_gradient(
      given._replace(graphdef=with_heads, params=params))
  return fine_tune.FineTune(trained, heads, given.graphdef), params


def headed(
    config: Any,
    graphdef: nnx.GraphDef,
    params: nnx.State,
    mesh: jax.sharding.Mesh | None,
) -> tuple[nnx.GraphDef, nnx.State, closed_form_lib.ClosedForm]:
  """A dual encoder with heads that change nothing yet, and who makes others.

  Args:
    config: of whose section `closed_form` the heads are.
    graphdef: of the `DualEncoder`.
    params: its parameters.
    mesh: where they lie.

  Returns:
    Structure and parameters of the `Headed` encoder; the closed form.
  """
  model = nnx.merge(graphdef, params)
  learner, heads = closed_form.heads(
      dual_encoder.widths(model), mesh, True, **config.closed_form)
  with_heads, params = nnx.split(dual_encoder.Headed(
      model, nnx.merge(learner.graphdef, heads)), nnx.Param)
  return with_heads, partition.place(params, mesh), learner


def check(config: Any) -> None:
  """Refuses pseudo-pairs, and what training by gradient refuses.

  Raises:
    ValueError: saying why.
  """
  if config.train.pseudo_pairs:
    raise ValueError(
        f'train.pseudo_pairs={config.train.pseudo_pairs!r} does not go with '
        'train.learner=\'fine_tune\', whose heads would take them for answers '
        'and learn from unaligned items by themselves (closed_form.world): '
        'leave it at 0.')
  gradient.check(config)


def check_data(config: Any, data: encode.EncodedDataset) -> None:
  """Refuses to fine-tune where there are no pretrained towers.

  Raises:
    ValueError: for features, and without a checkpoint or a warm start.
  """
  if all(map(encode.is_features, data.pool.items.values())):
    raise ValueError(
        'train.learner=\'fine_tune\' trains the towers that make features, and '
        f'dataset.name={config.dataset.name!r} has features alone: give '
        '--config.train.learner=closed_form, or images and texts.')
  if config.init is None and data.pretrain is None:
    raise ValueError(
        'train.learner=\'fine_tune\' starts from pretrained towers, and '
        f'dataset.name={config.dataset.name!r} has no pretrain split to make '
        'them of: give --init=CHECKPOINT, or --config.train.learner=gradient.')


MAKER = maker_lib.Maker(
    'heads in closed form, then steps of an optimizer on towers and heads',
    make, ('train', 'closed_form'), not_exported=(
        'its heads have no place in a published format'),
    check=check, check_data=check_data)
