"""A published checkpoint: its model, its tokenizer and its preprocessing."""

import dataclasses
import os
import pathlib
from typing import NamedTuple

from absl import logging
from flax import nnx

from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.data.tokenizers import pretrained_tokenizer
from mmal_jax.data.tokenizers import tokenizer_folder
from mmal_jax.models import config as config_lib
from mmal_jax.models import fingerprint
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import presets
from mmal_jax.models.pretrained import published


class Pretrained(NamedTuple):
  """A published checkpoint, ready for use.

  Attributes:
    config: of the model.
    params: float32 NumPy arrays, until they are on a device.
    tokenizer: turns texts into its tokens.
    preprocess: turns images into its pixels.
    digest: hexadecimal, of the parameters as they were read.
  """

  config: config_lib.DualEncoder
  params: nnx.State | None
  tokenizer: pretrained_tokenizer.PretrainedTokenizer
  preprocess: preprocess_lib.Preprocess
  digest: str


def check(model: str | None, dtype: str) -> None:
  """Refuses what `load` would, before any file is read."""
  if model is not None and model not in presets.PRESETS:
    raise ValueError(f'model={model!r} is none of '
                     f'{", ".join(presets.PRESETS)}.')
  if dtype not in config_lib.DTYPES:
    raise ValueError(f'dtype={dtype!r} is none of '
                     f'{", ".join(config_lib.DTYPES)}.')


def load(
    name_or_folder: str | os.PathLike[str],
    *,
    model: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    dtype: str = 'float32',
    remat: bool = False,
) -> Pretrained:
  """Reads a checkpoint with all that belongs to it.

  Args:
    name_or_folder: a folder in Hugging Face's layout, a repository's name, or a
      `.npz` of big_vision.
    model: a preset (`presets.PRESETS`) that it must be; None takes any.
    tokenizer: folder where the tokenizer lies, if not beside the parameters.
    image_size: pixels, if not as published: position embeddings are
      interpolated.
    dtype: what the towers compute in.
    remat: whether activations are computed once more in the backward pass.

  Raises:
    FileNotFoundError: if a file is missing.
    ImportError: if a package that reads or fetches it is not installed.
    ValueError: for all that cannot be read, or is not what `model` says.
  """
  check(model, dtype)
  source = os.fspath(name_or_folder)
  preset = None if model is None else presets.PRESETS[model]
  config, params = published.load(source, preset, image_size)
  config = dataclasses.replace(config, dtype=dtype, remat=remat)
  family = families.of(config).name
  words = None if tokenizer is None else os.fspath(tokenizer)
  if pathlib.Path(source).suffix == '.npz':
    if words is None:
      raise ValueError(
          f'init={source!r} has no tokenizer beside it: say in text.folder'
          ' (--tokenizer) where one in Hugging Face\'s layout lies.')
    folders = (words,)
  else:
    folder = published.folder_of(source)
    folders = (folder,) if words is None else (folder, words)
    words = folder if words is None else words
  tokens = pretrained_tokenizer.load(words, config.text.length, family)
  _check(tokens, config, words, source)
  preprocess = _preprocess(
      folders, config, family, tokens.tokenizer_class, image_size)
  image = dataclasses.replace(
      config.image, mean=preprocess.mean, std=preprocess.std)
  return Pretrained(
      dataclasses.replace(config, image=image), params, tokens, preprocess,
      fingerprint.of_params(params))


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
        f'{words}: texts are padded to model_max_length={most} tokens '
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
