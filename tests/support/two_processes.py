"""What one of two processes with four devices each picks; see the test.

  python -m tests.support.two_processes PROCESS PORT

prints two lines of JSON, of the stages and of `ask`.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import ask
from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import modality
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views as views_lib
from mmal_jax.parallel import sharding
from tests.support import problems

MODALITIES = ('image', 'text')
# All that scale: each by a kernel of its own.
STRATEGIES = ('mmal', 'mmal_plus', 'design', 'plan_margin', 'facility',
              'herding', 'probcover')


def pools() -> dict[str, problems.Problem]:
  """The same for both processes, and for the test."""
  rng = np.random.default_rng(0)
  return {m: problems.make(rng, problems.unit, 299, aligned=7)
          for m in MODALITIES}


def answers(views) -> dict[str, object]:
  """What the three stages say, in JSON's types."""
  views = {m: coverage.covered(view) for m, view in views.items()}
  chosen = modality.select_modality(views)
  picks = coreset.select_coreset(views[chosen], 20, candidates=16)
  found = {'modality': chosen, 'picks': np.asarray(picks).tolist()}
  for name, score in (('margin', uncertainty.MARGIN),
                      ('entropy', uncertainty.ENTROPY)):
    best = uncertainty.select_uncertain(
        picks, views[chosen], views_lib.others(views, chosen), 10, score)
    found[name] = np.asarray(best).tolist()
  return found


def asked(rows) -> dict[str, list]:
  """What the one call says, which does the sharding itself, by strategy."""
  images, texts = pools().values()
  found = {}
  for strategy in STRATEGIES:
    query = ask.ask(
        images.pool, texts.pool, images.arrays()[2], texts.arrays()[2], 10,
        strategy, image_remaining=images.remaining,
        text_remaining=texts.remaining, rows=rows)
    found[strategy] = [query.modality, query.indices.tolist()]
  # As JSON has it, which knows no tuples.
  return json.loads(json.dumps(found))


def main(process: int, port: int) -> None:
  jax.config.update('jax_platforms', 'cpu')
  jax.config.update('jax_num_cpu_devices', 4)
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  jax.distributed.initialize(
      coordinator_address=f'127.0.0.1:{port}', num_processes=2,
      process_id=process, initialization_timeout=60)
  assert jax.process_count() == 2 and jax.device_count() == 8
  rows = sharding.row_sharding()
  views = {
      m: problem.view(
          pool=sharding.shard_rows(problem.pool, rows),
          remaining=sharding.shard_rows(problem.remaining, rows, fill=False),
          logit_scale=jnp.float32(10))
      for m, problem in pools().items()}
  assert not views['image'].pool.is_fully_addressable
  print(json.dumps(answers(views)), flush=True)
  print(json.dumps({'asked': asked(rows)}), flush=True)


if __name__ == '__main__':
  main(*map(int, sys.argv[1:]))
