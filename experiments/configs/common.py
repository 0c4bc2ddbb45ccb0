"""What every config has in common: how is asked, and what may go wrong."""

from collections.abc import Sequence
from typing import Any

from ml_collections import config_dict

# Arguments of the loaders; paths, which None stands for, the user gives.
# `drop_duplicates`: whether items that are there twice are left out, the first
# kept, and images of the test set with them; if not, they are refused.
_IMAGES_AND_TEXTS = {
    'paired_folder': {
        'folder': None, 'pairs': 'pairs.jsonl', 'test_fraction': 0.2,
        'seed': 0, 'drop_duplicates': None},
    'unpaired_folder': {
        'images': None, 'texts': None, 'test_pairs': None,
        'drop_duplicates': None},
    'colorswap': {'folder': None},
    'karpathy': {
        'annotations': None, 'images': None, 'captions': 1,
        'test_captions': 5},
    'coco_captions': {'data_dir': None, 'captions': 1, 'test_captions': 5},
    'webdataset': {
        'shards': None, 'test_shards': None, 'test_fraction': 0.2, 'seed': 0},
}
_KINDS = {'drop_duplicates': bool}  # of what is None; others are paths


def images_and_texts(name: str, image_size: int | None) -> dict[str, Any]:
  """The section of a dataset of images and texts that lie in files.

  Args:
    name: of the dataset.
    image_size: images are resized to it; None leaves that to a checkpoint.
  """
  if name not in _IMAGES_AND_TEXTS:
    raise ValueError(
        f'dataset {name!r} is unknown; known are {list(_IMAGES_AND_TEXTS)}.')
  # `classes`: a folder of images for every class, to be classified as well.
  values = {'classes': None} | _IMAGES_AND_TEXTS[name]
  if image_size is not None:
    values['image_size'] = image_size
  # Each path has a placeholder of its own: one for all would be one value.
  return {'name': name} | {
      key: config_dict.placeholder(_KINDS.get(key, str)) if value is None
      else value
      for key, value in values.items()}


def asking(modalities: Sequence[str] = ('image', 'text')) -> dict[str, Any]:
  """The sections of acquisition and annotation, all that is odd turned off.

  Args:
    modalities: names, of which each may have costs of its own.
  """
  return {
      'acquisition': {
          'coreset_ratio': 2.0,  # B_c / B
          'metric': 'cosine'},  # or sqeuclidean, inner
      'oracle': {
          'name': 'exact',
          # Share of the items that are answered wrongly, by a `uniform` draw or
          # a `near` neighbour; share that annotators refuse to answer.
          'wrong': 0.0, 'mistake': 'uniform', 'refuse': 0.0,
          # Of `files`: where questions and answers lie, how many likely
          # counterparts are shown, which share of a round's answers is enough
          # to go on, how long to wait for it (None: the program ends), how
          # many people must have answered, and what of their disagreement
          # (`ask` again, or `majority`).
          'folder': config_dict.placeholder(str), 'candidates': 10,
          'enough': 1.0, 'wait_seconds': config_dict.placeholder(float),
          'people': 1, 'conflicts': 'ask', 'skip_is_refusal': False,
          'link': False},
      # Share of the pairs that lost one of their items.
      'missing': 0.0,
      # Items of each modality that arrive in a round; None has all at hand.
      # `beyond`: the oracle finds counterparts in other buffers, too.
      'stream': {'buffer': config_dict.placeholder(int), 'beyond': True},
      # Median costs of an answer, by the modality that is asked about; `spread`
      # of their logarithms; `budget`, what all answers may cost. None: each
      # costs 1, and the number of queries alone counts.
      'costs': {m: config_dict.placeholder(float) for m in modalities} | {
          'spread': 0.0, 'budget': config_dict.placeholder(float)},
  }


def if_training_diverges() -> dict[str, Any]:
  """The value of `train` for a loss or a gradient that is NaN or infinite."""
  # stop (None): the run ends there; or roll_back: that round's training is
  # undone, and the run goes on.
  return {'divergence': config_dict.placeholder(str)}


def closed_form() -> dict[str, Any]:
  """The section of the closed-form learner."""
  return {
      # Principal directions of each modality that are kept; whether it learns
      # from everything remaining having its counterpart among what remains.
      'rank': 256, 'world': True}


def matches() -> dict[str, Any]:
  """The section of matching what remains after the last round.

  With `train.learner=closed_form` alone, which can hold answers out.
  """
  return {
      # Counterparts of each item; probability of the pairs that are written.
      'k': 5, 'least_probability': 0.9}


def optional_training() -> dict[str, Any]:
  """Values of `train` beyond rate, steps and minibatches; all off."""
  return {
      # `adamw` or `muon`; share of its peak that the learning rate falls to.
      'optimizer': 'adamw', 'final_lr_fraction': 0.0,
      # Weight of the loss of hard negatives, texts with the same words in
      # another order; number of rows of a minibatch that get one.
      'twins': 0.0, 'twins_size': 32,
      # Replay against forgetting: with n aligned pairs, a share r / (r + n) of
      # a minibatch is drawn from the pretrain split; r, or 0 for no replay.
      'replay': 0.0,
      # Interpolation of weights (WiSE-FT): n / (n + h) of the way from the
      # pretrained to the fine-tuned ones; h, or 0 for no interpolation.
      'halfway': 0.0,
      # So many pairs that the model takes to belong together join the training
      # for each that is known.
      'pseudo_pairs': 0.0,
      # Weight of a loss of unaligned items against the counterparts of those
      # they resemble; items a step; temperature of the resemblance.
      'unaligned': 0.0, 'unaligned_size': 128, 'unaligned_temperature': 0.05}
