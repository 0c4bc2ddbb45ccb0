"""Scores: rigged models, constant models, references, savings."""

import numpy as np
import pytest

from mmal_jax.analysis import curves
from mmal_jax.analysis import queries
from mmal_jax.analysis import savings
from mmal_jax.evaluate import evaluate
from mmal_jax.evaluate import retrieval
from mmal_jax.evaluate import winoground


def _random(seed, n=12, d=4):
  return np.random.default_rng(seed).normal(size=(2, n, d))


def test_winoground_follows_its_definition():
  images, texts = _random(0, n=40)
  groups = np.random.default_rng(1).permutation(np.repeat(np.arange(20), 2))
  counts = np.zeros(3)
  for g in range(20):
    a, b = np.flatnonzero(groups == g)
    s = {(c, i): texts[c] @ images[i] for c in (a, b) for i in (a, b)}
    text = s[a, a] > s[b, a] and s[b, b] > s[a, b]
    image = s[a, a] > s[a, b] and s[b, b] > s[b, a]
    counts += text, image, text and image
  got = winoground.winoground(images, texts, groups)
  np.testing.assert_allclose(list(got.values()), 100 * counts / 20)
  assert 0 < got['group'] < got['text'] < 100


def test_winoground_ties_fail_and_rows_without_group_do_not_count():
  ones = np.ones((6, 3))
  groups = np.array([0, -1, 1, 0, -1, 1])
  assert set(winoground.winoground(ones, ones, groups).values()) == {0.0}
  assert winoground.winoground(ones, ones, groups * 0 - 1) == {}


def test_winoground_group_of_three():
  with pytest.raises(ValueError, match=r'group 4 has 3 row'):
    winoground.winoground(np.eye(5), np.eye(5), np.array([1, 4, 4, 4, 1]))


def test_retrieval_of_a_rigged_and_of_a_constant_model():
  n = 13
  ids = np.arange(n)
  for recalls in retrieval.retrieval(np.eye(n), np.eye(n), ids, ids):
    assert set(recalls.values()) == {100.0}
  ones = np.ones((n, 2))
  for recalls in retrieval.retrieval(ones, ones, ids, ids):
    assert set(recalls.values()) == {0.0}


def test_retrieval_reference():
  images, texts = _random(3, n=30)
  ids = np.arange(30)
  got = retrieval.retrieval(images, texts, ids, ids)
  s = images @ texts.T
  for k in retrieval.KS:
    for recalls, scores in zip(got, (s, s.T)):
      hits = [i in np.argsort(-scores[i])[:k] for i in range(30)]
      assert recalls[k] == pytest.approx(100 * np.mean(hits))


def test_retrieval_counts_repeated_items_once():
  # Image 0 has two captions; caption 2 describes images 1 and 2.
  image_ids, text_ids = np.array([0, 0, 1, 2]), np.array([0, 1, 2, 2])
  images = np.eye(3)[image_ids]
  texts = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1]], float)
  got = retrieval.retrieval(images, texts, image_ids, text_ids)
  # Image 0 finds caption 1. Image 1 sees captions 0 and 2 tie: a miss.
  assert got[0][1] == pytest.approx(100 * 2 / 3)
  # Caption 0 finds image 1 in front; caption 2 is right with either image.
  assert got[1][1] == pytest.approx(100 * 2 / 3)


def test_metric_names_are_what_evaluate_returns(tiny_run):
  data, learner, params = tiny_run.data, tiny_run.learner, tiny_run.params
  scores = evaluate.evaluate(
      evaluate.embed_pairs(learner.graphdef, params, data.test), data.test)
  assert tuple(scores) == evaluate.metric_names(data.test)
  assert scores['mean_r10'] == pytest.approx(
      (scores['i2t_r10'] + scores['t2i_r10']) / 2)
  assert evaluate.headline(tuple(scores)) == 'mean_r10'
  assert evaluate.headline(('text', 'image', 'group', 'mean_r10')) == 'group'


def test_annotations_to_reach():
  annotations = np.array([0, 10, 20, 30])
  reach = curves.annotations_to_reach
  assert reach(annotations, [1, 5, 3, 9], 4) == 7.5  # the first crossing
  assert reach(annotations, [1, 5, 3, 9], 9) == 30
  assert reach(annotations, [1, 5, 3, 9], 0.5) == 0
  assert np.isnan(reach(annotations, [1, 5, 3, 9], 9.1))


def test_saving():
  annotations = np.array([0, 100, 200])
  baseline = np.array([[0., 10, 20], [0, 10, 20]])
  strategy = np.array([[0., 20, 30], [0, 10, 10]])
  got = savings.saving(annotations, strategy, baseline)
  assert got.target == 20 and got.needed == 200 and got.percent == 0
  np.testing.assert_allclose(got.per_seed, [50, np.nan])
  assert got.reached.tolist() == [True, False]
  itself = savings.saving(annotations, baseline, baseline)
  assert itself.percent == 0 and not itself.per_seed.any()


def test_saving_against_a_baseline_that_never_rose_is_undefined():
  got = savings.saving(
      np.array([0, 100, 200]), np.array([[5., 6, 7]]), np.array([[5., 6, 4]]))
  assert got.needed == 0 and np.isnan(got.percent)
  assert got.reached.all() and np.isnan(got.per_seed).all()


def test_saving_against_a_baseline_that_fell():
  # It had its final score of 10 after 100 annotations already.
  got = savings.saving(
      np.array([0, 100, 200]), np.array([[0., 20, 20]]),
      np.array([[0., 10, 10]]))
  assert got.needed == 50 and got.percent == 50


@pytest.mark.parametrize('n', [2, 7, 30])
def test_item_statistics_reference(n):
  images, texts = _random(n, n=n)
  images, texts = (x / np.linalg.norm(x, axis=1, keepdims=True)
                   for x in (images, texts))
  rng = np.random.default_rng(n)
  counterparts, ids = rng.permutation(n), rng.integers(n, size=n)
  got = queries.item_statistics(images, texts, counterparts, ids)
  for i in range(n):
    others = np.delete(images, i, axis=0) @ images[i]
    order = np.argsort(-(texts @ images[i]))
    a, b = texts[order[0]], texts[order[1]]
    assert got['density'][i] == pytest.approx(np.sort(others)[-10:].mean())
    assert got['margin'][i] == pytest.approx((a - b) @ images[i])
    assert got['twins'][i] == pytest.approx(a @ b)
    assert got['found'][i] == (ids[counterparts[i]] in ids[order[:10]])
  assert n < 30 or 0 < got['found'].mean() < 1


@pytest.mark.parametrize('seed', range(3))
def test_percentile_reference(seed):
  rng = np.random.default_rng(seed)
  values = rng.integers(10, size=30).astype(float)  # many ties
  rows = rng.integers(30, size=7)
  expected = np.mean([
      np.mean((values < values[r]) + 0.5 * (values == values[r]))
      for r in rows])
  assert queries.percentile(values, rows) == pytest.approx(100 * expected)
