"""Zero-shot classification: is an image nearest to the name of its class?"""

from collections.abc import Sequence

import numpy as np

# Of any kind of thing; `{}` stands for the name of a class.
TEMPLATES = (
    'a photo of a {}.',
    'a photo of the {}.',
    'a picture of a {}.',
    'an image showing a {}.',
    'a close-up of a {}.',
    'a close view of the {}.',
    'a {} seen from far away.',
    'a photo of a {} from above.',
    'a photo of a {} from the side.',
    'a photo of a small {}.',
    'a photo of a large {}.',
    'a photo of many {}.',
    'a photo of one {} alone.',
    'a bright photo of a {}.',
    'a dark photo of a {}.',
    'a blurred photo of a {}.',
    'a sharp photo of a {}.',
    'a grainy photo of a {}.',
    'a black and white photo of a {}.',
    'a colourful photo of a {}.',
    'a photo of a {} outdoors.',
    'a photo of a {} indoors.',
    'a photo of a {} with nothing around it.',
    'a photo of a {} in a crowded scene.',
    'a snapshot that somebody took of a {}.',
    'a good photo of a {}.',
    'a bad photo of a {}.',
    'part of a {} in a cropped photo.',
    'a photo in which a {} is hard to see.',
    'a drawing of a {}.',
    'a painting of a {}.',
    'a sketch of the {}.',
    'a cartoon of a {}.',
    'a computer-made picture of a {}.',
    'a toy in the shape of a {}.',
    'here is a {}.',
)
METRICS = ('top1', 'top5')


def prompts(
    classes: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> list[str]:
  """Every class in every template, class by class.

  >>> prompts(['cat', 'dog'], ['a {}.', 'the {}.'])
  ['a cat.', 'the cat.', 'a dog.', 'the dog.']

  Args:
    classes: c names.
    templates: t texts with one `{}` each.

  Returns:
    `c * t` texts; their embeddings, as `[c, t, d]`, are what `class_embeddings`
    takes.

  Raises:
    ValueError: if there is no template, or one has not exactly one `{}`.
  """
  wrong = [t for t in templates if t.count('{}') != 1]
  if wrong or not templates:
    raise ValueError(
        f'templates={wrong or templates!r}: at least one is needed, with {{}} '
        'once in each.')
  return [t.replace('{}', name) for name in classes for t in templates]


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
