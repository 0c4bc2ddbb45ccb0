"""Winoground scores: same words, other meaning."""

import numpy as np

METRICS = ('text', 'image', 'group')


def winoground(
    image_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    groups: np.ndarray,
) -> dict[str, float]:
  """Text, image and group score over the examples of two pairs each.

  With captions C0, C1 and images I0, I1 of an example, and similarity s:

  * text: s(C0, I0) > s(C1, I0) and s(C1, I1) > s(C0, I1)
  * image: s(C0, I0) > s(C0, I1) and s(C1, I1) > s(C1, I0)
  * group: both.

  Ties are failures: a model that answers all alike scores 0.

  >>> eye = np.eye(2)
  >>> winoground(eye, eye, np.array([7, 7]))
  {'text': 100.0, 'image': 100.0, 'group': 100.0}

  Args:
    image_embeddings: `[n, d]`.
    text_embeddings: `[n, d]`; row i belongs to image i.
    groups: `[n]` int; rows of the same number are one example, -1 is none.

  Returns:
    Percentages by the names in `METRICS`; empty if there is no example.

  Raises:
    ValueError: if an example does not have two rows.

  References:
    Thrush et al., Winoground, 2022, section 3.
  """
  order = np.argsort(groups, kind='stable')
  order = order[groups[order] >= 0]
  numbers, sizes = np.unique(groups[order], return_counts=True)
  if not len(order):
    return {}
  if np.any(sizes != 2):
    wrong = np.flatnonzero(sizes != 2)[0]
    raise ValueError(
        f'group {numbers[wrong]} has {sizes[wrong]} row(s) and needs two.')
  images = np.asarray(image_embeddings)[order.reshape(-1, 2)]  # [g, 2, d]
  texts = np.asarray(text_embeddings)[order.reshape(-1, 2)]
  s = np.einsum('gcd,gid->gci', texts, images)  # caption, image
  text = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
  image = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
  return {
      name: 100.0 * float(np.mean(right))
      for name, right in zip(METRICS, (text, image, text & image))}
