"""Arguments that have changed places, by their rows."""

import jax.numpy as jnp
import numpy as np
import pytest

import mmal_jax
from mmal_jax.acquire import mixups

_N, _A = 60, 25
_REST = np.arange(_N) >= _A


@pytest.mark.long
def test_masks_that_have_changed_places():
  """Texts lie in another order, so that the known rows differ."""
  order = np.random.default_rng(3).permutation(_N)
  text_rest = _REST[order]
  for widths in ((24, 17), (24, 24)):
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=(_N, 5))
    images, texts = (hidden @ rng.normal(size=(5, d)) for d in widths)
    known = images[:_A], texts[:_A]
    with pytest.raises(ValueError, match='image_remaining and text_remaining '
                       'changed places'):
      mmal_jax.ask(images, texts[order], *known, 4,
                   image_remaining=text_rest, text_remaining=_REST)
    mmal_jax.ask(images, texts[order], *known, 4, image_remaining=_REST,
                 text_remaining=text_rest)


def test_fingerprints_tell_rows_apart():
  rows = np.random.default_rng(0).integers(0, 2, (3000, 16)).astype(np.float16)
  found = np.asarray(mixups.fingerprints(jnp.asarray(rows)))
  assert len(np.unique(found, axis=0)) == len(np.unique(rows, axis=0))
  zeros = np.asarray(mixups.fingerprints(jnp.array([[0.0, 1], [-0.0, 1]])))
  np.testing.assert_array_equal(*zeros)
  wide = np.asarray(mixups.fingerprints(jnp.asarray(rows, jnp.float32)))
  np.testing.assert_array_equal(wide, found)
