"""What an experiment is made of, known by its content and not by its place.

`--resume`, sweeps and reports compare these digests: data may lie elsewhere
than before, on another disk or another machine, as long as they are the same.
"""

from collections.abc import Callable, Mapping, Sequence
import hashlib
import pathlib

from flax import nnx
import numpy as np

from mmal_jax.data import encode
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.files import plain_text
from mmal_jax.workdir import layout as workdir_lib


def digests(
    data: encode.EncodedDataset,
    pretrained: pretrained_lib.Pretrained | None = None,
) -> dict[str, str]:
  """Digests of items, checkpoint and what prepares items, by what they are.

  Args:
    data: as the model takes it.
    pretrained: the checkpoint that runs start from, if there is one.
  """
  splits = {'pool': data.pool, 'test': data.test, 'pretrain': data.pretrain}
  found = {
      f'{name} {modality}': encode.digest(items)
      for name, split in splits.items() if split is not None
      for modality, items in split.items.items()}
  labelled = data.test.labelled
  if labelled is not None:
    digest = hashlib.sha256(encode.digest(labelled.images).encode())
    digest.update(np.ascontiguousarray(labelled.labels).data)
    found['labelled image'] = digest.hexdigest()
  return found | ({} if pretrained is None else of_checkpoint(pretrained))


def of_checkpoint(pretrained: pretrained_lib.Pretrained) -> dict[str, str]:
  """The digests of a checkpoint: its weights, tokenizer and preprocessing."""
  return {'checkpoint': pretrained.digest,
          'tokenizer': pretrained.tokenizer.description(),
          'preprocessing': pretrained.preprocess.description()}


def differing(
    there: Mapping[str, str], now: Mapping[str, str],
    params: Callable[[], nnx.State],
) -> list[str]:
  """Names of the digests that were recorded and are others now.

  Args:
    there: as recorded, by an earlier version perhaps.
    now: of what is at hand.
    params: reads those of the checkpoint at hand, where that is needed to
      compare them with what an earlier version recorded.
  """
  other = [name for name in there if there[name] != now.get(name)]
  if 'checkpoint' in other and 'checkpoint' in now and (
      there['checkpoint'] == pretrained_lib.earlier_digest(params())):
    other.remove('checkpoint')
  return other


def check(
    folder: pathlib.Path, now: Mapping[str, str],
    params: Callable[[], nnx.State], moved: Sequence[str] = ()
) -> dict[str, str]:
  """Refuses to go on with other items, whose numbers would mean other things.

  Args:
    folder: of an experiment that was begun.
    now: `digests` of what is at hand.
    params: as for `differing`.
    moved: dotted keys of the paths that are others than before.

  Returns:
    What is recorded from now on: what an earlier version did not record, too.

  Raises:
    ValueError: naming what differs.
  """
  path = folder / workdir_lib.ITEMS
  try:
    there = workdir_lib.read(path)
  except FileNotFoundError:
    raise ValueError(
        f'{path} is missing, which says of what items the experiment is: put '
        'it back, choose another folder, or give --overwrite to begin anew.'
    ) from None
  new = [name for name in now if name not in there
         and name.partition(' ')[0] not in ('pool', 'test')]
  other = differing(there, now, params)
  other += [name for name in now if name not in there and name not in new]
  if other:
    raise ValueError(
        f'{plain_text.for_terminal(", ".join(other))}: not those with which '
        f'the experiment in {str(folder)!r} was begun, or in another order. It '
        'cannot go on with them'
        + (f': see {", ".join(moved)}.' if moved else '.'))
  if new and moved:
    raise ValueError(
        f'{str(folder)!r} was begun by an earlier version, which did not record'
        f' {", ".join(new)}: it cannot be compared with what {", ".join(moved)}'
        ' hold now. Give the paths that its config.json names.')
  return {**there, **now}
