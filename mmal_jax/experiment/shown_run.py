"""The data of the run of which a report shows what it asked."""

from collections.abc import Sequence
from typing import NamedTuple

from mmal_jax.analysis import records as records_lib
from mmal_jax.data import encode
from mmal_jax.experiment import earlier
from mmal_jax.experiment import gallery
from mmal_jax.experiment import identity
from mmal_jax.files import durable
from mmal_jax.files import plain_text


class ShownRun(NamedTuple):
  """What is at hand of a run.

  Attributes:
    before: its experiment.
    items: what is seen of its items.
    encoded: its data as the model takes them; None where the checkpoint that
      prepares them cannot be read, or nothing is recorded of its items.
  """

  before: earlier.Earlier
  items: gallery.RawItems
  encoded: encode.EncodedDataset | None


def read(
    run: records_lib.Run, cache_dir: str, moved: Sequence[str],
    notes: list[str],
) -> ShownRun:
  """Reads the data of a run, and checks that they are those that it had.

  Args:
    run: that is finished.
    cache_dir: of rendered datasets.
    moved: `KEY=PATH` each: where its data lie now.
    notes: takes remarks on it.

  Raises:
    ValueError, OSError: if its data are not there, or are others now.
  """
  before = earlier.of_fields(run.config, moved)
  settings, encoded, now = before.settings, None, {}
  try:
    pretrained = None if settings.init is None else before.load_pretrained()
  except (ValueError, OSError, ImportError) as e:
    notes.append('That the items of "what was asked" are those of the run was '
                 f'not checked: its checkpoint, {settings.init}, cannot be '
                 f'read: {durable.reason(e)}.')
  else:
    if run.items:
      encoded = before.load(cache_dir, pretrained)
      now = identity.digests(encoded)
  other = [name for name, digest in run.items.items() if now
           and name.startswith('pool ') and now.get(name) != digest]
  if other:
    raise ValueError(
        f'{", ".join(map(plain_text.for_terminal, other))}: not what '
        f'{plain_text.for_terminal(run.label)}, seed {run.seed}, was run with.')
  return ShownRun(
      before, gallery.of_seed(before.load_seen(cache_dir).pool, run.seed,
                              settings.annotators.missing), encoded)
