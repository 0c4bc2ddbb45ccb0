"""From a config to the learner that `train.learner` names."""

from collections.abc import Mapping

from flax import nnx
import jax
import jax.numpy as jnp
import ml_collections

from mmal_jax.data import encode
from mmal_jax.experiment import check
from mmal_jax.learn import fine_tune
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn import registry as learners
from mmal_jax.learn.closed_form import learner as closed_form_lib
from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import learner as by_gradient
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import replay as replay_lib
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.learn.gradient import twins as twins_lib
from mmal_jax.learn.gradient import unaligned as unaligned_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import names
from mmal_jax.models import partition
from mmal_jax.models import registry as models_lib


def check_towers(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset
) -> None:
  """Refuses to fine-tune where there are no pretrained towers.

  Raises:
    ValueError: for features, and without a checkpoint or a warm start.
  """
  if config.train.get('learner') != learners.FINE_TUNE:
    return
  if all(map(encode.is_features, data.pool.items.values())):
    raise ValueError(
        'train.learner=\'fine_tune\' trains the towers that make features, and '
        f'dataset.name={config.dataset.name!r} has features alone: give '
        '--config.train.learner=closed_form, or images and texts.')
  if config.get('init') is None and data.pretrain is None:
    raise ValueError(
        'train.learner=\'fine_tune\' starts from pretrained towers, and '
        f'dataset.name={config.dataset.name!r} has no pretrain split to make '
        'them of: give --init=CHECKPOINT, or --config.train.learner=gradient.')


def make_learner(
    config: ml_collections.ConfigDict,
    graphdef: nnx.GraphDef,
    params: nnx.State,
    mesh: jax.sharding.Mesh | None,
    data: encode.EncodedDataset,
    default_loss: str = 'sigmoid',
) -> learner_lib.Learner:
  """The learner by gradient that a config describes.

  Args:
    config: checked.
    graphdef: of a `DualEncoder`.
    params: any parameters of it; their names and shapes count.
    mesh: to train on.
    data: of which `pretrain` may be replayed.
    default_loss: where the config names none.

  Raises:
    ValueError: for values of `train` that do not fit one another or the model.
  """
  if config.train.get('learner') != learners.FINE_TUNE:
    return _by_gradient(config, graphdef, params, mesh, data, default_loss)
  with_heads, params, heads = headed(config, graphdef, params, mesh)
  return fine_tune.FineTune(
      _by_gradient(config, with_heads, params, mesh, data, default_loss),
      heads, graphdef)


def headed(
    config: ml_collections.ConfigDict,
    graphdef: nnx.GraphDef,
    params: nnx.State,
    mesh: jax.sharding.Mesh | None,
) -> tuple[nnx.GraphDef, nnx.State, closed_form_lib.ClosedForm]:
  """A dual encoder with heads that change nothing yet, and who makes others.

  Args:
    config: checked.
    graphdef: of the `DualEncoder`.
    params: its parameters.
    mesh: where they lie.

  Returns:
    Structure and parameters of the `Headed` encoder; the closed form.
  """
  model = nnx.merge(graphdef, params)
  learner, heads = closed_form(config, dual_encoder.widths(model), mesh, True)
  with_heads, params = nnx.split(dual_encoder.Headed(
      model, nnx.merge(learner.graphdef, heads)), nnx.Param)
  return with_heads, partition.place(params, mesh), learner


def closed_form(
    config: ml_collections.ConfigDict,
    widths: Mapping[str, int],
    mesh: jax.sharding.Mesh | None,
    has_prior: bool,
) -> tuple[closed_form_lib.ClosedForm, nnx.State]:
  """The closed form of a config, and parameters of its heads to start from.

  Args:
    config: checked.
    widths: of each modality's features.
    mesh: over which rows are laid.
    has_prior: whether features were alike across modalities before any answer.
  """
  settings = config.get('closed_form') or {}
  rank = settings.get('rank', 256)
  items = {m: jax.ShapeDtypeStruct((width,), jnp.float32)
           for m, width in widths.items()}
  graphdef, params = nnx.split(models_lib.linear(
      items, 0, rngs=nnx.Rngs(0), embed_dim=rank, shared=has_prior), nnx.Param)
  return closed_form_lib.ClosedForm(
      graphdef, has_prior, rank, settings.get('world', True),
      None if mesh is None else partition.batch_rows(mesh)), params


def _by_gradient(
    config: ml_collections.ConfigDict,
    graphdef: nnx.GraphDef,
    params: nnx.State,
    mesh: jax.sharding.Mesh | None,
    data: encode.EncodedDataset,
    default_loss: str,
) -> by_gradient.ByGradient:
  """The steps of the optimizer that `config.train` describes."""
  train = config.train
  frozen = freeze.patterns(train.get('freeze', 'none'), params)
  factors = check.lr_factors(train.get('lr_factors') or '')
  names.check(list(factors), params, 'train.lr_factors')
  loss = train.get('loss') or default_loss
  if loss == 'softmax' and train.get('unaligned'):
    raise ValueError('train.unaligned is a sigmoid loss and does not go with '
                     'train.loss=\'softmax\'.')
  optimizer = optimizer_lib.make_optimizer(
      train.peak_lr, train.steps_per_round, train.weight_decay,
      train.get('warmup_fraction', 0.1),
      name=train.get('optimizer') or optimizer_lib.ADAMW,
      final_lr_fraction=train.get('final_lr_fraction', 0.0),
      clip=train.get('clip', 1.0),
      frozen=frozen, lr_factors=factors, ema=train.get('ema', 0.0))
  recipe = step_lib.Recipe(
      graphdef, optimizer, train.batch_size, train.shift,
      losses.LOSSES[loss](mesh), frozen, train.get('parts', 1), mesh,
      unaligned_lib.Unaligned(
          train.unaligned, train.get('unaligned_size', 128),
          train.get('unaligned_temperature', 0.05))
      if train.get('unaligned', 0.0) else None,
      _twins(config, data))
  halfway = train.get('halfway', 0.0)
  if halfway and (train.get('ema') or not train.restart):
    raise ValueError(
        f'train.halfway={halfway!r} leads from the start of all rounds, so it '
        'wants train.restart=True, and train.ema=0.')
  return by_gradient.ByGradient(
      recipe, train.steps_per_round, _replay(config, data), halfway)


def _twins(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset
) -> twins_lib.Twins | None:
  train = config.train
  if not train.get('twins'):
    return None
  if not any(map(twins_lib.has_words, data.pool.items.values())):
    raise ValueError(
        f'train.twins={train.twins!r} is for texts, and dataset.name='
        f'{config.dataset.name!r} has none: give --config.train.twins=0.')
  return twins_lib.Twins(train.twins, train.get('twins_size', 32))


def _replay(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset
) -> replay_lib.Replay | None:
  worth = config.train.get('replay')
  if not worth:
    return None
  if data.pretrain is None:
    raise ValueError(
        f'train.replay={worth!r} needs known pairs, and dataset.name='
        f'{config.dataset.name!r} has no pretrain split: give '
        '--config.train.replay=0.')
  return replay_lib.Replay(data.pretrain.items, worth)
