"""Training by gradient, as a learner."""

from typing import NamedTuple

from flax import nnx
import jax
import numpy as np
import optax

from mmal_jax.learn import checkpointer as checkpointer_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.gradient import average
from mmal_jax.learn.gradient import fit as fit_lib
from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import replay as replay_lib
from mmal_jax.learn.gradient import step as step_lib


class ByGradient(NamedTuple):
  r"""Steps of an optimizer on minibatches of the aligned tuples.

  Where every round starts anew, at parameters :math:`\theta_0`, the trained
  parameters :math:`\theta` may be interpolated with them,

  .. math::
    \theta_0 + \frac{n}{n + h} (\theta - \theta_0)

  with n the number of aligned tuples: with few, the model remains near its
  start.

  Attributes:
    recipe: loss, optimizer and batch size.
    steps: of a round, at least 1.
    replay: known pairs that join the answers; None for none.
    halfway: h, the number of tuples at which the weight of the trained
      parameters is one half; 0 for no interpolation.

  References:
    Wortsman et al., Robust fine-tuning of zero-shot models, 2022 (WiSE-FT), in
    which the share is the same whatever the data.
  """

  recipe: step_lib.Recipe
  steps: int
  replay: replay_lib.Replay | None = None
  halfway: float = 0.0

  @property
  def graphdef(self) -> nnx.GraphDef:
    """Of the encoder."""
    return self.recipe.graphdef

  @property
  def needs_reference(self) -> bool:
    """Only to learn from unaligned items."""
    return self.recipe.unaligned is not None

  def init(self, params: nnx.State) -> optax.OptState:
    """The optimizer's state."""
    return optimizer_lib.init(self.recipe.optimizer, params)

  def learn(
      self,
      params: nnx.State,
      state: optax.OptState,
      start: nnx.State | None,
      key: jax.Array,
      known: learner_lib.Known,
  ) -> learner_lib.Learned:
    """Trains on all aligned tuples; without any, nothing changes."""
    return self.learn_on(params, state, start, key, known, None)

  def learn_on(
      self,
      params: nnx.State,
      state: optax.OptState,
      start: nnx.State | None,
      key: jax.Array,
      known: learner_lib.Known,
      checkpointer: checkpointer_lib.Checkpointer | None,
  ) -> learner_lib.Learned:
    """As `learn`, from the last step on that the checkpointer has kept."""
    if not known.num_aligned:
      return learner_lib.Learned(params, state, float('nan'))
    if start is not None:
      params, state = start, None
    params, state, loss = fit_lib.fit(
        self.recipe, params, state, key,
        minibatches.Source(
            known.items, np.asarray(known.aligned), known.num_aligned,
            known.pool, self.replay),
        self.steps, known.numbers, checkpointer=checkpointer)
    if self.halfway and start is not None:
      share = known.num_aligned / (known.num_aligned + self.halfway)
      params = _interpolated(start, params, share)
    return learner_lib.Learned(params, state, loss)

  def encoder(self, params: nnx.State, state: optax.OptState) -> nnx.State:
    """The moving average of the parameters, where one is kept."""
    return average.averaged(params, state)

  def embeds_anew(self, modality: str, params: nnx.State) -> bool:
    """Whether anything of a modality's tower learns."""
    return freeze.embeds_anew(modality, params, self.recipe.frozen)


@jax.jit
def _interpolated(start, params, share):
  return jax.tree.map(lambda a, b: a + share * (b - a), start, params)
