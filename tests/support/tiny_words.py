"""A run in miniature on pixels and texts of few words, with transformers."""

from flax import nnx
import jax
import numpy as np

from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.learn.gradient import learner as by_gradient
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import replay as replay_lib
from mmal_jax.learn.gradient import step
from mmal_jax.models import registry as models
from mmal_jax.pools import pools as pools_lib
from tests.support import tiny

# The last has no text of the same words, whatever the order.
_BAGS = np.array([[1, 2, 3, 0], [1, 1, 2, 0], [4, 5, 6, 1], [7, 7, 7, 7]])


def ids_of(values: np.ndarray) -> np.ndarray:
  """Equal rows have equal numbers."""
  flat = values.reshape(len(values), -1)
  return np.unique(flat, axis=0, return_inverse=True)[1].reshape(-1).astype(
      np.int32)


def make_pairs(n: int, seed: int) -> encode.EncodedPairs:
  """Random images, and texts of which many differ in their order alone."""
  rng = np.random.default_rng(seed)
  bags = _BAGS[rng.integers(len(_BAGS), size=n)]
  length = (bags > 0).sum(axis=1)
  # Shuffled but for the padding, which stays at the end.
  lots = np.where(np.arange(4) < length[:, None], rng.random((n, 4)), 2)
  texts = np.take_along_axis(bags, np.argsort(lots), 1).astype(np.int32)
  images = rng.integers(256, size=(n, 8, 8, 3)).astype(np.uint8)
  return encode.EncodedPairs(
      {'image': encode.Items(images, ids_of(images)),
       'text': encode.Items(texts, ids_of(texts))}, schema.no_groups(n))


def make_run(worth: float = 0.0, batch_size: int = 8, **recipe) -> tiny.Run:
  """A run of 40 pairs; with a replay of 12 more where it is worth something."""
  data = encode.EncodedDataset(
      make_pairs(40, 1), make_pairs(20, 2), make_pairs(12, 3), None)
  shapes = {m: jax.ShapeDtypeStruct(x.values.shape[1:], x.values.dtype)
            for m, x in data.pool.items.items()}
  graphdef, params = _model(shapes)
  learner = by_gradient.ByGradient(
      step.Recipe(graphdef, optimizer.make_optimizer(1e-2, tiny.STEPS),
                  batch_size, **recipe), tiny.STEPS,
      replay_lib.Replay(data.pretrain.items, worth) if worth else None)
  return tiny.Run(data, learner, params, *pools_lib.hide_pairing(data.pool, 0))


def _model(shapes):
  def make():
    return nnx.split(models.MODELS['transformers'](
        shapes, 9, rngs=nnx.Rngs(0), width=16, depth=1, heads=2, patch=4,
        embed_dim=8), nnx.Param)

  # Eagerly, each of many small arrays would be compiled by itself.
  return nnx.eval_shape(make)[0], jax.jit(lambda: make()[1])()
