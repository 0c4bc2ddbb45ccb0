"""From a config to the values that a run is made of."""

from collections.abc import Callable, Iterator, Mapping
import functools
from typing import Any, NamedTuple

from absl import logging
from flax import nnx
import jax
import ml_collections

from mmal_jax import all_aligned
from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.checkpoint import newest
from mmal_jax.config import config as config_lib
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.data.tokenizers import tokenizer as tokenizer_lib
from mmal_jax.embed import in_memory
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import datasets
from mmal_jax.experiment import fits
from mmal_jax.experiment import preemption
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.experiment import settings as settings_lib
from mmal_jax.experiment import within_round
from mmal_jax.learn import checkpointer as checkpointer_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn import maker as maker_lib
from mmal_jax.learn import registry as learners
from mmal_jax.learn.closed_form import frozen
from mmal_jax.learn.gradient import shipped
from mmal_jax.learn.gradient import warm_start as warm_start_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition
from mmal_jax.models import registry as models_lib
from mmal_jax.models.pretrained import families
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.parallel import processes
from mmal_jax.parallel import sharding
from mmal_jax.pools import pools as pools_lib
from mmal_jax.pools import stream as stream_lib

# Sections of a config that an experiment's data are made of.
_DATA_OF = ('dataset', 'text', 'init', 'model')


class Experiment(NamedTuple):
  """What is shared by every strategy and seed."""

  config: ml_collections.ConfigDict
  data: encode.EncodedDataset
  learner: learner_lib.Learner | None  # None until it is made
  warm: nnx.State | None  # None: every seed starts from a fresh model
  load_seen: Callable[[], schema.Dataset]  # as people see it
  # What `data` was before frozen towers made features of it.
  encoded: encode.EncodedDataset
  pretrained: pretrained_lib.Pretrained | None = None

  @property
  def settings(self) -> settings_lib.Settings:
    return settings_lib.of(self.config)


def init_params(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset, seed: int
) -> tuple[nnx.GraphDef, nnx.State]:
  """A model's structure and its initial parameters of one seed."""
  num_tokens = (0 if data.tokenizer is None
                else tokenizer_lib.num_tokens(data.tokenizer))
  return models_lib.initial(
      config.model.name, data.pool.items, num_tokens, seed,
      **datasets.arguments(config.model))


def build(
    config: ml_collections.ConfigDict,
    cache_dir: str,
    before: Experiment | None = None,
    notice: preemption.Notice | None = None,
    warm: bool = True,
) -> Experiment:
  """Loads the data, and the checkpoint or the warm start.

  A warm start that is neither shipped nor in the cache is trained.

  Args:
    config: checked.
    cache_dir: of rendered datasets and warm starts.
    before: another experiment, of which all that is the same is taken: its
      data, and its learner, for which programs are compiled already.
    notice: of the end of the machine. With one, states within a long warm start
      are saved in the cache, from which it goes on.
    warm: whether runs are to begin; without, no warm start is trained, and what
      is built can only take up saved states.

  Raises:
    ValueError: for a budget beyond the pool, and all that the dataset, the
      model and the warm start refuse.
  """
  config = config_lib.complete(config)
  if before is not None and _agree(config, before.config, _built_of()):
    return before._replace(config=fits.fitted(config, before.data))
  mesh = make_mesh(config)
  pretrained = None if config.init is None else (
      processes.primary_first(lambda: pretrained_lib.load(config)))
  load_seen = functools.partial(datasets.load_seen, config, cache_dir)
  if before is not None and _agree(config, before.config, _DATA_OF):
    data = before.encoded
  else:
    # The primary renders what is in no cache yet.
    data = processes.primary_first(
        lambda: datasets.load(config, cache_dir, pretrained))
  config = fits.fitted(config, data)
  maker = learners.LEARNERS[config.train.learner]
  maker.check_data(config, data)
  built = Experiment(config, data, None, None, load_seen, data, pretrained)
  given = maker_lib.Given(config, data, mesh)
  if maker.works_on_features and all(
      map(encode.is_features, data.pool.items.values())):
    return _made(built, given)
  if pretrained is None:
    graphdef, params = init_params(config, data, config.warm_start.seed)
  else:
    graphdef = dual_encoder.graphdef_of(pretrained.config)
    params = pretrained.params
  params = partition.place(params, mesh)
  given = given._replace(graphdef=graphdef, params=params)
  if pretrained is not None:
    # Its parameters are on the device now.
    built = built._replace(pretrained=pretrained._replace(params=None))
    # By the sigmoid, a CLIP's scale of 100 without a bias would start far off.
    clip = families.of(pretrained.config) is families.CLIP
    return _made(built, given._replace(
        default_loss='softmax' if clip else 'sigmoid', has_prior=True))
  if config.model.name in models_lib.FIXED:  # There is nothing to train.
    return _made(built, given._replace(
        has_prior=bool(config.model.get('shared'))))
  if not warm and not maker.works_on_features:
    return _made(built, given)._replace(warm=None)
  if data.pretrain is None:
    if maker.works_on_features:
      logging.warning(
          'No pretrain split: %s works on what towers with random parameters '
          'make of the items.', config.train.learner.replace('_', ' '))
      return _made(built, given)
    logging.info('No pretrain split: every seed starts from a fresh model.')
    return _made(built, given)._replace(warm=None)
  if not maker.works_on_features:
    maker.make(given)  # What does not fit is refused before it is trained.
  warm = shipped.find(made_of(config, data, params), params)
  if warm is None:
    warm = train_warm_start(
        config, data, graphdef, params, mesh, f'{cache_dir}/warm_starts',
        notice and functools.partial(
            within_round.Checkpointer, every=config.train.save_every,
            notice=notice))
  else:
    warm = partition.place(warm, mesh)
  return _made(built, given._replace(params=warm, has_prior=True))


def frozen_towers(
    config: ml_collections.ConfigDict,
    data: encode.EncodedDataset,
    pretrained: pretrained_lib.Pretrained | None,
) -> tuple[nnx.GraphDef, nnx.State]:
  """The towers that a learner on features leaves alone; nothing is trained.

  Args:
    config: complete.
    data: as the towers take them.
    pretrained: the checkpoint of the config, if it names one.

  Raises:
    ValueError: if they are a warm start that does not come with the package.
  """
  if pretrained is not None:
    return dual_encoder.graphdef_of(pretrained.config), pretrained.params
  graphdef, params = init_params(config, data, config.warm_start.seed)
  if config.model.name in models_lib.FIXED or data.pretrain is None:
    return graphdef, params
  warm = shipped.find(made_of(config, data, params), params)
  if warm is None:
    raise ValueError('the warm start of the towers does not come with the '
                     'package, and would have to be trained anew')
  return graphdef, warm


def _made(built: Experiment, given: maker_lib.Given) -> Experiment:
  """The experiment with its learner, on features if that works on these."""
  config = built.config
  maker = learners.LEARNERS[config.train.learner]
  if maker.works_on_features and given.graphdef is not None:
    data = frozen.features(given.graphdef, given.params, built.encoded)
    built, given = built._replace(data=data), given._replace(data=data)
  own = config.get(config.train.learner) or {}
  made = maker.make(given, **own)
  if not isinstance(made, tuple) or len(made) != 2:
    raise TypeError(
        f'make of train.learner={config.train.learner!r} has returned '
        f'{type(made).__name__}; (learner, parameters to start from) are '
        'needed.')
  learner, params = made
  return built._replace(learner=learner, warm=params)


def made_of(
    config: ml_collections.ConfigDict,
    data: encode.EncodedDataset,
    params: nnx.State,
) -> dict[str, Any]:
  """By what a config's warm start is known among those that are shipped."""
  return shipped.describe(
      config.model, config.warm_start, data.pretrain, params)


def train_warm_start(
    config: ml_collections.ConfigDict,
    data: encode.EncodedDataset,
    graphdef: nnx.GraphDef,
    params: nnx.State,
    mesh: jax.sharding.Mesh | None = None,
    cache_dir: str | None = None,
    make_checkpointer: Callable[
        [newest.Within], checkpointer_lib.Checkpointer] | None = None,
) -> nnx.State:
  """Trains the warm start that a config asks for, or finds it in a cache."""
  recipe = dict(config.warm_start)
  seed = recipe.pop('seed')
  return warm_start_lib.warm_start(
      graphdef, params, data.pretrain, seed, **recipe, mesh=mesh,
      cache_dir=cache_dir, make_checkpointer=make_checkpointer)


def make_mesh(config: ml_collections.ConfigDict) -> jax.sharding.Mesh | None:
  """The mesh of `config.mesh`; without one all devices of several processes.

  Raises:
    ValueError: as `sharding.make_mesh`, and if one of several processes would
      have no part in it.
  """
  data = config.mesh.data
  if data is None:
    data = -1 if processes.are_several() else 1
  mesh = sharding.make_mesh(data, config.mesh.fsdp)
  size = 1 if mesh is None else mesh.size
  if processes.are_several() and size < jax.device_count():
    raise ValueError(
        f'mesh: {size} devices are wanted; of {jax.process_count()} processes '
        f'all {jax.device_count()} are needed: give --config.mesh.data=-1.')
  return mesh


def _built_of() -> tuple[str, ...]:
  """Sections of a config that all of an experiment is made of."""
  return (*_DATA_OF, 'train', *learners.LEARNERS, 'warm_start', 'mesh')


def _agree(one, other, names) -> bool:
  """Whether two configs say the same in all of some sections."""
  one, other = one.to_dict(), other.to_dict()
  return all(one.get(name) == other.get(name) for name in names)


def initial_state(
    experiment: Experiment, sizes: Mapping[str, int], seed: int
) -> state_lib.RunState:
  """The state in which a run of one seed starts."""
  config, data, learner, params, *_ = experiment
  if params is None:
    _, params = init_params(config, data, seed)
    params = partition.place(params, make_mesh(config))
  return state_lib.initial_state(
      params, learner.init(params), sizes,
      evaluate.metric_names(data.test), config.rounds, config.batch, seed,
      config.train.restart)


def round_of(state: state_lib.RunState) -> int:
  """The round after which a state was saved, for `Checkpoints.newest`."""
  return int(state.round)


def annotators_of(
    experiment: Experiment, seed: int
) -> tuple[pools_lib.Pools, pools_lib.Hidden | None, oracle_lib.Oracle]:
  """The learner's pools of one seed, what is hidden, and who knows it.

  Args:
    experiment: from `build`.
    seed: of the run.
  """
  annotators = experiment.settings.annotators
  pools, hidden = annotators.hide(experiment.data.pool, seed)
  oracle = annotators.oracle(pools, hidden, seed, experiment.load_seen)
  return pools, hidden, oracle


def rounds(
    experiment: Experiment,
    strategy: str,
    pools: pools_lib.Pools,
    oracle: oracle_lib.Oracle,
    state: state_lib.RunState,
    report: in_memory.Report | None = None,
    undone: Callable[[str], None] | None = None,
    checkpointer: Callable[[int], checkpointer_lib.Checkpointer] | None = None,
) -> Iterator[state_lib.RunState]:
  """A run from `state` on: its states, as `loop.run_rounds` yields them."""
  config = experiment.config
  buffer = experiment.settings.annotators.buffer
  source = pools if buffer is None else stream_lib.of_pools(pools, buffer)
  chosen = strategies_lib.configured(strategy, config.acquisition.to_dict())
  plan = _plan(config, chosen.needs_reference)
  return loop.run_rounds(
      state, experiment.learner, chosen, oracle, source, experiment.data.test,
      plan, report, undone, checkpointer)


def align_whole_pool(
    experiment: Experiment, pools: pools_lib.Pools, hidden: pools_lib.Hidden,
    seed: int,
) -> dict[str, float]:
  """Scores where all of a seed's pool is aligned: for evaluation alone."""
  return all_aligned.align_whole_pool(
      initial_state(experiment, pools.sizes, seed), experiment.learner, pools,
      hidden.tuples, experiment.data.test)


def _plan(config, reference: bool = False) -> loop.Plan:
  return loop.Plan(
      config.train.pseudo_pairs, config.costs.budget,
      metric_lib.METRICS[config.acquisition.metric],
      reference=reference,
      divergence=config.train.divergence or loop.STOP)
