"""What every value of a config means, for `--show_config` and `--help`."""

import inspect
import re
import textwrap

import ml_collections

from mmal_jax import loop
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.config import differences
from mmal_jax.config import kinds
from mmal_jax.config import paths
from mmal_jax.data import registry as datasets_lib
from mmal_jax.files import plain_text
from mmal_jax.learn import registry as learners
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models import registry as models_lib
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.oracles.people import answers

_MEANS = {
    'acquisition.coreset_ratio': 'Size of the core set over that of a batch of '
    'queries (B_c / B).',
    'acquisition.metric': 'Distance of embeddings in the acquisition.',
    'batch': 'Queries a round; None: half of the pool over all rounds, at most '
    f'{kinds.LARGEST_DEFAULT_BATCH}.',
    'closed_form.rank': 'Principal directions of each modality that are kept.',
    'closed_form.world': 'Whether all that remains has its counterpart among '
    'what remains.',
    'costs': 'Median cost of an answer about this modality; None: 1.',
    'costs.budget': 'What all answers may cost, an equal share in each round; '
    'None: rounds * batch answers, at any cost.',
    'costs.spread': 'Standard deviation of the logarithm of the costs.',
    'dataset.classes': 'Folder with a folder of images for every class, to be '
    'classified zero-shot besides; None: none.',
    'dataset.image_size': 'Height and width of the images in pixels.',
    'dataset.name': 'Which loader reads the data.',
    'dataset.pool': 'Examples of the pool; a pair of ColorSwap is two.',
    'dataset.pretrain': 'Examples of the pretrain split.',
    'dataset.seed': 'Seed with which the data are drawn or divided.',
    'dataset.skew': 'How unevenly colours and things come up in the pool.',
    'dataset.test': 'Examples of the test split.',
    'init': 'Checkpoint to start from; see --init.',
    'matches.k': 'Counterparts that are written of each remaining item.',
    'matches.least_probability': 'Least probability of the pairs that are '
    'written.',
    'mesh.data': 'Devices over which batches are split; -1: all there are.',
    'mesh.fsdp': 'Devices over which parameters are split.',
    'missing': 'Share of the pairs that lost one of their items.',
    'model.dtype': 'What the towers compute in.',
    'model.image_size': 'Pixels of images, if not as published: position '
    'embeddings are interpolated.',
    'model.name': 'Which model; checkpoint: the one that --init names.',
    'model.remat': 'Compute blocks again in the backward pass to save memory.',
    'model.embed_dim': 'Size of the embeddings.',
    'model.width': 'Width of the hidden layers or residual streams.',
    'oracle.candidates': 'Likely counterparts that people are shown of each '
    'modality.',
    'oracle.conflicts': 'What becomes of a query on which people disagree.',
    'oracle.enough': 'Share of a round\'s queries that must be answered before '
    'the run goes on.',
    'oracle.folder': 'Where questions for people and their answers lie.',
    'oracle.link': 'Whether images are linked, not copied, into the questions.',
    'oracle.mistake': 'How wrong answers are drawn.',
    'oracle.name': 'Who answers: exact: the data; files: people.',
    'oracle.people': 'How many people must have answered a query.',
    'oracle.refuse': 'Share of the items about which no answer is given.',
    'oracle.skip_is_refusal': 'Whether a skipped task counts as an answer.',
    'oracle.wait_seconds': 'How long to wait for answers; None: end, and go on '
    'with --resume.',
    'oracle.wrong': 'Share of the items that are answered wrongly.',
    'rounds': 'Rounds of queries.',
    'seeds': 'Seeds; each hides another pairing and draws another first batch.',
    'states': 'Where states to resume from lie, if not in --workdir.',
    'strategies': 'Strategies to compare; see --strategies.',
    'stream.beyond': 'Whether counterparts may lie in other buffers.',
    'stream.buffer': 'Items of each modality that arrive in a round; None: all '
    'are there from the start.',
    'sweep': 'Settings of experiments.sweep, as for --set.',
    'text.folder': 'Where the tokenizer lies, if not with the checkpoint.',
    'text.max_tokens': 'Most tokens of a text; what is longer is cut.',
    'text.vocab_size': 'Tokens of the vocabulary that is learnt from the pool.',
    'train.batch_size': 'Pairs of a minibatch.',
    'train.clip': 'Largest norm of a gradient; None: any.',
    'train.divergence': 'Where a loss is NaN or infinite: the run ends, or that'
    ' round\'s training is undone. None: stop.',
    'train.ema': 'Decay of the average of the weights that is evaluated; 0: '
    'the last weights.',
    'train.final_lr_fraction': 'Share of its peak that the learning rate falls '
    'to.',
    'train.freeze': 'Parameters that are not trained: none, lit (the image '
    'tower), heads (all but the heads), or a pattern of names.',
    'train.halfway': 'Interpolation of weights (WiSE-FT): with n answers, '
    'n / (n + h) of the way to the fine-tuned ones; 0: all the way.',
    'train.learner': 'How models are learnt from answers.',
    'train.loss': 'Contrastive loss; None: the checkpoint\'s own.',
    'train.lr_factors': 'PATTERN=FACTOR, with commas between them: learning '
    'rates of parameters by name.',
    'train.optimizer': 'Optimizer.',
    'train.parts': 'Parts in which a minibatch passes the towers, to save '
    'memory; the loss is that of the whole.',
    'train.peak_lr': 'Highest learning rate.',
    'train.pseudo_pairs': 'Pairs that the model takes to belong together, for '
    'each answer, that join the training.',
    'train.replay': 'Replay: with n answers, a share r / (r + n) of a minibatch'
    ' is of the pretrain split; 0: none.',
    'train.restart': 'Whether every round trains from the start anew.',
    'train.shift': 'Augmentation: largest shift of an image, in pixels.',
    'train.steps_per_round': 'Training steps of a round.',
    'train.twins': 'Weight of the loss of hard negatives, texts with the same '
    'words in another order; 0: none.',
    'train.twins_size': 'Rows of a minibatch that get such a hard negative.',
    'train.unaligned': 'Weight of a loss of unaligned items; 0: none.',
    'train.unaligned_size': 'Unaligned items of a minibatch.',
    'train.unaligned_temperature': 'Temperature of their resemblance.',
    'train.warmup_fraction': 'Share of the steps in which the learning rate '
    'rises.',
    'train.weight_decay': 'Weight decay.',
    'warm_start.batch_size': 'Pairs of a minibatch of the warm start.',
    'warm_start.peak_lr': 'Highest learning rate of the warm start.',
    'warm_start.seed': 'Seed of the warm start.',
    'warm_start.shift': 'Augmentation of the warm start, in pixels.',
    'warm_start.steps': 'Steps of the warm start, the training on the pretrain '
    'split before the first round.',
    'warm_start.weight_decay': 'Weight decay of the warm start.',
    'whole_pool': 'Whether each seed is trained once more with all pairs of the'
    ' pool, for reference.',
}
_CHOICES = {
    'acquisition.metric': metric_lib.METRICS,
    'dataset.name': datasets_lib.DATASETS,
    'model.dtype': config_lib.DTYPES,
    'oracle.conflicts': answers.CONFLICTS,
    'oracle.mistake': oracles_lib.MISTAKES,
    'oracle.name': oracles_lib.ORACLES,
    'train.divergence': loop.DIVERGENCE,
    'train.learner': learners.LEARNERS,
    'train.loss': losses.LOSSES,
    'train.optimizer': optimizer_lib.OPTIMIZERS,
}
_BUILT_BY = {'dataset': datasets_lib.DATASETS, 'model': models_lib.MODELS}


def meaning(config: ml_collections.ConfigDict, key: str) -> str:
  """What the value at a dotted key of a config means; '' if unknown."""
  section, _, name = key.partition('.')
  if key in _MEANS:
    return _MEANS[key]
  if section == 'costs':
    return _MEANS['costs']
  build = _BUILT_BY[section].get(config[section].get('name')) if (
      section in _BUILT_BY and name) else None
  found = '' if build is None else _of_argument(build, name.split('.')[0])
  return found[:1].upper() + found[1:]


def _of_argument(function, name: str) -> str:
  """What a docstring says of an argument, in one line."""
  text = inspect.getdoc(function) or ''
  found = re.search(
      rf'^  {name}: (.*(?:\n    .*)*)', text.partition('Args:')[2], re.M)
  # Names of functions are of use to readers of the code alone.
  return '' if found is None else re.sub(
      r' \(`[\w.]+`\)', '', ' '.join(found[1].split()))


def allowed(config: ml_collections.ConfigDict, key: str) -> str:
  """What the value at a dotted key may be: `a number of at least 0`."""
  if key in _CHOICES:
    return f'one of {", ".join(_CHOICES[key])}'
  dataset = config.get('dataset') or {}
  if differences.within(key, paths.keys(dataset.get('name'))):
    return 'a path'
  return kinds.allowed(key)


def table(config: ml_collections.ConfigDict) -> str:
  """All values of a config, what they mean and what else they may be."""
  lines = []
  for key, value in differences.flat(config.to_dict()):
    about = meaning(config, key)
    may_be = allowed(config, key)
    said = ' '.join(filter(None, (about, may_be and f'({may_be})')))
    lines += [f'  --config.{plain_text.for_terminal(key)}={value!r}',
              *textwrap.wrap(said, 72, initial_indent=' ' * 6,
                             subsequent_indent=' ' * 6)]
  return '\n'.join(lines)
