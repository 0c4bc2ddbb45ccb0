"""Files of published checkpoints: formats, damage, and what is refused."""

import dataclasses
import json
import os
import re
import shutil

from flax import nnx
import jax
import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

# pylint: disable=wrong-import-position
import huggingface_hub  # noqa: E402
import safetensors.numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from mmal_jax.models import dual_encoder  # noqa: E402
from mmal_jax.models import families  # noqa: E402
from mmal_jax.models import huggingface  # noqa: E402
from mmal_jax.models import presets  # noqa: E402
from mmal_jax.models import pretrained  # noqa: E402
from mmal_jax.models import tensors  # noqa: E402
from tests import torch_models  # noqa: E402


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


@pytest.fixture
def clip(saved, tmp_path):
  return shutil.copytree(saved / 'clip', tmp_path / 'clip')


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
  with pytest.raises(error) as caught:
    call(*args)
  assert re.search(message, str(caught.value), re.S), caught.value


def test_structure_is_that_of_a_new_model(saved):
  config, params = huggingface.load(saved / 'siglip')
  graphdef, fresh = nnx.split(nnx.eval_shape(
      lambda: dual_encoder.from_config(config, rngs=nnx.Rngs(0))), nnx.Param)
  assert jax.tree.structure(params) == jax.tree.structure(fresh)
  for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(fresh)):
    assert isinstance(a, np.ndarray) and a.dtype == np.float32
    assert a.shape == b.shape and a.flags.writeable
  assert hash(graphdef) == hash(
      nnx.split(tensors.abstract(config), nnx.Param)[0])


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
    ('empty', lambda raw: b'', 'header too small'),
    ('truncated', lambda raw: raw[:-10], 'not fully covered'),
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


@pytest.mark.parametrize('text,message', [
    (b'', 'is not JSON'), (b'{"a":', 'is not JSON'), (b'\xff{}', 'is not JSON'),
    (b'[' * 100_000, 'is not JSON'), (b'[]', 'holds no JSON object'),
    (b'{}', 'model_type=None is not supported'),
    (b'{"model_type": "siglip2"}', 'NaFlex'),
    (b'{"model_type": ["clip"]}', 'model_type.* is not supported'),
    (b'{"model_type": "bert"}', "model_type='bert' is not supported; clip,"),
])
def test_damaged_config(siglip, text, message):
  (siglip / 'config.json').write_bytes(text)
  _refuses(f'siglip.config.json:? .*{message}', huggingface.load, siglip)


@pytest.mark.parametrize('side,change,message', [
    ('vision', {'vision_use_head': False}, 'vision_use_head'),
    ('vision', {'hidden_act': 'relu'}, "vision_config.hidden_act='relu'"),
    ('vision', {'hidden_act': {}}, 'vision_config.hidden_act={}'),
    ('text', {'attention_dropout': 0.1}, 'text_config.attention_dropout=0.1'),
    ('vision', {'image_size': [32, 16]}, r'image_size=\[32, 16\].*square'),
    ('vision', {'patch_size': [8, 4]}, r'patch_size=\[8, 4\].*square'),
    ('vision', {'num_channels': 1}, 'num_channels=1'),
    ('vision', {'hidden_size': '24'}, "hidden_size='24' must be a whole"),
    ('vision', {'hidden_size': None}, 'hidden_size=None must be a whole'),
    ('vision', {'num_attention_heads': 5}, 'heads=5 must divide'),
    ('vision', {'patch_size': 64}, 'patch=64 is larger'),
    ('text', {'num_hidden_layers': 0}, 'depth=0 must be at least 1'),
    ('text', {'hidden_size': True}, 'hidden_size=True must be a whole'),
    ('text', {'layer_norm_eps': float('nan')}, 'layer_norm_eps=nan'),
    ('text', {'projection_size': 8}, 'embed_dim=8 must be'),
])
def test_configurations_that_are_none_of_ours(siglip, side, change, message):
  _reconfigure(siglip, lambda fields: fields[f'{side}_config'].update(change))
  _refuses(f'siglip.config.json: .*{message}', huggingface.load, siglip)


def test_sizes_as_lists(siglip):
  before = huggingface.read_config(siglip)
  _reconfigure(siglip, lambda fields: fields['vision_config'].update(
      image_size=[32, 32], patch_size=[8, 8]))
  assert huggingface.read_config(siglip) == before


def test_published_files_leave_out_defaults(tmp_path):
  path = tmp_path / 'config.json'
  # What google/siglip-base-patch16-224 has.
  path.write_text(json.dumps({
      'architectures': ['SiglipModel'], 'initializer_factor': 1.0,
      'model_type': 'siglip',
      'text_config': {'model_type': 'siglip_text_model'},
      'vision_config': {'model_type': 'siglip_vision_model'}}))
  assert huggingface.read_config(tmp_path) == presets.PRESETS['siglip_b16']
  path.write_text('{"model_type": "clip"}')
  config = huggingface.read_config(tmp_path)
  assert config.text.end_id == 49407  # transformers' default, not OpenAI's
  text = dataclasses.replace(config.text, end_id=None)
  assert np.isclose(config.logit_scale, np.log(1 / 0.07), atol=1e-4)
  assert dataclasses.replace(
      config, text=text, logit_scale=presets.PRESETS['clip_b32'].logit_scale
  ) == presets.PRESETS['clip_b32']


@pytest.mark.parametrize('old,given', [
    # As in openai/clip-vit-large-patch14, and where the two contradict.
    ({'hidden_size': 32, 'num_attention_heads': 4}, {'hidden_size': 32}),
    ({'hidden_size': 32}, {'hidden_size': 48, 'eos_token_id': 2,
                           'num_hidden_layers': 3}),
    (None, {'hidden_size': 32, 'eos_token_id': 2}),
])
def test_configs_of_old_clips(tmp_path, old, given):
  fields = {'model_type': 'clip', 'projection_dim': 12, 'text_config': given,
            'text_config_dict': old, 'vision_config_dict': {'patch_size': 16}}
  (tmp_path / 'config.json').write_text(json.dumps(fields))
  ours = huggingface.read_config(tmp_path)
  theirs = transformers.CLIPConfig.from_pretrained(tmp_path)
  text = theirs.text_config
  assert (ours.text.stack.width, ours.text.stack.depth, ours.text.stack.heads
          ) == (text.hidden_size, text.num_hidden_layers,
                text.num_attention_heads)
  assert ours.text.end_id == (
      None if text.eos_token_id == 2 else text.eos_token_id)
  assert ours.image.patch == theirs.vision_config.patch_size == 16


def test_pixels(saved, siglip):
  assert huggingface.read_config(saved / 'clip').image.mean[0] == 0.48145466
  mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
  transformers.SiglipImageProcessorPil(
      image_mean=mean, image_std=std).save_pretrained(siglip)
  image = huggingface.read_config(siglip).image
  assert (image.mean, image.std) == (tuple(mean), tuple(std))


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
  _refuses(r'b tells of images of 32 pixels with mean=\(0.5, 0.25, 0.125\)',
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
  found, params = pretrained.load(saved / 'siglip', given)
  assert found == dataclasses.replace(config, dtype='bfloat16', remat=True)
  _same(params, huggingface.load(saved / 'siglip')[1])
  deeper = dataclasses.replace(config, text=dataclasses.replace(
      config.text, length=64, stack=dataclasses.replace(
          config.text.stack, depth=3)))
  _refuses('siglip is not of the configuration.*text.stack.depth: 2 and 3; '
           r'text.length: 9 and 64\.$', pretrained.load, saved / 'siglip',
           deeper)
  assert families.of(given) is families.SIGLIP


def test_image_size(saved):
  config, params = pretrained.load(saved / 'clip', image_size=(48, 36))
  assert config.image.size == (48, 36)
  assert params.image_tower.position[...].shape == (1 + 6 * 4, 24)
  _refuses('patch=8 is larger', pretrained.load, saved / 'clip', None, 7)


def test_repositories_are_fetched(saved, tmp_path, monkeypatch):
  asked = []

  def fetch(name, allow_patterns):
    asked.append((name, allow_patterns))
    return str(saved / 'clip')

  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(huggingface_hub, 'snapshot_download', fetch)
  config, params = pretrained.load('openai/clip-vit')
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
  assert pretrained.folder_of('openai/clip-vit').resolve() == (
      tmp_path / 'openai' / 'clip-vit')
  assert len(asked) == 1


def test_what_is_nowhere(tmp_path, monkeypatch):
  def fail(*args, **kwargs):
    raise ConnectionError('no route to host')

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', fail)
  _refuses('google/siglip.*could not be fetched.*no route.*Without internet',
           pretrained.load, 'google/siglip', error=FileNotFoundError)
  for name in (str(tmp_path / 'nothing'), './a/b', 'clip_b16', '../a', 'a/b/c'):
    _refuses('does not exist, and is no name of a repository', pretrained.load,
             name, error=FileNotFoundError)
  file = tmp_path / 'model.safetensors'
  file.write_bytes(b'')
  _refuses('is a file, but no .npz', pretrained.load, file)
  _refuses('is no folder', pretrained.folder_of, file)
