"""All scores of a model on held-out pairs."""

from collections.abc import Mapping

from flax import nnx
import numpy as np

from mmal_jax import embed as embed_lib
from mmal_jax.data import encode
from mmal_jax.evaluate import retrieval as retrieval_lib
from mmal_jax.evaluate import winoground as winoground_lib


def embed_pairs(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    pairs: encode.EncodedPairs,
    known: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
  """Embeds both sides of the pairs.

  Args:
    graphdef: of a `DualEncoder`.
    params: its parameters.
    pairs: the test split.
    known: embeddings by modality that need not be computed again.

  Returns:
    `[n, d]` float32 by modality.
  """
  known = known or {}
  return {
      modality: known[modality] if modality in known else np.asarray(
          embed_lib.embed(graphdef, params, items.values, modality))
      for modality, items in (('image', pairs.images), ('text', pairs.texts))}


def evaluate(
    embeddings: Mapping[str, np.ndarray], pairs: encode.EncodedPairs
) -> dict[str, float]:
  """Scores the embeddings of pairs.

  Args:
    embeddings: from `embed_pairs`.
    pairs: the test split.

  Returns:
    Percentages: those of `winoground`, where pairs have groups, and those of
    `retrieval`.
  """
  images, texts = embeddings['image'], embeddings['text']
  return (
      winoground_lib.winoground(images, texts, pairs.groups)
      | retrieval_lib.retrieval(
          images, texts, pairs.images.ids, pairs.texts.ids))


def metric_names(pairs: encode.EncodedPairs) -> tuple[str, ...]:
  """Names of the scores that `evaluate` will give for these pairs."""
  groups = winoground_lib.METRICS if np.any(pairs.groups >= 0) else ()
  recalls = tuple(
      f'{d}_r{k}' for d in ('i2t', 't2i') for k in retrieval_lib.KS)
  return groups + recalls + ('mean_r10',)


def headline(metrics: tuple[str, ...]) -> str:
  """The one score to compare strategies by: `group`, or `mean_r10` without."""
  return 'group' if 'group' in metrics else 'mean_r10'
