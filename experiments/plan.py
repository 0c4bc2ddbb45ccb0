"""What the plan of a sweep says its cells are, and whether they are.

A cell's folder has a name, by strategy, settings and seed. By that alone, a
copy of another cell, or another sweep's, would be taken for it.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
import copy
import itertools
import os
import pathlib
from typing import Any
import urllib.parse

from experiments import differences
from experiments import paths
from experiments import run_labels
from experiments import workdir as workdir_lib
from mmal_jax import plain_text

# What a cell does not have of its sweep, or may have another value of.
_NOT_COMPARED = ('sweep', 'whole_pool', *workdir_lib.MAY_CHANGE)


def name(strategy: str, texts: Sequence[str], seed: int) -> str:
  """Of a cell's folder.

  >>> name('mmal', ['train.shift=2'], 0)
  'mmal-train.shift=2-seed0'

  Args:
    strategy: of the cell.
    texts: `KEY=VALUE` of each of its settings.
    seed: of the cell.
  """
  return urllib.parse.quote(
      '-'.join([strategy, *texts, f'seed{seed}']), safe='@=+')


def apart(keys: str, values: str) -> list[tuple[str, str]]:
  """Each of the keys that change together, and its value.

  >>> apart('rounds+batch', '2+10')
  [('rounds', '2'), ('batch', '10')]
  """
  if '+' not in keys:  # A path, or 1e+3, may hold one.
    return [(keys, values)]
  keys_, values_ = keys.split('+'), values.split('+')
  if len(keys_) != len(values_):
    raise ValueError(f'set={keys}={values}: {len(keys_)} keys, and '
                     f'{len(values_)} values.')
  return list(zip(keys_, values_))


def value(text: str) -> Any:
  """What a setting stands for, as it is written."""
  try:
    return ast.literal_eval(text)
  except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
    return text


def check(
    plan: Mapping[str, Any], path: pathlib.Path, folders: Sequence[pathlib.Path]
) -> None:
  """Refuses folders that are not the cells of a sweep that their names say.

  Args:
    plan: what the file holds, which is whole.
    path: of the file, for the error.
    folders: of cells.

  Raises:
    ValueError: naming the first that the plan does not know, or that is
      finished and holds the experiment of another cell, or of another sweep.
  """
  try:
    cells = dict(_cells(plan))
  except (ArithmeticError, AttributeError, KeyError, TypeError,
          ValueError) as e:
    raise ValueError(
        f'{path} is damaged: it sets what its own config does not have '
        f'({plain_text.for_terminal(str(e))}). Restore it from a copy of this '
        'very sweep.') from e
  for folder in folders:
    expected = cells.get(folder.name)
    if expected is None:
      raise ValueError(
          f'{folder} is no cell of the sweep that {path} describes: move it '
          'away.')
    if not (folder / workdir_lib.SUMMARY).exists():  # Whoever goes on looks.
      continue
    different = _different(
        workdir_lib.read(folder / workdir_lib.CONFIG), *expected)
    if different:
      raise ValueError('\n'.join([
          f'{folder} does not hold the cell that its name says, by {path.name}:'
          ' put the right one there, or move it away.', *different]))


def _cells(plan) -> Iterator[
    tuple[str, tuple[dict[str, Any], dict[str, str]]]]:
  """By its name, the config of each cell, and its settings as written."""
  for values in itertools.product(*plan['set'].values()):
    config, texts = copy.deepcopy(plan['config']), []
    # A key may be there alone, and together with others: the last one counts.
    pairs = [pair for keys, together in zip(plan['set'], values)
             for pair in apart(keys, together)]
    for key, text in pairs:
      texts.append(f'{key}={run_labels.as_text(_put(config, key, text))}')
    for seed, strategy in itertools.product(plan['seeds'], plan['strategies']):
      yield name(strategy, texts, seed), (
          config | {'strategies': [strategy], 'seeds': [seed]}, dict(pairs))


def _put(config: dict[str, Any], key: str, text: str) -> Any:
  """Sets one value, and returns what it has become."""
  *sections, last = key.split('.')
  for section in sections:
    config = config[section]
  found = value(text)
  # As a config converts it.
  config[last] = float(found) if isinstance(found, int) and isinstance(
      config[last], float) else found
  return config[last]


def _different(there, expected, written) -> list[str]:
  """A line for each value in which a cell is not what it should be."""
  dataset = expected.get('dataset')
  of_paths = paths.keys(
      dataset.get('name') if isinstance(dataset, dict) else None)
  but = [*_NOT_COMPARED, *of_paths]
  if expected.get('batch') is None:  # The cell has that which it found.
    but.append('batch')
  return differences.lines(there, expected, but) + [
      f'  {key}: {differences.value(there, key)!r} there, {text!r} now'
      for key, text in written.items() if differences.within(key, of_paths)
      and not _may_be(differences.value(there, key), text)]


def _may_be(path: Any, text: str) -> bool:
  """Whether an absolute path can be what was written, in whatever folder."""
  found = value(text)  # Without the quotes that a user may have put around it.
  text = found if isinstance(found, str) else text
  if not isinstance(path, str) or '$' in text or text.startswith('~'):
    return True
  parts = pathlib.PurePath(os.path.normpath(text)).parts
  known = tuple(part for part in parts if part != '..')
  return parts == pathlib.PurePath(path).parts if os.path.isabs(text) else (
      not known or pathlib.PurePath(path).parts[-len(known):] == known)
