"""Names that users give: of arguments, strategies and metrics."""

from collections.abc import Callable, Iterable
import difflib
import functools
import inspect
import re
from typing import Any

from mmal_jax.files import json_object

# What other packages call the arguments of `ask`.
_SYNONYMS = {
    'aligned_images': ('known_images', 'labeled_images', 'labelled_images',
                       'paired_images', 'known_pairs', 'aligned', 'pairs'),
    'aligned_texts': ('known_texts', 'labeled_texts', 'labelled_texts',
                      'paired_texts', 'captions'),
    'batch': ('batch_size', 'n', 'k', 'n_samples', 'n_instances', 'budget',
              'num_queries'),
    'image_remaining': ('remaining', 'mask', 'image_mask', 'unlabeled',
                        'unlabelled', 'images_remaining'),
    'text_remaining': ('text_mask', 'texts_remaining'),
    'image_costs': ('costs', 'cost', 'images_costs'),
    'image_asked': ('asked', 'images_asked'),
    'seed': ('key', 'rng', 'random_state', 'random_seed'),
    'strategy': ('method', 'acquisition', 'query_strategy'),
    'metric': ('distance', 'similarity'),
    'logit_scale': ('temperature', 'scale'),
    'logit_bias': ('bias',),
    'shared_space': ('shared', 'joint', 'joint_space'),
}


def shown(value: Any) -> str:
  """A value as a message shows it: on one line, however large.

  >>> shown('best'), shown(range(10**6))
  ("'best'", 'range(0, 1000000)')
  """
  if getattr(value, 'shape', ()):
    return f'array of shape {tuple(value.shape)}'
  return ' '.join(json_object.quote(value).split())


def did_you_mean(
    given: str, known: Iterable[str],
    synonyms: dict[str, Iterable[str]] | None = None,
) -> str:
  """A question with the nearest name, to be put behind an error message.

  >>> did_you_mean('MMAL-plus', ['mmal', 'mmal_plus'])
  ' Did you mean mmal_plus?'
  >>> did_you_mean('best', ['mmal', 'mmal_plus'])
  ''

  Args:
    given: a name that is unknown.
    known: all names that there are.
    synonyms: by known name, others for the same.

  Returns:
    The question; empty where no name is near.
  """
  names = {_plain(name): name for name in known}
  for name, others in (synonyms or {}).items():
    if name in names.values():
      names |= {_plain(other): name for other in others
                if _plain(other) not in names}
  near = difflib.get_close_matches(_plain(str(given)), names, 1, 0.7)
  return f' Did you mean {names[near[0]]}?' if near else ''


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
  """Says which arguments are unknown, twice there or missing.

  Args:
    function: with named parameters alone.

  Returns:
    The function, of the same signature; raises TypeError for such arguments.
  """
  parameters = inspect.signature(function).parameters
  by_place = [name for name, parameter in parameters.items()
              if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
  needed = [name for name, parameter in parameters.items()
            if parameter.default is parameter.empty]
  me = function.__name__

  @functools.wraps(function)
  def call(*arguments, **named):
    if len(arguments) > len(by_place):
      others = [name for name in parameters if name not in by_place]
      raise TypeError(
          f'{me} takes {len(by_place)} arguments by their place '
          f'({", ".join(by_place)}), not {len(arguments)}; give the others by '
          f'name: {", ".join(f"{name}=" for name in others)}.')
    for name in named:
      if name not in parameters:
        raise TypeError(
            f'{me} has no argument {name}; it takes {", ".join(parameters)}.'
            + did_you_mean(name, parameters, _SYNONYMS))
      if name in by_place[:len(arguments)]:
        raise TypeError(f'{name} is given twice: as argument '
                        f'{by_place.index(name) + 1} and by name.')
    missing = [name for name in needed if name not in named
               and name not in by_place[:len(arguments)]]
    if missing:
      raise TypeError(
          f'{me} lacks {" and ".join(missing)}; the call is '
          f'{me}({", ".join(needed)}, ...)'
          + ('; where no pair is known yet give None for both sides.'
             if missing[0].startswith('aligned') else '.'))
    return function(*arguments, **named)

  return call


def _plain(name: str) -> str:
  name = name.lower().replace('+', '_plus')
  return re.sub('[^a-z0-9]+', '_', name).strip('_')
