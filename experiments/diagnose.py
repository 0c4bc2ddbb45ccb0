"""Why a strategy won or lost: what kind of items it asked for.

Example:

  python -m experiments.diagnose --workdir=/tmp/colorswap

Reads a finished experiment and judges, in every seed, all strategies by the
same model: the one that the random baseline ended with. Round 1 is left out;
there all strategies ask for the same random batch.
"""

from collections.abc import Sequence
import json
import pathlib
import sys
from typing import Any

from absl import app
from absl import flags
import ml_collections
import numpy as np

from experiments import build as build_lib
from experiments import folders
from experiments import report
from experiments import workdir as workdir_lib
from mmal_jax import checkpoint
from mmal_jax import embed
from mmal_jax.acquire import views
from mmal_jax.align import pools as pools_lib
from mmal_jax.evaluate import queries as queries_lib

flags.adopt_module_key_flags(folders)  # --help tells of them.


def judge(
    experiment: build_lib.Experiment, folder: pathlib.Path, seed: int
) -> tuple[dict[str, np.ndarray], pools_lib.Pools, np.ndarray]:
  """Embeds both pools of a seed with the random run's last model.

  Returns:
    Embeddings by modality, the pools, and the pairing.
  """
  pools, pairing = pools_lib.hide_pairing(experiment.data.pool, seed)
  state = checkpoint.load(
      workdir_lib.state_path(folder, report.BASELINE, seed),
      build_lib.start(experiment, pools, seed))
  return {
      modality: np.asarray(embed.embed(
          experiment.learner.graphdef, state.params, items.values, modality))
      for modality, items in zip(views.MODALITIES, pools)
  }, pools, pairing


def diagnose(folder: pathlib.Path, cache_dir: str) -> str:
  """The table of an experiment: means and spreads over seeds."""
  config = ml_collections.ConfigDict(
      json.loads((folder / workdir_lib.CONFIG).read_text()))
  if report.BASELINE not in config.strategies:
    raise ValueError(f'workdir={str(folder)!r} has no {report.BASELINE} run.')
  experiment = build_lib.build(config, cache_dir)
  records = workdir_lib.read_lines(folder / workdir_lib.QUERIES)
  found: dict[str, list[dict[str, float]]] = {s: [] for s in config.strategies}
  for seed in config.seeds:
    embeddings, pools, pairing = judge(experiment, folder, seed)
    for strategy, of_seeds in found.items():
      chosen = [r for r in records if r['seed'] == seed
                and r['strategy'] == strategy and r['round'] > 1]
      of_seeds.append(_describe(chosen, embeddings, pools, pairing))
  columns = ('image rounds (%)',) + queries_lib.METRICS
  rows = [[strategy] + [
      report.mean_pm_std([seen[c] for seen in of_seeds]) for c in columns]
          for strategy, of_seeds in found.items()]
  return report.markdown([['strategy', *columns]] + rows)


def _describe(
    records: Sequence[dict[str, Any]],
    embeddings: dict[str, np.ndarray],
    pools: pools_lib.Pools,
    pairing: np.ndarray,
) -> dict[str, float]:
  """Averages over the modalities, each weighted by its rounds."""
  sums = dict.fromkeys(queries_lib.METRICS, 0.0)
  image_rounds = 0
  for modality in views.MODALITIES:
    mine = [r for r in records if r['modality'] == modality]
    if not mine:
      continue
    side = views.MODALITIES.index(modality)
    counterparts = np.argsort(pairing) if side else pairing
    seen = queries_lib.describe(
        embeddings[modality], embeddings[views.other(modality)], counterparts,
        pools[1 - side].ids,
        np.concatenate([np.array(r['pairs'])[:, side] for r in mine]))
    for name, value in seen.items():
      sums[name] += value * len(mine) / len(records)
    image_rounds += (1 - side) * len(mine)
  return sums | {'image rounds (%)': 100 * image_rounds / len(records)}


def main(argv: Sequence[str]) -> None:
  del argv
  try:
    folder = pathlib.Path(folders.WORKDIR.value)
    print(diagnose(folder, folders.CACHE_DIR.value))
  except (ValueError, TypeError, OSError) as e:
    sys.exit(f'error: {e}')


if __name__ == '__main__':
  app.run(main)
