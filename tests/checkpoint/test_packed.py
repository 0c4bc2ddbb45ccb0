"""Small arrays put together and taken apart; checkpoints that hold them."""

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp
import pytest

from mmal_jax.checkpoint import packed
from mmal_jax.checkpoint import pytrees
from mmal_jax.parallel import sharding

_KINDS = ['bool', 'int8', 'uint32', 'int64', 'float16', 'bfloat16', 'float32',
          'float64', 'complex64', 'float8_e4m3fn']


def _small():
  rng = np.random.default_rng(0)
  return {f'{kind} {shape}': np.asarray(9 * rng.random(shape)).astype(kind)
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


def test_what_is_small_and_what_is_not():
  most = np.ones(packed.MOST_BYTES, np.int8)
  arrays = {'more': np.ones(packed.MOST_BYTES + 1, np.int8)}
  assert packed.pack(arrays) == arrays == packed.unpack(arrays)
  assert packed.pack(arrays | {'most': most}).keys() == {
      'more', '#index', '#bytes'}
  assert packed.pack({}) == {}


@pytest.mark.parametrize('array', [
    np.ones(2, '>f4'), np.array(['a']), np.array([b'a']), np.array([None]),
    np.zeros(2, [('a', np.int32)])], ids=lambda x: str(x.dtype))
def test_what_would_not_come_back_is_refused(array, tmp_path):
  with pytest.raises(ValueError, match=r"\['a'\] is of dtype.* cannot be stor"):
    pytrees.save(tmp_path / 'a', {'a': array})
  with pytest.raises(ValueError, match=r"\['a'\] is of dtype.* cannot be stor"):
    pytrees.save(tmp_path / 'a', {'a': np.repeat(array, 1 << 18)})
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('index', [
    b'', b'[["a"]]', b'[["a", "float32", [9]]]', b'[["a", "no", []]]',
    b'[["a", "float32", [-1]]]', b'[["a", "float32", [1, "b"]]]', b'{"a": 1}',
    b'[]', b'[["a", "float32", [1]]]', b'[["a", "float32", 2]]',
    b'[["a", "float32", [1]], ["a", "float32", [1]]]',
    b'[["b", "float32", [2]]]', b'[[5, "float32", [2]]]',
    b'[["a", "float32", [true]], ["c", "float32", [1]]]'])
def test_an_index_that_does_not_fit(index):
  stored = {'#bytes': np.zeros(9, np.uint8), 'b': np.zeros(2)}
  fits = np.frombuffer(b'[["a", "float32", [2]]]', np.uint8)
  assert packed.unpack(stored | {'#index': fits}).keys() == {'a', 'b'}
  with pytest.raises((ValueError, TypeError)):
    packed.unpack(stored | {'#index': np.frombuffer(index, np.uint8)})


def _tree(mesh, spec, seed):
  rng = np.random.default_rng(seed)
  where = jax.sharding.NamedSharding(mesh, spec)
  cut = {f'{rows}': jax.device_put(
      rng.normal(size=(rows, 8)).astype(np.float32), where)
         for rows in (16, 1 << 16)}
  return cut | {
      'key': jax.random.key(seed), 'host': rng.integers(9, size=3),
      'none': np.zeros((0, 2)),
      'half': jnp.asarray(rng.normal(size=5), jnp.bfloat16)}


def _assert_same(back, tree):
  assert back.keys() == tree.keys()
  for name, x in back.items():
    y = tree[name]
    if name == 'key':
      x, y = map(jax.random.key_data, (x, y))
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y, err_msg=name)


@pytest.mark.parametrize('ways', ['whole', 'data', 'fsdp'])
@pytest.mark.parametrize('others', ['whole', 'data', 'fsdp'])
def test_cut_in_any_way_then_in_any_other(tmp_path, ways, others):
  mesh = sharding.make_mesh(4, 2)
  specs = {'whole': sharding.P(), 'data': sharding.P('data'),
           'fsdp': sharding.P(None, 'fsdp')}
  tree, like = _tree(mesh, specs[ways], 0), _tree(mesh, specs[others], 1)
  pytrees.save(tmp_path / 'a', tree)
  # Each device writes its own of what is cut.
  assert ("['16']" in ocp.metadata(tmp_path / 'a').metadata) == (
      ways != 'whole')
  back = pytrees.load(tmp_path / 'a', like)
  _assert_same(back, tree)
  for name, x in back.items():
    assert type(x) is type(like[name])
    if isinstance(x, jax.Array):
      assert x.sharding == like[name].sharding, name
  # It may be given away, as a step does.
  more = jax.jit(lambda x: x + 1, donate_argnums=0)(back['16'])
  np.testing.assert_array_equal(more, tree['16'] + 1)


def test_a_checkpoint_of_arrays_by_themselves(tmp_path):
  """As they were before small ones were put together."""
  tree, like = (_tree(sharding.make_mesh(4, 2), sharding.P(), seed)
                for seed in range(2))
  del tree['none'], like['none']  # Orbax refuses it.
  ocp.save(tmp_path / 'a', {
      f"['{name}']": jax.random.key_data(x) if name == 'key' else x
      for name, x in tree.items()})
  _assert_same(pytrees.load(tmp_path / 'a', like), tree)


def test_nothing_but_empty_arrays(tmp_path):
  tree = {'a': np.zeros((0, 2)), 'b': jnp.zeros(0, jnp.bfloat16)}
  pytrees.save(tmp_path / 'a', tree)
  back = pytrees.load(tmp_path / 'a', tree)
  assert back['a'].shape == (0, 2) and back['b'].dtype == jnp.bfloat16


def test_what_differs_is_named(tmp_path):
  tree = {'a': np.zeros(2), 'b': jnp.zeros((600, 600)), 'c': jnp.zeros(3)}
  pytrees.save(tmp_path / 'a', tree)
  for change, said in (
      ({'a': np.zeros(3)}, r"\['a'\] is float64\[2\] there, not float64\[3\]"),
      ({'b': jnp.zeros((600, 600), jnp.int32)},
       r"\['b'\] is float32\[600, 600\] there, not int32\[600, 600\]"),
      ({'c': np.zeros(3)}, r"\['c'\] is float32\[3\] there, not float64"),
      ({'d': np.zeros(3)}, r"\['d'\] is missing")):
    with pytest.raises(ValueError, match='of another structure: ' + said):
      pytrees.load(tmp_path / 'a', tree | change)
  for name in 'abc':
    some = {other: x for other, x in tree.items() if other != name}
    with pytest.raises(ValueError, match=rf"\['{name}'\] is not expected\.$"):
      pytrees.load(tmp_path / 'a', some)


def test_what_is_large_and_not_expected_is_not_read(tmp_path, monkeypatch):
  pytrees.save(tmp_path / 'a', {'b': np.zeros((600, 600))})
  monkeypatch.delattr(ocp, 'load')
  with pytest.raises(ValueError, match=r"\['b'\] is float64\[600, 600\] there"):
    pytrees.load(tmp_path / 'a', {'b': np.zeros(3)})


def test_more_bytes_than_can_be_expected_are_not_read(tmp_path, monkeypatch):
  monkeypatch.setattr(packed, '_ALWAYS', 100)
  tree = {'a': np.zeros(1000), 'b': np.zeros(300)}
  pytrees.save(tmp_path / 'a', tree)
  _assert_same(pytrees.load(tmp_path / 'a', tree), tree)
  with pytest.raises(ValueError, match='#bytes has 10401 bytes; at most 2500'):
    pytrees.load(tmp_path / 'a', {'b': np.zeros(300)})


@pytest.mark.parametrize('name', ['run[1]', 'run*', 'run?'])
def test_where_orbax_would_not_find_it_again_nothing_is_written(
    tmp_path, name):
  with pytest.raises(ValueError, match=r'must not hold \*, \? or \['):
    pytrees.save(tmp_path / name / 'a', {'a': np.zeros(3)})
  assert not list(tmp_path.iterdir())
