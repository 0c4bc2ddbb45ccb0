"""Checkpoints with files missing or partial, against transformers."""

import json
import shutil

from flax import nnx
import jax
import ml_collections
import numpy as np
from PIL import Image
import pytest
import torch
import transformers

from mmal_jax.data.images import images as images_lib
from mmal_jax.data.images import preprocess
from mmal_jax.data.tokenizers import pretrained_tokenizer
from mmal_jax.experiment import pretrained
from mmal_jax.models import dual_encoder
from mmal_jax.models.pretrained import huggingface
from tests.support import small_files
from tests.support import tokenizer_files
from tests.support import torch_models

_SIZE = torch_models.IMAGE_SIZE
_SQUARE = {'height': _SIZE, 'width': _SIZE}
_FILE = 'preprocessor_config.json'


def _clip_processor(**fields):
  return transformers.CLIPImageProcessorPil(**{
      'size': {'shortest_edge': _SIZE}, 'crop_size': _SQUARE} | fields)


def _siglip_processor(**fields):
  return transformers.SiglipImageProcessorPil(**{'size': _SQUARE} | fields)


MODELS = {
    'clip': (torch_models.clip, _clip_processor),
    'openclip': (lambda: torch_models.clip('gelu', end_id=40), _clip_processor),
    'siglip': (torch_models.siglip, _siglip_processor),
    'siglip2': (lambda: torch_models.siglip(width=16, vocab=90),
                _siglip_processor)}


def _images():
  """Wide, tall, square, small, a pixel high or wide, grey, partly clear."""
  rng = np.random.default_rng(4)
  for height, width, *channels in (
      (40, 121, 3), (103, 40, 3), (64, 64, 3), (5, 7, 3), (1, 30, 3),
      (30, 1, 3), (33, 32, 3), (50, 70), (50, 71, 4)):
    yield Image.fromarray(
        rng.integers(256, size=(height, width, *channels)).astype(np.uint8))


def _load(checkpoint, **text):
  return pretrained.load(ml_collections.ConfigDict({
      'init': str(checkpoint), 'model': {'name': 'checkpoint'}, 'text': text}))


def _assert_same_features(theirs, folder, processor):
  found = _load(folder)
  pixels = np.stack([found.preprocess.apply(image) for image in _images()])
  model = nnx.merge(dual_encoder.graphdef_of(found.config), found.params)
  ours = np.asarray(jax.jit(model.encode_image)(pixels))
  with torch.no_grad():
    wanted = theirs.get_image_features(**processor(
        list(_images()), return_tensors='pt')).pooler_output.numpy()
  wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
  np.testing.assert_allclose(ours, wanted, atol=2e-5)


@pytest.mark.long
@pytest.mark.parametrize('name', MODELS)
def test_with_and_without_its_preprocessor(name, tmp_path, caplog):
  make, processor = MODELS[name]
  theirs = make()
  theirs.save_pretrained(small_files.plain_tokenizer(tmp_path))
  _assert_same_features(theirs, tmp_path, processor())
  family = 'CLIP' if 'clip' in name else 'Siglip'
  assert f'has no {_FILE}: images are prepared as {family}ImageProcessor' in (
      caplog.text)
  caplog.clear()
  other = processor(resample=2, image_mean=[0.1, 0.2, 0.3])
  other.save_pretrained(tmp_path)
  _assert_same_features(theirs, tmp_path, other)
  assert _FILE not in caplog.text


@pytest.mark.parametrize('fields,theirs', [
    ({}, {}),
    ({'mean': [0.5] * 3, 'std': [0.4] * 3, 'resize_mode': None},
     {'image_mean': [0.5] * 3, 'image_std': [0.4] * 3}),
    ({'resize_mode': 'squash', 'interpolation': 'bilinear', 'mode': 'RGB',
      'mean': 0.5, 'fill_color': 0, 'size': [224, 224], 'unheard_of': 1},
     {'size': _SQUARE, 'do_center_crop': False, 'resample': 2,
      'image_mean': 0.5}),
    ({'interpolation': 'random'}, {})])
def test_preprocessing_by_open_clip(fields, theirs, tmp_path, caplog):
  model = torch_models.clip('gelu', end_id=40)
  model.save_pretrained(small_files.plain_tokenizer(tmp_path))
  small_files.write(tmp_path, open_clip_config={
      'model_cfg': {'vision_cfg': {'image_size': _SIZE}},
      'preprocess_cfg': fields})
  _assert_same_features(model, tmp_path, _clip_processor(**theirs))
  assert _FILE not in caplog.text


@pytest.mark.parametrize('fields,message', [
    ({'resize_mode': 'longest'}, "resize_mode='longest'"),
    ({'interpolation': 'nearest'}, "interpolation='nearest'"),
    ({'mode': 'L'}, "mode='L'"), ({'std': [0.5, 0, 1]}, 'std=')])
def test_what_open_clip_does_otherwise_is_refused(fields, message, tmp_path):
  small_files.write(tmp_path, open_clip_config={'preprocess_cfg': fields})
  with pytest.raises(ValueError, match=f'open_clip_config.json: .*{message}'):
    preprocess.load(tmp_path)


def test_that_of_the_tokenizers_folder_comes_before_a_default(
    tmp_path, caplog):
  theirs = torch_models.clip()
  theirs.save_pretrained(tmp_path / 'run')
  base = small_files.plain_tokenizer(tmp_path / 'base')
  _clip_processor(resample=2).save_pretrained(base)
  assert _load(tmp_path / 'run', folder=str(base)).preprocess.resample == (
      'bilinear')
  assert f'run has no {_FILE}: that of {base} is used' in caplog.text


def test_a_size_that_is_not_named_is_not_the_models(tmp_path):
  small_files.plain_tokenizer(tmp_path)
  torch_models.clip().save_pretrained(tmp_path)
  small_files.write(tmp_path, preprocessor_config={
      'image_processor_type': 'CLIPImageProcessor'})
  with pytest.raises(ValueError, match=f'224 pixels .{_FILE}; .* no size, 224'):
    _load(tmp_path)


# Of 300 files of random fields none was taken otherwise than by transformers.
@pytest.mark.parametrize('fields,refused', [
    ({'do_center_crop': None, 'size': _SQUARE}, None),
    ({'do_normalize': None}, None), ({'do_pad': None}, None),
    ({'do_normalize': None, 'image_mean': None}, None),
    ({'default_to_square': None, 'size': _SIZE}, None),
    ({'do_center_crop': False, 'crop_size': None, 'size': [_SIZE, _SIZE]},
     None),
    ({'feature_extractor_type': 'CLIPFeatureExtractor', 'unheard_of': [1],
      'image_processor_type': None, 'crop_size': _SIZE, 'size': _SIZE}, None),
    ({'do_resize': None}, 'do_resize=False'),
    ({'do_rescale': None}, 'do_rescale=False'),
    ({'do_center_crop': None}, 'different shapes'),
    ({'image_mean': None}, 'image_mean=null'), ({'size': None}, 'size=null'),
    ({'image_std': None}, 'image_std=null'),
    ({'resample': None}, 'resample=null'),
    ({'crop_size': None}, 'crop_size=null'),
    ({'rescale_factor': None}, 'rescale_factor=null')])
@pytest.mark.parametrize('file', [_FILE, 'processor_config.json'])
def test_null_is_what_it_is_to_transformers(fields, refused, file, tmp_path):
  full = {'image_processor_type': 'CLIPImageProcessor', 'crop_size': _SQUARE,
          'size': {'shortest_edge': _SIZE}} | fields
  content = full if file == _FILE else {
      'image_processor': full, 'video_processor': {'size': 7}}
  (tmp_path / file).write_text(json.dumps(content))
  (tmp_path / 'config.json').write_text('{"model_type": "clip"}')
  if refused is not None:
    with pytest.raises(ValueError, match=f'{file}: .*{refused}'):
      preprocess.load(tmp_path)
    return
  mine = preprocess.load(tmp_path)
  processor = transformers.AutoImageProcessor.from_pretrained(
      tmp_path, backend='pil')
  for image in _images():
    wanted = processor(images_lib.to_rgb(image), return_tensors='np')
    ours = (mine.apply(image) / 255 - np.array(mine.mean)) / np.array(mine.std)
    np.testing.assert_allclose(
        ours.transpose(2, 0, 1), wanted['pixel_values'][0], atol=1e-5)


@pytest.fixture(scope='module')
def tokenizers(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokenizers')
  tokenizer_files.make(folder)
  return folder


@pytest.mark.parametrize('name,most', [
    ('clip words', 7), ('clip json', 7.0), ('siglip', 6),
    ('siglip2 fixed', 10**30), ('siglip2 fixed', 1e30)])
def test_texts_are_cut_where_transformers_cuts_them(
    tokenizers, name, most, tmp_path):
  shutil.copytree(tokenizers / name, tmp_path, dirs_exist_ok=True)
  path = tmp_path / 'tokenizer_config.json'
  fields = json.loads(path.read_text()) if path.exists() else {}
  path.write_text(json.dumps(fields | {'model_max_length': most}))
  mine = pretrained_tokenizer.load(tmp_path, 12)
  length = int(min(12, most))
  theirs = getattr(transformers, tokenizer_files.FOLDERS[name])
  wanted = theirs.from_pretrained(tokenizers / name)(
      tokenizer_files.TEXTS[:300], padding='max_length', truncation=True,
      max_length=length)['input_ids']
  ours = mine(tokenizer_files.TEXTS[:300])
  np.testing.assert_array_equal(ours[:, :length], wanted)
  assert (ours[:, length:] == mine.pad_id).all()


def test_padding_that_siglip_would_see_otherwise_is_refused(tmp_path):
  small_files.plain_tokenizer(tmp_path)
  torch_models.siglip().save_pretrained(tmp_path)
  path = tmp_path / 'tokenizer_config.json'
  fields = json.loads(path.read_text())
  path.write_text(json.dumps(fields | {'model_max_length': 6}))
  with pytest.raises(ValueError, match='model_max_length=6 .*embeddings=9'):
    _load(tmp_path)
  for wrong in ('many', 0, True):
    path.write_text(json.dumps(fields | {'model_max_length': wrong}))
    with pytest.raises(ValueError, match='tokenizer_config.json: model_max_l'):
      _load(tmp_path)


@pytest.mark.parametrize('name,model,wanted', [
    ('clip words', 'clip', 'CLIPTokenizer'),
    ('siglip', 'siglip', 'SiglipTokenizer'),
    ('siglip2 fixed json', 'siglip', 'Siglip2Tokenizer'),
    ('siglip2 fixed', 'siglip', 'Siglip2Tokenizer')])
def test_a_tokenizer_without_its_configuration_is_that_of_the_family(
    tokenizers, name, model, wanted, tmp_path):
  for path in (tokenizers / name).iterdir():
    if path.name in ('vocab.json', 'merges.txt', 'spiece.model',
                     'tokenizer.json', 'tokenizer.model'):
      shutil.copy(path, tmp_path)
  with pytest.raises(ValueError, match='names no tokenizer_class.*either'):
    pretrained_tokenizer.load(tmp_path, 9)
  mine = pretrained_tokenizer.load(tmp_path, 9, model)
  assert mine.tokenizer_class == wanted
  np.testing.assert_array_equal(mine(['A DOG']), mine(['a dog']))


def test_a_tokenizer_that_ends_no_text(tmp_path, caplog):
  torch_models.clip(end_id=40).save_pretrained(
      small_files.plain_tokenizer(tmp_path))
  _load(tmp_path)
  assert 'ends no text by token 40, the eos_token_id' in caplog.text


def test_saved_with_the_default_of_its_family(tmp_path):
  torch_models.clip().save_pretrained(tmp_path / 'a')
  config, params = huggingface.load(tmp_path / 'a')
  huggingface.save(tmp_path / 'b', config, params)
  assert preprocess.load(tmp_path / 'b') == preprocess.default('clip', _SIZE)
  processor = transformers.AutoImageProcessor.from_pretrained(
      tmp_path / 'b', backend='pil')
  assert processor.to_dict() == _clip_processor().to_dict()
