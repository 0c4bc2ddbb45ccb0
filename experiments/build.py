"""From a config to the values that a run is made of."""

from collections.abc import Iterator, Mapping
import dataclasses
import functools
import inspect
from typing import Any, NamedTuple

from absl import logging
from flax import nnx
import jax
import ml_collections

from experiments import check
from experiments import pretrained as pretrained_lib
from mmal_jax import embed
from mmal_jax import loop
from mmal_jax import sharding
from mmal_jax import state as state_lib
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.align import costs as costs_lib
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align import pools as pools_lib
from mmal_jax.align import refusing
from mmal_jax.align import registry as oracles_lib
from mmal_jax.align import stream as stream_lib
from mmal_jax.align import wrong
from mmal_jax.data import encode
from mmal_jax.data import preprocess as preprocess_lib
from mmal_jax.data import registry as datasets_lib
from mmal_jax.data import schema
from mmal_jax.data import tokenizer as tokenizer_lib
from mmal_jax.evaluate import evaluate
from mmal_jax.models import dual_encoder
from mmal_jax.models import families
from mmal_jax.models import names
from mmal_jax.models import partition
from mmal_jax.models import registry as models_lib
from mmal_jax.train import freeze
from mmal_jax.train import losses
from mmal_jax.train import optimizer as optimizer_lib
from mmal_jax.train import step as step_lib
from mmal_jax.train import warm_start as warm_start_lib


class Experiment(NamedTuple):
  """What is shared by every strategy and seed."""

  config: ml_collections.ConfigDict
  data: encode.EncodedDataset
  learner: step_lib.Learner
  warm: nnx.State | None  # None: every seed starts from a fresh model
  pretrained: pretrained_lib.Pretrained | None = None


def _arguments(section: ml_collections.ConfigDict) -> dict[str, Any]:
  return {k: v for k, v in section.to_dict().items() if k != 'name'}


def load_data(
    config: ml_collections.ConfigDict,
    cache_dir: str,
    pretrained: pretrained_lib.Pretrained | None = None,
) -> encode.EncodedDataset:
  """Reads (or renders) the dataset and encodes it for the model."""
  if pretrained is None:
    return encode.encode(
        load_raw(config, cache_dir), **config.get('text', {}))
  _, _, tokenizer, preprocess = pretrained
  return encode.encode(
      load_raw(config, cache_dir, preprocess), tokenizer=tokenizer,
      preprocess=preprocess)


def load_raw(
    config: ml_collections.ConfigDict,
    cache_dir: str,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """Reads (or renders) the dataset as it is; row i stays row i when encoded."""
  load = datasets_lib.DATASETS[config.dataset.name]
  arguments = _arguments(config.dataset)
  if config.dataset.name == 'synthetic_colorswap':
    arguments['data_dir'] = f'{cache_dir}/datasets'
  if preprocess is not None and (
      'preprocess' in inspect.signature(load).parameters):
    arguments['preprocess'] = preprocess
  return load(**arguments)


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
      items, num_tokens, rngs=nnx.Rngs(seed), **_arguments(config.model))
  return nnx.split(model, nnx.Param)


def build(
    config: ml_collections.ConfigDict,
    cache_dir: str,
    data: encode.EncodedDataset | None = None,
) -> Experiment:
  """Loads the data and the checkpoint, or trains, or finds, the warm start.

  Args:
    config: checked.
    cache_dir: of rendered datasets and warm starts.
    data: what `load_data` would read, where it is in memory already.

  Raises:
    ValueError: for a budget beyond the pool, and all that the dataset, the
      model and the warm start refuse.
  """
  mesh = sharding.make_mesh(
      **{'data': 1, 'fsdp': 1} | dict(config.get('mesh') or {}))
  pretrained = None if config.get('init') is None else pretrained_lib.load(
      config)
  if data is None:
    data = load_data(config, cache_dir, pretrained)
  state_lib.check_budget(
      config.rounds, config.batch, dict.fromkeys(
          data.pool.items, len(data.pool)))
  buffer = buffer_of(config)
  if buffer is not None and config.rounds * buffer > len(data.pool):
    raise ValueError(
        f'rounds={config.rounds} of stream.buffer={buffer} items are beyond '
        f'the pool of {len(data.pool)}.')
  warm_config = dict(config.get('warm_start') or {})
  seed = warm_config.pop('seed', 0)
  if pretrained is None:
    graphdef, params = init_params(config, data, seed)
  else:
    graphdef = dual_encoder.graphdef_of(pretrained.config)
    params = pretrained.params
  params = partition.place(params, mesh)
  if pretrained is not None:
    # By the sigmoid, a CLIP's scale of 100 without a bias would start far off.
    clip = families.of(pretrained.config) is families.CLIP
    learner = make_learner(
        config, graphdef, params, mesh, 'softmax' if clip else 'sigmoid')
    # Its parameters are on the device now.
    return Experiment(
        config, data, learner, params, pretrained._replace(params=None))
  learner = make_learner(config, graphdef, params, mesh)
  if data.pretrain is None:
    logging.info('No pretrain split: every seed starts from a fresh model.')
    return Experiment(config, data, learner, None)
  warm = warm_start_lib.warm_start(
      graphdef, params, data.pretrain, seed, **warm_config, mesh=mesh,
      cache_dir=f'{cache_dir}/warm_starts')
  return Experiment(config, data, learner, warm)


def make_learner(
    config: ml_collections.ConfigDict,
    graphdef: nnx.GraphDef,
    params: nnx.State,
    mesh: jax.sharding.Mesh | None,
    default_loss: str = 'sigmoid',
) -> step_lib.Learner:
  """What is fixed over a run, from `config.train`."""
  train = config.train
  frozen = freeze.patterns(train.get('freeze', 'none'), params)
  factors = check.lr_factors(train.get('lr_factors') or '')
  names.check(list(factors), params, 'train.lr_factors')
  loss = train.get('loss') or default_loss
  optimizer = optimizer_lib.make_optimizer(
      train.peak_lr, train.steps_per_round, train.weight_decay,
      train.get('warmup_fraction', 0.1), clip=train.get('clip', 1.0),
      frozen=frozen, lr_factors=factors, ema=train.get('ema', 0.0))
  return step_lib.Learner(
      graphdef, optimizer, train.batch_size, train.shift,
      losses.LOSSES[loss](mesh), frozen,
      train.get('parts', 1), mesh)


def initial_state(
    experiment: Experiment, sizes: Mapping[str, int], seed: int
) -> state_lib.RunState:
  """The state in which a run of one seed starts."""
  config, data, learner, params, _ = experiment
  if params is None:
    _, params = init_params(config, data, seed)
    params = partition.place(params, learner.mesh)
  return state_lib.initial_state(
      params, optimizer_lib.init(learner.optimizer, params), sizes,
      evaluate.metric_names(data.test), config.rounds, config.batch, seed,
      config.train.restart)


def hide(
    experiment: Experiment, seed: int
) -> tuple[pools_lib.Pools, pools_lib.Hidden]:
  """The learner's pools of one seed, and what only the oracle may see."""
  config = experiment.config
  pools, hidden = pools_lib.hide_pairing(
      experiment.data.pool, seed, config.get('missing', 0.0))
  costs = {name: value for name, value in (config.get('costs') or {}).items()
           if name != 'budget' and value is not None}
  if any(costs.values()):
    pools = dataclasses.replace(
        pools, costs=costs_lib.draw(pools.sizes, seed, **costs))
  return pools, hidden


def make_oracle(
    config: ml_collections.ConfigDict,
    pools: pools_lib.Pools,
    hidden: pools_lib.Hidden,
    seed: int,
) -> oracle_lib.Oracle:
  """The oracle that `config.oracle` describes."""
  settings = config.oracle
  oracle = oracles_lib.ORACLES[settings.name](hidden.tuples, pools.sizes)
  if settings.get('wrong', 0.0):
    mistake = oracles_lib.MISTAKES[settings.get('mistake', 'uniform')](
        pools, seed)
    oracle = wrong.wrong(oracle, pools.sizes, settings.wrong, mistake, seed)
  if settings.get('refuse', 0.0):
    oracle = refusing.refusing(oracle, pools.sizes, settings.refuse, seed)
  buffer = buffer_of(config)
  if buffer is not None and not config.stream.get('beyond', True):
    oracle = stream_lib.within_buffer(oracle, tuple(pools.sizes), buffer)
  return oracle


def buffer_of(config: ml_collections.ConfigDict) -> int | None:
  """Items that arrive in a round; None where all are at hand."""
  return (config.get('stream') or {}).get('buffer')


def rounds(
    experiment: Experiment,
    strategy: str,
    pools: pools_lib.Pools,
    oracle: oracle_lib.Oracle,
    seed: int,
    report: embed.Report | None = None,
) -> Iterator[state_lib.RunState]:
  """Starts a run: its states, one a round, as `loop.run_rounds` yields them."""
  config = experiment.config
  source = pools
  if buffer_of(config) is not None:
    source = stream_lib.of_pools(pools, buffer_of(config))
  plan = loop.Plan(
      config.train.steps_per_round, config.train.get('pseudo_pairs', 0.0),
      (config.get('costs') or {}).get('budget'),
      metric_lib.METRICS[config.acquisition.get('metric', 'cosine')])
  return loop.run_rounds(
      initial_state(experiment, pools.sizes, seed), experiment.learner,
      configured_strategy(config, strategy), oracle, source,
      experiment.data.test, plan, report)


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
