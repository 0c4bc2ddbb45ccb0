"""What a finished run made of its pool: a row of numbers an item, for a map.

Features are at hand as they were given. Images and texts are embedded: by the
towers that the run left alone, or by the encoder of its last state. Nothing in
the run's folder is changed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from etils import epath
import numpy as np

from mmal_jax.analysis import records as records_lib
from mmal_jax.checkpoint import newest
from mmal_jax.checkpoint import pytrees
from mmal_jax.data import encode
from mmal_jax.embed import in_memory
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import earlier
from mmal_jax.files import seals
from mmal_jax.learn import registry as learners
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import provenance


class PoolRows(NamedTuple):
  """Rows of some items of a pool.

  Attributes:
    rows: by modality, `[k, d]` float32, d of each its own.
    about: what they are, in words.
  """

  rows: dict[str, np.ndarray]
  about: str


def of_run(
    run: records_lib.Run, before: earlier.Earlier, cache_dir: str,
    encoded: encode.EncodedDataset, wanted: Mapping[str, np.ndarray],
) -> PoolRows:
  """The rows of some items.

  Args:
    run: that is finished.
    before: its experiment.
    cache_dir: of rendered datasets.
    encoded: its data as the model takes them.
    wanted: by modality, `[k]` rows of the data.

  Raises:
    ValueError: saying why there are none.
  """
  items = {m: encoded.pool.items[m].take(rows) for m, rows in wanted.items()}
  if all(map(encode.is_features, items.values())):
    return PoolRows({m: some.values for m, some in items.items()},
                    'of the features as they were given')
  if learners.LEARNERS[before.settings.learner].works_on_features:
    pretrained = (None if before.settings.init is None
                  else before.load_pretrained())
    graphdef, params = build_lib.frozen_towers(
        before.config, encoded, pretrained)
    about = 'of what the frozen towers make of the items'
  else:
    at, graphdef, params = _encoder(run, before, cache_dir)
    about = f'of the embeddings after round {at}'
  return PoolRows({
      m: in_memory.embed_to_host(graphdef, params, some.values, m)
      for m, some in items.items()}, about)


def _encoder(run, before, cache_dir):
  """The encoder of a run's newest state, and after which round it is."""
  settings = before.settings
  folder = workdir_lib.state_path(
      run.folder, run.strategy, run.seed, settings.states)
  steps = newest.Checkpoints(folder).steps()
  if not steps:
    raise ValueError(f'no state of the run is kept in {str(folder)!r}')
  at = steps[-1]
  path = epath.Path(folder) / str(at)
  wrong = seals.wrong_with(
      path, provenance.of_run(run.folder, run.strategy, run.seed))
  if wrong is not None:
    raise ValueError(f'the state in {str(path)!r} is damaged: {wrong}')
  experiment = build_lib.build(before.config, cache_dir, warm=False)
  pools, _ = settings.annotators.hide(experiment.data.pool, run.seed)
  state = pytrees.load(path, build_lib.initial_state(
      experiment, pools.sizes, run.seed))
  return at, experiment.learner.graphdef, experiment.learner.encoder(
      state.params, state.learner_state)
