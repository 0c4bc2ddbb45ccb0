"""Pseudo-pairs: what the model takes to belong together, without an answer."""

from collections.abc import Mapping
import itertools

import numpy as np

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.parallel import rows as rows_lib


def pairs(
    views: Mapping[str, views_lib.View],
    numbers: Mapping[str, np.ndarray],
    count: int,
) -> np.ndarray:
  """The pairs of remaining items that the model is surest of.

  Only a few of them truly belong together, but most are near in meaning, which
  teaches, too. Similarities are corrected for hubs, items that are near to all
  (CSLS), and both items must be each other's best.

  Args:
    views: by modality, of what remains.
    numbers: by modality, `[n_m]` int32, of the items.
    count: the number of pairs, an equal share for any two modalities.

  Returns:
    `[k, M]` int32 item numbers, -1 in all columns but two; k is at most
    `count`.

  References:
    Conneau et al., Word Translation Without Parallel Data, 2018, section 2.3
    (CSLS, mutual nearest neighbours); Lee, Pseudo-Label, 2013.
  """
  couples = list(itertools.combinations(range(len(views)), 2))
  names, found = list(views), []
  for i, (a, b) in enumerate(couples):
    share = count // len(couples) + (i < count % len(couples))
    one, other = names[a], names[b]
    partners, scores = (
        rows_lib.on_host(found_, len(numbers[one]))
        for found_ in pseudo_alignment.csls_mutual(views[one], views[other]))
    mutual = np.flatnonzero(partners >= 0)
    best = mutual[np.argsort(-scores[mutual], kind='stable')][:share]
    rows = np.full((len(best), len(names)), oracle_lib.NONE, np.int32)
    rows[:, a] = numbers[one][best]
    rows[:, b] = numbers[other][partners[best]]
    found.append(rows)
  return np.concatenate(found)
