"""The training step: over a mesh, in parts, with frozen and slowed parts."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmal_jax.learn.gradient import average
from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import step
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import names
from mmal_jax.models import partition
from mmal_jax.parallel import sharding
from tests.support import steps

pytestmark = pytest.mark.usefixtures('quick_compilation')

B = 16


def _config(pooling, depth=1, **fields):
  stack = config_lib.Stack(16, depth, 2, 32, 'quick_gelu')
  text_pooling, causal = {
      'mean': ('mean', False), 'class': ('end', True),
      'attention': ('last', False)}[pooling]
  return config_lib.DualEncoder(
      config_lib.ImageTower(
          stack, (8, 8), 4, pooling, norm_first=pooling == 'class'),
      config_lib.TextTower(stack, 11, 5, text_pooling, causal), 8, **fields)


@functools.cache
def _split(config):
  # Eagerly, each of many small arrays would be compiled by itself.
  graphdef = nnx.eval_shape(lambda: nnx.split(dual_encoder.from_config(
      config, rngs=nnx.Rngs(0)), nnx.Param))[0]
  return graphdef, jax.jit(lambda: nnx.split(dual_encoder.from_config(
      config, rngs=nnx.Rngs(0)), nnx.Param)[1])()


@pytest.fixture(scope='module')
def batch():
  rng = np.random.default_rng(0)
  texts = rng.integers(1, 11, size=(B, 5)).astype(np.int32)
  texts[:, 3:] *= rng.integers(2, size=(B, 2), dtype=np.int32)
  valid = rng.random(B) < 0.8
  return gradient.Batch(
      {'image': rng.integers(256, size=(B, 8, 8, 3)).astype(np.uint8),
       'text': texts},
      {m: rng.integers(12, size=B).astype(np.int32) for m in ('image', 'text')},
      {'image': valid, 'text': valid})


def _shapes(b, image, text, rows):
  """A batch of shapes, cut as `rows`."""
  def of(shape, dtype):
    return jax.ShapeDtypeStruct((b, *shape), dtype, sharding=rows)

  return gradient.Batch(
      {'image': of(image, np.uint8), 'text': of(text, np.int32)},
      *({m: of((), dtype) for m in ('image', 'text')}
        for dtype in (np.int32, bool)))


def _assert_close(a, b, rtol):
  a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
          .astype(float) for tree in (a, b))
  assert np.linalg.norm(a - b) <= rtol * np.linalg.norm(b)


def _run(params, graphdef, batches, mesh, opt, **fields):
  return steps.take(
      step.Recipe(graphdef, opt, B, mesh=mesh, **fields), params, batches)


@pytest.mark.long
@pytest.mark.parametrize('pooling,loss,fields', [
    ('attention', 'sigmoid_ring', {}),
    ('class', 'softmax', {'parts': 2, 'shift': 1})])
def test_five_steps_on_4x2_devices_are_those_of_one(
    batch, pooling, loss, fields):
  graphdef, params = _split(_config(pooling))
  opt = optimizer.make_optimizer(1e-2, 5, weight_decay=0.1, ema=0.9)
  rng = np.random.default_rng(1)
  batches = [jax.tree.map(lambda x: x[rng.permutation(B)], batch)
             for _ in range(5)]
  mesh = sharding.make_mesh(4, 2)
  alone = _run(params, graphdef, batches, None, opt,
               loss=losses.LOSSES[loss](None), **fields)
  spread = _run(params, graphdef, batches, mesh, opt,
                loss=losses.LOSSES[loss](mesh), **fields)
  np.testing.assert_allclose(spread[2], alone[2], rtol=1e-5)
  # Adam divides by the root of second moments: of a gradient that is nothing
  # but rounding, as that of a key's bias, which softmax does not see, it makes
  # steps like any other's.
  _assert_close(*([
      leaf for name, leaf in zip(names.all_names(p), jax.tree.leaves(p))
      if not name.endswith('key.bias')] for p in (spread[0], alone[0])),
                rtol=1e-4)
  assert not np.allclose(
      alone[0]['text_projection']['kernel'][...],
      params['text_projection']['kernel'][...], atol=1e-3)
  # Kernels, their moments and average: each device has a half of them.
  parts = {names.dotted(path): (leaf.addressable_shards[0].data.size, leaf.size)
           for path, leaf in jax.tree_util.tree_leaves_with_path(spread[:2])}
  halved = {name for name, (part, size) in parts.items() if 2 * part == size}
  kernels = {name for name in parts if name.endswith('.kernel')}
  assert len(kernels) == 4 * sum(
      name.endswith('.kernel') for name in names.all_names(params))
  assert kernels <= halved
  assert all(part == size for name, (part, size) in parts.items()
             if name not in halved)


@pytest.mark.long
@pytest.mark.parametrize('pooling,loss', [
    ('class', 'softmax'), ('attention', 'sigmoid')])
def test_parts_have_the_gradient_of_the_whole(batch, pooling, loss):
  graphdef, params = _split(_config(pooling))
  frozen = ('image_tower.embed.*',)
  gradients = {}
  for parts in (1, 4):
    compute = jax.jit(functools.partial(
        gradient.loss_and_gradient, graphdef, losses.LOSSES[loss](None),
        frozen=frozen, parts=parts))
    gradients[parts] = compute(params, batch)
  _assert_close(gradients[4], gradients[1], rtol=1e-5)


@pytest.mark.long
def test_remat_changes_memory_and_not_the_gradient(batch):
  found = {}
  for remat in (False, True):
    graphdef, params = _split(_config('attention', remat=remat))
    compiled = jax.jit(functools.partial(
        gradient.loss_and_gradient, graphdef, loss_lib.sigmoid_loss)).lower(
            params, batch)
    found[remat] = compiled.compile()(params, batch)
    # Blocks that are computed again are marked so.
    assert ('rematted_computation' in compiled.as_text(debug_info=True)
            or 'checkpoint' in compiled.as_text(debug_info=True)) == remat
  _assert_close(found[True], found[False], rtol=1e-5)


@pytest.mark.long
def test_bfloat16_computes_in_it_and_keeps_float32_outside(batch):
  found = {}
  for dtype in ('float32', 'bfloat16'):
    graphdef, params = _split(_config('class', dtype=dtype))
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype('float32')}
    compute = functools.partial(
        gradient.loss_and_gradient, graphdef, loss_lib.sigmoid_loss)
    found[dtype] = jax.jit(compute)(params, batch)
    jaxpr = str(jax.make_jaxpr(compute)(params, batch))
    assert ('bf16[16,5,16]' in jaxpr) == (dtype == 'bfloat16')
    model = nnx.merge(graphdef, params)
    assert model.encode_text(batch.items['text']).dtype == jnp.float32
  (one, gradients), (other, rounded) = found['float32'], found['bfloat16']
  assert one != other
  np.testing.assert_allclose(one, other, rtol=0.02)
  assert all(x.dtype == jnp.float32 for x in rounded)
  flat = [np.concatenate([np.ravel(x) for x in g])
          for g in (gradients, rounded)]
  assert np.corrcoef(*flat)[0, 1] > 0.99


@pytest.mark.long
@pytest.mark.parametrize('recipe,learns,stays', [
    ('none', ['image_tower.*', 'text_tower.*'], []),
    ('lit', ['text_tower.*', 'text_projection.*', 'logit_*'],
     ['image_tower.*', 'image_projection.*']),
    ('heads', ['*_projection.*', 'image_tower.pooling.*', 'logit_*'],
     ['*_tower.transformer.*', '*_tower.position', 'text_tower.*']),
    ('last_1_blocks',
     ['*_tower.transformer.blocks.1.*', '*_tower.transformer.norm.*',
      'image_tower.pooling.*', '*_projection.*'],
     ['*_tower.transformer.blocks.0.*', 'text_tower.token.*',
      'image_tower.embed.*']),
    (('text_tower.token.*',), ['text_tower.transformer.*'],
     ['text_tower.token.*'])])
def test_frozen_parameters_stay_to_the_bit(batch, recipe, learns, stays):
  graphdef, params = _split(_config('attention', depth=2))
  frozen = freeze.patterns(recipe, params)
  opt = optimizer.make_optimizer(1e-2, 2, weight_decay=0.5, frozen=frozen)
  trained, state, _ = _run(
      params, graphdef, [batch] * 2, None, opt, frozen=frozen)
  moved = {
      name: not np.array_equal(a, b) for name, a, b in zip(
          names.all_names(params), jax.tree.leaves(params),
          jax.tree.leaves(trained), strict=True)}
  # Nothing reaches the bias of a key: softmax does not see it.
  moved = {name: moves for name, moves in moved.items()
           if not name.endswith('key.bias')}
  for patterns, expected in ((learns, True), (stays, False)):
    for pattern in patterns:
      chosen = [
          m for name, m in moved.items() if names.matches(name, [pattern])]
      assert chosen and all(m == expected for m in chosen), pattern
  # Moments are kept of what learns alone.
  moments = [name for name in names.all_names(state) if '.mu.' in name]
  assert len(moments) == sum(freeze.learns(params, frozen))


def test_a_name_is_a_pattern():
  _, params = _split(_config('mean'))
  assert freeze.patterns('logit_scale', params) == ('logit_scale',)


def test_recipes_and_patterns_that_fit_nothing_are_refused():
  _, params = _split(_config('mean', depth=2))
  with pytest.raises(ValueError, match='freeze=\'al\' is unknown; known are'):
    freeze.patterns('al', params)
  with pytest.raises(ValueError, match='\'last_3_blocks\': image_tower has 2'):
    freeze.patterns('last_3_blocks', params)
  with pytest.raises(ValueError, match='\'imagetower.*\' fits none of .* such'):
    freeze.patterns(('text_tower.*', 'imagetower.*'), params)


@pytest.mark.long
def test_what_is_embedded_anew():
  _, params = _split(_config('attention', depth=2))
  for recipe, expected in (
      ('none', (True, True)), ('lit', (False, True)), ('heads', (True, True)),
      (('image_tower.*', 'text_tower.*', 'text_projection.*'), (True, False))):
    frozen = freeze.patterns(recipe, params)
    assert expected == tuple(
        freeze.embeds_anew(m, params, frozen) for m in ('image', 'text'))


def test_rates_by_name():
  opt = optimizer.make_optimizer(
      1.0, 1, weight_decay=0.0, lr_factors={'a.*': 0.1, '*': 2.0})
  params = {'a': {'w': jnp.ones(3)}, 'b': {'w': jnp.ones(3)}}
  updates, _ = opt.update(params, opt.init(params), params)
  np.testing.assert_allclose(updates['a']['w'] / updates['b']['w'], 0.05,
                             rtol=1e-5)
  with pytest.raises(ValueError, match=r"lr_factors\['a'\]=-1 must be finite"):
    optimizer.make_optimizer(1.0, 1, lr_factors={'a': -1})
  with pytest.raises(ValueError, match='clip=0 must be above 0'):
    optimizer.make_optimizer(1.0, 1, clip=0)


@pytest.mark.long
def test_activations_are_cut_over_fsdp_as_well():
  """Each device has its share of the batch alone, in the towers, too."""
  stack = config_lib.Stack(64, 2, 4, 256)
  graphdef, params = nnx.split(dual_encoder.abstract(config_lib.DualEncoder(
      config_lib.ImageTower(stack, (32, 32), 4),
      config_lib.TextTower(stack, 32, 16), 64)), nnx.Param)
  b = 128
  opt = optax.sgd(1.0)
  temporary = {}
  for sizes in ((8, 1), (1, 8), (4, 2)):
    mesh = sharding.make_mesh(*sizes)
    compiled = step.train_step.lower(
        step.Recipe(graphdef, opt, b, mesh=mesh,
                     loss=losses.LOSSES['sigmoid_ring'](mesh)),
        jax.tree.map(
            lambda x, where: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=where),
            params, partition.shardings(params, mesh)),
        opt.init(params), jax.eval_shape(lambda: jax.random.key(0)),
        _shapes(b, (32, 32, 3), (16,), partition.batch_rows(mesh)))
    temporary[sizes] = (
        compiled.compile().memory_analysis().temp_size_in_bytes)
  assert temporary[1, 8] < 1.15 * temporary[8, 1], temporary
  assert temporary[4, 2] < 1.15 * temporary[8, 1], temporary


def test_gradients_are_cut_over_fsdp():
  """Of a model much larger than its batch no device has all gradients."""
  stack = config_lib.Stack(256, 2, 4, 1024)
  graphdef, params = nnx.split(dual_encoder.abstract(config_lib.DualEncoder(
      config_lib.ImageTower(stack, (8, 8), 4),
      config_lib.TextTower(stack, 32, 4), 64)), nnx.Param)
  b, mesh = 8, sharding.make_mesh(1, 8)
  rows, cut = partition.batch_rows(mesh), partition.shardings(params, mesh)
  compiled = jax.jit(
      functools.partial(gradient.loss_and_gradient, graphdef,
                        loss_lib.sigmoid_loss, mesh=mesh)).lower(
          jax.tree.map(lambda x, where: jax.ShapeDtypeStruct(
              x.shape, x.dtype, sharding=where), params, cut),
          _shapes(b, (8, 8, 3), (4,), rows)).compile()
  for where, x in zip(compiled.output_shardings[1], jax.tree.leaves(cut),
                      strict=True):
    assert where.is_equivalent_to(x, len(x.spec)), (where, x)


def test_average_of_the_parameters():
  opt = average.with_average(optax.sgd(1.0), 0.75)
  params = {'w': jnp.float32(1.0)}
  state, expected, w = opt.init(params), 1.0, 1.0
  for gradient_ in (0.5, -2.0, 3.0):
    updates, state = opt.update({'w': jnp.float32(gradient_)}, state, params)
    params = optax.apply_updates(params, updates)
    w -= gradient_
    expected = 0.75 * expected + 0.25 * w
  assert params['w'] == w
  np.testing.assert_allclose(average.averaged(params, state)['w'], expected,
                             rtol=1e-6)
  assert average.averaged(params, optax.EmptyState()) is params
  frozen = average.with_average(optax.set_to_zero(), 0.9, ['b'])
  params = {'a': jnp.float32(1), 'b': jnp.float32(np.pi)}
  state = frozen.init(params)
  for _ in range(100):
    _, state = frozen.update(params, state, params)
  assert set(state.average) == {'a'}
  assert average.averaged(params, state)['b'] == params['b']
  with pytest.raises(ValueError, match='ema=1.5 must lie strictly'):
    optimizer.make_optimizer(1.0, 1, ema=1.5)


def test_mesh():
  assert sharding.make_mesh(1, 1) is None
  assert dict(sharding.make_mesh(-1, 2).shape) == {'data': 4, 'fsdp': 2}
  for sizes, wrong in (((3, 3), '3 \\* 3 devices .* there are 8'),
                       ((0, 1), 'data=0 and fsdp=1 must'),
                       ((1, 0), 'data=1 and fsdp=0 must'),
                       ((-1, 3), 'fsdp=3 does not divide the 8 devices')):
    with pytest.raises(ValueError, match=wrong):
      sharding.make_mesh(*sizes)
  with pytest.raises(ValueError, match='kernel of shape .* into fsdp=8 parts'):
    stack = config_lib.Stack(12, 1, 2, 32)
    _, params = _split(config_lib.DualEncoder(
        config_lib.ImageTower(stack, (8, 8), 4),
        config_lib.TextTower(stack, 11, 5), 8))
    partition.shardings(params, sharding.make_mesh(1, 8))
