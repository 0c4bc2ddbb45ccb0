"""Slips of those who call a session are named, and what to do instead."""

import numpy as np
from PIL import Image
import pytest

from mmal_jax.session import session as session_lib
from tests.session import known
from tests.support import bad_images

Session = session_lib.Session


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _session(**options):
  return Session(images=np.eye(4) + 1, texts=np.eye(5) + 1, **options)


@pytest.mark.parametrize('call,error,said', [
    (lambda s, q: s.candidates('img', 0, 'text', 3), ValueError,
     "modality='img' is none of image, text"),
    (lambda s, q: s.candidates('image', 0, 'image', 3), ValueError,
     r"of=\('image', 'image'\) must be two of image, text"),
    (lambda s, q: s.candidates('image', 4, 'text', 3), ValueError,
     'there is no image 4: numbers are 0 to 3'),
    (lambda s, q: s.candidates('image', -1, 'text', 3), ValueError,
     'there is no image -1'),
    (lambda s, q: s.candidates('image', 0, 'text', 2.5), TypeError, 'k=2.5'),
    (lambda s, q: s.candidates('image', 0, 'text', 0), ValueError, 'k=0'),
    (lambda s, q: s.item('image', 9), ValueError, 'there is no image 9'),
    (lambda s, q: s.item('image', '1'), TypeError, "number='1'"),
    (lambda s, q: s.embeddings('img'), ValueError, "modality='img' is none of"),
    (lambda s, q: s.match('0.9'), TypeError, "probability='0.9' must be a num"),
    (lambda s, q: s.match(recall=1.0), ValueError,
     r'recall=1.0 must be a number within \(0, 1\)'),
    (lambda s, q: s.match(recall='x'), ValueError, "recall='x' must be a num"),
    (lambda s, q: s.match(of='image'), ValueError, "of='image' must be two of"),
    (lambda s, q: s.match(of=3), ValueError, 'of=3 must be two of'),
    (lambda s, q: s.tell(q, 3), TypeError, r'give tell\({question: answer}\)'),
    (lambda s, q: s.tell({q: 1.0}), ValueError, 'the number of an? (im|te)'),
    (lambda s, q: s.put_aside(q), TypeError, r'\[question\] for one'),
    (lambda s, q: s.put_aside('image'), TypeError, r'\[question\] for one')])
def test_calls(call, error, said):
  session = _session()
  question, = session.ask(1)
  with pytest.raises(error, match=said):
    call(session, question)
  assert known.names(session.ask(1)) == known.names([question])


def test_who_answers_before_asking_is_sent_to_ask():
  with pytest.raises(ValueError, match=r'0 questions .* ask\(\) opens'):
    _session().tell([1])


@pytest.mark.parametrize('options,error,said', [
    ({'strategy': 3}, TypeError, 'strategy=3 must be a name, or a strategy'),
    ({'values': 3}, TypeError, 'values=3 must be values by name'),
    ({'values': {'x': 1}}, ValueError,
     "'x' is none of those of closed_form, which are rank, world"),
    ({'values': {'rank': 'a'}}, TypeError, "rank='a' must be an integer"),
    ({'shared_space': 'yes'}, TypeError, "shared_space='yes' must be True")])
def test_options(options, error, said):
  with pytest.raises(error, match=said):
    _session(**options)


def _blank(size=(3, 3)):
  return Image.new('RGB', size)


@pytest.mark.parametrize('given,error,said', [
    ({'image': np.ones(3)}, ValueError, r'shape \(3,\); features are \[n, d\]'),
    ({'image': np.ones((2, 3, 3, 3))}, ValueError, 'pixels are uint8'),
    ({'image': np.ones((4, 3, 3), np.uint8)}, TypeError, 'image is one image'),
    ({'image': np.ones((0, 3), np.uint8)}, ValueError, 'of which there are no'),
    ({'image': [{'image': _blank(), 'caption': 'a'}]}, ValueError,
     r"has the columns image, caption: give one column, as dataset\['image'\]"),
    ({'text': ['a', None]}, ValueError, 'text 1 is None; a string is needed'),
    ({'text': [3, 'a']}, ValueError, 'text 0 is 3; a string is needed'),
    ({'sound': ['a', 3]}, ValueError, 'sound 1 is 3; a string is needed'),
    ({'text': [['a', 'b'], ['c']]}, ValueError,
     r'text 0 is a list of 2 texts.*\[some\[0\] for some in texts\]')])
def test_items(given, error, said):
  with pytest.raises(error, match=said):
    Session({**given, 'other': np.eye(3)})


def test_items_that_are_given_by_position():
  with pytest.raises(TypeError, match='or give images= and texts='):
    Session(np.eye(3))


def test_a_page_makes_its_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  session = _session()
  session.ask(2)
  path, = session.page('~/new/q.html')
  assert path == tmp_path / 'new' / 'q.html' and path.exists()


def test_what_a_notebook_shows_is_bounded(tmp_path):
  """A thousand questions with photos were a hundred megabytes."""
  for i in range(3):
    (tmp_path / f'{i}.png').write_bytes(bad_images.noise(i))
  rows = np.random.default_rng(0).normal(size=(900, 8))
  session = Session(
      images=[tmp_path / f'{i % 3}.png' for i in range(900)],
      texts=['x' * 1000] * 900, features={'image': rows, 'text': rows},
      candidates=300)
  seen = session.ask(800)._repr_html_()
  assert seen.count('<tr>') == 1 + 600 // 21 and '772 more' in seen
  assert len(seen) < 6e6


def test_a_large_photo_is_shown_quickly(tmp_path, monkeypatch):
  """A JPEG is decoded at an eighth of its size, and once for all questions."""
  for i in range(4):
    _blank((4000, 3000)).save(tmp_path / f'{i}.jpg')
  sizes, thumbnail = [], Image.Image.thumbnail

  def counted(image, *args, **options):
    sizes.append(image.size)
    return thumbnail(image, *args, **options)

  monkeypatch.setattr(Image.Image, 'thumbnail', counted)
  rows = np.random.default_rng(0).normal(size=(4, 8))
  session = Session(images=tmp_path, texts=['a', 'b', 'c', 'd'],
                    features={'image': rows, 'text': rows})
  assert session.ask(4)._repr_html_().count('<img') > 4
  assert sizes == [(500, 375)] * 4
