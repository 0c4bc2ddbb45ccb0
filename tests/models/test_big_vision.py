"""big_vision's files of SigLIP, against transformers on PyTorch."""

import dataclasses

import jax
import ml_dtypes
import numpy as np
import pytest
import torch

from mmal_jax.models import dual_encoder
from mmal_jax.models.pretrained import big_vision
from mmal_jax.models.pretrained import huggingface
from mmal_jax.models.pretrained import presets
from mmal_jax.models.pretrained import published
from mmal_jax.models.pretrained import tensors
from tests.support import big_vision_files
from tests.support import torch_models


def _stacked(arrays, encoder):
  """The blocks of an encoder along a leading axis, as `scan` has them."""
  first = f'{encoder}/encoderblock_0/'
  stacked = {
      k.replace('encoderblock_0', 'encoderblock'): np.stack(
          [v, arrays[k.replace('encoderblock_0', 'encoderblock_1')]])
      for k, v in arrays.items() if k.startswith(first)}
  rest = {k: v for k, v in arrays.items()
          if not k.startswith(f'{encoder}/encoderblock_')}
  return rest | stacked


@pytest.fixture(scope='module')
def case(tmp_path_factory):
  """Arrays as big_vision has them; parameters as read by way of transformers;
  their model."""
  model = torch_models.siglip(width=16, vocab=90)
  folder = tmp_path_factory.mktemp('siglip')
  model.save_pretrained(folder)
  return big_vision_files.arrays(model), huggingface.load(folder), model


def _same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def _refuses(message, *args, error=ValueError):
  with pytest.raises(error, match=f'(?s){message}'):
    big_vision.load(*args)


def test_features(case, tmp_path):
  arrays, _, theirs = case
  np.savez(tmp_path / 'a.npz', **arrays)
  config, params = big_vision.load(tmp_path / 'a.npz')
  images, tokens = torch_models.images(), torch_models.tokens(1, vocab=90)
  with torch.no_grad():
    wanted = theirs(
        input_ids=torch.from_numpy(tokens).long(),
        pixel_values=torch_models.pixel_values(images, (0.5,) * 3, (0.5,) * 3))

  @jax.jit
  def run(params):
    model = tensors.nnx.merge(
        dual_encoder.graphdef_of(config), params)
    return model.encode_image(images), model.encode_text(tokens)

  for ours, other in zip(
      run(params), (wanted.image_embeds, wanted.text_embeds)):
    np.testing.assert_allclose(ours, other.numpy(), atol=1e-5)


def test_every_form_holds_the_same(case, tmp_path):
  arrays, (config, params), _ = case
  image, text = 'params/img/Transformer', 'params/txt/Encoder_0'
  for name, form in {
      'loop': arrays, 'image': _stacked(arrays, image),
      'both': _stacked(_stacked(arrays, image), text),
      'bare': {k.removeprefix('params/'): v for k, v in arrays.items()},
      'training': arrays | {'opt/0/count': np.ones(3), 'chrono': np.ones(1)},
      'fortran': {k: np.asfortranarray(v) for k, v in arrays.items()},
  }.items():
    path = tmp_path / f'{name}.npz'
    (np.savez_compressed if name == 'both' else np.savez)(path, **form)
    found, same = published.load(path)
    # What neither says of the other: where training of the scale began.
    assert found == config, name
    _same(same, params)
    assert all(x.dtype == np.float32 for x in jax.tree.leaves(same))


def test_bfloat16(case, tmp_path):
  arrays, (config, _), _ = case
  halved = {k: v.astype(ml_dtypes.bfloat16) for k, v in arrays.items()}
  np.savez(tmp_path / 'half.npz', **halved)
  np.savez(tmp_path / 'whole.npz', **{
      k: v.astype(np.float32) for k, v in halved.items()})
  _same(*(big_vision.load(tmp_path / f'{name}.npz')[1]
          for name in ('half', 'whole')))


def test_multilingual_models_have_no_head(tmp_path):
  model = torch_models.siglip()
  arrays = {k: v for k, v in big_vision_files.arrays(model).items()
            if '/head/' not in k}
  np.savez(tmp_path / 'a.npz', **arrays)
  params = big_vision.load(tmp_path / 'a.npz')[1]
  np.testing.assert_array_equal(params.text_projection.kernel[...], np.eye(24))
  np.testing.assert_array_equal(params.text_projection.bias[...], np.zeros(24))


def test_given_configuration(case, tmp_path):
  arrays, (config, params), _ = case
  path = tmp_path / 'a.npz'
  np.savez(path, **arrays)
  # Of the same grid: the last 4 pixels are in no patch.
  given = dataclasses.replace(config, dtype='bfloat16', image=(
      dataclasses.replace(config.image, size=(36, 36))))
  found, same = published.load(path, given)
  assert found == given
  _same(same, params)
  found, larger = big_vision.load(path, given, image_size=48)
  assert found.image.size == (48, 48)
  assert larger.image_tower.position[...].shape == (36, 24)
  deeper = dataclasses.replace(config, text=dataclasses.replace(
      config.text, stack=dataclasses.replace(config.text.stack, depth=3)))
  _refuses('a.npz: it does not hold.*missing: txt/Encoder_0/encoderblock_2/',
           path, deeper)
  _refuses('a.npz: a SigLIP cannot be read as', path,
           presets.PRESETS['clip_b32'])


@pytest.mark.parametrize('change,message', [
    (lambda a: a.pop('params/b'), r'\n  missing: b \(1,\)$'),
    (lambda a: a.update({'params/c': np.ones(2)}),
     r'\n  unexpected: c \(2,\)$'),
    (lambda a: a.update({'params/b': np.ones(2)}), r'\n  b is \(2,\), not'),
    # Of a wide text tower a head is missed.
    (lambda a: [a.pop(f'params/txt/head/{k}') for k in ('kernel', 'bias')],
     r'missing: txt/head/kernel \(16, 24\)'),
    (lambda a: a.pop('params/img/pos_embedding'),
     'there is no img/pos_embedding'),
    (lambda a: a.pop('params/txt/Encoder_0/encoderblock_1/LayerNorm_0/bias'),
     r'\n  missing: txt/Encoder_0/encoderblock_1/LayerNorm_0/bias \(16,\)$'),
    # NaFlex: patches through a dense layer.
    (lambda a: a.update({'params/img/embedding/kernel': np.ones((192, 24))}),
     r'img/embedding/kernel of shape \(192, 24\) should have 4 axes'),
    (lambda a: a.update({'params/img/pos_embedding': np.ones((1, 15, 24))}),
     '15 positions'),
    (lambda a: a.update({'params/b': np.ones(1, int)}), 'of type int64'),
    (lambda a: a.update({'params/b': np.array([None])}), 'of type object'),
])
def test_every_array_is_accounted_for(case, tmp_path, change, message):
  arrays = dict(case[0])
  change(arrays)
  np.savez(tmp_path / 'a.npz', **arrays)
  _refuses(f'a.npz: .*{message}', tmp_path / 'a.npz')


def test_damaged_files(case, tmp_path):
  path = tmp_path / 'a.npz'
  _refuses('a.npz does not exist', path, error=FileNotFoundError)
  np.savez(path, **case[0])
  raw = path.read_bytes()
  middle = len(raw) // 2
  # In the middle of some array's values, which its checksum tells.
  flipped = raw[:middle] + bytes(
      x ^ 1 for x in raw[middle:middle + 8]) + raw[middle + 8:]
  for damaged, message in (
      (b'', ' is empty'), (raw[:-100], ' is a .npz that was cut off'),
      (b'x' * 100, ' is no .npz file'), (flipped, ': .*Bad CRC')):
    path.write_bytes(damaged)
    _refuses(f'a.npz{message}', path)
  with open(path, 'wb') as file:  # one array, no archive
    np.save(file, np.ones(3))
  _refuses('a.npz is no .npz file', path)
