"""From `--init` to a model, its tokenizer and its image preprocessing."""

import hashlib

from flax import nnx
import jax
import ml_collections
import numpy as np

from mmal_jax.config import config as config_lib
from mmal_jax.models.pretrained import load as load_lib

# The model's name that takes whatever the checkpoint holds.
ANY = 'checkpoint'
Pretrained = load_lib.Pretrained


def load(config: ml_collections.ConfigDict) -> Pretrained:
  """Reads what `config.init` names.

  Args:
    config: `init`: a folder in Hugging Face's layout, a repository's name, or a
      `.npz` of big_vision. `model.name`: a preset that it must be, or
      `checkpoint`. Optional: `model.dtype`, `model.remat`, `model.image_size`
      (position embeddings are interpolated), and `text.folder`: where the
      tokenizer lies, if not beside the parameters.

  Raises:
    FileNotFoundError, ImportError, ValueError: as `load_pretrained`.
  """
  config = config_lib.complete(config)
  name = config.model.name
  return load_lib.load(
      config.init, model=None if name == ANY else name,
      tokenizer=config.text.folder, image_size=config.model.image_size,
      dtype=config.model.dtype, remat=config.model.remat)


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
