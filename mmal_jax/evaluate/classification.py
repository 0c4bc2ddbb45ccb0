"""Zero-shot classification: is an image nearest to the name of its class?"""

import numpy as np

METRICS = ('top1', 'top5')


def class_embeddings(text_embeddings: np.ndarray) -> np.ndarray:
  """One embedding a class out of those of its prompts.

  With unit rows `u_ct` of class c in template t, `w_c` is `mean_t u_ct` over
  its norm: the ensemble of prompts, made in the space of embeddings.

  Args:
    text_embeddings: `[c, t, d]`, of any length but 0.

  Returns:
    `[c, d]` float64 of unit rows.

  Raises:
    ValueError: if it has another shape, or an embedding or the mean of a class
      has no direction.

  References:
    Radford et al., CLIP, 2021, section 3.1.4.
  """
  texts = np.asarray(text_embeddings, np.float64)
  if texts.ndim != 3 or 0 in texts.shape:
    raise ValueError(f'text_embeddings has shape {texts.shape}; [classes, '
                     'templates, d], none of them 0, is needed.')
  return _unit(_unit(texts, 'text_embeddings').mean(axis=1),
               'the mean of text_embeddings')


def accuracy(
    image_embeddings: np.ndarray,
    classes: np.ndarray,
    labels: np.ndarray,
) -> dict[str, float]:
  """How often the right class is among the one or five nearest.

  An image's rank is the number of wrong classes that score at least as high as
  the right one: ties count against the model.

  >>> accuracy(np.eye(2), np.eye(2), np.array([0, 0]))
  {'top1': 50.0, 'top5': 100.0}

  Args:
    image_embeddings: `[n, d]`; their lengths do not matter.
    classes: `[c, d]`, as `class_embeddings` returns them.
    labels: `[n]` int, the right rows of `classes`.

  Returns:
    Percentages by the names in `METRICS`.

  Raises:
    ValueError: if shapes do not fit, there is no image, or a label is no row.
  """
  images = np.asarray(image_embeddings, np.float64)
  classes = np.asarray(classes, np.float64)
  labels = np.asarray(labels)
  if (images.ndim != 2 or classes.ndim != 2 or not len(images)
      or images.shape[1] != classes.shape[1] or labels.shape != images.shape[:1]
      or labels.dtype.kind not in 'iu'):
    raise ValueError(
        f'image_embeddings has shape {images.shape}, classes {classes.shape} '
        f'and labels {labels.shape} of {labels.dtype}; [n, d], [c, d] and [n] '
        'int, n at least 1, are needed.')
  if not 0 <= labels.min() <= labels.max() < len(classes):
    raise ValueError(f'labels reach from {labels.min()} to {labels.max()}, but '
                     f'there are {len(classes)} classes.')
  scores = images @ classes.T
  right = np.take_along_axis(scores, labels[:, None], axis=1)
  # Not `>`: what is no number is no right answer, either.
  ranks = np.sum(~(scores < right), axis=1) - 1
  return {name: 100.0 * float(np.mean(ranks < k))
          for name, k in zip(METRICS, (1, 5))}


def _unit(rows: np.ndarray, name: str) -> np.ndarray:
  norms = np.linalg.norm(rows, axis=-1, keepdims=True)
  if not np.all((norms > 0) & np.isfinite(norms)):
    raise ValueError(f'{name} has rows of length 0, or not finite.')
  return rows / norms
