"""What a failed download leaves in place of a file is named, with a remedy."""

import bz2
import gzip
import io
import lzma
import os
import pathlib
import re
import shutil
import tarfile

import numpy as np
from PIL import Image
import pyarrow
from pyarrow import parquet
import pytest

from mmal_jax.data import features
from mmal_jax.data import paired_folder
from mmal_jax.data import webdataset
from mmal_jax.data.images import image_formats
from mmal_jax.data.images import images
from mmal_jax.data.images import preprocess
from mmal_jax.data.tokenizers import pretrained_tokenizer
from mmal_jax.files import numpy_file
from mmal_jax.files import text_file
from mmal_jax.models.pretrained import big_vision
from mmal_jax.models.pretrained import published
from tests.support import small_files

_LFS = (b'version https://git-lfs.github.com/spec/v1\noid sha256:' + b'7' * 64
        + b'\nsize 1234567\n')
_PAGE = b'\n<!DOCTYPE html>\n<html lang="en"><head><title>Sign in' + b' ' * 3000
INSTEAD = {
    'lfs': (_LFS, r'Git LFS pointer .*1,234,567 bytes: run `git lfs pull` in '),
    'lfs of windows': (_LFS.replace(b'\n', b'\r\n'), 'Git LFS .*1,234,567'),
    'annex': (b'/annex/objects/SHA256E-s99--abc.safetensors\n',
              'git annex get'),
    'link': (b'../../blobs/' + b'0a' * 20, r'blobs/0a.*cp -rL'),
    'page': (_PAGE, r'web page \(HTML\)'),
    'refusal': (b'Access to model acme/clip is restricted. You must have',
                'answer of a web server.*Access to model'),
    'error': (b'{"error":"Repository not found"}', 'answer of a web server'),
    'bucket': (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDen'
               b'ied</Code></Error>', 'answer of a web server'),
    'nothing': (b'', 'is empty, as after a download')}
_IN_TEXTS = ('lfs', 'annex', 'link')  # Else it may be what the file says.


def _siglip(folder):
  small_files.siglip(folder)
  small_files.siglip_tokenizer(folder)
  return small_files.siglip(folder)  # Its config.json again.


def _open(folder):
  published.load(folder)
  preprocess.load(folder)
  pretrained_tokenizer.load(folder, 6)


def _check(path, read, kind, error=ValueError):
  content, says = INSTEAD[kind]
  path.write_bytes(content)
  with pytest.raises(error, match=rf'(?s){path.name}\W.*{says}') as caught:
    read()
  message = str(caught.value)
  assert '`' not in message or str(path.parent) in message
  assert 'Error' not in re.sub('</?Error>', '', message), message
  assert 'NoneType' not in message and 'codec' not in message


@pytest.mark.parametrize('kind', INSTEAD)
@pytest.mark.parametrize('name', [
    'model.safetensors', 'config.json', 'preprocessor_config.json',
    'tokenizer_config.json', 'spiece.model'])
def test_of_a_checkpoint(name, kind, tmp_path):
  folder = _siglip(tmp_path)
  _open(folder)
  if kind == 'error' and name.endswith('.json'):
    return  # An object of JSON: then it lacks what it should name.
  _check(folder / name, lambda: _open(folder), kind)


@pytest.mark.parametrize('kind', INSTEAD)
def test_of_shards(kind, tmp_path):
  folder = small_files.sharded_siglip(tmp_path)
  shutil.copytree(folder, tmp_path / 'b')
  _check(folder / 'model-1.safetensors', lambda: published.load(folder), kind)
  if kind != 'error':
    _check(tmp_path / 'b' / 'model.safetensors.index.json',
           lambda: published.load(tmp_path / 'b'), kind)


@pytest.mark.parametrize('kind', INSTEAD)
def test_of_other_files(kind, tmp_path):
  npz = small_files.big_vision_file(tmp_path / 'a.npz')
  _check(npz, lambda: big_vision.load(npz), kind)
  clip = small_files.clip_tokenizer(tmp_path / 'clip')
  plain = small_files.plain_tokenizer(tmp_path / 'plain')
  for path in (clip / 'vocab.json', clip / 'merges.txt',
               plain / 'tokenizer.json'):
    if (kind, path.suffix) not in (('error', '.json'), ('nothing', '.txt')):
      good = path.read_bytes()
      _check(path, lambda: pretrained_tokenizer.load(path.parent, 6), kind)
      path.write_bytes(good)


@pytest.mark.parametrize('kind', INSTEAD)
@pytest.mark.parametrize('name', ['a.npy', 'a.npz', 'a.parquet'])
def test_of_features(name, kind, tmp_path):
  values = np.arange(12, dtype=np.float32).reshape(4, 3)
  np.save(tmp_path / 'a.npy', values)
  np.savez(tmp_path / 'a.npz', values)
  parquet.write_table(
      pyarrow.table({'image': list(values)}), tmp_path / 'a.parquet')
  np.save(tmp_path / 'texts.npy', values)
  path = tmp_path / name
  _check(path, lambda: features.load(path, tmp_path / 'texts.npy'), kind)


@pytest.mark.parametrize('kind', INSTEAD)
def test_of_images_and_tables(kind, tmp_path):
  lines = []
  for i in range(6):
    Image.new('RGB', (9, 9), (40 * i, 0, 0)).save(tmp_path / f'{i}.png')
    lines.append(f'{{"image": "{i}.png", "text": "number {i}"}}\n')
  table = tmp_path / 'pairs.jsonl'
  table.write_text(''.join(lines))
  good = (tmp_path / '2.png').read_bytes()
  _check(tmp_path / '2.png', lambda: paired_folder.load(tmp_path), kind)
  (tmp_path / '2.png').write_bytes(good)
  if kind in _IN_TEXTS:
    _check(table, lambda: paired_folder.load(tmp_path), kind)


@pytest.mark.parametrize('kind', INSTEAD)
def test_of_shards_of_images(kind, tmp_path):
  path = tmp_path / 'a.tar'
  with pytest.raises(ValueError, match=INSTEAD[kind][1]):
    path.write_bytes(INSTEAD[kind][0])
    webdataset.load(path)
  with tarfile.open(path, 'w') as tar:
    for name, content in (('0.jpg', INSTEAD[kind][0]), ('0.txt', b'a kite')):
      member = tarfile.TarInfo(name)
      member.size = len(content)
      tar.addfile(member, io.BytesIO(content))
  with pytest.raises(ValueError, match=f'0.jpg.*{INSTEAD[kind][1]}'):
    webdataset.load(path)


@pytest.mark.parametrize('program,content', [
    ('gzip', gzip.compress(bytes(600), mtime=0)),
    ('bzip2', bz2.compress(bytes(600))), ('bzip2', bz2.compress(b'')),
    ('xz', lzma.compress(bytes(600))), ('zip', b'PK\3\4' + bytes(600)),
    ('compress', b'\x1f\x9d\x90' + bytes(600)),
    ('zstd', b'\x28\xb5\x2f\xfd' + bytes(600)),
    ('lz4', b'\x04\x22\x4d\x18' + bytes(600)),
    ('7-Zip', b'7z\xbc\xaf\x27\x1c' + bytes(600)),
    ('RAR', b'Rar!\x1a\7\1\0' + bytes(600))])
def test_what_is_packed_is_called_so_by_all(tmp_path, program, content):
  how = f'packed by {program}: unpack it'
  (tmp_path / 'a.tar').write_bytes(content)
  with pytest.raises(ValueError, match=f'a.tar: it cannot be read.*is {how}'):
    webdataset.load(tmp_path / 'a.tar')
  with pytest.raises(ValueError, match=f'it is none of these, but {how}'):
    images.decode(content)
  if program != 'zip':  # Texts and arrays may be one.
    with pytest.raises(ValueError, match=f'not UTF-8 text, but {how}'):
      text_file.decode(content)
    (tmp_path / 'a.npy').write_bytes(content)
    with pytest.raises(ValueError, match=f'it is {how}'):
      numpy_file.read(tmp_path / 'a.npy', 'image')


@pytest.mark.parametrize('text', [
    'BZh, a temple', 'BZh9 is a place', '7z and more', 'Rar! they cry',
    'PK\3', 'version https://git-lfs is at', '/annex/objects is a path'])
def test_texts_that_begin_as_what_is_packed_are_texts(text):
  assert text_file.decode(text.encode()) == text
  assert image_formats.of(text.encode()) == (
      '', 'another kind of file', False, False)


@pytest.mark.parametrize('content,says', [
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n',
     'a Git LFS pointer in place of the file.*: run `git lfs pull`, or'),
    (b'version https://hawser.github.com/spec/v1\noid 1\nsize 9\n',
     'a Git LFS pointer in place of the file.*: run `git lfs pull`, or'),
    (b'/annex/objects/SHA256E-s9--ab.png\n',
     'a pointer of git-annex .*annex get')])
def test_pointers_are_called_so_by_all(content, says):
  for read in (images.decode, text_file.decode):
    with pytest.raises(ValueError, match=f'but {says}'):
      read(content)


def test_of_what_is_packed(tmp_path):
  folder = small_files.siglip(tmp_path)
  path = folder / 'model.safetensors'
  path.write_bytes(gzip.compress(path.read_bytes()))
  with pytest.raises(ValueError, match='safetensors .*packed by gzip: unpack'):
    published.load(folder)
  np.savez(path.with_suffix('.npz'), np.ones(3))  # as torch.save does
  path.with_suffix('.npz').rename(path)
  with pytest.raises(ValueError, match='is a pickle of PyTorch .*may run any'):
    published.load(folder)


@pytest.mark.parametrize('kept', [-1, -50, 400, 9, 20])
def test_of_what_was_cut_off(kept, tmp_path):
  folder = small_files.siglip(tmp_path)
  path = folder / 'model.safetensors'
  whole = path.read_bytes()
  path.write_bytes(whole[:kept])
  size = len(whole[:kept])
  needed = len(whole) if kept < 0 else 8 + int.from_bytes(whole[:8], 'little')
  with pytest.raises(ValueError, match=(
      f'it has {size:,} bytes, but {needed:,} by its header, so it was cut')):
    published.load(folder)


def _rename(*names):
  def change(folder):
    (folder / 'model.safetensors').unlink()
    for name in names:
      (folder / name).parent.mkdir(parents=True, exist_ok=True)
      (folder / name).write_text('{"base_model_name_or_path": "acme/clip"}')
  return change


@pytest.mark.parametrize('change,says', [
    (_rename('pytorch_model.bin'), 'pytorch_model.bin, a pickle, is not read'),
    (_rename('ckpt.pt', 'training_args.bin'), 'ckpt.pt, a pickle, is not'),
    (_rename('adapter_config.json', 'adapter_model.safetensors'),
     r"an adapter \(LoRA\) of 'acme/clip', not a model.*merge_and_unload"),
    (_rename('model-00001-of-00002.safetensors'),
     'shards without their index: download model.safetensors.index.json'),
    (_rename('model.safetensors.part'),
     r'download there is not finished \(model.safetensors.part\): run it'),
    (_rename('.cache/huggingface/download/x.abc.incomplete'),
     'download there is not finished .*x.abc.incomplete'),
    (_rename('model.fp16.safetensors'), 'holds model.fp16.safetensors, which is'
     '.*name it model.safetensors'),
    (_rename('flax_model.msgpack'), 'flax_model.msgpack, weights of another'),
    (_rename(), 'It holds no weights at all')])
def test_weights_that_are_not_there(change, says, tmp_path):
  folder = small_files.siglip(tmp_path / 'a')
  change(folder)
  with pytest.raises(FileNotFoundError, match=f'no model.safetensors .*{says}'):
    published.load(folder)


def test_all_missing_shards_are_named(tmp_path):
  folder = small_files.sharded_siglip(tmp_path)
  (folder / 'model-0.safetensors').unlink()
  with pytest.raises(FileNotFoundError, match=(
      'model-0.safetensors does not exist.*: 1 of 2 files of weights')):
    published.load(folder)
  (folder / 'model-1.safetensors').unlink()
  with pytest.raises(FileNotFoundError, match=(
      'model-0.safetensors, model-1.safetensors does not exist')):
    published.load(folder)


def _cache(root, *revisions, main=None):
  """A repository in the cache of huggingface_hub, with its links."""
  folder = root / 'hub' / 'models--acme--siglip'
  (folder / 'refs').mkdir(parents=True)
  (folder / 'blobs').mkdir()
  source = small_files.siglip(root / 'source')
  for revision in revisions:
    (folder / 'snapshots' / revision).mkdir(parents=True)
    for i, path in enumerate(sorted(source.iterdir())):
      shutil.copy(path, folder / 'blobs' / str(i))
      (folder / 'snapshots' / revision / path.name).symlink_to(
          pathlib.Path('../../blobs') / str(i))
  if main is not None:
    (folder / 'refs' / 'main').write_text(main)
  return folder


def test_folders_of_a_cache(tmp_path):
  folder = _cache(tmp_path / 'a', 'abc')
  want = published.load(tmp_path / 'a' / 'source')[0]
  for given in (folder, folder / 'snapshots', folder / 'snapshots' / 'abc'):
    assert published.load(given)[0] == want
  assert published.folder_of(folder) == folder / 'snapshots' / 'abc'
  several = _cache(tmp_path / 'b', 'abc', 'def', main='def\n')
  assert published.folder_of(several).name == 'def'
  (several / 'refs' / 'main').unlink()
  with pytest.raises(ValueError, match='2 snapshots: give one of them: .*abc'):
    published.load(several)
  for given in (tmp_path / 'b', tmp_path / 'b' / 'hub'):
    with pytest.raises(ValueError, match='the folder of one .*acme--siglip'):
      published.load(given)
  shutil.rmtree(folder / 'snapshots' / 'abc')
  with pytest.raises(ValueError, match='holds no snapshot'):
    published.load(folder)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors',
                                  'preprocessor_config.json'])
def test_links_whose_files_are_gone(name, tmp_path):
  folder = _cache(tmp_path, 'abc')
  os.remove((folder / 'snapshots' / 'abc' / name).resolve())
  with pytest.raises(ValueError, match=f'{name} is a link to .*blobs'):
    published.load(folder)


def test_folders_beside_the_checkpoint(tmp_path):
  for name in ('checkpoint-500', 'checkpoint-1000'):
    small_files.siglip(tmp_path / name)
  with pytest.raises(FileNotFoundError, match=(
      'config.json does not exist. Folders in it .*checkpoint-1000, .*-500')):
    published.load(tmp_path)
  (tmp_path / 'b').mkdir()
  (tmp_path / 'b' / 'adapter_config.json').write_text('{}')
  with pytest.raises(FileNotFoundError, match='adapter .LoRA., not a model'):
    published.load(tmp_path / 'b')
  (tmp_path / 'c').mkdir()
  (tmp_path / 'c' / 'open_clip_config.json').write_text('{}')
  with pytest.raises(FileNotFoundError, match='names of OpenCLIP are not read'):
    published.load(tmp_path / 'c')


def test_a_file_in_place_of_its_folder(tmp_path):
  folder = small_files.siglip(small_files.plain_tokenizer(tmp_path / 'a'))
  with pytest.raises(ValueError, match=f'is a file: give the .*{folder}$'):
    pretrained_tokenizer.load(folder / 'tokenizer.json', 6)
  with pytest.raises(ValueError, match=f'a file, .*the folder: {folder}$'):
    published.load(folder / 'model.safetensors')
