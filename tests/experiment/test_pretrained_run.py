"""Programs on a checkpoint: `--init`, over a mesh, to disk, and home again."""

import json
import os
import shutil
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
from flax import nnx
import jax
import ml_collections
import numpy as np
from PIL import Image
import pytest
import torch
import transformers

from experiments import embed
from experiments import export
from experiments import run
from experiments.configs import pretrained as pretrained_config
from mmal_jax.checkpoint import pytrees
from mmal_jax.data import text_list
from mmal_jax.data.images import preprocess
from mmal_jax.experiment import build
from mmal_jax.experiment import check
from mmal_jax.experiment import export as export_lib
from mmal_jax.experiment import pretrained
from mmal_jax.learn import maker
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import make as gradient
from mmal_jax.learn.gradient import softmax
from mmal_jax.models import dual_encoder
from mmal_jax.models import names
from mmal_jax.models.pretrained import huggingface
from mmal_jax.pools import pools as pools_lib
from mmal_jax.workdir import layout
from tests.support import big_vision_files
from tests.support import published_files
from tests.support import together
from tests.support import tokenizer_files
from tests.support import torch_models

LENGTH, VOCAB = torch_models.LENGTH, 300
_CONFIGS = os.path.join(os.path.dirname(run.__file__), 'configs')
_SMALL = ['--config.train.steps_per_round=2', '--config.train.batch_size=8',
          '--config.rounds=2', '--config.batch=4', '--strategies=mmal_entropy',
          '--seeds=3']


@pytest.fixture(scope='module')
def published(tmp_path_factory):
  """A SigLIP."""
  return published_files.publish(
      torch_models.siglip(vocab=VOCAB), tmp_path_factory.mktemp('published'),
      'SiglipImageProcessor')


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  return published_files.photos(tmp_path_factory.mktemp('photos'))


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
        '--config.train.freeze=lit', '--config.train.ema=0.9',
        '--config.train.peak_lr=0.01', *_SMALL)
  return folder


@pytest.mark.long
def test_a_run_starts_from_a_checkpoint(finished, published):
  metrics = layout.read_lines(finished / 'w' / layout.METRICS)
  assert [m['annotations'] for m in metrics] == [0, 4, 8]
  assert {'group', 'i2t_r1'} <= set(metrics[0]['scores'])
  config = json.loads((finished / 'w' / layout.CONFIG).read_text())
  assert config['init'] == str(published)
  # Its tokenizer is kept with the run.
  saved = transformers.AutoTokenizer.from_pretrained(
      finished / 'w' / layout.PRETRAINED)
  original = transformers.AutoTokenizer.from_pretrained(published)
  text = 'a blue dog, unheard of'
  assert saved(text).input_ids == original(text).input_ids


@pytest.mark.long
def test_of_two_processes_one_writes_the_model(finished):
  folders = [finished / 'of_two', finished / 'of_one']
  flags_of = [[f'--workdir={finished / "w"}', '--strategy=mmal_entropy',
               '--seed=3', f'--export={out}'] for out in folders]
  ended = together.run('experiments.export', flags_of[0], together.joining(2))
  assert [status for status, *_ in ended] == [0, 0], ended
  assert ['is written' in said for _, said, _ in ended] == [True, False]
  _main(export, *flags_of[1])
  names_of = [sorted(p.name for p in out.iterdir()) for out in folders]
  assert names_of[0] == names_of[1]
  for name in names_of[0]:
    assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.long
def test_its_model_goes_home(finished, published):
  out = finished / 'home'
  arguments = [
      f'--workdir={finished / "w"}', '--strategy=mmal_entropy', '--seed=3',
      f'--export={out}']
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
  # The image side was locked, to the bit; of the text side what is written is
  # the average of the training, not its last step.
  for name, one, other in zip(
      names.all_names(params), *map(jax.tree.leaves, (params, before))):
    if name.startswith('image_'):
      np.testing.assert_array_equal(one, other)
  config = ml_collections.ConfigDict(
      json.loads((finished / 'w' / layout.CONFIG).read_text()))
  experiment = build.build(config, str(finished / 'c'))
  pools, _ = pools_lib.hide_pairing(experiment.data.pool, 3)
  state = pytrees.load(
      layout.state_path(finished / 'w', 'mmal_entropy', 3)
      / str(config.rounds), build.initial_state(experiment, pools.sizes, 3))
  name = 'text_tower.position'
  np.testing.assert_array_equal(
      params['text_tower']['position'][...], state.learner_state.average[name])
  assert not np.allclose(
      params['text_tower']['position'][...],
      state.params['text_tower']['position'][...], atol=1e-5)
  processor = transformers.AutoImageProcessor.from_pretrained(
      out, backend='pil')
  assert list(processor.image_mean) == [0.5, 0.4, 0.3]


@pytest.mark.long
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
    (['--config.mesh.fsdp=16'], 'does not divide the 8 devices'),
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
  with pytest.raises(ValueError, match='no tokenizer .* text.folder'):
    pretrained.load(config)
  config.text.folder = str(words)
  found = pretrained.load(config)
  assert (found.config.dtype, found.config.image.size) == ('bfloat16', (48, 48))
  assert found.preprocess.size == found.preprocess.edge == 48
  assert found.params['image_tower']['position'].shape == (36, 24)
  assert found.tokenizer(['a cat']).shape == (1, LENGTH)
  texts = tmp_path / 'texts.txt'
  texts.write_text('a cat\n')
  _main(embed, f'--init={path}', f'--tokenizer={words}', f'--texts={texts}',
        '--image_size=48', f'--embeddings={tmp_path / "e"}')
  assert np.load(tmp_path / 'e' / 'text.npy').shape == (1, 24)


def test_preprocessing_stays_that_of_the_weights(published, tmp_path):
  for name in ('tokenizer.json', 'tokenizer_config.json'):
    (tmp_path / name).write_bytes((published / name).read_bytes())
  config = ml_collections.ConfigDict({
      'init': str(published), 'text': {'folder': str(tmp_path)},
      'model': {'name': 'checkpoint'}})
  assert pretrained.load(config).preprocess.mean == (0.5, 0.4, 0.3)


def test_siglip_2_is_never_fed_upper_case(published, tmp_path):
  tokenizer_files.gemma(tmp_path)
  folder = tokenizer_files.only(
      tmp_path / 'siglip2 fixed', tmp_path / 'gemma', 'tokenizer.model',
      'tokenizer_config.json')
  torch_models.siglip(vocab=900).save_pretrained(tmp_path / 'weights')
  config = ml_collections.ConfigDict({
      'init': str(tmp_path / 'weights'), 'text': {'folder': str(folder)},
      'model': {'name': 'checkpoint'}})
  # How its images are resized is not known of a SigLIP 2 without the file.
  with pytest.raises(ValueError, match='has no preprocessor_config.json'):
    pretrained.load(config)
  preprocess.save(preprocess.default('siglip', 32), folder, 'siglip')
  found = pretrained.load(config)  # Gemma's beside a SigLIP is SigLIP 2's.
  assert found.tokenizer.tokenizer_class == 'Siglip2Tokenizer'
  np.testing.assert_array_equal(
      found.tokenizer(['A DOG']), found.tokenizer(['a dog']))
  (folder / 'config.json').write_text('{"model_type": "gemma"}')
  with pytest.raises(ValueError, match='keeps upper case'):
    pretrained.load(config)


@pytest.mark.long
def test_only_what_the_run_started_from_is_exported(
    finished, published, tmp_path):
  """Another checkpoint at another place, or one that was changed in place."""
  def export_from(init):
    export_lib.export(
        finished / 'w', 'mmal_entropy', 3, tmp_path / 'out', str(init))

  moved = tmp_path / 'moved'
  shutil.copytree(published, moved)
  file = moved / 'preprocessor_config.json'
  fields = json.loads(file.read_text())
  file.write_text(json.dumps(fields | {'resample': 2}))
  with pytest.raises(ValueError, match='moved.*: preprocessing: not what the'):
    export_from(moved)
  file.write_text(json.dumps(fields))
  tokens = moved / 'tokenizer_config.json'
  before = tokens.read_text()
  tokens.write_text(json.dumps(json.loads(before) | {'name_or_path': 'x'}))
  with pytest.raises(ValueError, match='moved.*: tokenizer: not what the runs'):
    export_from(moved)
  tokens.write_text(before)
  with pytest.raises(ValueError, match='nowhere.* does not exist. Say where'):
    export_from(tmp_path / 'nowhere')
  export_from(moved)
  assert (tmp_path / 'out' / 'model.safetensors').exists()


def _configured(*arguments):
  argv = ['run', f'--config={_CONFIGS}/pretrained.py', '--workdir=w',
          '--init=nowhere', *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    flags.FLAGS(argv)
    return run.configure()


@pytest.mark.long
def test_a_checkpoint_is_fine_tuned_from_closed_form_heads(
    published, photos, tmp_path):
  _main(run, f'--config={_CONFIGS}/pretrained.py:paired_folder',
        f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}',
        f'--init={published}', f'--config.dataset.folder={photos}',
        '--config.mesh.fsdp=2', '--config.train.learner=fine_tune',
        '--config.train.freeze=lit', *_SMALL, '--rounds=2', '--batch=6')
  losses = [line['loss'] for line in layout.read_lines(
      tmp_path / 'w' / layout.METRICS)[1:]]
  assert len(losses) == 2 and np.isfinite(losses).all()
  with pytest.raises(ValueError, match='heads have no place in a published'):
    export_lib.export(tmp_path / 'w', 'mmal_entropy', 3, tmp_path / 'out')


def test_flags_of_the_config_that_readme_names(published):
  config = _configured(
      '--config.model.image_size=384', '--config.text.folder=words',
      '--config.train.lr_factors=*_tower.*=0.1,logit_*=0',
      '--config.train.freeze=text_tower.token.*,*.position',
      '--config.train.clip=0.5', '--config.train.warmup_fraction=0.2',
      '--config.train.ema=0.99', '--config.train.parts=2',
      '--config.train.loss=softmax', '--config.model.dtype=bfloat16',
      '--config.model.remat=True', '--config.mesh.data=4')
  assert config.model.image_size == 384 and (
      config.text.folder == os.path.abspath('words'))
  _, params = huggingface.load(published)
  graphdef = dual_encoder.graphdef_of(huggingface.read_config(published))
  recipe = gradient.by_gradient(maker.Given(
      config, None, graphdef=graphdef, params=params)).recipe
  assert recipe.frozen == ('text_tower.token.*', '*.position')
  assert recipe.parts == 2 and recipe.loss is softmax.softmax_loss
  for value in ('*_tower.*', '*_tower.*=x', '=1', 'a=-1', 'a=inf'):
    with pytest.raises(ValueError, match='lr_factors=.*PATTERN=FACTOR'):
      _configured(f'--config.train.lr_factors={value}')
  with pytest.raises(ValueError, match='\'a\' more than once'):
    _configured('--config.train.lr_factors=a=1,a=2')
  for key, value in (('train.ema', 1.0), ('train.clip', 0.0),
                     ('train.warmup_fraction', 1.5), ('model.dtype', 'int8')):
    with pytest.raises(ValueError, match=key):
      _configured(f'--config.{key}={value}')


def test_a_clip_learns_by_the_loss_it_was_trained_with(
    published, photos, tmp_path):
  clip = published_files.publish(
      torch_models.clip(vocab=VOCAB, end_id=1), tmp_path,
      'CLIPImageProcessor')
  for init, loss in ((clip, softmax.softmax_loss),
                     (published, loss_lib.sigmoid_loss)):
    config = pretrained_config.get_config('paired_folder')
    config.update({'init': str(init), 'dataset': {'folder': str(photos)},
                   'rounds': 1, 'batch': 2})
    check.check(config)
    experiment = build.build(config, str(tmp_path / 'c'))
    assert experiment.learner.recipe.loss is loss


def test_lines_are_lines(published, tmp_path):
  path = tmp_path / 'texts.txt'
  path.write_bytes('\ufeffa\u2028b\r\n\nc\x0cd\n'.encode())
  assert text_list.texts_of(path) == ['a\u2028b', '', 'c\x0cd']
  path.write_text('')
  with pytest.raises(SystemExit, match='texts.txt.* is empty'):
    _main(embed, f'--init={published}', f'--texts={path}',
          f'--embeddings={tmp_path / "e"}')


def test_a_tokenizer_of_another_model_is_refused(published, tmp_path):
  torch_models.siglip(vocab=50).save_pretrained(tmp_path)
  for name in ('tokenizer.json', 'tokenizer_config.json'):
    (tmp_path / name).write_bytes((published / name).read_bytes())
  config = ml_collections.ConfigDict(
      {'init': str(tmp_path), 'model': {'name': 'checkpoint'}})
  with pytest.raises(ValueError, match='has 2.. tokens, .* only 50'):
    pretrained.load(config)
