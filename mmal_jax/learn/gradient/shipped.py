"""Warm starts that come with the package, so that they need no training."""

from collections.abc import Mapping
import hashlib
import importlib.resources
import io
import json
import os
import pathlib
from typing import Any

from flax import nnx
import jax
import numpy as np

from mmal_jax.data import encode
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.models import names

MOST_BYTES = 1 << 20
# Of the package: `NAME.json` describes what `NAME.npz` holds.
FOLDER = pathlib.Path(
    str(importlib.resources.files('mmal_jax'))) / 'warm_starts'
_FIELDS = {'command': str, 'sha256': str, 'made_of': dict}


def describe(
    model: Mapping[str, Any],
    recipe: Mapping[str, Any],
    pairs: encode.EncodedPairs,
    params: nnx.State,
) -> dict[str, Any]:
  """What a warm start is made of; those of equal descriptions are the same.

  Versions of libraries are left out, and so is the code: these change its last
  digits, and float16 rounds more than that away.

  Args:
    model: values of the config that the model is built from.
    recipe: values of the config that it is trained by.
    pairs: the pretrain split.
    params: any parameters of the model; their names and shapes count.

  Returns:
    A JSON object.
  """
  return json.loads(json.dumps({
      'model': dict(model),
      'recipe': dict(recipe),
      'data': {m: encode.digest(items) for m, items in pairs.items.items()},
      'parameters': {
          name: str(list(np.shape(leaf)))
          for name, leaf in _named(params).items()},
  }))


def save(
    path: str | os.PathLike[str],
    made_of: Mapping[str, Any],
    params: nnx.State,
    command: str,
) -> None:
  """Writes `PATH.npz`, in float16, and `PATH.json` with its SHA-256.

  Args:
    path: without an ending; files there are replaced.
    made_of: from `describe`.
    params: trained parameters.
    command: that makes these files again.

  Raises:
    ValueError: if a parameter is not finite in float16, or the file has more
      than `MOST_BYTES` bytes.
  """
  path = pathlib.Path(path)
  with np.errstate(over='ignore'):  # Refused below.
    arrays = {name: np.asarray(leaf).astype(np.float16)
              for name, leaf in _named(params).items()}
  for name, values in arrays.items():
    if not np.isfinite(values).all():
      raise ValueError(f'{name} is not finite in float16.')
  file = io.BytesIO()
  np.savez(file, **arrays)
  content = file.getvalue()
  if len(content) > MOST_BYTES:
    raise ValueError(f'the warm start takes {len(content)} bytes; at most '
                     f'{MOST_BYTES} are shipped.')
  durable.write(path.with_suffix('.npz'), content)
  durable.write(path.with_suffix('.json'), json.dumps({
      'command': command,
      'sha256': hashlib.sha256(content).hexdigest(),
      'made_of': made_of}, indent=2) + '\n')


def find(
    made_of: Mapping[str, Any], params: nnx.State,
    folder: str | os.PathLike[str] = FOLDER,
) -> nnx.State | None:
  """The shipped warm start of exactly this description, if there is one.

  Args:
    made_of: from `describe`.
    params: fresh parameters of the model, for structure and dtypes.
    folder: where to look.

  Returns:
    Parameters like `params`, on the host; None if none is shipped.

  Raises:
    ValueError: if the file is damaged, or its description is.
  """
  for path in sorted(pathlib.Path(folder).glob('*.json')):
    described = json_object.parse(durable.read(path), path)
    for name, kind in _FIELDS.items():
      if not isinstance(described.get(name), kind):
        raise ValueError(f'{path}: {name} is missing, or of a wrong kind. '
                         'Install the package again.')
    if described['made_of'] == made_of:
      return _load(path.with_suffix('.npz'), described, params)
  return None


def _load(path, described, params) -> nnx.State:
  """Reads an archive whose content is known by its digest."""
  hint = ('Install the package again, or make the file anew by: '
          + described['command'])
  try:
    content = durable.read(path, MOST_BYTES)
  except (OSError, ValueError) as e:
    raise ValueError(f'the warm start cannot be read: {e}. {hint}') from e
  if hashlib.sha256(content).hexdigest() != described['sha256']:
    raise ValueError(f'{path} is damaged: its SHA-256 is not the one that '
                     f'{path.with_suffix(".json").name} states. {hint}')
  with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
    leaves = [arrays[name].astype(leaf.dtype)
              for name, leaf in _named(params).items()]
  return jax.tree.unflatten(jax.tree.structure(params), leaves)


def _named(params) -> dict[str, Any]:
  return dict(zip(names.all_names(params), jax.tree.leaves(params),
                  strict=True))
