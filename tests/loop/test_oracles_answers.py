"""What an oracle may answer with, whoever wrote it."""

import numpy as np
import pytest

from mmal_jax import state as state_lib


@pytest.mark.parametrize('said,what', [
    (None, r'NoneType of shape \(\) and type object'),
    ([1, 2], r'list of shape \(2,\)'),
    (np.zeros((2, 2)), 'type float64'),
])
def test_an_oracle_that_answers_with_anything_else_is_refused(said, what):
  with pytest.raises(ValueError, match=(
      f'the oracle has answered with .*{what}.*; \\(2, 2\\) integers')):
    state_lib.check_answers(said, (2, 2))
  state_lib.check_answers([[0, 1], [1, -1]], (2, 2))
