"""Items as the features that frozen towers make of them."""

from collections.abc import Mapping
import dataclasses
import operator

from flax import nnx
import jax

from mmal_jax.data import encode
from mmal_jax.embed import in_memory


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
    return _embedded(graphdef, params, items, modality)

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


class Kept:
  """Features of items, computed once for as long as the items stay the same.

  A learner that trains the towers is given pixels and texts in every round, and
  needs what the towers made of them before any training. Of each modality the
  last features are kept, and the items that they are of.
  """

  def __init__(self, graphdef: nnx.GraphDef):
    """Of a `DualEncoder`."""
    self._graphdef = graphdef
    self._last = {}

  def of(
      self, params: nnx.State, items: Mapping[str, encode.Items]
  ) -> dict[str, encode.Items]:
    """By modality, `[n, embed_dim]` float32 rows of norm 1 for the items.

    Args:
      params: of the towers. Like the items they are known by identity: equal
        arrays elsewhere in memory are embedded again.
      items: by modality.
    """
    found = {}
    for m, some in items.items():
      made_of = some, *jax.tree.leaves(params)
      before, rows = self._last.get(m, ((), None))
      if rows is None or any(map(operator.is_not, before, made_of)):
        rows = _embedded(self._graphdef, params, some, m)
        self._last[m] = made_of, rows
      found[m] = rows
    return found


def _embedded(graphdef, params, items, modality) -> encode.Items:
  rows = in_memory.embed_to_host(graphdef, params, items.values, modality)
  return encode.Items(rows, items.ids)
