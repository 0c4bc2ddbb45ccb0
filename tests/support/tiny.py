"""A run in miniature: features, MLP heads, four rounds of four."""

from typing import NamedTuple

from flax import nnx
import jax
import numpy as np

from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry as strategies
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.evaluate import evaluate
from mmal_jax.learn.gradient import learner as by_gradient
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import step
from mmal_jax.models import registry as models
from mmal_jax.oracles import exact
from mmal_jax.pools import pools as pools_lib

ROUNDS, BATCH, STEPS = 4, 4, 3


def feature_pairs(n: int, seed: int) -> schema.Pairs:
  """Pairs whose two sides are linear views of the same hidden vector."""
  rng = np.random.default_rng(seed)
  hidden = rng.normal(size=(n, 5))
  views = np.random.default_rng(0).normal(size=(2, 5, 7))
  images, texts = (
      (hidden @ view + 0.1 * rng.normal(size=(n, 7))).astype(np.float32)
      for view in views)
  return schema.image_text(images, texts, schema.no_groups(n))


class Run(NamedTuple):
  data: encode.EncodedDataset
  learner: by_gradient.ByGradient
  params: nnx.State
  pools: pools_lib.Pools
  hidden: pools_lib.Hidden

  def with_recipe(self, **fields) -> 'Run':
    """The run with another recipe of its learner."""
    return self._replace(learner=self.learner._replace(
        recipe=self.learner.recipe._replace(**fields)))

  def start(self, seed: int = 0, restart=False) -> state_lib.RunState:
    return state_lib.initial_state(
        self.params, self.learner.init(self.params),
        self.pools.sizes,
        evaluate.metric_names(self.data.test), ROUNDS, BATCH, seed, restart)

  def rounds(
      self, strategy='mmal', state=None, tuples=None, seed=0, oracle=None,
      report=None, source=None, checkpointer=None, **plan):
    """The generator of states; `strategy` is a name or a function."""
    tuples = self.hidden.tuples if tuples is None else tuples
    return loop.run_rounds(
        self.start(seed) if state is None else state, self.learner,
        strategies.find(strategy) if isinstance(strategy, str) else strategy,
        oracle or exact.exact(tuples, tuple(self.pools.items)),
        source or self.pools, self.data.test, loop.Plan(**plan), report,
        checkpointer=checkpointer)


def assert_same(one, other) -> None:
  """Two states, or other trees, are equal to the bit."""
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(one),
                          jax.tree.leaves(other), strict=True):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      x, y = jax.random.key_data(x), jax.random.key_data(y)
    np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))


def make_run() -> Run:
  data = encode.encode(
      schema.Dataset('tiny', feature_pairs(40, 1), feature_pairs(20, 2)))
  model = models.MODELS['mlp'](
      dict.fromkeys(
          data.pool.items, jax.ShapeDtypeStruct((7,), np.float32)),
      0, rngs=nnx.Rngs(0), width=16, embed_dim=8)
  graphdef, params = nnx.split(model, nnx.Param)
  learner = by_gradient.ByGradient(
      step.Recipe(graphdef, optimizer.make_optimizer(1e-2, STEPS), 8), STEPS)
  return Run(data, learner, params, *pools_lib.hide_pairing(data.pool, 0))
