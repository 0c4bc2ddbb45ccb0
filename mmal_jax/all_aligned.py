"""What a learner comes to where all of the pool is aligned: a reference."""

import jax
import numpy as np

from mmal_jax import state as state_lib
from mmal_jax.data import encode
from mmal_jax.evaluate import evaluate as evaluate_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.pools import pools as pools_lib


def align_whole_pool(
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    source: pools_lib.Source,
    tuples: np.ndarray,
    test: encode.EncodedPairs,
) -> dict[str, float]:
  """Scores of the same learner where all of the pool is aligned.

  One round's training on all true pairs: what no order of asking can be
  expected to beat. It takes the hidden pairing, so it is a reference for
  evaluation, and nothing of it may go back into a run.

  Args:
    state: of a run; training starts where the run's own starts, and has a
      random key that no round has.
    learner: of the run.
    source: the whole pools.
    tuples: `[n, M]` int32 item numbers of what belongs together, a column a
      modality; -1 for an item that is missing.
    test: held-out pairs.

  Returns:
    By metric, percentages.

  Raises:
    ValueError: if the source is a stream, or no two items belong together.
    divergence.Diverged: if training diverges.
  """
  if not source.is_fixed:
    raise ValueError('the source is a stream: its items are not all at hand.')
  tuples = np.asarray(tuples, np.int32)
  tuples = tuples[np.sum(tuples >= 0, axis=1) > 1]
  if not len(tuples):
    raise ValueError('tuples: no two items belong together.')
  rounds = len(state.queries)
  arrived = source.arrived(rounds)
  items, rows = source.training_items(tuples, arrived.numbers)
  nothing = {m: np.zeros(0, int) for m in arrived.items}
  known = learner_lib.Known(
      items, rows, len(tuples), learner_lib.Pool(arrived.items, nothing))
  params = state.params if state.start_params is None else state.start_params
  learned = learner.learn(
      params, learner.init(params), state.start_params,
      jax.random.fold_in(state.key, rounds), known)
  params = learner.encoder(learned.params, learned.state)
  return evaluate_lib.evaluate(
      evaluate_lib.embed_pairs(learner.graphdef, params, test, {}), test)
