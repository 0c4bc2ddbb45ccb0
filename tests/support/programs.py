"""Programs of `experiments`, run in this process on 40 pairs of features."""

import contextlib
import os
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from experiments import run
from mmal_jax.experiment import preemption
from tests.support import tiny

CONFIGS = os.path.join(os.path.dirname(run.__file__), 'configs')
SMALL = ('--config.train.steps_per_round=2', '--config.model.width=8',
         '--config.train.learner=gradient', '--config.whole_pool=False',
         '--batch=3', '--rounds=2', '--seeds=0', '--strategies=mmal')


def call(program, *arguments, parse=None):
  """Runs a program's `main` with a command line of its own."""
  argv = [program.__name__, *map(str, arguments)]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    with mock.patch.object(preemption, 'end', sys.exit):
      program.main((parse or flags.FLAGS)(argv))


@contextlib.contextmanager
def ends(status=1):
  """Where a program ends; what it says is the value's `code`."""
  with pytest.raises(SystemExit) as e:
    yield e
  if status == 1:
    assert str(e.value.code).startswith('error: '), e.value.code
  else:
    assert e.value.code == status


def save_features(folder, n=40, seed=0):
  """`image.npy` and `text.npy`; returns the flags that name them."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, values in tiny.feature_pairs(n, seed).items.items():
    np.save(folder / f'{name}.npy', values)
  return features(folder)


def features(folder):
  """The flags of the data that `save_features` wrote."""
  return [f'--config={CONFIGS}/features.py',
          f'--config.dataset.images={folder}/image.npy',
          f'--config.dataset.texts={folder}/text.npy']
