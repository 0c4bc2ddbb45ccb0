"""Bad input of every kind, and what becomes of it.

  python -m tests.hostile

prints a table of all cases: what was wrong, what happened, and in which words.
"""

from collections.abc import Callable, Sequence
import pathlib
import re
import sys
import tempfile
from typing import Any, NamedTuple


class Case(NamedTuple):
  """An input that nobody should have made.

  Attributes:
    reader: what reads it.
    wrong: what is wrong with it, in a few words.
    read: makes it in an empty folder, and reads it. What it returns for input
      that is taken is told in the table.
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


def table(cases: Sequence[Case]) -> str:
  """All cases as a table of Markdown."""
  lines = ['| read by | what is wrong | what happens | in words |',
           '|---|---|---|---|']
  for case in cases:
    with tempfile.TemporaryDirectory() as folder:
      happens, text = outcome(case, pathlib.Path(folder))
    text = re.sub(r'\s+', ' ', text).replace('|', r'\|')
    if len(text) > 240:
      text = f'{text[:240]} ...'
    lines.append(f'| {case.reader} | {case.wrong} | {happens} | {text} |')
  return '\n'.join(lines)


def main() -> None:
  from tests import hostile_data
  from tests import hostile_files
  sys.stdout.write(table([*hostile_data.CASES, *hostile_files.CASES]) + '\n')


if __name__ == '__main__':
  main()
