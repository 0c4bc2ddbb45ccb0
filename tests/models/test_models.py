"""Towers: shapes, padding, patches; the dual encoder's unit rows."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.data import encode
from mmal_jax.embed import in_memory
from mmal_jax.models import registry
from mmal_jax.models import vit

pytestmark = pytest.mark.usefixtures('quick_compilation')


def _pairs(images, texts):
  n = len(images)
  ids = np.arange(n, dtype=np.int32)
  return encode.EncodedPairs(
      {'image': encode.Items(images, ids), 'text': encode.Items(texts, ids)},
      ids * 0 - 1)


def _pixels_and_tokens(n=6):
  rng = np.random.default_rng(0)
  images = rng.integers(256, size=(n, 16, 16, 3)).astype(np.uint8)
  texts = rng.integers(1, 20, size=(n, 7)).astype(np.int32)
  texts[:, 5:] = 0
  return _pairs(images, texts)


def _build(name, pairs, num_tokens, **config):
  return registry.MODELS[name](
      {m: jax.ShapeDtypeStruct(items.values.shape[1:], items.values.dtype)
       for m, items in pairs.items.items()},
      num_tokens, rngs=nnx.Rngs(0), **config)


def _model(pairs, **config):
  config = dict(width=16, depth=2, heads=2, patch=8, embed_dim=4) | config
  return _build('transformers', pairs, 20, **config)


@pytest.mark.long
def test_embeddings_are_unit_rows_and_all_is_parameter():
  pairs = _pixels_and_tokens()
  model = _model(pairs)
  for x in (model.encode_image(pairs.items['image'].values),
            model.encode_text(pairs.items['text'].values)):
    assert x.shape == (6, 4) and x.dtype == jnp.float32
    np.testing.assert_allclose(jnp.linalg.norm(x, axis=1), 1, rtol=1e-5)
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)
  assert not jax.tree.leaves(rest)
  assert hash(graphdef) == hash(nnx.split(_model(pairs))[0])


def test_text_ignores_padding_but_not_order():
  pairs = _pixels_and_tokens()
  model = _model(pairs)
  tokens = pairs.items['text'].values
  # The same tokens through a shorter table of positions.
  np.testing.assert_allclose(
      model.text_tower.transformer(jnp.ones((1, 3, 16)) * jnp.arange(
          3.0)[None, :, None], jnp.array([[[[True, True, False]]]]))[:, :2],
      model.text_tower.transformer(
          jnp.ones((1, 2, 16)) * jnp.arange(2.0)[None, :, None]), atol=1e-5)
  swapped = tokens.copy()
  swapped[:, [0, 1]] = swapped[:, [1, 0]]
  assert not np.allclose(
      model.encode_text(tokens), model.encode_text(swapped), atol=1e-3)


@pytest.mark.long
def test_empty_text_is_finite():
  pairs = _pixels_and_tokens()
  model = _model(pairs)
  empty = jnp.zeros((2, 7), jnp.int32)
  assert np.isfinite(model.encode_text(empty)).all()
  graphdef, params = nnx.split(model, nnx.Param)
  grads = jax.grad(lambda p: nnx.merge(graphdef, p).encode_text(empty).sum())(
      params)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_patchify():
  image = np.arange(2 * 4 * 6 * 1).reshape(2, 4, 6, 1)
  patches = vit.patchify(jnp.asarray(image), 2)
  assert patches.shape == (2, 6, 4)
  for row in range(2):
    for column in range(3):
      expected = image[:, 2 * row:2 * row + 2, 2 * column:2 * column + 2]
      np.testing.assert_array_equal(
          patches[:, 3 * row + column], expected.reshape(2, 4))


def test_wrong_inputs_are_named():
  pairs = _pixels_and_tokens()
  with pytest.raises(ValueError, match='patch=5 must divide .* 16x16'):
    _model(pairs, patch=5)
  features = _pairs(np.ones((3, 4), np.float32), np.ones((3, 5), np.float32))
  with pytest.raises(ValueError, match=r'transformers needs pixels.*\(4,\)'):
    _model(features)
  with pytest.raises(ValueError, match=r'mlp needs one row of features'):
    _build('mlp', pairs, 20)
  for size in ('width', 'depth', 'heads', 'patch', 'embed_dim'):
    with pytest.raises(ValueError, match=f'model.{size}=0 must be at least 1'):
      _model(pairs, **{size: 0})


def test_embed_is_the_same_in_any_batch_size():
  pairs = _pixels_and_tokens(7)
  graphdef, params = nnx.split(_model(pairs), nnx.Param)
  whole = nnx.merge(graphdef, params).encode_image(pairs.items['image'].values)
  for batch_size in (1, 3, 7, 100):
    got = in_memory.embed(graphdef, params, pairs.items['image'].values,
                          'image', batch_size)
    np.testing.assert_allclose(got, whole, atol=1e-6)


def test_embed_names_the_row_of_a_nan():
  features = np.ones((5, 4), np.float32)
  pairs = _pairs(features, features)
  graphdef, params = nnx.split(
      _build('mlp', pairs, 0, width=8, embed_dim=4), nnx.Param)
  features = features.copy()
  features[3, 1] = np.nan
  with pytest.raises(ValueError, match='1 of 5 text embeddings .* row 3'):
    in_memory.embed(graphdef, params, features, 'text')
