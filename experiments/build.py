"""From a config to the values that a run is made of."""

from collections.abc import Callable, Iterator, Mapping
import copy
import functools
import inspect
from typing import Any, NamedTuple

from absl import logging
from flax import nnx
import jax
import ml_collections

from experiments import annotators
from experiments import datasets
from experiments import kinds
from experiments import learners as learners_lib
from experiments import pretrained as pretrained_lib
from mmal_jax import embed
from mmal_jax import loop
from mmal_jax import processes
from mmal_jax import sharding
from mmal_jax import state as state_lib
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align import pools as pools_lib
from mmal_jax.align import stream as stream_lib
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.data import tokenizer as tokenizer_lib
from mmal_jax.evaluate import evaluate
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn import registry as learners
from mmal_jax.learn.closed_form import frozen
from mmal_jax.learn.gradient import shipped
from mmal_jax.learn.gradient import warm_start as warm_start_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import families
from mmal_jax.models import partition
from mmal_jax.models import registry as models_lib

# Sections of a config that an experiment's data, and all of it, are made of.
_DATA_OF = ('dataset', 'text', 'init', 'model')
_BUILT_OF = (*_DATA_OF, 'train', 'closed_form', 'warm_start', 'mesh')


class Experiment(NamedTuple):
  """What is shared by every strategy and seed."""

  config: ml_collections.ConfigDict
  data: encode.EncodedDataset
  learner: learner_lib.Learner
  warm: nnx.State | None  # None: every seed starts from a fresh model
  load_seen: Callable[[], schema.Dataset]  # as people see it
  # What `data` was before frozen towers made features of it.
  encoded: encode.EncodedDataset
  pretrained: pretrained_lib.Pretrained | None = None


def init_params(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset, seed: int
) -> tuple[nnx.GraphDef, nnx.State]:
  """A model's structure and its initial parameters of one seed."""
  num_tokens = (0 if data.tokenizer is None
                else tokenizer_lib.num_tokens(data.tokenizer))
  items = {
      modality: jax.ShapeDtypeStruct(items.values.shape[1:], items.values.dtype)
      for modality, items in data.pool.items.items()}
  model = models_lib.MODELS[config.model.name](
      items, num_tokens, rngs=nnx.Rngs(seed),
      **datasets.arguments(config.model))
  return nnx.split(model, nnx.Param)


def build(
    config: ml_collections.ConfigDict,
    cache_dir: str,
    before: Experiment | None = None,
) -> Experiment:
  """Loads the data, and the checkpoint or the warm start.

  A warm start that is neither shipped nor in the cache is trained.

  Args:
    config: checked.
    cache_dir: of rendered datasets and warm starts.
    before: another experiment, of which all that is the same is taken: its
      data, and its learner, for which programs are compiled already.

  Raises:
    ValueError: for a budget beyond the pool, and all that the dataset, the
      model and the warm start refuse.
  """
  if before is not None and _agree(config, before.config, _BUILT_OF):
    return before._replace(config=fitted(config, before.data))
  mesh = make_mesh(config)
  pretrained = None if config.get('init') is None else (
      processes.first_before_others(lambda: pretrained_lib.load(config)))
  load_seen = functools.partial(datasets.load_seen, config, cache_dir)
  if before is not None and _agree(config, before.config, _DATA_OF):
    data = before.encoded
  else:
    # The first process renders what is in no cache yet.
    data = processes.first_before_others(
        lambda: datasets.load(config, cache_dir, pretrained))
  config = fitted(config, data)
  learners_lib.check_towers(config, data)
  if config.train.get('learner') == learners.CLOSED_FORM and all(
      map(encode.is_features, data.pool.items.values())):
    return _closed_form(Experiment(config, data, None, None, load_seen, data))
  if pretrained is None:
    graphdef, params = init_params(
        config, data, (config.get('warm_start') or {}).get('seed', 0))
  else:
    graphdef = dual_encoder.graphdef_of(pretrained.config)
    params = pretrained.params
  params = partition.place(params, mesh)
  if pretrained is not None:
    # By the sigmoid, a CLIP's scale of 100 without a bias would start far off.
    clip = families.of(pretrained.config) is families.CLIP
    learner = learners_lib.make_learner(
        config, graphdef, params, mesh, data,
        'softmax' if clip else 'sigmoid')
    # Its parameters are on the device now.
    return _ready(graphdef, Experiment(
        config, data, learner, params, load_seen, data,
        pretrained._replace(params=None)))
  if config.model.name in models_lib.FIXED:  # `check` wants the closed form.
    found = Experiment(config, data, None, params, load_seen, data)
    return _ready(
        graphdef, found, None if config.model.get('shared') else params)
  learner = learners_lib.make_learner(config, graphdef, params, mesh, data)
  if data.pretrain is None:
    if config.train.get('learner') == learners.CLOSED_FORM:
      logging.warning('No pretrain split: the closed form works on what towers '
                      'with random parameters make of the items.')
    else:
      logging.info('No pretrain split: every seed starts from a fresh model.')
    found = Experiment(config, data, learner, None, load_seen, data)
    return _ready(graphdef, found, params)
  warm = shipped.find(made_of(config, data, params), params)
  if warm is None:
    warm = train_warm_start(
        config, data, graphdef, params, mesh, f'{cache_dir}/warm_starts')
  else:
    warm = partition.place(warm, mesh)
  return _ready(
      graphdef, Experiment(config, data, learner, warm, load_seen, data))


def _ready(
    graphdef: nnx.GraphDef, built: Experiment, fresh: nnx.State | None = None
) -> Experiment:
  """The experiment as its learner wants it: with heads on its towers, or not.

  Args:
    graphdef: of the towers.
    built: with a learner by gradient, or none where the model has nothing to
      train.
    fresh: parameters of towers that nothing has trained; None for pretrained
      ones, in whose features similarity across modalities means something.
  """
  config = built.config
  learner = config.train.get('learner')
  if learner == learners.FINE_TUNE:
    _, params, _ = learners_lib.headed(
        config, graphdef, built.warm, make_mesh(config))
    return built._replace(warm=params)
  if learner != learners.CLOSED_FORM:
    return built
  params = built.warm if fresh is None else fresh
  data = frozen.features(graphdef, params, built.encoded)
  return _closed_form(built._replace(data=data), has_prior=fresh is None)


def _closed_form(built: Experiment, has_prior: bool = False) -> Experiment:
  """The experiment on features, with the closed form for a learner."""
  widths = {m: items.values.shape[1]
            for m, items in built.data.pool.items.items()}
  learner, params = learners_lib.closed_form(
      built.config, widths, make_mesh(built.config), has_prior)
  return built._replace(learner=learner, warm=params)


def made_of(
    config: ml_collections.ConfigDict,
    data: encode.EncodedDataset,
    params: nnx.State,
) -> dict[str, Any]:
  """By what a config's warm start is known among those that are shipped."""
  return shipped.describe(
      config.model, config.get('warm_start') or {}, data.pretrain, params)


def train_warm_start(
    config: ml_collections.ConfigDict,
    data: encode.EncodedDataset,
    graphdef: nnx.GraphDef,
    params: nnx.State,
    mesh: jax.sharding.Mesh | None = None,
    cache_dir: str | None = None,
) -> nnx.State:
  """Trains the warm start that a config asks for, or finds it in a cache."""
  recipe = dict(config.get('warm_start') or {})
  seed = recipe.pop('seed', 0)
  return warm_start_lib.warm_start(
      graphdef, params, data.pretrain, seed, **recipe, mesh=mesh,
      cache_dir=cache_dir)


def make_mesh(config: ml_collections.ConfigDict) -> jax.sharding.Mesh | None:
  """The mesh of `config.mesh`; without one all devices of several processes.

  Raises:
    ValueError: as `sharding.make_mesh`, and if one of several processes would
      have no part in it.
  """
  default = {'data': -1 if processes.several() else 1, 'fsdp': 1}
  mesh = sharding.make_mesh(**default | dict(config.get('mesh') or {}))
  size = 1 if mesh is None else mesh.size
  if processes.several() and size < jax.device_count():
    raise ValueError(
        f'mesh: {size} devices are wanted; of {jax.process_count()} processes '
        f'all {jax.device_count()} are needed: give --config.mesh.data=-1.')
  return mesh


def fitted(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset
) -> ml_collections.ConfigDict:
  """Refuses what the pools cannot give; the config with a batch that fits them.

  Where the config leaves the batch open, half of the smallest pool is asked
  about over all rounds, but no more than `kinds.LARGEST_DEFAULT_BATCH` items a
  round.

  Raises:
    ValueError: for a budget, or buffers of a stream, beyond the pools of a
      seed, for costs out of range, for loose pools where nobody is asked, or
      for a strategy whose rule names no modality, or needs costs that are not
      there.
  """
  every = []
  for seed in config.seeds:
    pools, hidden = annotators.hide(config, data.pool, seed)
    if hidden is None and config.oracle.name == 'exact':
      raise ValueError('oracle=\'exact\' needs pairs, and the pools of this '
                       'dataset are loose: ask people, --oracle=files.')
    # Of what is not missing, which differs from seed to seed.
    every.append(pools.sizes)
  buffer = annotators.buffer_of(config)
  if config.get('batch') is None:
    pool = min(min(sizes.values()) for sizes in every)
    config = copy.deepcopy(config)
    with config.unlocked():
      config.batch = max(1, min(
          pool // (2 * config.rounds), buffer or pool,
          kinds.LARGEST_DEFAULT_BATCH))
  for sizes in every:
    state_lib.check_budget(config.rounds, config.batch, sizes)
    if buffer is not None and config.rounds * buffer > min(sizes.values()):
      smallest = min(sizes.values())
      raise ValueError(
          f'rounds={config.rounds} of stream.buffer={buffer} items are beyond '
          f'the pool of {smallest}: with these rounds, stream.buffer can be at '
          f'most {smallest // config.rounds}.')
    if buffer is not None and config.batch > buffer:
      raise ValueError(f'batch={config.batch} queries are beyond '
                       f'stream.buffer={buffer} items.')
  for strategy in config.strategies:
    rule = strategy.partition('@')[2]
    if rule and rule not in (*modality.RULES, *sizes):
      raise ValueError(f'strategy={strategy!r}: the rule is none of '
                       f'{", ".join((*modality.RULES, *sizes))}.')
    if rule == 'cheapest' and not annotators.has_costs(config):
      raise ValueError(f'strategy={strategy!r} needs costs: give '
                       '--config.costs.image, or another.')
  return config


def _agree(one, other, sections) -> bool:
  """Whether two configs say the same in all of some sections."""
  one, other = one.to_dict(), other.to_dict()
  return all(one.get(s) == other.get(s) for s in sections)


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
  config = experiment.config
  pools, hidden = annotators.hide(config, experiment.data.pool, seed)
  oracle = annotators.make_oracle(
      config, pools, hidden, seed, experiment.load_seen)
  return pools, hidden, oracle


def rounds(
    experiment: Experiment,
    strategy: str,
    pools: pools_lib.Pools,
    oracle: oracle_lib.Oracle,
    state: state_lib.RunState,
    report: embed.Report | None = None,
    undone: Callable[[str], None] | None = None,
) -> Iterator[state_lib.RunState]:
  """A run from `state` on: its states, as `loop.run_rounds` yields them."""
  config = experiment.config
  buffer = annotators.buffer_of(config)
  source = pools if buffer is None else stream_lib.of_pools(pools, buffer)
  chosen = configured_strategy(config, strategy)
  plan = _plan(config, strategies_lib.needs_reference(strategy))
  return loop.run_rounds(
      state, experiment.learner, chosen, oracle, source, experiment.data.test,
      plan, report, undone)


def align_whole_pool(
    experiment: Experiment, pools: pools_lib.Pools, hidden: pools_lib.Hidden,
    seed: int,
) -> dict[str, float]:
  """Scores where all of a seed's pool is aligned: for evaluation alone."""
  return loop.align_whole_pool(
      initial_state(experiment, pools.sizes, seed), experiment.learner, pools,
      hidden.tuples, experiment.data.test)


def _plan(config, reference: bool = False) -> loop.Plan:
  return loop.Plan(
      config.train.get('pseudo_pairs', 0.0),
      (config.get('costs') or {}).get('budget'),
      metric_lib.METRICS[config.acquisition.get('metric', 'cosine')],
      reference=reference,
      divergence=config.train.get('divergence') or loop.STOP)


def configured_strategy(
    config: ml_collections.ConfigDict, name: str
) -> views_lib.Strategy:
  """A strategy with those values of `config.acquisition` that it takes.

  What a registered variant fixes itself stays as it is.
  """
  strategy = strategies_lib.find(name)
  fixed = getattr(strategy, 'keywords', {})
  taken = inspect.signature(strategy).parameters
  return functools.partial(strategy, **{
      k: v for k, v in config.acquisition.items()
      if k in taken and k not in fixed})
