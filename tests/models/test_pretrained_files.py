"""Files of published checkpoints: formats, damage, and what is refused."""

import dataclasses
import json
import os
import shutil

from flax import nnx
import huggingface_hub
import jax
import numpy as np
import pytest
import safetensors.numpy
import torch
import transformers

from mmal_jax.models import dual_encoder
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import huggingface
from mmal_jax.models.pretrained import published
from mmal_jax.models.pretrained import tensors
from tests.support import torch_models


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """Folders as transformers writes them."""
  folder = tmp_path_factory.mktemp('saved')
  for name, model in (('clip', torch_models.clip()),
                      ('siglip', torch_models.siglip())):
    model.save_pretrained(folder / name)
  torch_models.siglip().save_pretrained(
      folder / 'sharded', max_shard_size='20KB')
  return folder


@pytest.fixture
def siglip(saved, tmp_path):
  return shutil.copytree(saved / 'siglip', tmp_path / 'siglip')


def _same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def _rewrite(folder, change):
  """Changes the tensors of a folder, a dict."""
  path = folder / 'model.safetensors'
  values = safetensors.numpy.load_file(path)
  change(values)
  safetensors.numpy.save_file(values, path)


def _reconfigure(folder, change, name='config.json'):
  fields = json.loads((folder / name).read_text())
  change(fields)
  (folder / name).write_text(json.dumps(fields))


def _refuses(message, call, *args, error=ValueError):
  with pytest.raises(error, match=f'(?s){message}'):
    call(*args)


def test_structure_is_that_of_a_new_model(saved):
  config, params = huggingface.load(saved / 'siglip')
  graphdef, fresh = nnx.split(nnx.eval_shape(
      lambda: dual_encoder.from_config(config, rngs=nnx.Rngs(0))), nnx.Param)
  assert jax.tree.structure(params) == jax.tree.structure(fresh)
  for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(fresh)):
    assert isinstance(a, np.ndarray) and a.dtype == np.float32
    assert a.shape == b.shape and a.flags.writeable
  assert hash(graphdef) == hash(
      dual_encoder.graphdef_of(config))


def test_shards(saved):
  assert len(list((saved / 'sharded').glob('*.safetensors'))) > 2
  a, b = (huggingface.load(saved / name) for name in ('siglip', 'sharded'))
  assert a[0] == b[0]
  _same(a[1], b[1])


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float64'])
def test_other_precisions(tmp_path, dtype):
  model = torch_models.clip().to(getattr(torch, dtype))
  model.save_pretrained(tmp_path)
  config, params = huggingface.load(tmp_path)
  assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype('float32')}
  theirs = model.state_dict()
  params = tensors.by_name(params)
  for tensor in tensors.table(config):
    np.testing.assert_array_equal(
        tensor.from_parameters(params), theirs[tensor.name].float().numpy())


@pytest.mark.parametrize('name,damage,message', [
    ('empty', lambda raw: b'', 'it is empty, as after a download'),
    ('truncated', lambda raw: raw[:-10], 'by its header, so it was cut off'),
    ('half a header', lambda raw: raw[:100], 'header'),
    ('flipped', lambda raw: raw[:20] + bytes(x ^ 255 for x in raw[20:60])
     + raw[60:], 'header'),
    ('longer', lambda raw: raw + b'xx', 'not fully covered'),
    ('endless', lambda raw: (10**12).to_bytes(8, 'little') + raw[8:],
     'header too large'),
])
def test_damaged_weights(siglip, name, damage, message):
  path = siglip / 'model.safetensors'
  path.write_bytes(damage(path.read_bytes()))
  _refuses(f'siglip.model.safetensors is damaged: .*{message}',
           huggingface.load, siglip)


def test_every_tensor_is_accounted_for(siglip):
  old, new = 'logit_bias', 'vision_model.head.probes'

  def change(values):
    values[new] = values.pop(old)
    values['text_model.head.bias'] = np.zeros(7, np.float32)
    values['text_model.embeddings.position_ids'] = np.arange(9)[None]

  _rewrite(siglip, change)
  with pytest.raises(ValueError) as caught:
    huggingface.load(siglip)
  message = str(caught.value)
  assert str(siglip) in message
  assert message.split('\n')[1:] == [
      '  missing: logit_bias (1,)',
      '  text_model.head.bias is (7,), not (24,)',
      '  unexpected: vision_model.head.probes (1,)']


def test_known_buffers_are_ignored(siglip):
  before = huggingface.load(siglip)[1]
  _rewrite(siglip, lambda values: values.update({
      'text_model.embeddings.position_ids': np.arange(9)[None],
      'vision_model.embeddings.position_ids': np.arange(16)[None]}))
  _same(huggingface.load(siglip)[1], before)


def test_long_lists_are_cut(siglip):
  _rewrite(siglip, lambda values: values.update(
      {f'extra.{i}': np.zeros(1, np.float32) for i in range(30)}))
  _refuses(r'unexpected: extra.0 .*\.\.\. and 10 more$', huggingface.load,
           siglip)


def test_integer_weights(siglip):
  _rewrite(siglip, lambda values: values.update(
      logit_bias=np.zeros(1, np.int8)))
  _refuses('siglip: logit_bias is of type I8', huggingface.load, siglip)


@pytest.mark.parametrize('name', [
    '../siglip/model.safetensors', '/etc/model.safetensors', 'a\\b.safetensors',
    'pytorch_model.bin', 3])
def test_an_index_names_files_of_its_folder_only(saved, tmp_path, name):
  folder = shutil.copytree(saved / 'sharded', tmp_path / 'a')
  _reconfigure(folder, lambda fields: fields['weight_map'].update(
      logit_bias=name), huggingface.INDEX)
  _refuses('index.json names .*, which is no .safetensors file in its folder',
           huggingface.load, folder)


def test_damaged_index(saved, tmp_path):
  folder = shutil.copytree(saved / 'sharded', tmp_path / 'a')
  index = folder / huggingface.INDEX
  shards = json.loads(index.read_text())['weight_map']
  moved = shards | {'logit_bias': sorted(set(shards.values()) - {
      shards['logit_bias']})[0]}
  for text, message in (
      ('{', 'index.json is not JSON'), ('[]', 'holds no JSON object'),
      ('{}', 'has no weight_map'),
      (json.dumps({'weight_map': moved}),
       r"does not hold what .* says: \['logit_bias'\]")):
    index.write_text(text)
    _refuses(message, huggingface.load, folder)
  index.write_text(json.dumps({'weight_map': shards}))
  (folder / shards['logit_bias']).unlink()
  _refuses(f'{shards["logit_bias"]} does not exist', huggingface.load, folder,
           error=FileNotFoundError)


def test_missing_files(siglip, tmp_path):
  _refuses('nowhere.config.json does not exist', huggingface.load,
           tmp_path / 'nowhere', error=FileNotFoundError)
  (siglip / 'model.safetensors').rename(siglip / 'pytorch_model.bin')
  _refuses('no model.safetensors.*siglip.*a pickle, is not read.*Convert.*'
           'save_pretrained', huggingface.load, siglip,
           error=FileNotFoundError)
  (siglip / 'config.json').unlink()
  _refuses('siglip.config.json does not exist', huggingface.load, siglip,
           error=FileNotFoundError)


def test_bias_of_a_clip_is_kept(saved, tmp_path):
  config, params = huggingface.load(saved / 'clip')
  assert config.logit_bias == 0 and params.logit_bias[...] == 0
  params.logit_bias = params.logit_bias.replace(np.float32(-0.3))
  huggingface.save(tmp_path, config, params)
  fields = json.loads((tmp_path / 'config.json').read_text())
  assert fields['mmal_jax'] == {'logit_bias': float(np.float32(-0.3))}
  again, same = huggingface.load(tmp_path)
  assert again == dataclasses.replace(
      config, logit_bias=float(np.float32(-0.3)))
  _same(same, params)
  _, info = transformers.CLIPModel.from_pretrained(
      tmp_path, output_loading_info=True)
  assert not any(info.values()), info
  _reconfigure(tmp_path, lambda fields: fields.update(
      mmal_jax={'logit_bias': 'much'}))
  _refuses('logit_bias=.much. must be a finite', huggingface.load, tmp_path)


def test_saving_keeps_pixels(saved, tmp_path):
  config, params = huggingface.load(saved / 'clip')
  other = dataclasses.replace(config, image=dataclasses.replace(
      config.image, mean=(0.5, 0.25, 0.125), std=(0.25, 1.0, 2.0)))
  huggingface.save(tmp_path / 'a', other, params)
  assert huggingface.read_config(tmp_path / 'a') == other
  processor = transformers.CLIPImageProcessorPil.from_pretrained(tmp_path / 'a')
  assert tuple(processor.image_mean) == (0.5, 0.25, 0.125)
  # A folder that says otherwise.
  (tmp_path / 'b').mkdir()
  shutil.copy(tmp_path / 'a' / 'preprocessor_config.json', tmp_path / 'b')
  _refuses(r'b is for images of 32 pixels with mean=\(0.5, 0.25, 0.125\)',
           huggingface.save, tmp_path / 'b', config, params)
  huggingface.save(tmp_path / 'b', other, params)
  assert huggingface.read_config(tmp_path / 'b') == other


def test_nothing_is_overwritten(saved, siglip):
  config, params = huggingface.load(saved / 'siglip')
  before = {path: path.read_bytes() for path in siglip.iterdir()}
  _refuses('there is a config.json in .*siglip', huggingface.save, siglip,
           config, params)
  (siglip / 'config.json').unlink()
  _refuses('there is a model.safetensors in', huggingface.save, siglip, config,
           params)
  assert all(path.read_bytes() == before[path] for path in siglip.iterdir())


def test_a_failed_save_leaves_no_weights(saved, tmp_path, monkeypatch):
  config, params = huggingface.load(saved / 'siglip')

  def fail(*args):
    raise OSError('disk full')

  monkeypatch.setattr(tensors.Tensor, 'from_parameters', fail)
  _refuses('disk full', huggingface.save, tmp_path, config, params,
           error=OSError)
  assert os.listdir(tmp_path) == ['preprocessor_config.json']


def test_what_cannot_be_saved(saved, tmp_path):
  config, params = huggingface.load(saved / 'clip')
  end = dataclasses.replace(config.text, end_id=2)
  wide = dataclasses.replace(config.image, size=(32, 33))
  ours = dataclasses.replace(config.image, pooling='mean', norm_first=False)
  for wrong, message in (
      (dataclasses.replace(config, image=ours),
       r"neither a CLIP \(image.pooling is 'mean', not 'class'; .*SigLIP"),
      (dataclasses.replace(config, image=wide), 'not square'),
      (dataclasses.replace(config, text=end), 'text.end_id=2'),
      (dataclasses.replace(config, embed_dim=13), 'params does not hold')):
    _refuses(message, huggingface.save, tmp_path / 'new', wrong, params)
  assert not (tmp_path / 'new').exists()


def test_given_configuration_must_agree(saved):
  config, _ = huggingface.load(saved / 'siglip')
  given = dataclasses.replace(
      config, dtype='bfloat16', remat=True, logit_scale=0.0, logit_bias=1.0,
      image=dataclasses.replace(config.image, mean=(0.1, 0.2, 0.3)),
      text=dataclasses.replace(config.text, end_id=7))
  found, params = published.load(saved / 'siglip', given)
  assert found == dataclasses.replace(config, dtype='bfloat16', remat=True)
  _same(params, huggingface.load(saved / 'siglip')[1])
  deeper = dataclasses.replace(config, text=dataclasses.replace(
      config.text, length=64, stack=dataclasses.replace(
          config.text.stack, depth=3)))
  _refuses('siglip is not of the configuration.*text.stack.depth: 2 and 3; '
           r'text.length: 9 and 64\.$', published.load, saved / 'siglip',
           deeper)
  assert families.of(given) is families.SIGLIP


def test_image_size(saved):
  config, params = published.load(saved / 'clip', image_size=(48, 36))
  assert config.image.size == (48, 36)
  assert params.image_tower.position[...].shape == (1 + 6 * 4, 24)
  _refuses('patch=8 is larger', published.load, saved / 'clip', None, 7)


def test_repositories_are_fetched(saved, tmp_path, monkeypatch):
  asked = []

  def fetch(name, allow_patterns):
    asked.append((name, allow_patterns))
    return str(saved / 'clip')

  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(huggingface_hub, 'snapshot_download', fetch)
  config, params = published.load('openai/clip-vit')
  assert config == huggingface.read_config(saved / 'clip')
  assert asked[0][0] == 'openai/clip-vit'
  assert not any(huggingface_hub.utils.filter_repo_objects(
      ['pytorch_model.bin', 'onnx/model.safetensors',
       'open_clip_model.safetensors', 'tf_model.h5'],
      allow_patterns=asked[0][1]))
  wanted = ['config.json', 'model-00001-of-00002.safetensors', 'merges.txt',
            'model.safetensors.index.json', 'spiece.model', 'tokenizer.json']
  assert list(huggingface_hub.utils.filter_repo_objects(
      wanted, allow_patterns=asked[0][1])) == wanted
  # A path that exists comes first.
  shutil.copytree(saved / 'siglip', tmp_path / 'openai' / 'clip-vit')
  assert published.folder_of('openai/clip-vit').resolve() == (
      tmp_path / 'openai' / 'clip-vit')
  assert len(asked) == 1


def test_what_is_nowhere(tmp_path, monkeypatch):
  def fail(*args, **kwargs):
    raise ConnectionError('no route to host')

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', fail)
  _refuses('google/siglip.*could not be fetched.*no route.*Without internet',
           published.load, 'google/siglip', error=FileNotFoundError)
  for name in (str(tmp_path / 'nothing'), './a/b', 'clip_b16', '../a', 'a/b/c'):
    _refuses('does not exist, and is no name of a repository', published.load,
             name, error=FileNotFoundError)
  file = tmp_path / 'model.safetensors'
  file.write_bytes(b'')
  _refuses('is a file, but no .npz', published.load, file)
  _refuses('is no folder', published.folder_of, file)
