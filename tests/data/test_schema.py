"""What every dataset is."""

import numpy as np
import pytest

from mmal_jax.data import schema


@pytest.mark.parametrize('texts,groups', [(3, 4), (4, 3)])
def test_pairs_are_as_many_on_both_sides(texts, groups):
  with pytest.raises(ValueError, match=(
      f"'image': 4, 'text': {texts}}} items and {groups} groups: row i")):
    schema.image_text(
        np.zeros((4, 2)), np.zeros((texts, 2)), schema.no_groups(groups))
