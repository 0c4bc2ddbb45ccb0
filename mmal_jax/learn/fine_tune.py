"""Heads in closed form, from which fine-tuning of the towers starts."""

import dataclasses
import functools
from typing import NamedTuple

from flax import nnx
import jax
import optax

from mmal_jax.learn import checkpointer as checkpointer_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import frozen
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.learn.gradient import learner as by_gradient
from mmal_jax.models import partition
from mmal_jax.parallel import sharding

# How the names of a modality's parts end; the names of the loss's parameters.
_TOWER, _HEAD = '_tower', '_head'
_LOSS = ('logit_scale', 'logit_bias')


class State(NamedTuple):
  """What the learner keeps from round to round.

  Attributes:
    heads: of the closed form; its `setting` is 0 before the first heads.
    optimizer: of the gradient.
  """

  heads: closed_form.State
  optimizer: optax.OptState


@dataclasses.dataclass(frozen=True)
class FineTune:
  """Closed-form heads on pretrained towers, then steps on towers and heads.

  Where every round starts anew, it starts from the pretrained towers and the
  heads that the closed form makes of all answers so far, over the features of
  these towers. Where rounds go on from one another, only the first that has
  answers makes heads.

  Attributes:
    gradient: trains a `dual_encoder.Headed`.
    heads: makes its heads, as the towers of an encoder of their own.
    towers: of the same encoder without heads.
  """

  gradient: by_gradient.ByGradient
  heads: closed_form.ClosedForm
  towers: nnx.GraphDef

  @property
  def graphdef(self) -> nnx.GraphDef:
    """Of the encoder."""
    return self.gradient.graphdef

  @property
  def needs_reference(self) -> bool:
    """Only to learn from unaligned items by gradient."""
    return self.gradient.needs_reference

  @functools.cached_property
  def _features(self) -> frozen.Kept:
    return frozen.Kept(self.towers)

  def init(self, params: nnx.State) -> State:
    """No moments, and a fresh optimizer."""
    return State(
        self.heads.init(_heads_of(params)), self.gradient.init(params))

  def learn(
      self,
      params: nnx.State,
      state: State,
      start: nnx.State | None,
      key: jax.Array,
      known: learner_lib.Known,
  ) -> learner_lib.Learned:
    """Makes heads, and trains from there; without answers, nothing changes."""
    return self.learn_on(params, state, start, key, known, None)

  def learn_on(
      self,
      params: nnx.State,
      state: State,
      start: nnx.State | None,
      key: jax.Array,
      known: learner_lib.Known,
      checkpointer: checkpointer_lib.Checkpointer | None,
  ) -> learner_lib.Learned:
    """As `learn`; the steps go on, the heads are made again."""
    key_heads, key_steps = jax.random.split(key)
    if start is None and state.heads.setting[0]:
      learned = self.gradient.learn_on(
          params, state.optimizer, None, key_steps, known, checkpointer)
      return learned._replace(state=State(state.heads, learned.state))
    begin = params if start is None else start
    headed = self.headed(begin, state.heads, key_heads, known)
    if not known.num_aligned:
      return learner_lib.Learned(
          params, State(headed.state, state.optimizer), float('nan'))
    learned = self.gradient.learn_on(
        params, state.optimizer, headed.params, key_steps, known, checkpointer)
    return learned._replace(
        state=State(headed.state, learned.state), skill=headed.skill)

  def headed(
      self,
      params: nnx.State,
      state: closed_form.State,
      key: jax.Array,
      known: learner_lib.Known,
  ) -> learner_lib.Learned:
    """The encoder with closed-form heads, before any step of gradient.

    Args:
      params: with pretrained towers; the heads may be any.
      state: of the closed form.
      key: deals answers and blocks.
      known: as for `learn`.

    Returns:
      Parameters of the encoder, and all else as of the closed form.
    """
    # Where the first round's training was undone, so were the moments.
    is_new = known.is_new or not next(iter(state.moments.values())).count
    towers = _towers_of(params)
    # Of a fixed source, both are the same items, which are embedded once.
    pool = known.pool._replace(
        items=self._features.of(towers, known.pool.items))
    known = known._replace(
        items=self._features.of(towers, known.items), pool=pool, is_new=is_new)
    learned = self.heads.learn(_heads_of(params), state, None, key, known)
    return learned._replace(params=_with_heads(params, learned.params))

  def encoder(self, params: nnx.State, state: State) -> nnx.State:
    """The moving average of the parameters, where one is kept."""
    return self.gradient.encoder(params, state.optimizer)

  def embeds_anew(self, modality: str, params: nnx.State) -> bool:
    """Always: every round has other heads."""
    del modality, params
    return True


def _heads_of(params: nnx.State) -> nnx.State:
  """Of a `Headed` encoder, its heads as the closed form's encoder has them."""
  return sharding.local(nnx.State({
      _as_tower(name): part for name, part in params.items()
      if name in _LOSS or name.endswith(_HEAD)}))


def _towers_of(params: nnx.State) -> nnx.State:
  """Of a `Headed` encoder, the one without heads."""
  return nnx.State({name: part for name, part in params.items()
                    if not name.endswith(_HEAD)})


def _with_heads(params: nnx.State, heads: nnx.State) -> nnx.State:
  """The encoder with other heads, laid over the devices as it was."""
  mine = nnx.State({name: heads[_as_tower(name)] for name in params
                    if name in _LOSS or name.endswith(_HEAD)})
  mesh = partition.mesh_of(params)
  if mesh is not None:
    # From one device to those of all processes by way of the host.
    mine = partition.place(jax.device_get(mine), mesh)
  return nnx.State({
      name: mine[name] if name in mine else part
      for name, part in params.items()})


def _as_tower(name: str) -> str:
  """What the closed form's encoder calls a head; other names stay."""
  return (name.removesuffix(_HEAD) + _TOWER if name.endswith(_HEAD)
          else name)
