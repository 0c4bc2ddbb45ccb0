"""The contrastive losses and their gradients in loops of NumPy float64."""

import numpy as np


def problem(seed, b=9, d=5, scale=1.3, bias=-2.0, unit=False, valid=0.7):
  """Arguments of a loss, with ids that repeat and rows that are not valid."""
  rng = np.random.default_rng(seed)
  x, y = rng.normal(size=(2, b, d)).astype(np.float32)
  if unit:
    # Partners lie near one another, but not all of them nearest.
    y += 0.3 * x
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
  image_ids, text_ids = rng.integers(
      max(2 * b // 3, 1), size=(2, b)).astype(np.int32)
  return (x, y, np.float32(scale), np.float32(bias), image_ids, text_ids,
          rng.random(b) < valid)


def realistic(seed, b=48, d=64):
  """Unit rows, a scale of 100 and a bias of -10, as SigLIP ends with."""
  return problem(seed, b, d, np.log(100), -10.0, unit=True, valid=0.9)


def sigmoid(x, y, scale, bias, image_ids, text_ids, valid):
  """The loss, and its gradients by x, y, scale and bias."""
  x, y, scale, bias = _wide(x, y, scale, bias)
  by_logit, total = np.zeros((len(x), len(x))), 0.0
  for i in np.flatnonzero(valid):
    for j in _partners(i, image_ids, text_ids, valid):
      sign = 1 if i == j else -1
      logit = np.exp(scale) * x[i] @ y[j] + bias
      total += np.logaddexp(0, -sign * logit)
      by_logit[i, j] = -sign * np.exp(-np.logaddexp(0, sign * logit))
  count = max(np.sum(valid), 1)
  return total / count, _gradients(by_logit / count, x, y, scale, True)


def softmax(x, y, scale, bias, image_ids, text_ids, valid):
  """The loss, and its gradients by x, y, scale and bias."""
  x, y, scale, bias = _wide(x, y, scale, bias)
  by_logit, total = np.zeros((len(x), len(x))), 0.0
  for i in np.flatnonzero(valid):
    others = _partners(i, image_ids, text_ids, valid)
    for is_image in (True, False):
      pairs = [(i, j) if is_image else (j, i) for j in others]
      gaps = np.array(
          [np.exp(scale) * (x[k] @ y[j] - x[i] @ y[i]) for k, j in pairs])
      top = gaps.max()
      log_sum = top + np.log(np.sum(np.exp(gaps - top)))
      total += log_sum / 2
      for (k, j), gap in zip(pairs, gaps):
        # The own share less 1 is the others' shares, which cancel no digits.
        if k != j:
          share = np.exp(gap - log_sum) / 2
          by_logit[k, j] += share
          by_logit[i, i] -= share
  count = max(np.sum(valid), 1)
  return total / count, _gradients(by_logit / count, x, y, scale, False)


def assert_near(found, expected, rtol=1e-6, grad_rtol=1e-5):
  """Values, and gradients by their norms."""
  (value, grads), (true_value, true_grads) = found, expected
  np.testing.assert_allclose(value, true_value, rtol=rtol)
  assert len(grads) == len(true_grads)
  for name, grad, true in zip(('x', 'y', 'scale', 'bias'), grads, true_grads):
    grad, true = np.asarray(grad, np.float64), np.asarray(true, np.float64)
    assert grad.shape == true.shape, name
    error = np.linalg.norm(grad - true)
    assert error <= grad_rtol * np.linalg.norm(true), (name, error)


def _wide(*values):
  return [np.asarray(value, np.float64) for value in values]


def _partners(i, image_ids, text_ids, valid):
  """Those that row i is compared with, itself among them."""
  return [j for j in np.flatnonzero(valid) if i == j or not (
      image_ids[i] == image_ids[j] or text_ids[i] == text_ids[j])]


def _gradients(by_logit, x, y, scale, has_bias):
  """By the chain rule from logit[i, j] = exp(scale) x[i].y[j] + bias."""
  by_x, by_y, by_scale = np.zeros_like(x), np.zeros_like(y), 0.0
  for i in range(len(x)):
    for j in range(len(y)):
      slope = by_logit[i, j] * np.exp(scale)
      by_x[i] += slope * y[j]
      by_y[j] += slope * x[i]
      by_scale += slope * (x[i] @ y[j])
  return by_x, by_y, by_scale, by_logit.sum() if has_bias else 0.0
