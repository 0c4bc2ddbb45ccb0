"""Zero-shot classification against plain loops; folders of classes."""

import dataclasses
import json
import unicodedata

import ml_collections
import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import encode
from mmal_jax.data import prompts
from mmal_jax.data import schema
from mmal_jax.data.images import class_folder
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from mmal_jax.evaluate import classification
from mmal_jax.experiment import datasets


def _reference(images, classes, labels):
  """Ranks one image at a time."""
  ranks = []
  for image, label in zip(images, labels):
    scores = [float(np.dot(image, c)) for c in classes]
    ranks.append(sum(s >= scores[label] for i, s in enumerate(scores)
                     if i != label))
  return {'top1': 100 * np.mean([r < 1 for r in ranks]),
          'top5': 100 * np.mean([r < 5 for r in ranks])}


@pytest.mark.parametrize(
    'n,c,t,d', [(40, 11, 3, 5), (1, 2, 1, 1), (9, 6, 2, 3)])
def test_against_loops(n, c, t, d):
  rng = np.random.default_rng(n)
  texts = rng.normal(size=(c, t, d)).astype(np.float32) * 7
  found = classification.class_embeddings(texts)
  assert found.shape == (c, d) and found.dtype == np.float64
  for i in range(c):
    mean = sum(row / np.sqrt(np.sum(np.float64(row) ** 2))
               for row in texts[i].astype(np.float64)) / t
    np.testing.assert_allclose(
        found[i], mean / np.linalg.norm(mean), atol=1e-12)
  images = rng.normal(size=(n, d)).astype(np.float32)
  labels = rng.integers(c, size=n)
  expected = _reference(images.astype(np.float64), found, labels)
  assert classification.accuracy(images, found, labels) == pytest.approx(
      expected)
  # The length of an image's embedding says nothing.
  longer = images * rng.uniform(1, 9, size=(n, 1)).astype(np.float32)
  assert classification.accuracy(longer, found, labels) == pytest.approx(
      expected)


def test_long_prompts_count_no_more_than_short_ones():
  texts = np.array([[[100.0, 0], [0, 1]], [[1.0, 0], [0, 0.01]]])
  np.testing.assert_allclose(
      classification.class_embeddings(texts), np.sqrt(0.5) * np.ones((2, 2)))


def test_ties_and_what_is_no_number_count_against_the_model():
  same = np.ones((6, 2))
  assert classification.accuracy(same[:3], same, np.array([0, 3, 5])) == {
      'top1': 0.0, 'top5': 0.0}
  assert classification.accuracy(same[:1], same[:5], np.array([0])) == {
      'top1': 0.0, 'top5': 100.0}
  nan = np.full((1, 2), np.nan)
  assert classification.accuracy(nan, same, np.array([2]))['top5'] == 0.0


@pytest.mark.parametrize('images,classes,labels', [
    (np.ones((2, 3)), np.ones((4, 2)), np.array([0, 1])),
    (np.ones((2, 3)), np.ones((4, 3)), np.array([0])),
    (np.ones((2, 3)), np.ones((4, 3)), np.array([0, 4])),
    (np.ones((2, 3)), np.ones((4, 3)), np.array([-1, 0])),
    (np.ones((2, 3)), np.ones((4, 3)), np.array([0.0, 1.0])),
    (np.ones((0, 3)), np.ones((4, 3)), np.zeros(0, int)),
])
def test_accuracy_refuses(images, classes, labels):
  with pytest.raises(ValueError, match='labels'):
    classification.accuracy(images, classes, labels)


@pytest.mark.parametrize('texts', [
    np.zeros((2, 3, 4)), np.ones((2, 3)), np.ones((2, 0, 4)),
    np.full((1, 1, 2), np.nan), np.array([[[1.0, 0], [-1, 0]]])])
def test_class_embeddings_refuse(texts):
  with pytest.raises(ValueError, match='text_embeddings'):
    classification.class_embeddings(texts)


def test_prompts():
  made = prompts.of_classes(['cat', '{} of a kind'])
  t = len(prompts.TEMPLATES)
  assert len(made) == 2 * t and len(set(made)) == 2 * t
  assert made[0] == 'a photo of a cat.'
  assert made[t] == 'a photo of a {} of a kind.'
  for bad in ([], ['no place'], ['{} and {}']):
    with pytest.raises(ValueError, match='templates'):
      prompts.of_classes(['cat'], bad)


def test_prompts_are_as_long_as_they_are():
  pixels = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
  pairs = schema.image_text(pixels, ('a cat', 'a dog'), schema.no_groups(2))
  bare = schema.Dataset('x', pairs, pairs)
  dataset = dataclasses.replace(bare, labelled=schema.Labelled(
      pixels, np.array([0, 1], np.int32), ('cat', 'big dog')))
  encoded = encode.encode(dataset, max_tokens=256)
  tokens = encoded.test.labelled.prompts.values
  assert len(np.unique(tokens, axis=0)) == len(tokens)
  assert (tokens[:, -1] > 0).any()
  assert tokens.shape[1] == encoded.pool.items['text'].values.shape[1]
  # They are no texts to learn merges from.
  assert encoded.tokenizer.to_str() == encode.encode(bare).tokenizer.to_str()
  cut = encode.encode(dataset, max_tokens=9).test.labelled.prompts.values
  np.testing.assert_array_equal(cut, tokens[:, :9])


def _classes(folder):
  """Colours by class; one file is no image by its name."""
  colours = {'red_thing': (250, 0, 0), 'blue thing': (0, 0, 250)}
  for i, (name, colour) in enumerate(colours.items()):
    (folder / name).mkdir()
    for j in range(i + 1):
      Image.new('RGB', (8, 8), colour).save(
          folder / name / f'{j}.{("png", "JPG")[j]}')
    (folder / name / 'notes.txt').write_text('x')
  (folder / '.hidden').mkdir()
  return folder


def test_class_folder(tmp_path):
  folder = _classes(tmp_path)
  data = class_folder.load_labelled(folder, image_size=4)
  assert data.classes == ('blue thing', 'red thing') and len(data) == 3
  assert data.labels.tolist() == [0, 0, 1] and data.labels.dtype == np.int32
  assert data.images.shape == (3, 4, 4, 3) and data.images.dtype == np.uint8
  for label, image in zip(data.labels, data.images):
    assert image.mean((0, 1)).argmax() == (2, 0)[label]
  lazy = class_folder.load_labelled(
      folder, preprocess=preprocess.Preprocess(4, 4))
  assert isinstance(lazy.images, image_files.ImageFiles)
  np.testing.assert_array_equal(lazy.images.take(np.arange(3)), data.images)


@pytest.mark.parametrize('lazy', [False, True])
def test_labelled_images_of_the_pool_are_said(tmp_path, caplog, lazy):
  (tmp_path / 'classes').mkdir()
  classes = _classes(tmp_path / 'classes')
  rows = []
  for i, split in enumerate(('pool', 'pool', 'test')):
    Image.new('L', (8, 8), 40 * i).save(tmp_path / f'{i}.png')
    rows.append({'image': f'{i}.png', 'text': f'text {i}', 'split': split})
  (tmp_path / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  config = ml_collections.ConfigDict({'dataset': {
      'name': 'paired_folder', 'folder': str(tmp_path),
      'classes': str(classes)}})
  how = preprocess.Preprocess(4, 4) if lazy else None
  assert len(datasets.load_raw(config, '', how).labelled) == 3
  assert 'images are in the pool' not in caplog.text
  # One of the test set is no matter.
  for i in (1, 2):
    (classes / 'red_thing' / f'{i}.png').write_bytes(
        (tmp_path / f'{i}.png').read_bytes())
  datasets.load_raw(config, '', how)
  assert '1 of ' in caplog.text
  assert 'labelled images are in the pool, too' in caplog.text


def test_links_of_a_class_folder_do_not_lead_out_of_it(tmp_path):
  (tmp_path / 'classes').mkdir()
  folder = _classes(tmp_path / 'classes')
  (folder / 'red_thing' / 'in.png').symlink_to(folder / 'red_thing' / '0.png')
  assert len(class_folder.load_labelled(folder)) == 4
  Image.new('RGB', (8, 8)).save(tmp_path / 'secret.png')
  (folder / 'red_thing' / 'out.png').symlink_to(tmp_path / 'secret.png')
  with pytest.raises(
      ValueError, match="image 'red_thing/out.png' lies outside the folder"):
    class_folder.load_labelled(folder)


def test_class_folder_says_all_that_is_wrong(tmp_path):
  folder = _classes(tmp_path)
  (folder / 'empty').mkdir()
  (folder / 'red thing').mkdir()
  (folder / '_').mkdir()
  (folder / 'blue thing' / 'bad.png').write_bytes(b'x')
  with pytest.raises(ValueError) as e:
    class_folder.load_labelled(folder)
  for what in ("'empty': no image", "'red_thing': class 'red thing' is there t",
               "'_': class '' is no name", "'blue thing': image 'bad.png' can",
               '6 problem(s)'):
    assert what in str(e.value), e.value
  with pytest.raises(ValueError, match='no folder'):
    class_folder.load_labelled(folder / 'gone')
  with pytest.raises(ValueError, match='1 class folder'):
    (tmp_path / 'one' / 'class').mkdir(parents=True)
    class_folder.load_labelled(tmp_path / 'one')
  with pytest.raises(ValueError, match='leave it out'):
    class_folder.load_labelled(folder, 4, preprocess.Preprocess(4, 4))


def _put_class(folder, name, seed=0):
  (folder / name).mkdir()
  Image.new('RGB', (8, 8), (seed, 9, 9)).save(folder / name / '0.png')


@pytest.mark.parametrize('names', [
    ('caf\u00e9', 'cafe\u0301'), ('\u00c5_x', 'A\u030a x'),
    ('\u212b', '\u00c5'), ('\uac00', '\u1100\u1161')])
def test_one_name_composed_in_two_ways_is_one_class(tmp_path, names):
  for name in names:
    _put_class(tmp_path, name)
  with pytest.raises(ValueError, match='1 problem.*\n.*is there twice'):
    class_folder.load_labelled(tmp_path)


def test_names_are_composed(tmp_path):
  for name in ('pin\u0303ata', 'Stra\u00dfe'):
    _put_class(tmp_path, name)
  assert class_folder.load_labelled(tmp_path).classes == (
      'Stra\u00dfe', 'pi\u00f1ata')


@pytest.mark.parametrize('names', [
    ('zebra', '\u00e9clair', 'eagle'), ('pi\u00f1a', 'pio', 'pint'),
    ('\uac00', '\u4e00', 'b'), ('a_b', 'a!b', 'aB')])
def test_classes_are_ordered_by_their_composed_names(tmp_path, names):
  """A folder that a Mac wrote, whose names are decomposed, gives the same."""
  found = []
  for form in ('NFC', 'NFD'):
    folder = tmp_path / form
    folder.mkdir()
    for i, name in enumerate(names):
      _put_class(folder, unicodedata.normalize(form, name), 50 * i)
    data = class_folder.load_labelled(folder, image_size=4)
    found.append((data.classes, data.images[:, 0, 0, 0].tolist()))
  expected = [name.replace('_', ' ') for name in sorted(names)]
  assert found == [(tuple(expected), [
      50 * [n.replace('_', ' ') for n in names].index(name)
      for name in expected])] * 2


@pytest.mark.parametrize('name', ['caf\udce9', '\udcff', 'a_\udc80b'])
def test_names_that_are_no_text(tmp_path, name):
  for one in (name, 'cat', 'dog'):
    _put_class(tmp_path, one)
  with pytest.raises(ValueError, match='1 problem') as e:
    class_folder.load_labelled(tmp_path)
  assert f'folder {name!r}: its name is no UTF-8' in str(e.value)
  str(e.value).encode()


@pytest.mark.parametrize('target', ['dog', '.', 'dog/deep', '.hidden'])
def test_linked_folders_are_no_classes(tmp_path, caplog, target):
  folder = tmp_path / 'c'
  folder.mkdir()
  for i, name in enumerate(('cat', 'dog', '.hidden', 'dog/deep')):
    _put_class(folder, name, i)
  (folder / 'wolf').symlink_to(folder / target)
  data = class_folder.load_labelled(folder)
  assert data.classes == ('cat', 'dog') and data.labels.tolist() == [0, 1, 1]
  assert '1 is a linked folder, which is not followed (wolf)' in caplog.text
  (tmp_path / 'l').symlink_to(folder)  # The whole of it may be a link.
  assert class_folder.load_labelled(tmp_path / 'l').classes == ('cat', 'dog')
  _put_class(tmp_path, 'outside')
  (folder / 'fox').symlink_to(tmp_path / 'outside')
  with pytest.raises(ValueError, match="folder 'fox' lies outside the folder"):
    class_folder.load_labelled(folder)
