"""Small arrays put together and taken apart; checkpoints that hold them."""

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp
import pytest

from mmal_jax import checkpoint
from mmal_jax import packed
from mmal_jax import sharding

_KINDS = ['bool', 'int8', 'uint32', 'int64', 'float16', 'bfloat16', 'float32',
          'float64', 'complex64', 'float8_e4m3fn']


def _small():
  rng = np.random.default_rng()
  return {f'{kind} {shape}': np.asarray(9 * rng.normal(size=shape)).astype(kind)
          for kind in _KINDS for shape in [(), (1,), (0, 3), (5, 2, 3)]}


def test_all_comes_back_as_it_was():
  arrays = _small() | {'big': np.ones(1 << 18, np.float64)}
  arrays['strided'] = np.arange(12.0).reshape(3, 4).T
  arrays['key\n\ud800'] = np.arange(3)
  stored = packed.pack(arrays)
  assert stored['big'] is arrays['big'] and len(stored) == 3
  before = {name: x.copy() for name, x in arrays.items()}
  for name in arrays:
    if name != 'big':
      arrays[name][...] = 1  # What was packed is a copy.
  back = packed.unpack(stored)
  assert back.keys() == before.keys()
  for name, x in before.items():
    assert back[name].dtype == x.dtype and back[name].flags.writeable
    np.testing.assert_array_equal(back[name], x, err_msg=name)
    assert back[name].tobytes() == x.tobytes()


def test_nothing_small_is_left_alone():
  arrays = {'big': np.ones(1 << 18, np.float64)}
  assert packed.pack(arrays) == arrays == packed.unpack(arrays)
  assert packed.pack({}) == {}


@pytest.mark.parametrize('index', [
    b'', b'[["a"]]', b'[["a", "float32", [9]]]', b'[["a", "no", []]]',
    b'[["a", "float32", [-1]]]', b'[["a", "float32", [1, "b"]]]', b'{"a": 1}'])
def test_an_index_that_does_not_fit(index):
  with pytest.raises((ValueError, TypeError)):
    packed.unpack({'#index': np.frombuffer(index, np.uint8),
                   '#bytes': np.zeros(5, np.uint8)})


def _tree(mesh, spec):
  rng = np.random.default_rng(0)
  where = jax.sharding.NamedSharding(mesh, spec)
  cut = {f'{rows}': jax.device_put(
      rng.normal(size=(rows, 8)).astype(np.float32), where)
         for rows in (16, 1 << 16)}
  return cut | {
      'key': jax.random.key(3), 'host': np.arange(3), 'none': np.zeros((0, 2)),
      'half': jnp.asarray(rng.normal(size=5), jnp.bfloat16)}


@pytest.mark.parametrize('ways', ['whole', 'data', 'fsdp'])
@pytest.mark.parametrize('others', ['whole', 'data', 'fsdp'])
def test_cut_in_any_way_then_in_any_other(tmp_path, ways, others):
  mesh = sharding.make_mesh(4, 2)
  specs = {'whole': sharding.P(), 'data': sharding.P('data'),
           'fsdp': sharding.P(None, 'fsdp')}
  tree, like = (_tree(mesh, specs[which]) for which in (ways, others))
  like = jax.tree.map(lambda x: x, like) | {'host': np.zeros(3, np.int64)}
  checkpoint.save(tmp_path / 'a', tree)
  # Each device writes its own of what is cut.
  assert ("['16']" in ocp.metadata(tmp_path / 'a').metadata) == (
      ways != 'whole')
  back = checkpoint.load(tmp_path / 'a', like)
  for name, x in back.items():
    if name == 'key':
      x, tree[name] = map(jax.random.key_data, (x, tree[name]))
    else:
      assert type(x) is type(like[name]) and x.dtype == like[name].dtype
    if isinstance(x, jax.Array) and name != 'key':
      assert x.sharding == like[name].sharding, name
    np.testing.assert_array_equal(x, tree[name], err_msg=name)
  # It may be given away, as a step does.
  more = jax.jit(lambda x: x + 1, donate_argnums=0)(back['16'])
  np.testing.assert_array_equal(more, tree['16'] + 1)


def test_what_differs_is_named(tmp_path):
  tree = {'a': np.zeros(2), 'b': jnp.zeros((600, 600)), 'c': jnp.zeros(3)}
  checkpoint.save(tmp_path / 'a', tree)
  for change, said in (
      ({'a': np.zeros(3)}, r"\['a'\] is float64\[2\] there, not float64\[3\]"),
      ({'b': jnp.zeros((600, 600), jnp.int32)},
       r"\['b'\] is float32\[600, 600\] there, not int32\[600, 600\]"),
      ({'c': np.zeros(3)}, r"\['c'\] is float32\[3\] there, not float64"),
      ({'d': np.zeros(3)}, r"\['d'\] is missing")):
    with pytest.raises(ValueError, match='of another structure: ' + said):
      checkpoint.load(tmp_path / 'a', tree | change)
  del tree['b'], tree['c']
  with pytest.raises(ValueError, match=(
      r"\['b'\] is not expected, \['c'\] is not expected\.")):
    checkpoint.load(tmp_path / 'a', tree)
  with pytest.raises(ValueError, match=r"other structure: \['e'\] is missing"):
    checkpoint.load(tmp_path / 'a', {'e': np.zeros(2)} | tree | {
        'b': jnp.zeros((600, 600)), 'c': jnp.zeros(3)})
