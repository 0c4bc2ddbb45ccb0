"""CLIP and SigLIP against transformers on PyTorch: values and gradients."""

import functools
import pathlib
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import positions
from mmal_jax.models.pretrained import huggingface
from mmal_jax.models.pretrained import tensors
from mmal_jax.parallel import sharding
from tests.support import torch_models

# Compiling takes longer than running.
_jit = functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 0})

MODELS = {
    # The end is the highest token of each text.
    'clip': (lambda: torch_models.clip(), torch_models.VOCAB - 1),
    # There are higher ones than the end.
    'openclip': (lambda: torch_models.clip('gelu', end_id=40), 40),
    'siglip': (lambda: torch_models.siglip(), 1),
    'siglip2': (lambda: torch_models.siglip(width=16, vocab=90), 1),
}


class Case(NamedTuple):
  """Their model, ours as read from what theirs has saved, and inputs."""

  theirs: transformers.PreTrainedModel
  folder: pathlib.Path
  config: config_lib.DualEncoder
  params: nnx.State
  images: np.ndarray
  tokens: np.ndarray

  @property
  def is_clip(self):
    return isinstance(self.theirs, transformers.CLIPModel)


@pytest.fixture(scope='module', params=MODELS)
def case(request, tmp_path_factory):
  make, end_id = MODELS[request.param]
  theirs = make()
  folder = tmp_path_factory.mktemp(request.param)
  theirs.save_pretrained(folder)
  return Case(
      theirs, folder, *huggingface.load(folder), torch_models.images(),
      torch_models.tokens(
          end_id, vocab=theirs.config.text_config.vocab_size))


@pytest.fixture(scope='module')
def ours(case):
  """Of our model: loss, features and logits, gradients."""
  n = len(case.images)

  @_jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def run(params):
    model = _build(case.config, params)
    scale, bias = model.logit_scale[...], model.logit_bias[...]
    x, y = model.encode_image(case.images), model.encode_text(case.tokens)
    logits = jnp.exp(scale) * x @ y.T
    if case.is_clip:
      loss = -sum(jnp.mean(jnp.diag(jax.nn.log_softmax(logits, axis)))
                  for axis in (0, 1)) / 2
    else:
      loss = loss_lib.sigmoid_loss(
          x, y, scale, bias, jnp.arange(n), jnp.arange(n), jnp.ones(n, bool))
    return loss, (x, y, logits + bias)

  (loss, features), grads = run(case.params)
  return loss, features, grads


def _build(config, params):
  return nnx.merge(dual_encoder.graphdef_of(config), params)


def _run(case, images=None, theirs=None, **options):
  return (theirs or case.theirs)(
      input_ids=torch.from_numpy(case.tokens).long(),
      pixel_values=torch_models.pixel_values(
          case.images if images is None else images,
          case.config.image.mean, case.config.image.std), **options)


def _assert_close(mine, theirs, tolerance=1e-5):
  theirs = theirs.detach().numpy()
  error = np.abs(np.asarray(mine) - theirs).max() / np.abs(theirs).max()
  assert mine.shape == theirs.shape and error < tolerance, error


@pytest.mark.long
def test_features_and_logits(case, ours):
  with torch.no_grad():
    wanted = _run(case)
  for a, b in zip(ours[1], (
      wanted.image_embeds, wanted.text_embeds, wanted.logits_per_image),
      strict=True):
    _assert_close(a, b)


def test_gradients(case, ours):
  case.theirs.zero_grad()
  n = len(case.images)
  wanted = _run(case, return_loss=case.is_clip)
  loss = wanted.loss
  if not case.is_clip:
    loss = -torch.nn.functional.logsigmoid(
        (2 * torch.eye(n) - 1) * wanted.logits_per_image).sum() / n
  loss.backward()
  _assert_close(ours[0], loss)
  grads = tensors.by_name(ours[2])
  wanted = {k: p.grad.numpy() for k, p in case.theirs.named_parameters()}
  whole = np.sqrt(sum(np.sum(g**2) for g in wanted.values()))
  table = tensors.table(case.config)
  assert {t.name for t in table} == set(wanted)
  for tensor in table:
    error = np.linalg.norm(
        tensor.from_parameters(grads) - wanted[tensor.name])
    # The keys' biases have none: attention does not change with them.
    allowed = 1e-4 * np.linalg.norm(wanted[tensor.name]) + 1e-7 * whole
    assert error < allowed, (tensor.name, error, allowed)


def test_images_of_another_size(case):
  images = torch_models.images(size=52)  # and 4 pixels that are not seen
  config, params = huggingface.load(case.folder, image_size=52)
  assert config.image.size == (52, 52) and config.image.grid == (6, 6)
  with torch.no_grad():
    wanted = _run(case, images, interpolate_pos_encoding=True)

  @_jit
  def run(params):  # not normalised, here
    model = _build(config, params)
    pooled = model.image_tower(images)
    return model.image_projection(pooled) if case.is_clip else pooled

  _assert_close(run(params), wanted.vision_model_output.pooler_output)


@pytest.mark.parametrize(
    'new', [(4, 4), (7, 7), (2, 2), (3, 9), (1, 1), (24, 5)])
def test_positions_are_interpolated_as_by_transformers(new):
  for model in (torch_models.clip(), torch_models.siglip()):
    embeddings = model.vision_model.embeddings
    old = embeddings.position_embedding.weight.detach().numpy()
    has_class = len(old) % 2 == 1
    patches = torch.zeros(1, new[0] * new[1] + has_class, old.shape[1])
    with torch.no_grad():
      wanted = embeddings.interpolate_pos_encoding(
          patches, new[0] * torch_models.PATCH, new[1] * torch_models.PATCH)
    wanted = wanted.numpy().reshape(-1, old.shape[1])
    ours = positions.resize(old, (4, 4), new, has_class)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, wanted, atol=1e-6)


def test_interpolated_positions_are_the_same_to_the_bit_on_any_device():
  """The digest that a run is known again by is of them."""
  old = np.random.default_rng(0).normal(size=(49, 32)).astype(np.float32)
  grid = torch.from_numpy(old.astype(np.float64)).reshape(1, 7, 7, 32)
  wanted = torch.nn.functional.interpolate(
      grid.permute(0, 3, 1, 2), size=(12, 5), mode='bicubic')
  np.testing.assert_array_equal(
      positions.resize(old, (7, 7), (12, 5), has_class=False),
      wanted.permute(0, 2, 3, 1).reshape(-1, 32).numpy().astype(np.float32))


def test_saved_is_what_transformers_loads(case, tmp_path):
  cut = sharding.row_sharding()
  params = jax.tree.map(
      lambda x: jax.device_put(x, cut) if x.ndim and len(x) % 8 == 0 else x,
      case.params)
  folder = tmp_path / 'new'
  huggingface.save(folder, case.config, params)
  assert sorted(path.name for path in folder.iterdir()) == [
      'config.json', 'model.safetensors', 'preprocessor_config.json']
  raw = (folder / 'model.safetensors').read_bytes()
  assert int.from_bytes(raw[:8], 'little') % 8 == 0  # values are aligned
  for cls in (type(case.theirs), transformers.AutoModel):
    loaded, info = cls.from_pretrained(folder, output_loading_info=True)
    assert type(loaded) is type(case.theirs) and not any(info.values()), info
    with torch.no_grad():
      new, old = _run(case, theirs=loaded.eval()), _run(case)
    assert torch.equal(new.logits_per_image, old.logits_per_image)
    assert torch.equal(new.image_embeds, old.image_embeds)
  config, same = huggingface.load(folder)
  assert config == case.config
  for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(params), strict=True):
    np.testing.assert_array_equal(a, b)
