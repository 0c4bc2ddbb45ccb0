"""What strategies get to see of the items that have arrived."""

from collections.abc import Mapping
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax import state as state_lib
from mmal_jax.acquire import coverage
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.data import encode
from mmal_jax.embed import in_memory as embed_lib
from mmal_jax.embed import reference as reference_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.models import partition
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.pools import pools as pools_lib


def make_views(
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    source: pools_lib.Source,
    arrived: pools_lib.Arrived,
    before: Mapping[str, views_lib.View] | None = None,
    metric: metric_lib.Metric = metric_lib.COSINE,
    report: embed_lib.Report | None = None,
) -> dict[str, views_lib.View]:
  """Embeds what has arrived with the present model.

  Args:
    state: present.
    learner: that makes the encoder.
    source: of the learner.
    arrived: of the present round.
    before: the views of the round before, if there are any: of a source that
      is fixed, a modality whose tower is locked is not embedded again, and
      where embeddings have not changed the distances to the aligned set are
      brought up to date instead of computed anew.
    metric: of the views.
    report: called with how long each embedding took.

  Returns:
    A view by modality, without `reference`. Where the encoder lies over a mesh,
    the pools lie over all of its devices.
  """
  views = {}
  if not source.is_fixed:
    before = None
  params = learner.encoder(state.params, state.learner_state)
  mesh = partition.mesh_of(params)
  rows = None if mesh is None else partition.batch_rows(mesh)
  # Of parameters on a mesh: to no device in particular.
  logit_scale, logit_bias = (
      jnp.asarray(jax.device_get(x[...]))
      for x in (params['logit_scale'], params['logit_bias']))
  skill = jnp.float32(
      state.skills[state.round - 1] if state.round else np.nan)
  for column, (modality, items) in enumerate(arrived.items.items()):
    locked = before is not None and not learner.embeds_anew(modality, params)
    embeddings = before[modality].pool if locked else embed_lib.embed(
        learner.graphdef, params, items.values, modality, report=report)
    numbers = state.aligned[:, column]
    if source.is_fixed:
      aligned = rows_lib.take(embeddings, numbers)
    else:
      aligned = jnp.asarray(embed_lib.embed_to_host(
          learner.graphdef, params, _held(source, arrived, modality, numbers),
          modality))
    left = state_lib.remaining(state, modality, arrived.numbers[modality])
    costs = None if arrived.costs is None else rows_lib.laid(
        arrived.costs[modality], rows, 1.0)
    views[modality] = views_lib.View(
        pool=embeddings, remaining=rows_lib.laid(left, rows, False),
        rows=rows, size=None if rows is None else len(items), aligned=aligned,
        aligned_mask=jnp.asarray(numbers >= 0), metric=metric,
        logit_scale=jnp.exp(logit_scale), logit_bias=logit_bias, costs=costs,
        skill=skill,
        asked=jnp.int32(len(state_lib.asked_of(state, modality))))
    if before is not None:
      views[modality] = coverage.carried_over(views[modality], before[modality])
  return views


def spaces(
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    source: pools_lib.Source,
    arrived: pools_lib.Arrived,
    views: Mapping[str, views_lib.View],
    before: Mapping[str, reference_lib.Space] | None = None,
) -> Mapping[str, reference_lib.Space]:
  """What is alike among the items that have arrived, by modality.

  Args:
    state: present.
    learner: that makes the encoder.
    source: of the learner.
    arrived: of the present round.
    views: of the present round.
    before: of the round before: where the same items are there and training
      starts from the same model, it is kept.
  """
  start = state.start_params
  if before is not None and source.is_fixed and start is not None:
    return before
  # A fresh run's model, and one that goes on, are what training starts from.
  is_start = start is None or not state.round
  return {
      m: reference_lib.space(
          learner.graphdef, start, m, items.values,
          embeddings=views[m].pool if is_start else None, rows=views[m].rows)
      for m, items in arrived.items.items()}


def with_reference(
    views: Mapping[str, views_lib.View],
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    source: pools_lib.Source,
    arrived: pools_lib.Arrived,
    known: Mapping[str, reference_lib.Space],
) -> dict[str, views_lib.View]:
  """The views with `reference` and `aligned_reference`.

  Args:
    views: of the present round.
    state: present.
    learner: that makes the encoder.
    source: of the learner.
    arrived: of the present round.
    known: from `spaces`.
  """
  seen = {}
  for column, (m, view) in enumerate(views.items()):
    numbers = state.aligned[:, column]
    if source.is_fixed:
      aligned = rows_lib.take(known[m].rows, numbers)
    else:
      aligned = jnp.asarray(_like(state, learner, known, m, _held(
          source, arrived, m, numbers)))
    seen[m] = dataclasses.replace(
        view, reference=known[m].rows, aligned_reference=aligned)
  return seen


def reference_of(
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    source: pools_lib.Source,
    items: Mapping[str, encode.Items],
    known: Mapping[str, reference_lib.Space],
) -> dict[str, np.ndarray]:
  """By modality, `[k, r]` reference rows of the k items that are held to train.

  Args:
    state: present.
    learner: that makes the encoder.
    source: that holds the items.
    items: from `source.hold`.
    known: from `spaces`.
  """
  if source.is_fixed:
    return on_host(known, items)
  return {m: _like(state, learner, known, m, some.values)
          for m, some in items.items()}


def on_host(
    known: Mapping[str, reference_lib.Space],
    items: Mapping[str, encode.Items],
) -> dict[str, np.ndarray]:
  """By modality, `[n, r]` reference rows, whole on each host.

  Args:
    known: from `spaces`.
    items: that these are of.
  """
  return {m: rows_lib.on_host(space.rows, len(items[m]))
          for m, space in known.items()}


def _like(state, learner, known, modality, values) -> np.ndarray:
  """Reference rows of other items than those that have arrived."""
  start = state.start_params
  if start is None:
    start = learner.encoder(state.params, state.learner_state)
  return reference_lib.of_few(
      learner.graphdef, start, modality, values, known[modality].mean)


def _held(source, arrived, modality, numbers) -> encode.Values:
  """Aligned items by number; an item that is at hand where there is none."""
  at_hand = arrived.numbers[modality][0]
  return source.fetch(
      modality, np.where(numbers >= 0, numbers, at_hand)).values
