"""Every knob of every config, once: default, type, bounds, choices, help.

What a dataset, a model, an oracle, a strategy or a learner takes of its own is
read off its function: the default and the type from its signature, the help
from its docstring. Here is only what these cannot say (`_MORE`).
"""

import dataclasses
import inspect
from typing import Any

from mmal_jax import loop
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.acquire import values as values_lib
from mmal_jax.config import knobs
from mmal_jax.config.knobs import Knob
from mmal_jax.data import registry as datasets_lib
from mmal_jax.learn import registry as learners
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.models import config as model_config
from mmal_jax.models import registry as models_lib
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.oracles.people import answers

# Of a config that leaves the batch to the pool.
LARGEST_DEFAULT_BATCH = 100

# Values of no section.
VALUES = {
    'init': Knob(knobs.PATH, None, optional=True, help=(
        'Checkpoint to start from; see --init.')),
    'missing': Knob(float, 0.0, 0.0, 0.99, help=(
        'Share of the pairs that lost one of their items.')),
    'strategies': Knob(None, help='Strategies to compare; see --strategies.'),
    'seeds': Knob(None, (0,), help=(
        'Seeds; each hides another pairing and draws another first batch.')),
    'rounds': Knob(int, least=1, help='Rounds of queries.'),
    'batch': Knob(int, None, 1, optional=True, help=(
        'Queries a round; None: half of the pool over all rounds, at most '
        f'{LARGEST_DEFAULT_BATCH}.')),
    'sweep': Knob(None, (), help=(
        'Settings of experiments.sweep, as for --set.')),
    'states': Knob(knobs.PATH, None, optional=True, help=(
        'Where states to resume from lie, if not in --workdir.')),
    'mirror': Knob(knobs.PATH, None, optional=True, help=(
        'Where --workdir is copied to, with its states, to come back from there'
        ' on another machine.')),
    'whole_pool': Knob(bool, False, help=(
        'Whether each seed is trained once more with all pairs of the pool, for'
        ' reference.')),
}
_TEXT = {
    'vocab_size': Knob(int, 512, 256, help=(
        'Tokens of the vocabulary that is learnt from the pool.')),
    'max_tokens': Knob(int, 64, 1, help=(
        'Most tokens of a text; what is longer is cut.')),
    'folder': Knob(knobs.PATH, None, optional=True, help=(
        'Where the tokenizer lies, if not with the checkpoint.')),
}
_WARM_START = {
    'seed': Knob(int, 0, 0, help='Seed of the warm start.'),
    'steps': Knob(int, 600, 1, help=(
        'Steps of the warm start, the training on the pretrain split before the'
        ' first round.')),
    'batch_size': Knob(int, 128, 1, help=(
        'Pairs of a minibatch of the warm start.')),
    'peak_lr': Knob(float, 1e-3, 0.0, help=(
        'Highest learning rate of the warm start.')),
    'weight_decay': Knob(float, 1e-4, 0.0, help=(
        'Weight decay of the warm start.')),
    'shift': Knob(int, 0, 0, help=(
        'Augmentation of the warm start, in pixels.')),
}
# Of all learners, and of those that train by gradient.
TRAIN_OF_ALL = {
    'learner': Knob(str, 'gradient', choices=learners.LEARNERS, help=(
        'How models are learnt from answers.')),
    'divergence': Knob(str, None, choices=loop.DIVERGENCE, optional=True, help=(
        'Where a loss is NaN or infinite: the run ends, or that round\'s '
        'training is undone. None: stop.')),
    'restart': Knob(bool, True, help=(
        'Whether every round trains from the start anew.')),
}
_TRAIN = TRAIN_OF_ALL | {
    'steps_per_round': Knob(int, 100, 1, help='Training steps of a round.'),
    'save_every': Knob(int, 1000, 1, help=(
        'Steps after which the state within a round, or a warm start, of more '
        'steps is saved. A machine that is lost costs at most twice as many.')),
    'batch_size': Knob(int, 256, 1, help='Pairs of a minibatch.'),
    'peak_lr': Knob(float, 1e-3, 0.0, help='Highest learning rate.'),
    'weight_decay': Knob(float, 0.5, 0.0, help='Weight decay.'),
    'shift': Knob(int, 0, 0, help=(
        'Augmentation: largest shift of an image, in pixels.')),
    'loss': Knob(str, None, choices=losses.LOSSES, optional=True, help=(
        'Contrastive loss; None: the checkpoint\'s own.')),
    'freeze': Knob(str, 'none', help=(
        'Parameters that are not trained: none, lit (the image tower), heads '
        '(all but the heads), last_N_blocks, or patterns of names with commas '
        'between them.')),
    'lr_factors': Knob(str, '', help=(
        'PATTERN=FACTOR, with commas between them: learning rates of parameters'
        ' by name, as *_tower.*=0.1,*.token.*=0.')),
    'parts': Knob(int, 1, 1, help=(
        'Parts in which a minibatch passes the towers, to save memory; the loss'
        ' is that of the whole.')),
    'ema': Knob(float, 0.0, 0.0, 0.999999, help=(
        'Decay of the average of the weights that is evaluated; 0: the last '
        'weights.')),
    'clip': Knob(float, 1.0, 1e-6, help='Largest norm of a gradient.'),
    'warmup_fraction': Knob(float, 0.1, 0.0, 1.0, help=(
        'Share of the steps in which the learning rate rises.')),
    'final_lr_fraction': Knob(float, 0.0, 0.0, 1.0, help=(
        'Share of its peak that the learning rate falls to.')),
    'optimizer': Knob(
        str, 'adamw', choices=optimizer_lib.OPTIMIZERS, optional=True,
        help='Optimizer; None: adamw.'),
    'pseudo_pairs': Knob(float, 0.0, 0.0, help=(
        'Pairs that the model takes to belong together, for each answer, that '
        'join the training.')),
    'unaligned': Knob(float, 0.0, 0.0, help=(
        'Weight of a loss of unaligned items; 0: none.')),
    'unaligned_size': Knob(int, 128, 1, help=(
        'Unaligned items of a minibatch.'), read_with='train.unaligned'),
    'unaligned_temperature': Knob(float, 0.05, 1e-6, help=(
        'Temperature of their resemblance.'), read_with='train.unaligned'),
    'twins': Knob(float, 0.0, 0.0, help=(
        'Weight of the loss of hard negatives, texts with the same words in '
        'another order; 0: none.')),
    'twins_size': Knob(int, 32, 1, help=(
        'Rows of a minibatch that get such a hard negative.'),
        read_with='train.twins'),
    'replay': Knob(float, 0.0, 0.0, help=(
        'Replay: with n answers, a share r / (r + n) of a minibatch is of the '
        'pretrain split; 0: none.')),
    'halfway': Knob(float, 0.0, 0.0, help=(
        'Interpolation of weights (WiSE-FT): with n answers, n / (n + h) of the'
        ' way to the fine-tuned ones; 0: all the way.')),
}
_MATCHES = {
    'k': Knob(int, 5, 0, help=(
        'Counterparts that are written of each remaining item; 0: nothing is '
        'matched.')),
    'least_probability': Knob(float, 0.9, 0.0, 1.0, help=(
        'Least probability of the pairs that are written.')),
}
_MESH = {
    'data': Knob(int, None, -1, optional=True, help=(
        'Devices over which batches are split; -1: all there are; None: one, '
        'or all of several processes.')),
    'fsdp': Knob(int, 1, 1, help=(
        'Devices over which parameters are split.')),
}
_ACQUISITION = {
    'coreset_ratio': Knob(float, 2.0, 1.0, help=(
        'Size of the core set over that of a batch of queries (B_c / B).')),
    'metric': Knob(str, 'cosine', choices=metric_lib.METRICS, help=(
        'Distance of embeddings in the acquisition.')),
}
_ORACLE = {
    'name': Knob(str, 'exact', choices=oracles_lib.ORACLES, help=(
        'Who answers: exact: the data; files: people.')),
    'wrong': Knob(float, 0.0, 0.0, 1.0, help=(
        'Share of the items that are answered wrongly.')),
    'mistake': Knob(str, 'uniform', choices=oracles_lib.MISTAKES, help=(
        'How wrong answers are drawn: any item, or one that is alike.'),
        read_with='oracle.wrong'),
    'refuse': Knob(float, 0.0, 0.0, 1.0, help=(
        'Share of the items about which no answer is given.')),
}
_STREAM = {
    'buffer': Knob(int, None, 1, optional=True, help=(
        'Items of each modality that arrive in a round; None: all are there '
        'from the start.')),
    'beyond': Knob(bool, True, help=(
        'Whether counterparts may lie in other buffers.')),
}
_COSTS = {
    'spread': Knob(float, 0.0, 0.0, help=(
        'Standard deviation of the logarithm of the costs.')),
    'budget': Knob(float, None, 1e-6, optional=True, help=(
        'What all answers may cost, an equal share in each round; None: rounds '
        '* batch answers, at any cost.')),
}
# Of any modality, by whose name it goes in the section `costs`.
COST = Knob(float, None, optional=True, help=(
    'Median cost of an answer about this modality; None: 1.'))
_STATED = {
    'text': _TEXT, 'warm_start': _WARM_START, 'train': _TRAIN,
    'matches': _MATCHES, 'mesh': _MESH, 'acquisition': _ACQUISITION,
    'oracle': _ORACLE, 'stream': _STREAM, 'costs': _COSTS}

# What signatures and docstrings do not say.
_MORE: dict[str, dict[str, Any]] = {
    'closed_form.rank': dict(least=1),
    'model.width': dict(least=1, help=(
        'Width of the hidden layers or residual streams.')),
    'model.depth': dict(least=1), 'model.heads': dict(least=1),
    'model.patch': dict(least=1), 'model.cells': dict(least=1),
    'model.bins': dict(least=1),
    'model.embed_dim': dict(least=1, help='Size of the embeddings.'),
    'model.dtype': dict(choices=model_config.DTYPES, help=(
        'What the towers compute in.')),
    'model.remat': dict(help=(
        'Compute blocks again in the backward pass to save memory.')),
    'dataset.image_size': dict(
        help='Height and width of the images in pixels.'),
    'dataset.seed': dict(
        help='Seed with which the data are drawn or divided.'),
    'oracle.candidates': dict(least=1, help=(
        'Likely counterparts that people are shown of each modality.')),
    'oracle.conflicts': dict(choices=answers.CONFLICTS, help=(
        'What becomes of a query on which people disagree.')),
    'oracle.enough': dict(least=0.0, most=1.0, help=(
        'Share of a round\'s queries that must be answered before the run goes '
        'on.')),
    # The run says that it is needed, where people are asked.
    'oracle.folder': dict(default=None, optional=True, help=(
        'Where questions for people and their answers lie.')),
    'oracle.link': dict(help=(
        'Whether images are linked, not copied, into the questions.')),
    'oracle.people': dict(least=1, help=(
        'How many people must have answered a query.')),
    'oracle.port': dict(least=0, most=65535),
    'oracle.project': dict(default=None, optional=True),
    'oracle.searched': dict(least=0),
    'oracle.skip_is_refusal': dict(help=(
        'Whether a skipped task counts as an answer.')),
    'oracle.url': dict(default=None, optional=True),
    'oracle.wait_seconds': dict(least=0.0, help=(
        'How long to wait for answers; None: end, and go on with --resume.')),
}
# Fields of a config of its own, which its loader takes by **config.
_RENDERED = {
    'pretrain': Knob(int, help='Examples of the pretrain split.'),
    'pool': Knob(int, help=(
        'Examples of the pool; a pair of ColorSwap is two.')),
    'test': Knob(int, help='Examples of the test split.'),
    'image_size': Knob(int, help='Height and width of the images in pixels.'),
    'skew': Knob(float, help=(
        'How unevenly colours and things come up in the pool.')),
    'seed': Knob(int, help='Seed with which the data are drawn or divided.'),
}
_CLASSES = Knob(knobs.PATH, None, optional=True, help=(
    'Folder with a folder of images for every class, to be classified '
    'zero-shot besides; None: none.'))
# Of a published checkpoint, which says all else itself.
_PUBLISHED = {
    'dtype': Knob(str, 'float32'),
    'remat': Knob(bool, False),
    'image_size': Knob(int, None, 1, 4096, optional=True, help=(
        'Pixels of images, if not as published: position embeddings are '
        'interpolated.')),
}


def names() -> tuple[str, ...]:
  """All sections, in the order in which messages list them."""
  return ('dataset', 'text', 'model', 'warm_start', 'train',
          *(name for name in learners.LEARNERS if learner_values(name)),
          'matches', 'mesh', 'acquisition', 'oracle', 'stream', 'costs')


def of(name: str, kind: str | None = None) -> dict[str, Knob]:
  """The knobs of a section, of parts of it by `PART.NAME`.

  Args:
    name: of the section.
    kind: which dataset or model, of these two.
  """
  found = dict(_STATED.get(name, {}))
  if name == 'dataset':
    found = _dataset(kind)
  elif name == 'model':
    found = _model(kind)
  elif name == 'oracle':
    for oracle in oracles_lib.ORACLES:
      found |= knobs.of_function(*oracles_lib.values_of(oracle))
  elif name == 'acquisition':
    for strategy in strategies_lib.STRATEGIES:
      found |= {f'{strategy}.{value}': knob
                for value, knob in strategy_values(strategy).items()}
  elif name in learners.LEARNERS:
    found = learner_values(name)
  return {value: dataclasses.replace(knob, **_MORE.get(f'{name}.{value}', {}))
          for value, knob in found.items()}


def _dataset(kind) -> dict[str, Knob]:
  found = {'name': Knob(str, choices=datasets_lib.DATASETS, help=(
      'Which loader reads the data.'))}
  load = datasets_lib.DATASETS.get(kind)
  if load is None:
    return found
  if _takes_anything(kind):
    return found | _RENDERED
  if 'preprocess' in inspect.signature(load).parameters:
    found['classes'] = _CLASSES  # Of images in files.
  # Paths are the user's to give: a config leaves them open.
  return found | {
      name: dataclasses.replace(knob, default=None) if (
          knob.type == knobs.PATH and knob.default is knobs.REQUIRED) else knob
      for name, knob in knobs.of_function(load, ('preprocess',)).items()}


def is_closed(name: str, kind: Any) -> bool:
  """Whether a section takes nothing but its knobs.

  A loader may say by itself what it takes, and so may a checkpoint.

  Args:
    name: of the section.
    kind: which dataset or model, of these two.
  """
  if name == 'model':
    return kind in models_lib.MODELS
  return name != 'dataset' or (
      kind in datasets_lib.DATASETS and not _takes_anything(kind))


def _takes_anything(dataset) -> bool:
  return any(parameter.kind is parameter.VAR_KEYWORD
             for parameter in inspect.signature(
                 datasets_lib.DATASETS[dataset]).parameters.values())


def _model(kind) -> dict[str, Knob]:
  found = {'name': Knob(str, help=(
      'Which model; checkpoint: the one that --init names.'))}
  if kind in models_lib.MODELS:
    return found | knobs.of_function(
        models_lib.MODELS[kind], ('items', 'num_tokens', 'rngs'))
  return found | _PUBLISHED


def learner_values(name: str) -> dict[str, Knob]:
  """The knobs of a learner's own section; none where it has no section."""
  return knobs.of_function(learners.LEARNERS[name].make, keyword_only=True)


def strategy_values(name: str) -> dict[str, Knob]:
  """The numbers that a strategy takes of its own and a variant leaves open.

  Switches are left out: what one makes of a strategy has a name of its own.

  Args:
    name: in `STRATEGIES`.
  """
  return {value: knob for value, knob in _left_open(name).items()
          if knob.type in (int, float) and value not in _ACQUISITION}


def _left_open(name) -> dict[str, Knob]:
  return {value: _of_value(about) for value, about in (
      strategies_lib.values_of(name).items())}


def _of_value(value: values_lib.Value) -> Knob:
  """The knob that a value of a strategy is."""
  kinds = [kind for kind in value.types if kind is not type(None)]
  return Knob(
      kinds[0], value.default,
      least=getattr(value.bound, 'least', None),
      choices=getattr(value.bound, 'names', None), help=value.help,
      optional=len(kinds) < len(value.types))
