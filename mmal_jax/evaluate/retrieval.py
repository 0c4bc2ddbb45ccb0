"""Cross-modal retrieval: is an item's counterpart among its k nearest?"""

import numpy as np

KS = (1, 5, 10)


def recalls(
    query_embeddings: np.ndarray,
    gallery_embeddings: np.ndarray,
    relevant: np.ndarray,
) -> dict[int, float]:
  """Recall@k of every query against the whole gallery.

  A query's rank is the number of irrelevant gallery items that score at least
  as high as its best relevant one: ties count against the model.

  Args:
    query_embeddings: `[q, d]`.
    gallery_embeddings: `[g, d]`.
    relevant: `[q, g]` bool.

  Returns:
    Percentage of queries of rank below k, for each k of `KS`.
  """
  similarity = np.asarray(query_embeddings) @ np.asarray(gallery_embeddings).T
  best = np.max(np.where(relevant, similarity, -np.inf), axis=1)
  ranks = np.sum(~relevant & (similarity >= best[:, None]), axis=1)
  return {k: 100.0 * float(np.mean(ranks < k)) for k in KS}


def retrieval(
    image_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    image_ids: np.ndarray,
    text_ids: np.ndarray,
) -> tuple[dict[int, float], dict[int, float]]:
  """Image-to-text and text-to-image recall@k over n pairs.

  Images and texts that occur in several pairs stand in the gallery once, and
  any of their counterparts is a right answer (five captions an image, or one
  caption that describes several images).

  Args:
    image_embeddings: `[n, d]`.
    text_embeddings: `[n, d]`; row i belongs to image i.
    image_ids: `[n]` int; equal images have equal numbers.
    text_ids: `[n]` int; equal texts have equal numbers.

  Returns:
    Percentages by k of `KS`, from images to texts and the other way.
  """
  _, image_rows, image_of = np.unique(
      image_ids, return_index=True, return_inverse=True)
  _, text_rows, text_of = np.unique(
      text_ids, return_index=True, return_inverse=True)
  relevant = np.zeros((len(image_rows), len(text_rows)), bool)
  relevant[image_of, text_of] = True
  images = np.asarray(image_embeddings)[image_rows]
  texts = np.asarray(text_embeddings)[text_rows]
  return recalls(images, texts, relevant), recalls(texts, images, relevant.T)
