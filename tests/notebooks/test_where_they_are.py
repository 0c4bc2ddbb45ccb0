"""Where a notebook takes photos and captions from, without its kernel."""

import sys
import types
import zipfile

from PIL import Image
import pytest

from experiments.notebooks import build

_CAPTIONS = ['a red square', 'a blue square']


def _read(**values):
  """Photos and captions by the notebook's cells, with values of its form."""
  form, cell = (
      ''.join(cell['source'])
      for cell in build.notebook('your_photos_and_captions')['cells']
      if cell['metadata'].get('tags') == ['parameters']
      or 'import zipfile' in ''.join(cell['source']))
  names = {}
  exec(form, names)
  names |= values
  exec(cell, names)
  return names['photos'], names['captions']


def _colab(monkeypatch, **modules):
  """`google.colab`, which is in Colab alone."""
  made = types.SimpleNamespace(**modules)
  monkeypatch.setitem(sys.modules, 'google.colab', made)


def _images():
  return [Image.new('RGB', (8, 8), colour) for colour in ('red', 'blue')]


def _lines(path):
  return path.read_text('utf-8').splitlines()


def test_a_zip_that_is_uploaded(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)

  def upload():
    with zipfile.ZipFile('mine.zip', 'w') as archive:
      archive.writestr('captions.txt', '\n'.join(_CAPTIONS))
      for i, image in enumerate(_images()):
        image.save(f'{i}.png')
        archive.write(f'{i}.png', f'photos/{i}.png')
    return {'mine.zip': b''}

  _colab(monkeypatch, files=types.SimpleNamespace(upload=upload))
  photos, captions = _read(source='upload', folder='it')
  assert _lines(captions) == _CAPTIONS
  assert [path.name for path in sorted(photos.iterdir())] == ['0.png', '1.png']
  # Nothing is uploaded twice.
  _colab(monkeypatch, files=None)
  assert _read(source='upload', folder='it') == (photos, captions)


def test_a_dataset_of_hugging_face(tmp_path, monkeypatch):
  datasets = pytest.importorskip('datasets')
  monkeypatch.chdir(tmp_path)
  made = datasets.Dataset.from_dict(
      {'picture': _images(), 'caption': _CAPTIONS},
      features=datasets.Features(
          picture=datasets.Image(), caption=datasets.Value('string')))
  (tmp_path / 'data').mkdir()
  made.to_parquet(str(tmp_path / 'data' / 'train.parquet'))
  photos, captions = _read(
      source='huggingface', dataset=str(tmp_path / 'data'),
      image_column='picture', text_column='caption')
  assert list(captions) == _CAPTIONS
  assert [image.size for image in photos] == [(8, 8)] * 2


def test_the_example_hides_its_pairs(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  photos, captions = _read(source='example')
  lines = _lines(captions)
  assert len(lines) == len(set(lines)) == len(list(photos.iterdir())) == 200
  assert lines != sorted(lines) and 'an icon: zebra face' in lines
