"""The ring over 1, 2 and 8 devices, and the memory that the losses take."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.learn.gradient import chunked
from mmal_jax.learn.gradient import loss
from mmal_jax.learn.gradient import ring
from tests.support import loss_reference as reference

P = jax.sharding.PartitionSpec


def _mesh(shape, names):
  return jax.make_mesh(
      shape, names, devices=jax.devices()[:int(np.prod(shape))],
      axis_types=(jax.sharding.AxisType.Auto,) * len(shape))


def _layouts():
  yield 'one', _mesh((1,), ('data',)), 'data'
  yield 'two', _mesh((2,), ('data',)), 'data'
  yield 'eight', _mesh((8,), ('data',)), 'data'
  yield '4x2', _mesh((4, 2), ('data', 'fsdp')), ('data', 'fsdp')
  yield '4x2 turned', _mesh((4, 2), ('data', 'fsdp')), ('fsdp', 'data')
  # Two devices hold the same rows each.
  yield '4 of 4x2', _mesh((4, 2), ('data', 'tensor')), 'data'
  yield '4 of 2x2x2', _mesh((2, 2, 2), ('a', 'b', 'c')), ('a', 'c')


_ROWS = {name: jax.sharding.NamedSharding(mesh, P(axis))
         for name, mesh, axis in _layouts()}
_EIGHT = _ROWS['eight']


@functools.cache
def _ring(rows, chunk):
  """The value, and its gradients by both embeddings, scale and bias."""
  function = functools.partial(ring.sigmoid_loss, rows=rows, chunk=chunk)
  return jax.jit(jax.value_and_grad(function, argnums=(0, 1, 2, 3)))


def _lay(problem, rows):
  whole = jax.sharding.NamedSharding(rows.mesh, P())
  return [jax.device_put(x, rows if x.ndim else whole) for x in problem]


@pytest.mark.parametrize('name', _ROWS)
def test_reference(name):
  rows = _ROWS[name]
  for problem in (
      reference.problem(0, b=24), reference.problem(1, b=24, valid=0.2),
      reference.problem(2, b=24, valid=0.0)):
    found = _ring(rows, 2)(*_lay(problem, rows))
    reference.assert_near(found, reference.sigmoid(*problem))
    # Gradients lie where the rows lie.
    assert found[1][0].sharding.is_equivalent_to(rows, 2)
    assert found[1][1].sharding.is_equivalent_to(rows, 2)


@pytest.mark.parametrize('name', ['one', 'eight', '4x2'])
def test_trained_magnitudes(name):
  rows, problem = _ROWS[name], reference.realistic(0)
  found = _ring(rows, 1024)(*_lay(problem, rows))
  reference.assert_near(found, reference.sigmoid(*problem))


@pytest.mark.long
def test_dense_and_chunked_and_ring_are_the_same():
  problem = reference.realistic(1, b=256)
  dense, parts = (
      jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2, 3)))(*problem)
      for f in (loss.sigmoid_loss,
                functools.partial(chunked.sigmoid_loss, chunk=100)))
  reference.assert_near(parts, dense)
  for name in ('one', 'two', 'eight', '4x2'):
    rows = _ROWS[name]
    reference.assert_near(_ring(rows, 100)(*_lay(problem, rows)), dense)


def test_one_row_a_device():
  problem = reference.problem(3, b=8, valid=1.0)
  found = _ring(_EIGHT, 1)(*_lay(problem, _EIGHT))
  reference.assert_near(found, reference.sigmoid(*problem))


def test_bfloat16_gradients_are_summed_in_float32():
  x, y, *rest = reference.problem(4, b=64)
  problem = (jnp.bfloat16(x), jnp.bfloat16(y), *rest)
  value, grads = _ring(_EIGHT, 1024)(*_lay(problem, _EIGHT))
  assert value.dtype == jnp.float32 and grads[1].dtype == jnp.bfloat16
  exact = reference.sigmoid(*map(np.asarray, problem))
  reference.assert_near((value, grads), exact, grad_rtol=2.5e-3)


def test_without_jit_inside_other_work_and_scaled():
  """As in a training step: rows are made there, and more comes after."""
  problem = reference.problem(5, b=16)
  true, (by_x, *_) = reference.sigmoid(*problem)
  rows = _ROWS['4x2']
  np.testing.assert_allclose(
      ring.sigmoid_loss(*_lay(problem, rows), rows), true, rtol=1e-6)

  def later(x, *rest):
    return 3 * ring.sigmoid_loss(2 * x, *rest, rows=rows, chunk=2) + 1

  halved = (problem[0] / 2, *problem[1:])
  value, grad = jax.jit(jax.value_and_grad(later))(*halved)
  reference.assert_near((value, [grad]), (3 * true + 1, [6 * by_x]))


@pytest.mark.parametrize('b', [4, 9, 12])
def test_rows_must_divide(b):
  with pytest.raises(ValueError, match=f'{b} rows.* multiple of 8'):
    ring.sigmoid_loss(*reference.problem(0, b=b), rows=_EIGHT)


@pytest.mark.parametrize(
    'rows', [None, P('data'), *(
        jax.sharding.NamedSharding(_EIGHT.mesh, spec)
        for spec in (P(), P(None), P(None, 'data')))])
def test_rows_must_be_cut(rows):
  with pytest.raises(TypeError, match='rows='):
    ring.sigmoid_loss(*reference.problem(0, b=8), rows=rows)


@pytest.mark.parametrize('chunk', [0, -1])
def test_chunk_is_a_number_of_rows(chunk):
  with pytest.raises(ValueError, match='chunk='):
    ring.sigmoid_loss(*reference.problem(0, b=8), rows=_EIGHT, chunk=chunk)


def _bytes(function, b, rows=None, d=64):
  """What a device needs beside arguments and results; nothing runs."""
  float32 = jnp.float32
  shapes = [((b, d), float32), ((b, d), float32), ((), float32),
            ((), float32), ((b,), jnp.int32), ((b,), jnp.int32), ((b,), bool)]
  arguments = [
      jax.ShapeDtypeStruct(shape, dtype, sharding=rows if shape else None)
      for shape, dtype in shapes]
  step = jax.jit(jax.value_and_grad(function, argnums=(0, 1, 2, 3)))
  compiled = step.lower(*arguments).compile()
  return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.long
def test_memory_of_a_batch():
  sizes = [1024, 2048, 4096, 8192]
  dense = [_bytes(loss.sigmoid_loss, b) for b in sizes]
  parts = [_bytes(functools.partial(chunked.sigmoid_loss, chunk=256), b)
           for b in sizes]
  around = [_bytes(functools.partial(ring.sigmoid_loss, rows=_EIGHT, chunk=64),
                   b, _EIGHT) for b in sizes]
  for small, large in zip(dense, dense[1:]):
    assert 3.8 < large / small < 4.2
  for found in (parts, around):
    for small, large in zip(found, found[1:]):
      assert large / small < 2.1
  # A handful of [b, chunk] floats, and of [b / 8, chunk] and [b / 8, d].
  assert parts[-1] < 4 * (4 * 8192 * 256)
  assert around[-1] < 8 * (4 * 8192 // 8 * 64)


def test_memory_of_a_device_does_not_grow_with_devices():
  """At as many rows each: no device collects the texts of all."""
  needed = [
      _bytes(functools.partial(ring.sigmoid_loss, rows=_ROWS[name], chunk=64),
             512 * parts, _ROWS[name])
      for name, parts in (('two', 2), ('eight', 8))]
  assert needed[1] < 1.05 * needed[0]
