"""Which parameters stay as they are, by patterns on their names."""

from collections.abc import Sequence
from typing import Any

import jax

from mmal_jax.models import names


def patterns(recipe: str | Sequence[str], params: Any) -> tuple[str, ...]:
  """Patterns of the frozen parameters, from a recipe's name.

  Args:
    recipe: `none`; or `lit`: all of the image side (Zhai et al., LiT: Zero-Shot
      Transfer with Locked-image text Tuning, 2022); `heads`: all of all towers
      but their pooling, so that projections, pooling, scale and bias learn; or
      `last_N_blocks`: `heads`, but that the last N blocks and the final norm of
      each tower learn, too. Or patterns of your own, in a sequence or a
      string with commas between them.
    params: the parameters.

  Returns:
    Shell patterns on dotted names.

  Raises:
    ValueError: for an unknown recipe, for more blocks than there are, and for a
      pattern that fits nothing.
  """
  known = names.all_names(params)
  if isinstance(recipe, str) and (
      recipe in known or set(recipe) & set('*?[.,')):
    recipe = recipe.split(',')
  if not isinstance(recipe, str):
    names.check(recipe, params, 'train.freeze')
    return tuple(recipe)
  if recipe == 'none':
    return ()
  if recipe == 'lit':
    return ('image_tower.*', 'image_projection.*')
  last = recipe.removeprefix('last_').removesuffix('_blocks')
  if recipe == 'heads':
    learning = 0
  elif recipe == f'last_{last}_blocks' and last.isdecimal() and int(last) > 0:
    learning = int(last)
  else:
    raise ValueError(
        f'train.freeze={recipe!r} is unknown; known are none, lit, heads, '
        'last_N_blocks, and patterns.')
  frozen = []
  towers = dict.fromkeys(name.partition('.')[0] for name in known
                         if name.partition('.')[0].endswith('_tower'))
  for tower in towers:
    blocks = {name.split('.')[3] for name in known
              if name.startswith(f'{tower}.transformer.blocks.')}
    if learning > len(blocks):
      raise ValueError(f'train.freeze={recipe!r}: {tower} has {len(blocks)} '
                       'blocks.')
    learnt = [f'{tower}.pooling.*']
    if learning:
      learnt += [f'{tower}.transformer.norm.*'] + [
          f'{tower}.transformer.blocks.{i}.*'
          for i in range(len(blocks) - learning, len(blocks))]
    frozen += [name for name in known if name.startswith(f'{tower}.')
               and not names.matches(name, learnt)]
  return tuple(frozen)


def learns(params: Any, frozen: Sequence[str]) -> list[bool]:
  """For every leaf, in order, whether it learns."""
  return [not names.matches(name, frozen) for name in names.all_names(params)]


def embeds_anew(modality: str, params: Any, frozen: Sequence[str]) -> bool:
  """Whether a step can change the embeddings of a modality.

  Args:
    modality: of the items.
    params: the parameters.
    frozen: from `patterns`.
  """
  return any(
      learning for name, learning in zip(
          names.all_names(params), learns(params, frozen))
      if name.startswith((f'{modality}_tower.', f'{modality}_projection.')))


def split(params: Any, frozen: Sequence[str]) -> tuple[list, list]:
  """The leaves that learn, and those that do not, each in order."""
  leaves = jax.tree.leaves(params)
  learning = learns(params, frozen)
  return ([leaf for leaf, yes in zip(leaves, learning) if yes],
          [leaf for leaf, yes in zip(leaves, learning) if not yes])


def join(like: Any, learnt: list, fixed: list, frozen: Sequence[str]) -> Any:
  """The inverse of `split`, in the structure of `like`."""
  learnt, fixed = iter(learnt), iter(fixed)
  return jax.tree.unflatten(jax.tree.structure(like), [
      next(learnt) if yes else next(fixed) for yes in learns(like, frozen)])
