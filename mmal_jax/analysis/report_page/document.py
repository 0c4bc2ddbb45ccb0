"""The report as one HTML file, which opens from a disk and needs nothing else.

Everything is in the document itself, and is seen without a script. The script
moves a position along the curves, and shows what belongs to it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmal_jax.analysis import scores_at as scores_lib
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.analysis.report_page import asked
from mmal_jax.analysis.report_page import curves
from mmal_jax.analysis.report_page import elements
from mmal_jax.analysis.report_page import matched
from mmal_jax.analysis.report_page import pool_map
from mmal_jax.files import html_file

as_text, tag = elements.as_text, elements.tag
# In the order in which they make up the one program.
_SCRIPTS = ('curves.js', 'rounds.js', 'map.js', 'main.js')


class Seen(NamedTuple):
  """What is shown of the items of one run.

  Attributes:
    title: of what run they are.
    queries: its records, a round each.
    reached: `[t]` int, the last round that was over at each point of the
      curves.
    modalities: their names, of the columns of the answers.
    see: what is seen of an item.
    asked_note: why it is not shown what was asked; '' where it is.
    matches: of `matched.likeliest`, and how many there are in all; None where
      there are none.
    matches_note: about the matches, or why there are none.
    panels: the map of each modality; none where there is no map.
    map_note: about the map, or why there is none.
  """

  title: str
  queries: Sequence[Mapping[str, Any]]
  reached: Sequence[int]
  modalities: Sequence[str]
  see: elements.See
  asked_note: str
  matches: tuple[list[matched.Match], int] | None
  matches_note: str
  panels: Mapping[str, pool_map.Panel]
  map_note: str


def render(
    summary: dict[str, Any], notes: Sequence[str], legend: str,
    settings: Sequence[Sequence[str]], seen: Seen,
) -> str:
  """The file.

  Args:
    summary: from `summary.summarise`.
    notes: about all of it, in sentences.
    legend: of tables: what ± is.
    settings: rows of a table, the first its header: in what experiments
      differ; none if they do not.
    seen: what is shown of items.
  """
  at = scores_lib.scores_at(summary)
  rounds = max((record['round'] for record in seen.queries), default=0)
  content = curves.data(summary, at) | {
      'reached': [int(t) for t in seen.reached],
      'map': pool_map.data(seen.panels)}
  style = html_file.asset(__package__, 'style.css')
  script = html_file.program(__package__, _SCRIPTS)
  last = len(at.cells) - 1
  return html_file.fill(html_file.asset(__package__, 'template.html'), {
      'policy': html_file.policy(style, script, "connect-src 'none'"),
      'style': style, 'script': script, 'data': html_file.as_script(content),
      'metric': as_text(summary['headline']), 'last': str(last),
      'end': as_text(curves.position(summary, last)),
      'x': 'Cost' if summary['x'] == summary_lib.COST else 'Answers',
      'notes': elements.listed(notes),
      'settings': _settings(settings),
      'curves': curves.drawn(summary), 'table': curves.table(summary, at),
      'legend': as_text(f'{legend} {curves.about_bands(summary)}'.strip()),
      'points': tables.curve_table(summary, last + 1, elements.table),
      'compared': tables.comparison_table(summary, elements.table),
      'run': as_text(seen.title), 'asked': _asked(seen),
      'matches': _matches(seen), 'map': _map(seen, rounds)})


def _settings(rows) -> str:
  return tag('section', tag(
      'h2', 'Settings in which the experiments differ')
             + elements.table(rows)) if rows else ''


def _asked(seen: Seen) -> str:
  about = ('The line marks what was asked about; beside it is what it was '
           'matched with.')
  return _note(f'{about} {seen.asked_note}'.strip()) + asked.drawn(
      seen.queries, seen.modalities, seen.see)


def _matches(seen: Seen) -> str:
  note = _note(seen.matches_note)
  return note if seen.matches is None else note + matched.drawn(
      *seen.matches, seen.see)


def _map(seen: Seen, rounds: int) -> str:
  note = _note(seen.map_note)
  return note if not seen.panels else note + pool_map.drawn(
      seen.panels, rounds)


def _note(text: str) -> str:
  return tag('p', as_text(text), class_='note') if text else ''
