"""Muon: orthogonal steps of kernels, Adam's of all else, on any mesh."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import step
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import names
from mmal_jax.parallel import sharding
from tests.support import steps

pytestmark = pytest.mark.usefixtures('quick_compilation')

B, RATE = 16, 0.2
# A schedule of one step takes it in the middle between peak and end.
_STEP_RATE = RATE / 2


@functools.cache
def _split(depth=1):
  # Width, head and MLP sizes that cannot be taken for one another.
  stack = config_lib.Stack(24, depth, 2, 40, 'quick_gelu')
  config = config_lib.DualEncoder(
      config_lib.ImageTower(stack, (8, 8), 4, 'attention'),
      config_lib.TextTower(stack, 11, 5, 'last', False), 8)

  def make():
    return nnx.split(
        dual_encoder.from_config(config, rngs=nnx.Rngs(0)), nnx.Param)

  # Eagerly, each of many small arrays would be compiled by itself.
  return nnx.eval_shape(make)[0], jax.jit(lambda: make()[1])()


def _matrix(name, x):
  """A kernel as the matrix by which activations `[.., in]` are multiplied."""
  x = np.asarray(x, float)
  if name.endswith('.out.kernel'):  # [heads, head_dim, width]
    return x.reshape(-1, x.shape[-1])
  return x.reshape(len(x), -1)  # [in, out], or [width, heads, head_dim]


def _gradients(params, seed=0):
  """Random, of kernels with singular values far from 0."""
  rng = np.random.default_rng(seed)

  def of(path, leaf):
    name = names.dotted(path)
    x = rng.normal(size=leaf.shape)
    if name.endswith('.kernel'):
      u, s, v = np.linalg.svd(_matrix(name, x), full_matrices=False)
      x = (u * rng.uniform(0.2, 1, len(s)) @ v).reshape(leaf.shape)
    return jnp.asarray(x, jnp.float32)

  return jax.tree_util.tree_map_with_path(of, params)


def _updates(params, gradients, **options):
  opt = optimizer.make_optimizer(RATE, 1, **{
      'weight_decay': 0.0, 'name': 'muon', **options})
  state = jax.jit(opt.init)(params)
  updates, _ = jax.jit(opt.update)(gradients, state, params)
  return dict(zip(names.all_names(params), jax.tree.leaves(updates),
                  strict=True))


def _newton_schulz(g):
  """The published iteration (Jordan et al. 2024), in float64."""
  x = g / np.linalg.norm(g)
  for _ in range(5):
    a = x @ x.T
    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
  return x


@pytest.mark.long
def test_the_step_of_a_kernel_is_orthogonal():
  _, params = _split()
  gradients = _gradients(params)
  updates = _updates(params, gradients)
  kernels = {name for name in updates if name.endswith('.kernel')}
  kinds = {name.split('.')[-2] for name in kernels}
  assert {'query', 'key', 'value', 'out', 'expand', 'contract', 'embed',
          'image_projection', 'text_projection'} == kinds
  of_name = dict(zip(names.all_names(params), jax.tree.leaves(gradients)))
  for name in kernels:
    assert updates[name].shape == of_name[name].shape
    matrix = _matrix(name, updates[name])
    rows, columns = matrix.shape
    scale = _STEP_RATE * max(1, columns / rows) ** 0.5
    values = np.linalg.svd(matrix, compute_uv=False) / scale
    assert len(values) == min(rows, columns)
    assert values.min() >= 0.5 and values.max() <= 1.3, (name, values)
    np.testing.assert_allclose(
        matrix, -scale * _newton_schulz(_matrix(name, of_name[name])),
        atol=1e-4 * scale, err_msg=name)


def test_all_else_takes_a_step_of_adam():
  _, params = _split()
  gradients = _gradients(params)
  of_name = dict(zip(names.all_names(params), jax.tree.leaves(gradients)))
  updates = _updates(params, gradients)
  others = [name for name in updates if not name.endswith('.kernel')]
  for ending in ('bias', 'scale', 'embedding', 'position', 'probe',
                 'key.bias', 'logit_scale', 'logit_bias'):
    assert any(name.endswith(ending) for name in others), ending
  for name in others:
    # The first step of Adam is the rate, against the sign; more by Nesterov's
    # look at the next one's momentum.
    nesterov = 0.9 * 0.1 / (1 - 0.9**2) + 1
    np.testing.assert_allclose(
        updates[name], -0.15 * _STEP_RATE * nesterov * np.sign(of_name[name]),
        rtol=0.01, err_msg=name)


@pytest.mark.long
def test_only_kernels_decay():
  _, params = _split()
  params = jax.tree.map(lambda x: x + 0.5, params)
  gradients = _gradients(params)
  plain, decayed = (_updates(params, gradients, weight_decay=w)
                    for w in (0.0, 0.3))
  for (name, update), p in zip(decayed.items(), jax.tree.leaves(params)):
    expected = 0.3 * _STEP_RATE * p if name.endswith('.kernel') else 0 * p
    np.testing.assert_allclose(
        plain[name] - update, expected, atol=1e-6, err_msg=name)


@pytest.mark.long
def test_factors_of_the_rate_by_name():
  _, params = _split()
  gradients = _gradients(params)
  plain = _updates(params, gradients)
  slowed = _updates(params, gradients, lr_factors={'text_*': 0.1})
  for name, update in plain.items():
    factor = 0.1 if name.startswith('text_') else 1.0
    np.testing.assert_allclose(slowed[name], factor * update, rtol=1e-5)


@pytest.fixture(scope='module')
def batch():
  rng = np.random.default_rng(0)
  valid = rng.random(B) < 0.8
  return gradient.Batch(
      {'image': rng.integers(256, size=(B, 8, 8, 3)).astype(np.uint8),
       'text': rng.integers(1, 11, size=(B, 5)).astype(np.int32)},
      {m: rng.integers(12, size=B).astype(np.int32) for m in ('image', 'text')},
      {'image': valid, 'text': valid})


def _train(batches, mesh, opt, depth=1, **fields):
  graphdef, params = _split(depth)
  return steps.take(
      step.Recipe(graphdef, opt, B, mesh=mesh, **fields), params, batches)


def _named(tree):
  return dict(zip(names.all_names(tree), jax.tree.leaves(tree), strict=True))


@pytest.mark.long
def test_five_steps_on_4x2_devices_are_those_of_one(batch):
  opt = optimizer.make_optimizer(
      0.01, 5, weight_decay=0.1, ema=0.9, name='muon')
  rng = np.random.default_rng(1)
  batches = [jax.tree.map(lambda x: x[rng.permutation(B)], batch)
             for _ in range(5)]
  mesh = sharding.make_mesh(4, 2)
  alone = _train(batches, None, opt, loss=losses.LOSSES['sigmoid'](None))
  spread = _train(batches, mesh, opt, loss=losses.LOSSES['sigmoid_ring'](mesh))
  np.testing.assert_allclose(spread[2], alone[2], rtol=1e-4)
  start, one, many = (
      _named(p) for p in (_split()[1], alone[0], spread[0]))
  for name, x in one.items():
    # Nothing but rounding reaches the bias of a key, and Adam makes steps of it
    # like any other's.
    if not name.endswith('key.bias'):
      moved = np.linalg.norm(x - start[name])
      assert moved > 0
      assert np.linalg.norm(many[name] - x) <= 1e-2 * moved, name
  # Each device has a half of every kernel, of its moment and of its average.
  parts = {names.dotted(path): (leaf.addressable_shards[0].data.size, leaf.size)
           for path, leaf in jax.tree_util.tree_leaves_with_path(spread[:2])}
  kernels = {name for name in parts if name.endswith('.kernel')}
  assert len(kernels) == 3 * sum(name.endswith('.kernel') for name in one)
  assert all(2 * parts[name][0] == parts[name][1] for name in kernels)


@pytest.mark.long
@pytest.mark.parametrize('kind', ['lit', 'last_1_blocks'])
def test_frozen_parameters_stay_to_the_bit(batch, kind):
  _, params = _split(2)
  frozen = freeze.patterns(kind, params)
  opt = optimizer.make_optimizer(
      1e-2, 2, weight_decay=0.5, frozen=frozen, name='muon')
  trained, state, _ = _train([batch] * 2, None, opt, 2, frozen=frozen)
  before, after = _named(params), _named(trained)
  learning = dict(zip(before, freeze.learns(params, frozen), strict=True))
  assert len(set(learning.values())) == 2
  for name, learns in learning.items():
    if not name.endswith('key.bias'):
      assert np.array_equal(before[name], after[name]) != learns, name
  # One moment of each kernel that learns, and Adam's first of all else.
  moments = [name for name in names.all_names(state) if '.mu.' in name]
  assert len(moments) == sum(learning.values())
  assert sum('.nu.' in name for name in names.all_names(state)) == sum(
      learns for name, learns in learning.items()
      if not name.endswith('.kernel'))


def test_an_unknown_name_is_refused():
  with pytest.raises(
      ValueError, match="optimizer='sgd' is none of adamw, muon"):
    optimizer.make_optimizer(1e-2, 5, name='sgd')
