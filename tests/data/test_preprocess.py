"""The pixels of transformers' image processors, and files that both read."""

import importlib.util
import json

import numpy as np
from PIL import Image
import pytest
import transformers

from mmal_jax.data.images import images
from mmal_jax.data.images import preprocess

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BACKENDS = ['pil', pytest.param('torchvision', marks=pytest.mark.skipif(
    importlib.util.find_spec('torchvision') is None,
    reason='torchvision is not installed'))]
# As openai/clip-vit-base-patch32 wrote it, and newer ones.
OLD_CLIP = {
    'crop_size': 56, 'do_center_crop': True, 'do_normalize': True,
    'do_resize': True, 'feature_extractor_type': 'CLIPFeatureExtractor',
    'image_mean': _CLIP_MEAN, 'image_std': _CLIP_STD, 'resample': 3, 'size': 60}
CLIP = {
    'crop_size': {'height': 56, 'width': 56}, 'do_center_crop': True,
    'do_convert_rgb': True, 'do_normalize': True, 'do_rescale': True,
    'do_resize': True, 'image_processor_type': 'CLIPImageProcessorFast',
    'image_mean': _CLIP_MEAN, 'image_std': _CLIP_STD, 'resample': 3,
    'rescale_factor': 0.00392156862745098, 'size': {'shortest_edge': 56}}
SIGLIP = {
    'do_convert_rgb': None, 'do_normalize': True, 'do_rescale': True,
    'do_resize': True, 'image_processor_type': 'SiglipImageProcessor',
    'image_mean': [0.5, 0.5, 0.5], 'image_std': [0.5, 0.5, 0.5], 'resample': 2,
    'processor_class': 'SiglipProcessor',
    'rescale_factor': 0.00392156862745098, 'size': {'height': 56, 'width': 56}}
PUBLISHED = {'old clip': OLD_CLIP, 'clip': CLIP, 'siglip': SIGLIP}


def _write(folder, fields, name='preprocessor_config.json'):
  (folder / name).write_text(json.dumps(fields))
  return folder


def _images():
  """Noise, gradients and smooth images of many shapes; greys among them."""
  rng = np.random.default_rng(0)
  for height, width in [
      (120, 160), (161, 121), (56, 56), (20, 75), (75, 20), (250, 33),
      (33, 250), (7, 9), (57, 56), (1, 1), (3, 125), (125, 3), (60, 61)]:
    noise = rng.integers(256, size=(height, width, 3)).astype(np.uint8)
    yield 'noise', Image.fromarray(noise)
    ramp = np.add.outer(
        np.linspace(0, 127, height), np.linspace(0, 128, width))
    yield 'ramp', Image.fromarray(
        np.stack([ramp, 255 - ramp, ramp / 2], -1).astype(np.uint8))
    yield 'grey', Image.fromarray(ramp.astype(np.uint8))
    few = rng.integers(256, size=(8, 8, 3)).astype(np.uint8)
    yield 'smooth', Image.fromarray(few).resize(
        (width, height), Image.Resampling.BICUBIC)


def _pixels(processor, mine, image):
  """What transformers gives, before it normalised."""
  if not processor.do_convert_rgb:  # It then fails on greys.
    image = image.convert('RGB')
  values = processor(image, return_tensors='np')['pixel_values'][0]
  values = np.asarray(values, np.float64).transpose(1, 2, 0)
  return (values * np.array(mine.std) + np.array(mine.mean)) * 255


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('name', PUBLISHED)
def test_same_pixels_as_transformers(name, backend, tmp_path):
  folder = _write(tmp_path, PUBLISHED[name])
  processor = transformers.AutoImageProcessor.from_pretrained(
      folder, backend=backend)
  assert ('Pil' in type(processor).__name__) == (backend == 'pil')
  mine = preprocess.load(folder)
  np.testing.assert_allclose(mine.mean, processor.image_mean)
  np.testing.assert_allclose(mine.std, processor.image_std)
  tolerance = 1e-3 if backend == 'pil' else 2 + 1e-3
  for kind, image in _images():
    got = mine.apply(image)
    assert got.shape == (56, 56, 3) and got.dtype == np.uint8
    np.testing.assert_allclose(
        got, _pixels(processor, mine, image), rtol=0, atol=tolerance,
        err_msg=f'{kind} {image.size}')


@pytest.mark.parametrize('resample', [1, 2, 3])
def test_every_filter(resample, tmp_path):
  mine = preprocess.load(_write(tmp_path, SIGLIP | {'resample': resample}))
  for kind, image in _images():
    image = image.convert('RGB')
    np.testing.assert_array_equal(
        mine.apply(image), np.asarray(image.resize((56, 56), resample)), kind)


def test_arrays_and_other_modes():
  mine = preprocess.Preprocess(8, 10, 'shortest')
  rng = np.random.default_rng(1)
  noise = rng.integers(256, size=(30, 20, 3)).astype(np.uint8)
  expected = mine.apply(Image.fromarray(noise))
  np.testing.assert_array_equal(mine.apply(noise), expected)
  clear = Image.new('RGBA', (9, 5), (0, 0, 0, 0))
  assert (mine.apply(clear) == 255).all()
  grey = Image.fromarray(noise[..., 0])
  assert (np.ptp(mine.apply(grey), axis=-1) == 0).all()


@pytest.mark.parametrize('image', [
    np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8),
    np.zeros((4, 4, 4), np.uint8), [[1]], 'a.png'])
def test_what_is_no_image(image):
  with pytest.raises(TypeError, match='image is'):
    preprocess.Preprocess(2, 2).apply(image)


def test_images_are_opened_as_decode_does(tmp_path):
  image = Image.new('RGB', (8, 4), 'black')
  image.paste('white', (0, 0, 8, 1))
  exif = Image.Exif()
  exif[0x0112] = 6
  image.save(tmp_path / 'turned.png', exif=exif)
  opened = images.open_rgb(tmp_path / 'turned.png')
  assert opened.mode == 'RGB' and opened.size == (4, 8)
  assert (np.asarray(opened)[:, -1] == 255).all()
  with pytest.raises(ValueError, match='cannot be read as PNG/JPEG/WEBP'):
    images.open_rgb(b'nothing')


SAVED = [
    ('clip', preprocess.Preprocess(
        40, 44, 'shortest', 'bicubic', _CLIP_MEAN, _CLIP_STD)),
    ('clip', preprocess.Preprocess(40, 40, 'squash', 'lanczos')),
    ('clip', preprocess.Preprocess(38, 41, 'squash', 'bilinear')),
    ('siglip', preprocess.Preprocess(40, 40))]


@pytest.mark.parametrize('kind,mine', SAVED)
def test_transformers_reads_what_is_saved(kind, mine, tmp_path):
  preprocess.save(mine, tmp_path / 'new', kind)
  assert preprocess.load(tmp_path / 'new') == mine
  processor = transformers.AutoImageProcessor.from_pretrained(
      tmp_path / 'new', backend='pil')
  assert type(processor).__name__.lower() == f'{kind}imageprocessorpil'
  for _, image in list(_images())[:12]:
    np.testing.assert_allclose(
        mine.apply(image), _pixels(processor, mine, image), atol=1e-3, rtol=0)


@pytest.mark.parametrize('name', PUBLISHED)
def test_what_transformers_saves_is_read(name, tmp_path):
  folder = _write(tmp_path, PUBLISHED[name])
  transformers.AutoImageProcessor.from_pretrained(
      folder, backend='pil').save_pretrained(tmp_path / 'again')
  assert preprocess.load(tmp_path / 'again') == preprocess.load(folder)


def test_nested_in_the_processor_file(tmp_path):
  _write(tmp_path, {'image_processor': SIGLIP}, 'processor_config.json')
  _write(tmp_path, CLIP)
  assert preprocess.load(tmp_path).resize == 'squash'
  _write(tmp_path, {'processor_class': 'CLIPProcessor'},
         'processor_config.json')
  assert preprocess.load(tmp_path).resize == 'shortest'


def test_type_by_the_model(tmp_path):
  fields = {k: v for k, v in SIGLIP.items() if k != 'image_processor_type'}
  _write(tmp_path, fields)
  with pytest.raises(ValueError, match='names no model_type'):
    preprocess.load(tmp_path)
  _write(tmp_path, {'model_type': 'siglip'}, 'config.json')
  assert preprocess.load(tmp_path).size == 56
  _write(tmp_path, {'model_type': 'vit'}, 'config.json')
  with pytest.raises(ValueError, match='not supported'):
    preprocess.load(tmp_path)


@pytest.mark.parametrize('fields,expected', [
    ({'image_processor_type': 'CLIPImageProcessor'}, (224, 224, 'shortest')),
    ({'image_processor_type': 'SiglipImageProcessor'}, (224, 224, 'squash')),
    (CLIP | {'size': 70, 'default_to_square': True}, (56, 70, 'squash')),
    (CLIP | {'size': [70, 70], 'crop_size': [56, 56]}, (56, 70, 'squash')),
    (CLIP | {'size': {'height': 64, 'width': 64}, 'do_center_crop': False},
     (64, 64, 'squash'))])
def test_fields_left_out_and_other_forms(fields, expected, tmp_path):
  mine = preprocess.load(_write(tmp_path, fields))
  assert (mine.size, mine.edge, mine.resize) == expected
  processor = transformers.AutoImageProcessor.from_pretrained(
      tmp_path, backend='pil')
  image = Image.effect_mandelbrot((100, 130), (-2, -1.5, 1, 1.5), 50)
  np.testing.assert_allclose(
      mine.apply(image), _pixels(processor, mine, image), atol=1e-3, rtol=0)


def test_without_normalisation(tmp_path):
  mine = preprocess.load(_write(tmp_path, SIGLIP | {'do_normalize': False}))
  assert mine.mean == (0, 0, 0) and mine.std == (1, 1, 1)
  assert preprocess.load(_write(tmp_path, SIGLIP | {
      'image_mean': 0.25, 'image_std': 0.5})).mean == (0.25,) * 3


@pytest.mark.parametrize('change,message', [
    ({'do_rescale': False}, 'do_rescale=False'),
    ({'do_resize': False}, 'do_resize=False'),
    ({'rescale_factor': 1 / 127.5}, 'rescale_factor'),
    ({'rescale_factor': 'x'}, 'preprocessor_config.json'),
    ({'do_pad': True}, 'do_pad=True'),
    ({'do_flip_channel_order': True}, 'do_flip'),
    ({'use_square_size': True}, 'use_square_size'),
    ({'auto_map': {'a': 'b'}}, 'auto_map'),
    ({'resample': 0}, 'resample=0'),
    ({'do_center_crop': False}, 'different shapes'),
    ({'size': {'shortest_edge': 50}}, 'cropped, never padded'),
    ({'size': {'shortest_edge': 60, 'longest_edge': 90}}, 'size='),
    ({'size': {'height': 60, 'width': 61}}, 'size='),
    ({'size': True}, 'size=True'), ({'size': 0}, 'size='),
    ({'size': 60.5}, 'size=60.5'),
    ({'crop_size': {'shortest_edge': 56}}, 'crop_size'),
    ({'image_mean': [0.5, 0.5]}, 'mean='), ({'image_std': 0}, 'std='),
    ({'image_std': 'x'}, 'image_std'),
    ({'image_processor_type': 'ViTImageProcessor'}, 'ViTImageProcessor'),
    ({'image_processor_type': 'Siglip2ImageProcessor'}, 'NaFlex')])
def test_what_is_not_done_exactly_is_refused(change, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    preprocess.load(_write(tmp_path, CLIP | change))


def test_bad_files(tmp_path):
  with pytest.raises(FileNotFoundError, match='preprocessor_config.json'):
    preprocess.load(tmp_path)
  for text in ('{"size"', '[]', '\xff'):
    (tmp_path / 'preprocessor_config.json').write_text(text)
    with pytest.raises(ValueError, match='preprocessor_config.json.*JSON'):
      preprocess.load(tmp_path)


@pytest.mark.parametrize('fields', [
    {'size': 0, 'edge': 1}, {'size': 3, 'edge': 2}, {'resize': 'crop'},
    {'resample': 'nearest'}, {'mean': [0.5] * 3}, {'std': (1., 0., 1.)},
    {'mean': (0., float('nan'), 0.)}])
def test_fields_are_checked(fields):
  with pytest.raises(ValueError, match=next(iter(fields))):
    preprocess.Preprocess(**{'size': 2, 'edge': 2} | fields)


def test_saving_is_refused(tmp_path):
  crops = preprocess.Preprocess(40, 44, 'shortest')
  with pytest.raises(ValueError, match='kind'):
    preprocess.save(crops, tmp_path, 'vit')
  with pytest.raises(ValueError, match='only squashes'):
    preprocess.save(crops, tmp_path, 'siglip')
  preprocess.save(crops, tmp_path, 'clip')
  before = (tmp_path / 'preprocessor_config.json').read_bytes()
  preprocess.save(crops, tmp_path, 'clip')
  with pytest.raises(FileExistsError, match='something else'):
    preprocess.save(preprocess.Preprocess(40, 40), tmp_path, 'clip')
  assert (tmp_path / 'preprocessor_config.json').read_bytes() == before


def test_hashable():
  assert len({preprocess.Preprocess(2, 2), preprocess.Preprocess(2, 2),
              preprocess.Preprocess(2, 3)}) == 2
