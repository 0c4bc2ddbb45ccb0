"""The loop: acquire, align, train, evaluate, T times over."""

from collections.abc import Iterator, Mapping
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax import embed as embed_lib
from mmal_jax import state as state_lib
from mmal_jax.acquire import coverage
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.strategies import random
from mmal_jax.align import exact
from mmal_jax.align import pools as pools_lib
from mmal_jax.data import encode
from mmal_jax.evaluate import evaluate as evaluate_lib
from mmal_jax.train import average
from mmal_jax.train import freeze
from mmal_jax.train import step as step_lib


def run_rounds(
    state: state_lib.RunState,
    learner: step_lib.Learner,
    strategy: views_lib.Strategy,
    oracle: exact.Oracle,
    pools: pools_lib.Pools,
    test: encode.EncodedPairs,
    steps_per_round: int,
    report: embed_lib.Report | None = None,
) -> Iterator[state_lib.RunState]:
  """Runs all rounds that `state` has still to come.

  Args:
    state: from `initial_state`, or any state that was yielded before.
    learner: model structure, optimizer and batch size.
    strategy: chooses the queries of every round but the first, which is a
      random batch, the same for every strategy of a seed.
    oracle: answers them; the only holder of the pairing.
    pools: the learner's pools.
    test: held-out pairs.
    steps_per_round: training steps after each round's answers.
    report: is told how long each pool's embedding took.

  Yields:
    The state with its zero-shot scores, if it is a fresh one; then the state
    after every round.

  Raises:
    ValueError: if training diverges, or a strategy or an oracle names an item
      that cannot be aligned.
  """
  embedded = None  # of the test
  if state.round == 0:
    state, embedded = _evaluated(state, learner, test, embedded)
    yield state
  views = None
  while state.round < len(state.modalities):
    key_acquire, key_train = jax.random.split(
        jax.random.fold_in(state.key, int(state.round)))
    choose = random.random if state.round == 0 else strategy
    views = make_views(state, learner, pools, views, report)
    query = choose(views, state.queries.shape[1], key_acquire)
    asked = state_lib.check_query(state, query)
    answers = np.full_like(asked, -1)
    answers[asked >= 0] = oracle(query.modality, asked[asked >= 0])
    state = state_lib.record_answers(state, query, answers)
    state = _trained(state, learner, pools, key_train, steps_per_round)
    state, embedded = _evaluated(state, learner, test, embedded)
    yield state


def make_views(
    state: state_lib.RunState,
    learner: step_lib.Learner,
    pools: pools_lib.Pools,
    before: Mapping[str, views_lib.View] | None = None,
    report: embed_lib.Report | None = None,
) -> dict[str, views_lib.View]:
  """Embeds both pools with the present model: all that strategies see.

  Args:
    state: present.
    learner: the model's structure.
    pools: of the learner.
    before: the views of the round before, if there are any: a modality whose
      tower is locked is not embedded again, and where embeddings have not
      changed the distances to the aligned set are brought up to date instead of
      computed anew.
    report: is told how long each embedding took.

  Returns:
    A view by modality.
  """
  views = {}
  params = average.averaged(state.params, state.opt_state)
  # Of parameters on a mesh: to the one device on which the pools are.
  logit_scale, logit_bias = (
      jnp.asarray(jax.device_get(x[...]))
      for x in (params['logit_scale'], params['logit_bias']))
  filled = np.arange(len(state.aligned)) < state.num_aligned
  for column, (modality, items) in enumerate(
      zip(views_lib.MODALITIES, pools)):
    locked = before is not None and not freeze.embeds_anew(
        modality, params, learner.frozen)
    embeddings = before[modality].pool if locked else embed_lib.embed(
        learner.graphdef, params, items.values, modality, report=report)
    views[modality] = views_lib.View(
        pool=embeddings,
        remaining=jnp.asarray(state.remaining[modality]),
        aligned=embeddings[jnp.asarray(state.aligned[:, column])],
        aligned_mask=jnp.asarray(filled),
        logit_scale=jnp.exp(logit_scale), logit_bias=logit_bias)
    if before is not None:
      views[modality] = coverage.carried_over(views[modality], before[modality])
  return views


def _trained(state, learner, pools, key, steps) -> state_lib.RunState:
  params, opt_state = state.params, state.opt_state
  if state.start_params is not None:
    params, opt_state = state.start_params, None
  params, opt_state, loss = step_lib.fit(
      learner, params, opt_state, key, pools.images, pools.texts,
      state.aligned, state.num_aligned, steps)
  losses = state.losses.copy()
  losses[state.round] = loss
  return dataclasses.replace(
      state, params=params, opt_state=opt_state, losses=losses,
      round=np.asarray(state.round + 1, np.int32))


def _evaluated(state, learner, test, before):
  """The state with its scores, and the test's embeddings."""
  params = average.averaged(state.params, state.opt_state)
  known = {} if before is None else {
      modality: rows for modality, rows in before.items()
      if not freeze.embeds_anew(modality, params, learner.frozen)}
  embedded = evaluate_lib.embed_pairs(learner.graphdef, params, test, known)
  scores = evaluate_lib.evaluate(embedded, test)
  return state_lib.record_scores(state, scores), embedded
