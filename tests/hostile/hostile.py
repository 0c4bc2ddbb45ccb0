"""Bad input of every kind, and what becomes of it.

  python -m tests.hostile

prints the kinds of input that people have, and a table of all cases: what was
wrong, what happened, and in which words.
"""

from collections.abc import Callable, Sequence
import pathlib
import re
import sys
import tempfile
from typing import Any, NamedTuple

from tests.hostile import hostile_kinds


class Case(NamedTuple):
  """An input that should not exist.

  Attributes:
    reader: what reads it.
    wrong: what is wrong with it, in a few words.
    read: makes it in an empty folder, and reads it. What it returns for input
      that is taken is shown in the table.
    says: a part of the error's text; None where the input is taken as it is.
    error: the error that must be raised then.
  """

  reader: str
  wrong: str
  read: Callable[[pathlib.Path], Any]
  says: str | None
  error: type[Exception] = ValueError


def outcome(case: Case, folder: pathlib.Path) -> tuple[str, str]:
  """What happens, and the text; anything but what is allowed is raised."""
  try:
    found = case.read(folder)
  except case.error as e:
    return 'refused', str(e).replace(str(folder), '')
  return 'taken', str(found)


def page(cases: Sequence[Case]) -> str:
  """Kinds and cases as a page of Markdown."""
  lines = table(cases)
  refused = sum('| refused |' in line for line in lines)
  return '\n\n'.join([
      '# Bad input', '## Kinds', hostile_kinds.table(), '## Cases',
      f'{refused} of {len(cases)} are refused, in these words; '
      f'{len(cases) - refused} are taken, as documented. Paths are shown from '
      'the folder of the case on.', '\n'.join(lines)]) + '\n'


def table(cases: Sequence[Case]) -> list[str]:
  """All cases as the lines of a table of Markdown."""
  lines = ['| read by | what is wrong | what happens | in words |',
           '|---|---|---|---|']
  for case in cases:
    with tempfile.TemporaryDirectory() as folder:
      happens, text = outcome(case, pathlib.Path(folder))
    text = re.sub(r'\s+', ' ', text).replace('|', r'\|')
    if len(text) > 240:
      text = f'{text[:240]} ...'
    lines.append(f'| {case.reader} | {case.wrong} | {happens} | {text} |')
  return lines


def main() -> None:
  from tests.hostile import hostile_data
  from tests.hostile import hostile_files
  sys.stdout.write(page([*hostile_data.CASES, *hostile_files.CASES]))
