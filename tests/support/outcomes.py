"""Features for a small run, and what it came to, to be compared to the bit."""

import pathlib

import numpy as np
from orbax.checkpoint import v1 as ocp

from mmal_jax.checkpoint import packed
from mmal_jax.workdir import layout

# Fields of a record that differ from one run to the next.
TIMES = 'seconds', 'compilations', 'embedded_per_second'


def save_features(folder: pathlib.Path, n: int) -> pathlib.Path:
  """`image.npy` and `text.npy`, of `n` pairs; the folder."""
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(n, 8))
  for name in ('image', 'text'):
    np.save(folder / f'{name}.npy',
            (hidden @ rng.normal(size=(8, 12))).astype(np.float32))
  return folder


def metrics(work: pathlib.Path) -> list[dict]:
  """The records of all rounds, without `TIMES`."""
  return [{name: value for name, value in line.items() if name not in TIMES}
          for line in layout.read_lines(work / layout.METRICS)]


def summary(work: pathlib.Path) -> dict:
  """Without times, and without checksums of files that hold some."""
  found = layout.read(work / layout.SUMMARY)
  del found['seconds'], found['files']
  return found


def state(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The values of a run's state by name, saved on whatever devices."""
  # As NumPy's: they may lie over other devices than there are here.
  like = {name: np.zeros(leaf.shape, leaf.dtype)
          for name, leaf in ocp.metadata(path).metadata.items()}
  return {name: np.asarray(value)
          for name, value in packed.unpack(ocp.load(path, like)).items()}
