"""A link in place of a file that is written is replaced, and never followed."""

import json
import types

import numpy as np
from PIL import Image
import pytest

from experiments import run
from mmal_jax.analysis import figures
from mmal_jax.data.tokenizers import pretrained_tokenizer
from mmal_jax.experiment import run as run_lib
from mmal_jax.models.pretrained import huggingface
from mmal_jax.workdir import layout
from tests.support import programs
from tests.support import small_files

_PRECIOUS = b'precious'


@pytest.fixture(name='precious')
def _precious(tmp_path):
  path = tmp_path / 'precious.txt'
  path.write_bytes(_PRECIOUS)
  return path


@pytest.fixture(name='finished')
def _finished(tmp_path):
  """Runs on images and texts, of which a tokenizer is made; goes on with more.
  """
  rng = np.random.default_rng(0)
  rows = []
  (tmp_path / 'data').mkdir()
  for i in range(40):
    pixels = rng.integers(256, size=(9, 12, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'data' / f'{i}.png')
    rows.append(json.dumps({'image': f'{i}.png', 'text': f'noise {i}'}) + '\n')
  (tmp_path / 'data' / 'pairs.jsonl').write_text(''.join(rows))

  def call(*arguments):
    programs.call(
        run, f'--config={programs.CONFIGS}/images_and_texts.py',
        f'--config.dataset.folder={tmp_path / "data"}',
        '--config.model.width=16', '--config.model.depth=1',
        '--config.train.steps_per_round=2', '--rounds=2', '--batch=4',
        '--strategies=mmal', '--seeds=0', f'--workdir={tmp_path / "w"}',
        f'--cache_dir={tmp_path / "c"}', *arguments)

  call()
  return call


@pytest.mark.long
def test_a_run_writes_in_place_of_links(finished, tmp_path, precious):
  folder, before = tmp_path / 'w', {}
  (folder / layout.SUMMARY).unlink()
  for name in (layout.CURVES, layout.TOKENIZER):
    before[name] = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).symlink_to(precious)
  finished('--resume')
  assert precious.read_bytes() == _PRECIOUS
  for name, content in before.items():
    assert not (folder / name).is_symlink()
    assert (folder / name).read_bytes() == content


def test_the_tokenizer_of_a_checkpoint_is_written_in_place_of_a_link(
    tmp_path, precious):
  elsewhere, folder = tmp_path / 'elsewhere', tmp_path / 'w'
  elsewhere.mkdir()
  folder.mkdir()
  (folder / layout.PRETRAINED).symlink_to(elsewhere)
  (tmp_path / 'published').mkdir()
  tokenizer = pretrained_tokenizer.load(
      small_files.siglip_tokenizer(tmp_path / 'published'), 8)
  experiment = types.SimpleNamespace(
      pretrained=True, data=types.SimpleNamespace(tokenizer=tokenizer))
  # pylint: disable-next=protected-access
  run_lib._write_tokenizer(experiment, folder)
  assert not list(elsewhere.iterdir())
  path = folder / layout.PRETRAINED
  assert not path.is_symlink() and (path / 'spiece.model').read_bytes() == (
      small_files.pieces())
  (path / 'spiece.model').unlink()
  (path / 'spiece.model').symlink_to(precious.with_name('nowhere'))
  # pylint: disable-next=protected-access
  run_lib._write_tokenizer(experiment, folder)
  assert not precious.with_name('nowhere').exists()
  assert (path / 'spiece.model').read_bytes() == small_files.pieces()


def test_pictures_are_written_in_place_of_links_or_not_at_all(
    tmp_path, precious):
  figure = types.SimpleNamespace(
      savefig=lambda file, **_: file.write(b'a picture'))
  path = tmp_path / 'asked.png'
  path.symlink_to(precious)
  figures.save(figure, path, 100)
  assert path.read_bytes() == b'a picture' and not path.is_symlink()

  def fails(file, **_):
    file.write(b'half of')
    raise MemoryError

  figure.savefig = fails
  with pytest.raises(MemoryError):
    figures.save(figure, path, 100)
  assert path.read_bytes() == b'a picture'
  assert precious.read_bytes() == _PRECIOUS


def test_what_is_exported_is_written_in_place_of_links(tmp_path, precious):
  (tmp_path / 'config.json.partial').symlink_to(precious)
  # pylint: disable-next=protected-access
  huggingface._publish(
      tmp_path / 'config.json', lambda file: file.write(b'{}'))
  assert precious.read_bytes() == _PRECIOUS
  assert (tmp_path / 'config.json').read_bytes() == b'{}'
