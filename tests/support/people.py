"""Annotators for tests: what they are shown, and how they answer."""

import json

import numpy as np
import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files

N = 9
MODALITIES = ('image', 'text', 'sketch')


def shown(modalities=MODALITIES[:2], seed=0):
  """Nine pixel images and nine texts; eleven sketches that are features."""
  rng = np.random.default_rng(seed)
  everything = {
      'image': rng.integers(256, size=(N, 6, 5, 3)).astype(np.uint8),
      'text': [f'text {i}: $1 <b>"é"</b>\nend' for i in rng.permutation(N)],
      'sketch': rng.normal(size=(N + 2, 3)).astype(np.float32)}
  return {m: everything[m] for m in modalities}


def suggest(modality, numbers, other, k):
  """The items that follow, each of nine once; one of them is none."""
  del modality, other
  found = (numbers[:, None] + np.arange(k)) % N
  found[:, N:] = found[:, -1] = oracle_lib.NONE
  return found.astype(np.int32)


def give(folder, name, *records):
  """Puts a file of answers there: records, or raw lines."""
  text = ''.join(
      (one if isinstance(one, str) else json.dumps(one)) + '\n'
      for one in records)
  (folder / 'answers' / name).write_text(text)


def line(query, answer, annotator='ann', **more):
  """An answer's record."""
  return {'query': query, 'answer': answer, 'annotator': annotator, **more}


def lines(path):
  """The records of a file."""
  return [json.loads(one) for one in path.read_text().splitlines()]


def waiting(folder):
  """The oracle of a folder, once images 5, 3 and 0 were asked about."""
  oracle = files.files(folder, shown())
  with pytest.raises(oracle_lib.Waiting):
    asks(oracle, [5, 3, 0])
  return oracle


def asks(oracle, numbers, modality='image', suggest=suggest):
  """What the oracle answers about these items."""
  return oracle(modality, np.array(numbers, np.int32), suggest)
