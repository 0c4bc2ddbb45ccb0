"""The distance of stages 1 and 2 and the similarity of stage 3."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(('mmal',), ('acquisition.metric=cosine,sqeuclidean,inner',))
