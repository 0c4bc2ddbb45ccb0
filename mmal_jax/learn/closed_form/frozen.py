"""A dataset as the features that frozen towers make of it."""

import dataclasses

from flax import nnx
import numpy as np

from mmal_jax import embed
from mmal_jax.data import encode


def features(
    graphdef: nnx.GraphDef, params: nnx.State, data: encode.EncodedDataset
) -> encode.EncodedDataset:
  """Embeds all items once, for a learner that leaves the towers alone.

  Args:
    graphdef: of a `DualEncoder`.
    params: its parameters.
    data: pixels, tokens or features.

  Returns:
    The same dataset with `[n, embed_dim]` float32 rows of norm 1 for items, and
    without `pretrain`.
  """
  def of(items: encode.Items, modality: str) -> encode.Items:
    rows = embed.embed(graphdef, params, items.values, modality)
    return encode.Items(np.asarray(rows), items.ids)

  def of_all(part):
    return dataclasses.replace(
        part, items={m: of(items, m) for m, items in part.items.items()})

  test = of_all(data.test)
  if test.labelled is not None:
    labelled = test.labelled
    test = dataclasses.replace(test, labelled=labelled._replace(
        images=of(labelled.images, 'image'),
        prompts=of(labelled.prompts, 'text')))
  return data._replace(pool=of_all(data.pool), test=test, pretrain=None)
