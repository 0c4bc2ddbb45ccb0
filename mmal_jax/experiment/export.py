"""A run's model, in the format that its checkpoint came in."""

from collections.abc import Sequence
import os
import pathlib

from mmal_jax.checkpoint import pytrees
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.experiment import earlier
from mmal_jax.experiment import identity
from mmal_jax.files import seals
from mmal_jax.learn import registry as learners
from mmal_jax.models import partition
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import huggingface
from mmal_jax.parallel import processes
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import provenance


def export(
    folder: pathlib.Path, strategy: str, seed: int, out: pathlib.Path,
    init: str | None = None, moved: Sequence[str] = (),
) -> None:
  """Writes the model of one finished run: a folder that `transformers` loads.

  Of several processes all call it, and the first writes.

  Args:
    folder: the experiment's.
    strategy: of the run.
    seed: of the run.
    out: where to; must not exist.
    init: where the checkpoint that it started from lies now, if not where it
      did: tokenizer and preprocessing are taken from there.
    moved: as for `earlier.of_folder`.

  Raises:
    ValueError: if there is no such run, or it is no run on a checkpoint.
  """
  before = earlier.of_folder(folder, moved)
  if before.settings.init is None:
    raise ValueError(f'workdir={str(folder)!r} did not start from a checkpoint:'
                     ' its model has no published format.')
  learner, mirror = before.settings.learner, before.settings.mirror
  why = learners.LEARNERS[learner].not_exported
  if why:
    raise ValueError(
        f'workdir={str(folder)!r} learnt by train.learner={learner!r}, which '
        f'cannot be exported: {why}. What was learnt lies in '
        f'{workdir_lib.model_path(folder, strategy, seed, mirror)}.')
  path = workdir_lib.model_path(folder, strategy, seed, mirror)
  if not path.is_dir():
    raise ValueError(f'there is no model of strategy={strategy!r} and seed='
                     f'{seed}: {path} does not exist; there are: '
                     f'{workdir_lib.runs_in(folder)}.')
  if processes.from_primary(out.exists):
    raise ValueError(f'export={str(out)!r} exists.')
  version = checksums.version(folder)
  if version == checksums.Version.WITH_CHECKSUMS or (
      seals.path(path).exists()):  # A later one may have ended it.
    wrong = seals.wrong_with(
        path, provenance.of_run(folder, strategy, seed) if (
            version != checksums.Version.WITHOUT_ID) else None,
        what='parameters', remedy='Put those of this very run there.')
    if wrong is not None:
      raise ValueError(f'{path} is damaged: {wrong}. Restore it from a copy, '
                       'or let --resume write it again.')
  init = before.settings.init if init is None else init
  if os.path.isabs(init) and not os.path.exists(init):
    raise ValueError(f'init={init!r} does not exist. Say where the checkpoint '
                     'lies now: --init.')
  model = before.load_pretrained(init)
  began = workdir_lib.read(folder / workdir_lib.ITEMS)
  now = identity.of_checkpoint(model)
  other = identity.differing(
      {name: began[name] for name in now if began.get(name) is not None}, now,
      lambda: model.params)
  if other:
    raise ValueError(
        f'init={init!r}: {", ".join(other)}: not what the runs in '
        f'{str(folder)!r} started from. Give the checkpoint as it was: --init.')
  params = pytrees.load(path, partition.place(model.params, None))

  def write():
    preprocess_lib.save(
        model.preprocess, out,
        'clip' if model.preprocess.crops else families.of(model.config).name)
    model.tokenizer.save(out)
    huggingface.save(out, model.config, params)

  processes.from_primary(write)
