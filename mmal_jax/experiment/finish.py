"""What a run leaves when all of its rounds are done."""

import pathlib
import time
from typing import Any

from mmal_jax.analysis import figures
from mmal_jax.analysis import plot
from mmal_jax.analysis import records
from mmal_jax.analysis import saved_answers
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import build
from mmal_jax.workdir import finished
from mmal_jax.workdir import layout as workdir_lib


def finish(
    experiment: build.Experiment,
    folder: pathlib.Path,
    whole: list[dict[str, Any]],
    started: float,
    x: str,
) -> str:
  """Draws the curves and writes the summary of all runs.

  Args:
    experiment: whose rounds are done.
    folder: of the experiment.
    whole: scores after the whole pool, by seed; empty where none were wanted.
    started: when the program began, by `time.perf_counter`.
    x: what curves are drawn over, as `records.axis` has it.

  Returns:
    Tables of the summary, to be printed.
  """
  found = records.of_folder(folder)
  # Not all need have as many answers: costs differ, open ones come late.
  grid, scores, read_off = records.curves(found, x)
  headline = evaluate.headline(evaluate.metric_names(experiment.data.test))
  summary = summary_lib.summarise(
      grid, scores, headline, whole_pool=whole,
      answers=records.answers(found, grid, x))
  summary['seconds'] = time.perf_counter() - started
  figures.save(plot.curves(summary), folder / workdir_lib.CURVES)
  summary['files'] = finished.record_digests(folder)
  # The last: by it a sweep knows that all is there.
  workdir_lib.write(folder / workdir_lib.SUMMARY, summary)
  legend = tables.legend(len(found.seeds))
  return '\n\n'.join(filter(None, (
      tables.table(summary), legend, tables.curve_table(summary), legend,
      read_off, saved_answers.in_words(summary))))
