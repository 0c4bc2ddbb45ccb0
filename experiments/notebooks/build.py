"""Builds the notebooks from their sources, which lie beside them.

  python -m experiments.notebooks.build

A source is Python in the percent format: `# %%` begins a cell of code, and
`# %% [markdown]` one of text, in comments. A line `# include: FILE` stands for
the lines of FILE. The first cell gets a badge that opens the notebook in Colab.
Outputs of a cell whose code has not changed stay; `jupyter execute --inplace`
makes them anew.
"""

from collections.abc import Iterator
import json
import pathlib
import re
from typing import Any

FOLDER = pathlib.Path(__file__).parent
NAMES = ('ask_quickstart', 'active_alignment', 'your_photos_and_captions')
_CELL = re.compile(r'^# %%(?: \[(markdown)\])?(?: tags=(\[.*\]))?\n', re.M)
_INCLUDE = re.compile(r'^# include: (\S+)$', re.M)
_INSTALL = 'install.py'
_COLAB = 'https://colab.research.google.com'


def notebook(
    name: str, outputs: dict[str, Any] | None = None
) -> dict[str, Any]:
  """A notebook, as its JSON says it.

  Args:
    name: one of `NAMES`.
    outputs: by code of a cell, `execution_count` and `outputs` of it; a cell
      that is not there has none.
  """
  cells = []
  source = (FOLDER / f'{name}.py').read_text('utf-8')
  for number, (kind, tags, text) in enumerate(_cells(source)):
    if kind == 'markdown':
      text = re.sub('^# ?', '', text, flags=re.M)
      if number == 0:
        title, _, rest = text.partition('\n')
        text = f'{title}\n\n{_badge(name)}\n{rest}'
    else:
      text = _INCLUDE.sub(
          lambda found: (FOLDER / found[1]).read_text('utf-8').strip(), text)
    cell = {'cell_type': kind, 'id': f'cell-{number}',
            'metadata': {'tags': tags} if tags else {},
            'source': text.splitlines(keepends=True)}
    if kind == 'code':
      cell |= {'execution_count': None, 'outputs': []} | (
          outputs or {}).get(text, {})
    cells.append(cell)
  return {
      'cells': cells,
      'metadata': {
          'kernelspec': {'display_name': 'Python 3', 'language': 'python',
                         'name': 'python3'},
          'language_info': {'name': 'python'}},
      'nbformat': 4, 'nbformat_minor': 5}


def outputs_of(built: dict[str, Any]) -> dict[str, Any]:
  """What `notebook` takes as outputs, of one that was executed.

  Without what went to stderr: progress bars, of which a file shows every step.
  """
  return {
      ''.join(cell['source']): {
          'execution_count': cell['execution_count'],
          'outputs': [one for one in cell['outputs']
                      if one.get('name') != 'stderr']}
      for cell in built['cells'] if cell['cell_type'] == 'code'}


def written(built: dict[str, Any]) -> str:
  """The text of a notebook's file."""
  return json.dumps(built, indent=1, ensure_ascii=False, sort_keys=True) + '\n'


def _cells(source: str) -> Iterator[tuple[str, list[str], str]]:
  """Kind, tags and text of each cell."""
  marks = list(_CELL.finditer(source))
  ends = [mark.start() for mark in marks[1:]] + [len(source)]
  for mark, end in zip(marks, ends):
    yield (mark[1] or 'code', json.loads(mark[2] or '[]'),
           source[mark.end():end].strip())


def _badge(name: str) -> str:
  """A link to the notebook in Colab, in the repository that is installed."""
  repository = re.search(
      r'https://github\.com/([\w-]+/[\w.-]+)',
      (FOLDER / _INSTALL).read_text('utf-8'))[1]
  path = f'blob/main/experiments/notebooks/{name}.ipynb'
  return (f'[![Open in Colab]({_COLAB}/assets/colab-badge.svg)]'
          f'({_COLAB}/github/{repository}/{path})')


def main() -> None:
  for name in NAMES:
    path = FOLDER / f'{name}.ipynb'
    before = outputs_of(
        json.loads(path.read_text('utf-8'))) if path.exists() else None
    path.write_text(written(notebook(name, before)), 'utf-8')


if __name__ == '__main__':
  main()
