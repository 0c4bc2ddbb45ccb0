"""From `--init` to a model, its tokenizer and its image preprocessing."""

import dataclasses
import hashlib
import pathlib
from typing import NamedTuple

from absl import logging
from flax import nnx
import jax
import ml_collections
import numpy as np

from mmal_jax.config import config as config_lib
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.data.tokenizers import pretrained_tokenizer
from mmal_jax.data.tokenizers import tokenizer_folder
from mmal_jax.models import config as model_config
from mmal_jax.models import fingerprint
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import presets
from mmal_jax.models.pretrained import published

# The model's name that takes whatever the checkpoint holds.
ANY = 'checkpoint'


class Pretrained(NamedTuple):
  """A published checkpoint, ready for use.

  Attributes:
    config: of the model.
    params: float32 NumPy arrays, until they are on a device.
    tokenizer: turns texts into its tokens.
    preprocess: turns images into its pixels.
    digest: hexadecimal, of the parameters as they were read.
  """

  config: model_config.DualEncoder
  params: nnx.State | None
  tokenizer: pretrained_tokenizer.PretrainedTokenizer
  preprocess: preprocess_lib.Preprocess
  digest: str


def load(config: ml_collections.ConfigDict) -> Pretrained:
  """Reads what `config.init` names.

  Args:
    config: `init`: a folder in Hugging Face's layout, a repository's name, or a
      `.npz` of big_vision. `model.name`: a preset that it must be, or
      `checkpoint`. Optional: `model.dtype`, `model.remat`, `model.image_size`
      (position embeddings are interpolated), and `text.folder`: where the
      tokenizer lies, if not beside the parameters.

  Raises:
    FileNotFoundError: if a file is missing.
    ValueError: for all that cannot be read, or is not what `model.name` says.
  """
  config = config_lib.complete(config)
  preset = None if config.model.name == ANY else presets.PRESETS[
      config.model.name]
  image_size = config.model.image_size
  model, params = published.load(config.init, preset, image_size)
  model = dataclasses.replace(
      model, dtype=config.model.dtype,
      remat=config.model.remat)
  family = families.of(model).name
  words = config.text.folder
  if pathlib.Path(config.init).suffix == '.npz':
    if words is None:
      raise ValueError(
          f'init={config.init!r} has no tokenizer beside it: say in text.folder'
          ' (--tokenizer) where one in Hugging Face\'s layout lies.')
    folders = (words,)
  else:
    folder = published.folder_of(config.init)
    folders = (folder,) if words is None else (folder, words)
    words = folder if words is None else words
  tokenizer = pretrained_tokenizer.load(words, model.text.length, family)
  _check(tokenizer, model, words, config.init)
  preprocess = _preprocess(
      folders, model, family, tokenizer.tokenizer_class, image_size)
  image = dataclasses.replace(
      model.image, mean=preprocess.mean, std=preprocess.std)
  return Pretrained(
      dataclasses.replace(model, image=image), params, tokenizer, preprocess,
      fingerprint.of_params(params))


def earlier_digest(params: nnx.State) -> str:
  """What an earlier version recorded of parameters, to know its runs again.

  Args:
    params: as they were read.
  """
  found = hashlib.sha256()
  for path, value in jax.tree.leaves_with_path(params):
    found.update(f'{path} {value.shape} {value.dtype}'.encode())
    found.update(np.ascontiguousarray(value).data)
  return found.hexdigest()


def _check(tokenizer, model, words, init) -> None:
  """Refuses a tokenizer that does not go with the model."""
  if tokenizer.tokenizer_class == tokenizer_folder.GEMMA:
    raise ValueError(
        f'the tokenizer in {words} keeps upper case, but SigLIP 2 was trained '
        'without: name Siglip2Tokenizer in its tokenizer_config.json.')
  if tokenizer.vocab_size > model.text.vocab_size:
    raise ValueError(
        f'the tokenizer in {words} has {tokenizer.vocab_size} tokens, the '
        f'model of {init!r} only {model.text.vocab_size}.')
  most = tokenizer.most_tokens
  if most is not None and most < model.text.length and (
      model.text.pooling == 'last'):
    raise ValueError(
        f'{words}: texts are filled up to model_max_length={most} tokens '
        '(tokenizer_config.json; SiglipTokenizer takes 64 where it names '
        f'none), but to max_position_embeddings={model.text.length} by the '
        f'config.json of {init!r}, and the embedding depends on which. Change '
        'the wrong one of the two.')
  end = model.text.end_id
  if model.text.pooling == 'end' and end is not None and (
      end not in tokenizer(['a'])):
    logging.warning(
        'The tokenizer in %s ends no text by token %d, the eos_token_id of '
        'config.json at which texts are pooled: all are pooled at their first '
        'token. Is it of another model?', words, end)


def _preprocess(
    folders, model, family, tokenizer_class, image_size
) -> preprocess_lib.Preprocess:
  """As the checkpoint says, at the resolution that the model has now."""
  size = model.image.size[0]
  for folder in folders:
    try:
      # A tokenizer may come from a model that prepares images otherwise.
      if folder != folders[0] and preprocess_lib.kind(folder) != family:
        continue
      published = preprocess_lib.load(folder)
    except FileNotFoundError:
      continue
    if folder != folders[0]:
      logging.warning(
          '%s has no %s: that of %s is used.', folders[0], preprocess_lib.FILE,
          folder)
    break
  else:
    if tokenizer_class == tokenizer_folder.SIGLIP2:
      # Its processor's default is bicubic, its published files say bilinear.
      raise ValueError(
          f'{folders[0]} has no {preprocess_lib.FILE}, and checkpoints of '
          'SigLIP 2 differ in how images are resized: copy the file from the '
          'repository of the model that was fine-tuned, or give its folder as '
          '--tokenizer (--config.text.folder).')
    # As a trainer leaves it, and big_vision's tokenizers.
    published = preprocess_lib.default(family, size)
    logging.warning(
        '%s has no %s: images are prepared as %s does by default (%s).',
        folders[0], preprocess_lib.FILE, preprocess_lib.KINDS[family],
        published.description())
  if published.size != size and image_size is None:
    raise ValueError(
        f'{folder} prepares images of {published.size} pixels '
        f'({preprocess_lib.FILE}; where it names no size, 224), the model takes'
        f' {size}: say which in model.image_size.')
  return dataclasses.replace(
      published, size=size,
      edge=round(published.edge * size / published.size))
