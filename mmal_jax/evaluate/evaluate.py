"""All scores of a model on held-out pairs."""

from collections.abc import Mapping, Sequence
import itertools

from flax import nnx
import numpy as np

from mmal_jax.data import encode
from mmal_jax.data import prompts as prompts_lib
from mmal_jax.embed import in_memory as embed_lib
from mmal_jax.evaluate import classification
from mmal_jax.evaluate import retrieval as retrieval_lib
from mmal_jax.evaluate import winoground as winoground_lib

# Names of the embeddings that are of no modality's pairs.
LABELLED, PROMPTS = 'labelled images', 'prompts'


def embed_pairs(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    pairs: encode.EncodedPairs,
    known: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
  """Embeds all sides of the pairs.

  Args:
    graphdef: of a `DualEncoder`.
    params: its parameters.
    pairs: the test split.
    known: embeddings that need not be computed again, by the same names.

  Returns:
    `[n, d]` float32 by modality; and, where images of known classes are to be
    classified, those of `LABELLED` and of `PROMPTS`.
  """
  known = known or {}
  items = {modality: (modality, items)
           for modality, items in pairs.items.items()}
  if pairs.labelled is not None:
    items[LABELLED] = ('image', pairs.labelled.images)
    items[PROMPTS] = ('text', pairs.labelled.prompts)
  return {
      name: known[name] if name in known else embed_lib.embed_to_host(
          graphdef, params, some.values, modality)
      for name, (modality, some) in items.items()}


def modality_of(name: str) -> str:
  """The modality whose tower made the embeddings of that name."""
  return {LABELLED: 'image', PROMPTS: 'text'}.get(name, name)


def evaluate(
    embeddings: Mapping[str, np.ndarray], pairs: encode.EncodedPairs
) -> dict[str, float]:
  """Scores the embeddings of pairs.

  Args:
    embeddings: from `embed_pairs`.
    pairs: the test split.

  Returns:
    Percentages: those of `winoground`, of images and texts that have groups;
    recalls between any two modalities, `i2t_r1` for images to texts; and
    `mean_r10`, the mean of all recalls at 10; `top1` and `top5` of images of
    known classes.

  Raises:
    ValueError: if an embedding is NaN or infinite.
  """
  for name, rows in embeddings.items():
    embed_lib.check_finite(rows, name)
  scores = {}
  if _has_groups(pairs):
    scores = winoground_lib.winoground(
        embeddings['image'], embeddings['text'], pairs.groups)
  directions = _directions(tuple(pairs.items))
  for (one, other), names in directions.items():
    recalls = retrieval_lib.retrieval(
        embeddings[one], embeddings[other], pairs.items[one].ids,
        pairs.items[other].ids)
    for name, recall in zip(names, recalls):
      scores |= {f'{name}_r{k}': value for k, value in recall.items()}
  at_10 = [scores[f'{name}_r10'] for names in directions.values()
           for name in names]
  scores['mean_r10'] = sum(at_10) / len(at_10)
  if pairs.labelled is not None:
    prompts = embeddings[PROMPTS]
    by_class = prompts.reshape(
        -1, len(prompts_lib.TEMPLATES), prompts.shape[1])
    scores |= classification.accuracy(
        embeddings[LABELLED], classification.class_embeddings(by_class),
        pairs.labelled.labels)
  return scores


def metric_names(pairs: encode.EncodedPairs) -> tuple[str, ...]:
  """Names of the scores that `evaluate` will give for these pairs."""
  groups = winoground_lib.METRICS if _has_groups(pairs) else ()
  recalls = tuple(
      f'{name}_r{k}' for names in _directions(tuple(pairs.items)).values()
      for name in names for k in retrieval_lib.KS)
  classes = () if pairs.labelled is None else classification.METRICS
  return groups + recalls + ('mean_r10',) + classes


def _has_groups(pairs: encode.EncodedPairs) -> bool:
  return {'image', 'text'} <= set(pairs.items) and bool(
      np.any(pairs.groups >= 0))


def _directions(
    modalities: Sequence[str],
) -> dict[tuple[str, str], tuple[str, str]]:
  """Any two modalities, and what retrieval from each to the other is called.

  >>> _directions(['image', 'text'])
  {('image', 'text'): ('i2t', 't2i')}
  """
  short = [modality[0] for modality in modalities]
  if len(set(short)) < len(short):
    short = list(modalities)
  return {
      (modalities[a], modalities[b]): (
          f'{short[a]}2{short[b]}', f'{short[b]}2{short[a]}')
      for a, b in itertools.combinations(range(len(modalities)), 2)}


def headline(metrics: tuple[str, ...]) -> str:
  """The one score to compare strategies by: `group`, or `mean_r10` without."""
  return 'group' if 'group' in metrics else 'mean_r10'
