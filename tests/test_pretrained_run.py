"""Programs on a checkpoint: `--init`, over a mesh, to disk, and home again."""

import json
import os
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
from flax import nnx
import ml_collections
import numpy as np
from PIL import Image
import pytest
import tokenizers
import torch
import transformers

from experiments import embed
from experiments import export
from experiments import pretrained
from experiments import run
from experiments import workdir
from mmal_jax.models import dual_encoder
from mmal_jax.models import huggingface
from tests import big_vision_files
from tests import torch_models

LENGTH, VOCAB = torch_models.LENGTH, 300
_CONFIGS = os.path.join(os.path.dirname(run.__file__), 'configs')
_SMALL = ['--config.train.steps_per_round=2', '--config.train.batch_size=8',
          '--config.rounds=2', '--config.batch=4', '--strategies=mmal_entropy',
          '--seeds=3']


@pytest.fixture(scope='module')
def published(tmp_path_factory):
  """A SigLIP with tokenizer and preprocessing, as one would download it."""
  folder = tmp_path_factory.mktemp('published')
  torch_models.siglip(vocab=VOCAB).save_pretrained(folder)
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
  tokenizer.train_from_iterator(['a red cat and a blue dog'] * 3,
                                tokenizers.trainers.BpeTrainer(
      vocab_size=VOCAB, special_tokens=['<pad>', '<eos>'], show_progress=False,
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
  transformers.PreTrainedTokenizerFast(
      tokenizer_object=tokenizer, pad_token='<pad>', eos_token='<eos>'
  ).save_pretrained(folder)
  size = torch_models.IMAGE_SIZE
  (folder / 'preprocessor_config.json').write_text(json.dumps({
      'image_processor_type': 'SiglipImageProcessor', 'resample': 3,
      'size': {'height': size, 'width': size}, 'image_mean': [0.5, 0.4, 0.3],
      'image_std': [0.5, 0.25, 0.3]}))
  return folder


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  """24 noisy pictures of many sizes, in pairs, with a table of captions."""
  folder = tmp_path_factory.mktemp('photos')
  rng = np.random.default_rng(0)
  lines = []
  for i in range(24):
    shape = (int(rng.integers(20, 60)), int(rng.integers(20, 60)), 3)
    Image.fromarray(rng.integers(256, size=shape).astype(np.uint8)).save(
        folder / f'{i}.png')
    lines.append({'image': f'{i}.png', 'text': f'a red cat number {i}',
                  'group': i // 2})
  (folder / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, lines)))
  return folder


def _main(program, *arguments):
  argv = ['program', *map(str, arguments)]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    if program is embed:  # Another program's flag, which it requires.
      argv.append('--workdir=unused')
    program.main(flags.FLAGS(argv))


@pytest.fixture(scope='module')
def finished(published, photos, tmp_path_factory):
  """A run over 4 x 2 devices, from checkpoint and files to a workdir."""
  folder = tmp_path_factory.mktemp('run')
  _main(run, f'--config={_CONFIGS}/pretrained.py:paired_folder',
        f'--workdir={folder / "w"}', f'--cache_dir={folder / "c"}',
        f'--init={published}', f'--config.dataset.folder={photos}',
        '--config.mesh.fsdp=2', '--config.train.loss=sigmoid_ring',
        '--config.train.freeze=lit', '--config.train.ema=0.5',
        '--config.train.peak_lr=0.01', *_SMALL)
  return folder


def test_a_run_starts_from_a_checkpoint(finished, published):
  metrics = workdir.read_lines(finished / 'w' / workdir.METRICS)
  assert [m['annotations'] for m in metrics] == [0, 4, 8]
  assert {'group', 'i2t_r1'} <= set(metrics[0]['scores'])
  config = json.loads((finished / 'w' / workdir.CONFIG).read_text())
  assert config['init'] == str(published)
  # Its tokenizer is kept with the run.
  saved = transformers.AutoTokenizer.from_pretrained(
      finished / 'w' / workdir.PRETRAINED)
  original = transformers.AutoTokenizer.from_pretrained(published)
  text = 'a blue dog, unheard of'
  assert saved(text).input_ids == original(text).input_ids


def test_its_model_goes_home(finished, published):
  out = finished / 'home'
  arguments = [
      f'--workdir={finished / "w"}', f'--cache_dir={finished / "c"}',
      '--strategy=mmal_entropy', '--seed=3', f'--export={out}']
  _main(export, *arguments)
  with pytest.raises(SystemExit, match='home.* exists'):
    _main(export, *arguments)
  ours, params = huggingface.load(out)
  theirs = transformers.AutoModel.from_pretrained(out)
  images, tokens = torch_models.images(), torch_models.tokens(1, vocab=VOCAB)
  _, before = huggingface.load(published)
  model = nnx.merge(dual_encoder.graphdef_of(ours), params)
  with torch.no_grad():
    outputs = theirs.eval()(
        input_ids=torch.from_numpy(tokens).long(),
        pixel_values=torch_models.pixel_values(
            images, ours.image.mean, ours.image.std))
  for got, expected in (
      (model.encode_image(images), outputs.image_embeds),
      (model.encode_text(tokens), outputs.text_embeds)):
    np.testing.assert_allclose(got, expected.numpy(), atol=2e-5)
  # The image side was locked, the text side learnt; what is written is the
  # average of the training, not its last step.
  np.testing.assert_array_equal(
      params['image_tower']['position'][...],
      before['image_tower']['position'][...])
  learnt = params['text_tower']['position'][...]
  assert not np.allclose(learnt, before['text_tower']['position'][...])
  processor = transformers.AutoImageProcessor.from_pretrained(
      out, backend='pil')
  assert list(processor.image_mean) == [0.5, 0.4, 0.3]


def test_embed_to_files_of_a_folder(published, photos, tmp_path, capsys):
  texts = tmp_path / 'texts.txt'
  texts.write_text('a cat\na dog\n')
  arguments = [f'--init={published}', f'--images={photos}', f'--texts={texts}',
               f'--embeddings={tmp_path / "e"}', '--batch_size=8']
  _main(embed, *arguments)
  out = capsys.readouterr().out
  assert 'image: 24 rows of 24, of which 24 were embedded now' in out
  rows = np.load(tmp_path / 'e' / 'image.npy')
  paths = (tmp_path / 'e' / 'image.txt').read_text().splitlines()
  theirs = transformers.SiglipModel.from_pretrained(published).eval()
  processor = transformers.AutoImageProcessor.from_pretrained(
      published, backend='pil')
  pixels = processor([Image.open(path) for path in paths],
                     return_tensors='pt')
  with torch.no_grad():
    features = theirs.get_image_features(**pixels).pooler_output.numpy()
  np.testing.assert_allclose(
      rows, features / np.linalg.norm(features, axis=1, keepdims=True),
      atol=2e-5)
  assert np.load(tmp_path / 'e' / 'text.npy').shape == (2, 24)
  _main(embed, *arguments)
  assert 'of which 0 were embedded now' in capsys.readouterr().out


@pytest.mark.parametrize('arguments,message', [
    (['--model=siglip_b16'], 'image.stack.width: 24 and 768'),
    (['--model=siglib'], "model.name='siglib' is unknown"),
    (['--config.mesh.fsdp=16'], 'there are 8'),
    (['--config.train.loss=hinge'], "train.loss='hinge' is unknown"),
    (['--config.train.freeze=head'], "train.freeze='head' is unknown"),
    (['--init=nowhere/at/all'], 'nowhere/at/all'),
])
def test_one_line_says_what_is_wrong(
    published, photos, tmp_path, arguments, message):
  with pytest.raises(SystemExit) as e:
    _main(run, f'--config={_CONFIGS}/pretrained.py:paired_folder',
          f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}',
          f'--init={published}', f'--config.dataset.folder={photos}', *_SMALL,
          *arguments)
  assert str(e.value).startswith('error: ') and message in str(e.value)


def test_a_published_model_needs_its_checkpoint(tmp_path):
  with pytest.raises(SystemExit, match='siglip_b16.* needs a checkpoint'):
    _main(run, f'--config={_CONFIGS}/colorswap.py', f'--workdir={tmp_path}/w',
          '--config.model.name=siglip_b16')


def test_weights_of_big_vision_take_a_tokenizer_from_elsewhere(
    published, tmp_path):
  theirs = transformers.SiglipModel.from_pretrained(published)
  path, words = tmp_path / 'siglip.npz', tmp_path / 'words'
  np.savez(path, **big_vision_files.arrays(theirs))
  transformers.AutoTokenizer.from_pretrained(published).save_pretrained(words)
  config = ml_collections.ConfigDict({
      'init': str(path), 'text': {},
      'model': {'name': 'checkpoint', 'dtype': 'bfloat16', 'image_size': 48}})
  with pytest.raises(ValueError, match='no tokenizer .*config.text.folder'):
    pretrained.load(config)
  config.text.folder = str(words)
  found = pretrained.load(config)
  assert (found.config.dtype, found.config.image.size) == ('bfloat16', (48, 48))
  assert found.preprocess.size == found.preprocess.edge == 48
  assert found.params['image_tower']['position'].shape == (36, 24)
  assert found.tokenizer(['a cat']).shape == (1, LENGTH)


def test_a_tokenizer_of_another_model_is_refused(published, tmp_path):
  torch_models.siglip(vocab=50).save_pretrained(tmp_path)
  for name in ('tokenizer.json', 'tokenizer_config.json'):
    (tmp_path / name).write_bytes((published / name).read_bytes())
  config = ml_collections.ConfigDict(
      {'init': str(tmp_path), 'model': {'name': 'checkpoint'}})
  with pytest.raises(ValueError, match='has 2.. tokens, .* only 50'):
    pretrained.load(config)
