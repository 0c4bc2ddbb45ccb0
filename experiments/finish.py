"""What a run leaves when all of its rounds are done."""

import pathlib
import time
from typing import Any

from experiments import build
from experiments import finished
from experiments import plot
from experiments import records
from experiments import saved_answers
from experiments import summary as summary_lib
from experiments import tables
from experiments import workdir as workdir_lib
from mmal_jax.evaluate import evaluate


def finish(
    experiment: build.Experiment,
    folder: pathlib.Path,
    whole: list[dict[str, Any]],
    started: float,
) -> str:
  """Draws the curves and writes the summary of all runs.

  Args:
    experiment: whose rounds are done.
    folder: of the experiment.
    whole: scores after the whole pool, by seed; empty where none were wanted.
    started: when the program began, by `time.perf_counter`.

  Returns:
    Tables of the summary, to be printed.
  """
  found = records.of_folder(folder)
  x = records.axis([experiment.config])
  # Not all need have as many answers: costs differ, open ones come late.
  grid, scores, read_off = records.curves(found, x)
  headline = evaluate.headline(evaluate.metric_names(experiment.data.test))
  summary = summary_lib.summarise(
      grid, scores, headline, whole_pool=whole,
      answers=records.answers(found, grid, x))
  summary['seconds'] = time.perf_counter() - started
  plot.curves(summary, folder / workdir_lib.CURVES)
  summary['files'] = finished.record_digests(folder)
  # The last: by it a sweep tells that all is there.
  workdir_lib.write(folder / workdir_lib.SUMMARY, summary)
  legend = tables.legend(len(found.seeds))
  return '\n\n'.join(filter(None, (
      tables.table(summary), legend, tables.curve_table(summary), legend,
      read_off, saved_answers.in_words(summary))))
