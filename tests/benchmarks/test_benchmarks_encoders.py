"""Benchmarks of encoders: what is refused, and what is reported instead."""

import time

import jax
import numpy as np
import pytest

from experiments.benchmarks import embed
from experiments.benchmarks import encoders
from experiments.benchmarks import jax_siglip
from experiments.benchmarks import timing
from experiments.benchmarks import torch_siglip
from experiments.benchmarks import train

_CONFIG = encoders.make_config(small=True)


@pytest.fixture(scope='module')
def ours():
  return jax_siglip.Siglip(_CONFIG)


@pytest.fixture
def theirs(ours):
  pytest.importorskip('torch')
  pytest.importorskip('transformers')
  return encoders.in_torch(_CONFIG, ours)


def _case(what, batch=2):
  return train.Case(batch, 'float32', what)


class _Fake:
  """A model whose steps do nothing but fail, maybe, and are written down."""

  def __init__(self, log, name, error=None):
    self._log, self._name, self._error = log, name, error

  def training(self, images, tokens, dtype, compiled=False, **options):
    def step():
      self._log.append(self._name)
      if self._error is not None and len(images) > 2:
        raise self._error
    return (step, 1000) if self._name == 'ours' else step

  def recover(self):
    self._log.append('recover')

  def close(self):
    self._log.append('close')


@pytest.mark.long
def test_same_parameters_have_the_same_loss(ours, theirs):
  assert 'ours has a loss of' in train.check(_CONFIG, ours, theirs, 'float32')


def test_other_results_are_refused(ours, theirs, monkeypatch):
  """Even if it is only that images belong to other texts."""
  right = torch_siglip._pixel_values
  monkeypatch.setattr(torch_siglip, '_pixel_values', lambda x: right(x).flip(0))
  with pytest.raises(RuntimeError, match='may differ by'):
    train.check(_CONFIG, ours, theirs, 'float32')
  images, _ = encoders.inputs(_CONFIG, 4)
  found = theirs.embedding('image', 'float32', False)([images])
  with pytest.raises(RuntimeError, match='are allowed'):
    embed.check('images', ours.embed(images, 'image', 'float32', 2), found,
                'float32')


def test_steps_in_torch_lower_the_loss(theirs):
  take = theirs.training(*encoders.inputs(_CONFIG, 4), 'float32', False)
  losses = [take() for _ in range(30)]
  assert losses[-1] < 0.9 * losses[0]


def test_torch_compile_that_fails_is_reported_and_done_without(
    theirs, monkeypatch):
  import torch

  def no_compiler(function, **options):
    def fail(*args):
      raise RuntimeError('there is no C++ compiler')
    return fail

  monkeypatch.setattr(torch, 'compile', no_compiler)
  case = _case(encoders.COMPILED)
  found = train.measure(_CONFIG, [case], None, theirs)
  assert [c.what for c in found] == [encoders.COMPILED, encoders.EAGER]
  assert found[case].seconds == 'torch.compile failed: RuntimeError'
  assert found[_case(encoders.EAGER)].seconds.best > 0


def test_compiled_step_tells_what_compiling_took(theirs, monkeypatch):
  import torch

  def compiled(function, dynamic):
    del dynamic
    waits = iter([0.5])  # seconds, of the first call alone

    def step(*args, **kwargs):
      time.sleep(next(waits, 0.0))
      return function(*args, **kwargs)

    return step

  monkeypatch.setattr(torch, 'compile', compiled)
  case = _case(encoders.COMPILED)
  found = train.measure(_CONFIG, [case], None, theirs)
  assert found[case].compiling > 0


def test_what_does_not_fit_memory_is_reported():
  log = []
  exhausted = jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
  cases = [_case(encoders.OURS, batch) for batch in (4, 2)]
  found = train.measure(
      _CONFIG, cases, _Fake(log, 'ours', exhausted), 'torch is not installed')
  assert found[cases[0]].seconds == 'does not fit memory'
  assert isinstance(found[cases[1]].seconds, timing.Seconds)
  assert log[:2] == ['ours', 'recover'] and log.count('recover') == 1


def test_other_errors_are_raised():
  fake = _Fake([], 'ours', ValueError('broken'))
  with pytest.raises(ValueError, match='broken'):
    train.measure(_CONFIG, [_case(encoders.OURS, 4)], fake, 'no torch')


@pytest.mark.long
def test_too_little_memory_of_the_host(ours, monkeypatch):
  monkeypatch.setattr(jax_siglip, '_available', lambda: 10)
  with pytest.raises(MemoryError):
    ours.training(*encoders.inputs(_CONFIG, 2), 'float32')


@pytest.mark.parametrize('platform, expected', [
    # All the same: warmed up, then in turn.
    ('cpu', ['ours', 'torch', 'ours', 'torch', 'close']),
    ('gpu', ['torch', 'torch', 'close', 'ours', 'ours']),
])
def test_pytorch_comes_first_where_jax_keeps_memory(
    platform, expected, monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: platform)
  monkeypatch.setattr(timing, '_MOST', 1)
  log = []
  cases = [_case(encoders.OURS), _case(encoders.COMPILED)]
  found = train.measure(
      _CONFIG, cases, _Fake(log, 'ours'), _Fake(log, 'torch'))
  assert list(found) == cases
  assert log == expected


def test_without_pytorch(ours, monkeypatch):
  monkeypatch.setattr(
      torch_siglip, '_PACKAGES', ('mmal_jax_no_such_package',))
  theirs = encoders.in_torch(_CONFIG, ours)
  assert theirs == 'mmal_jax_no_such_package is not installed'
  case = _case(encoders.COMPILED)
  found = train.measure(_CONFIG, [case], ours, theirs)
  assert found == {case: train.Found(theirs)}
  assert theirs in encoders.torch_note(theirs)


@pytest.mark.parametrize('kind, share', [
    ('NVIDIA H100 80GB HBM3', 989e12), ('TPU v5 lite', 197e12)])
def test_published_rates(kind, share, monkeypatch):
  class Device:
    device_kind = kind

  monkeypatch.setattr(jax, 'devices', lambda: [Device])
  rate = encoders.machine_rate(small=True)
  assert rate.flops == share and kind in rate.what


def test_other_rates_are_measured():
  rate = encoders.machine_rate(small=True)
  assert 1e6 < rate.flops < 1e15 and 'float32' in rate.what


def test_jpegs_are_as_large_as_photographs(tmp_path):
  paths = embed._write_jpegs(tmp_path, 2)
  sizes = [path.stat().st_size for path in paths]
  assert np.all(np.array(sizes) > 50_000) and sizes[0] != sizes[1]
