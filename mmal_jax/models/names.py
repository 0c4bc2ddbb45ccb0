"""Parameters by dotted names, and patterns that select among them."""

from collections.abc import Sequence
import fnmatch
from typing import Any

import jax


def dotted(path: tuple[Any, ...]) -> str:
  """The name of a leaf, `image_tower.transformer.blocks.0.norm_mlp.scale`.

  Args:
    path: from `jax.tree_util`. What comes before the parameter's own name, as
      in the state of an optimizer, is part of the result.
  """
  keys = [getattr(key, 'key', getattr(key, 'idx', getattr(key, 'name', None)))
          for key in path]
  # NNX keeps the array of a parameter in an attribute, which is no name.
  if path and isinstance(path[-1], jax.tree_util.GetAttrKey):
    keys = keys[:-1]
  return '.'.join(map(str, keys))


def all_names(tree: Any) -> list[str]:
  """Names of all leaves, in their order."""
  return [dotted(path)
          for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def matches(name: str, patterns: Sequence[str]) -> bool:
  """Whether one of the shell patterns (`*`, `?`, `[...]`) fits the name.

  >>> matches('image_tower.embed.kernel', ['image_tower.*'])
  True
  """
  return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def check(patterns: Sequence[str], tree: Any, argument: str) -> None:
  """Refuses a pattern that fits nothing: mostly a misspelt one.

  Args:
    patterns: to check.
    tree: of parameters.
    argument: what to call the patterns.

  Raises:
    ValueError: naming the pattern and some of the names that there are.
  """
  known = all_names(tree)
  for pattern in patterns:
    if not any(matches(name, [pattern]) for name in known):
      raise ValueError(
          f'{argument}: {pattern!r} fits none of {len(known)} parameters, '
          f'such as {", ".join(known[:2] + known[-2:])}.')
