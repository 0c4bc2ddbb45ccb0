"""The closed form as a learner: regularised CCA and the closed world."""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import basis as basis_lib
from mmal_jax.learn.closed_form import canonical
from mmal_jax.learn.closed_form import closed_world
from mmal_jax.learn.closed_form import crossval
from mmal_jax.learn.closed_form import moments as moments_lib
from mmal_jax.models import partition
from mmal_jax.parallel import sharding


class State(NamedTuple):
  """What the learner keeps from round to round.

  Attributes:
    moments: by modality, of all items that have ever arrived.
    setting: the last round's, `[4]` float32, in the order of
      `closed_world.Setting`; 0 before the first.
  """

  moments: dict[str, moments_lib.Moments]
  setting: jax.Array


@dataclasses.dataclass(frozen=True)
class ClosedForm:
  """Heads on frozen features, without a single step of gradient.

  The statistics within each modality are those of all items that have ever
  arrived, which no pairing is needed for; only the cross-covariance is learnt
  from the answers, and from the closed world (`closed_world`).

  Attributes:
    graphdef: of a `DualEncoder` of `models.linear.Linear` towers.
    has_prior: whether its towers have one (`shared` of `registry.linear`).
    rank: principal directions of each modality that are kept, at most.
    world: whether the closed world may be learnt from.
    rows: lays statistics, blocks and the encoder over these devices, and so
      the pools that it embeds; None takes one.
  """

  graphdef: nnx.GraphDef
  has_prior: bool = False
  rank: int = 256
  world: bool = True
  rows: jax.sharding.NamedSharding | None = None
  needs_reference = False

  def init(self, params: nnx.State) -> State:
    """No moments yet."""
    return State(
        {m: moments_lib.empty(len(params[f'{m}_tower']['mean'][...]))
         for m in _modalities(params)}, jnp.zeros(4))

  def learn(
      self,
      params: nnx.State,
      state: State,
      start: nnx.State | None,
      key: jax.Array,
      known: learner_lib.Known,
  ) -> learner_lib.Learned:
    """Makes the heads of all answers so far; every round is exact, and anew."""
    del start
    moments = state.moments
    if known.is_new:
      moments = {m: moments_lib.add(moments[m], items.values, self.rows)
                 for m, items in known.pool.items.items()}
    if not known.num_aligned:
      return learner_lib.Learned(
          params, State(moments, state.setting), float('nan'))
    seen = self._seen(params, moments, known)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    first, blocks = closed_world.sample(
        rng, seen.bases, {m: x.values for m, x in known.pool.items.items()},
        known.pool.rows, self.has_prior, layout=self.rows)
    choice = crossval.choose(
        rng, seen.in_order, seen.aligned, first, known.num_aligned,
        min(map(len, known.pool.rows.values())), known.share, seen.width,
        self.has_prior, self.world)
    setting = crossval.smoothed(_setting(state), choice.setting)
    heads = self._heads(
        seen, np.arange(len(known.aligned)) < known.num_aligned, blocks,
        setting, known.share)
    return learner_lib.Learned(
        self._params(params, seen.bases, heads, setting),
        State(moments, jnp.asarray(setting, jnp.float32)),
        1.0 - choice.score, choice.skill)

  def held_out(
      self,
      params: nnx.State,
      state: State,
      key: jax.Array,
      known: learner_lib.Known,
      folds: int,
  ) -> Iterator[tuple[np.ndarray, nnx.State]]:
    """Encoders that have not learnt from some of the answers, fold by fold.

    A fold's items are put back among what remains, of which the closed world
    makes use, as if they had not been asked about. The setting is the one
    of the last round.

    Args:
      params: of the last round.
      state: of the last round, with the moments of all items.
      key: deals answers and blocks.
      known: what the last round learnt from; its pool holds all items that
        `aligned` names, which a stream's does not.
      folds: how many, at most one an answer.

    Yields:
      `([h] int rows of known.aligned, parameters of the encoder without them)`.
    """
    seen = self._seen(params, state.moments, known)
    setting = _setting(state)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    count = known.num_aligned
    folds = min(folds, count)
    of_row = np.full(len(known.aligned), -1)
    of_row[:count] = rng.permutation(count) % folds
    for fold in range(folds):
      mine = np.flatnonzero(of_row == fold)
      put_back = {
          m: np.union1d(known.pool.rows[m], column[column >= 0]).astype(int)
          for m, column in zip(known.items, known.aligned[mine].T)}
      _, blocks = closed_world.sample(
          rng, seen.bases, {m: x.values for m, x in known.items.items()},
          put_back, self.has_prior, layout=self.rows)
      heads = self._heads(
          seen, (of_row >= 0) & (of_row != fold), blocks, setting, known.share)
      yield mine, self._params(params, seen.bases, heads, setting)

  def _seen(self, params, moments, known) -> '_Seen':
    """The aligned tuples in the bases of all that has arrived."""
    names = list(known.items)
    bases = {m: basis_lib.of_moments(
        moments[m], min(self.rank, len(moments[m].mean))) for m in names}
    width = params[f'{names[0]}_tower']['kernel'][...].shape[1]
    aligned = [
        closed_world.rows_of(
            bases[m], moments_lib.take(known.items[m].values, column),
            jnp.asarray(column >= 0), self.has_prior)
        for m, column in zip(names, known.aligned.T, strict=True)]
    return _Seen(
        bases, aligned, min(width, *(len(b.values) for b in bases.values())))

  def _heads(self, seen, learnt, blocks, setting, share):
    """By modality, of the tuples `learnt`, `[capacity]` bool, and blocks."""
    there = jnp.stack([rows.there for rows in seen.aligned], axis=1)
    cross = canonical.cross_covariances(
        [rows.projected for rows in seen.aligned], there,
        jnp.asarray(learnt, jnp.float32))
    heads = closed_world.refine(
        seen.in_order, cross, blocks, setting, share, seen.width,
        rows=self.rows)
    return dict(zip(seen.bases, heads))

  def _params(self, params, bases, heads, setting) -> nnx.State:
    """The encoder with these heads, laid over the devices as the rows are."""
    if self.rows is None:
      return _params(params, bases, heads, setting)
    made = _params(sharding.local(params), bases, heads, setting)
    # From one device to those of all processes by way of the host.
    return partition.place(jax.device_get(made), self.rows.mesh)

  def encoder(self, params: nnx.State, state: State) -> nnx.State:
    """The parameters themselves."""
    del state
    return params

  def embeds_anew(self, modality: str, params: nnx.State) -> bool:
    """Always: every round has other heads."""
    del modality, params
    return True


class _Seen(NamedTuple):
  """What heads are made of, beside the answers' own pairing.

  Attributes:
    bases: by modality, in the order of the aligned tuples' columns.
    aligned: `[capacity]` rows of the tuples for each of them.
    width: of the space.
  """

  bases: dict[str, basis_lib.Basis]
  aligned: list[closed_world.Rows]
  width: int

  @property
  def in_order(self) -> list[basis_lib.Basis]:
    return list(self.bases.values())


def _setting(state: State) -> closed_world.Setting:
  return closed_world.Setting(*map(float, state.setting))


def _modalities(params: nnx.State) -> list[str]:
  return [name.removesuffix('_tower') for name in params
          if name.endswith('_tower')]


def _params(
    params: nnx.State,
    bases: Mapping[str, basis_lib.Basis],
    heads: Mapping[str, jax.Array],
    setting: closed_world.Setting,
) -> nnx.State:
  """The encoder with these heads."""
  made = jax.tree.map(lambda x: x, params)
  for m, head in heads.items():
    tower = made[f'{m}_tower']
    kernel = jnp.matmul(bases[m].vectors, head, precision='highest')
    missing = tower['kernel'][...].shape[1] - kernel.shape[1]
    tower['mean'][...] = bases[m].mean
    tower['kernel'][...] = jnp.pad(kernel, ((0, 0), (0, missing)))
    tower['prior'][...] = jnp.float32(setting.prior)
  # So that probabilities of matches are those of the plan's similarities.
  made['logit_scale'][...] = -jnp.log(jnp.float32(setting.temperature))
  return made
