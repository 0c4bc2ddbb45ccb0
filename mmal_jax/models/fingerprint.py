"""What a model computes, in a few bytes, to know results of it again."""

import hashlib
import pathlib
import re

import flax
from flax import nnx
import jax
import numpy as np

from mmal_jax.models import names


def of(graphdef: nnx.GraphDef) -> str:
  """Hexadecimal SHA-256 of a model's structure and of the code behind it.

  The same in every process, as long as the sources of `mmal_jax.models`, the
  libraries' versions and the kind of device are the same.

  Args:
    graphdef: from `nnx.split`.
  """
  # Addresses of functions are others in every process.
  structure = re.sub(r' at 0x[0-9a-f]+', '', repr(graphdef))
  digest = hashlib.sha256(repr((
      structure, jax.__version__, jax.lib.__version__, flax.__version__,
      jax.default_backend())).encode())
  for path in sorted(pathlib.Path(__file__).parent.rglob('*.py')):
    digest.update(path.read_bytes())
  return digest.hexdigest()


def of_params(params: nnx.State, prefixes: tuple[str, ...] = ('',)) -> str:
  """Hexadecimal SHA-256 of parameters and their names.

  Args:
    params: of a model.
    prefixes: of the names that count.
  """
  digest = hashlib.sha256()
  for name, leaf in zip(
      names.all_names(params), jax.tree.leaves(params), strict=True):
    if name.startswith(prefixes):
      digest.update(f'{name} {leaf.shape} {leaf.dtype}'.encode())
      digest.update(np.ascontiguousarray(leaf).data)
  return digest.hexdigest()
