"""Flags that several programs have in common.

A program adopts those that it takes: `take('workdir', 'cache_dir')` lists them
in its `--help`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from mmal_jax.config import paths
from mmal_jax.experiment import compilation_cache
from mmal_jax.files import cache_folder
from mmal_jax.models.pretrained import presets
from mmal_jax.terminal import messages


class _Parser(flags.ArgumentParser):
  """Of a flag that holds a path."""

  syntactic_help = 'a path'

  def parse(self, argument):
    return paths.expand(argument)


class _ListParser(flags.ListParser):
  """Of a flag that holds paths with commas between them."""

  def parse(self, argument):
    return [paths.expand(path) for path in super().parse(argument)]


def define_path(
    name: str, default: str | None, text: str, **how: Any
) -> flags.FlagHolder:
  """A flag that takes a path; its value is what `paths.expand` makes of it."""
  return flags.DEFINE(_Parser(), name, default, text, **how)


def define_paths(
    name: str, default: Sequence[str] | None, text: str, **how: Any
) -> flags.FlagHolder:
  """A flag that takes paths with commas between them."""
  return flags.DEFINE(
      _ListParser(), name, default, text,
      serializer=flags.CsvListSerializer(','), **how)


flags.disclaim_key_flags()  # They are of the program that defines them.


# By name, how a flag is defined.
_DEFINITIONS = {
    'workdir': lambda: define_path(
        'workdir', None, 'Folder of the experiment: metrics, queries, models, '
        'summary and curves.', required=True),
    'cache_dir': lambda: define_path(
        'cache_dir', cache_folder.default(),
        'Folder that keeps rendered datasets and warm starts between runs.'),
    'compilation_cache': lambda: define_path(
        'compilation_cache', None,
        'Folder that keeps compiled programs, of this machine or of a disk that'
        ' all hosts share, or "off". Default: where '
        'JAX_COMPILATION_CACHE_DIR says, else "compiled" in this user\'s '
        'cache on TPUs and on the GPUs of one process, and none elsewhere.'),
    'out': lambda: define_path(
        'out', None, 'Folder to write to. A report replaces an earlier report '
        'there; benchmarks write to runs/benchmarks by default.'),
    'moved': lambda: flags.DEFINE_multi_string(
        'moved', [], 'KEY=PATH, as dataset.images=/new/images.npy: where data '
        'or checkpoint of the experiment lie now. May be given several times.'),
    'strategy': lambda: flags.DEFINE_string(
        'strategy', 'mmal', 'Of the run whose results are taken.'),
    'seed': lambda: flags.DEFINE_integer('seed', 0, 'Of that run.'),
    'init': lambda: define_path(
        'init', None,
        'Checkpoint to start from: a folder in Hugging Face\'s layout '
        '(config.json, model.safetensors, the tokenizer, '
        'preprocessor_config.json), a repository\'s name, or a .npz of '
        'big_vision.'),
    'model': lambda: flags.DEFINE_string(
        'model', None,
        'What --init must hold, to be refused otherwise, out of: '
        f'{", ".join(presets.PRESETS)}.'),
}
_defined: dict[str, flags.FlagHolder] = {}


def take(*names: str) -> list[flags.FlagHolder]:
  """Defines common flags, unless another program of this process has.

  Args:
    names: of flags.

  Returns:
    The flags, in that order.
  """
  for name in names:
    if name in _defined:
      flags.declare_key_flag(name)
    else:
      _defined[name] = _DEFINITIONS[name]()
  return [_defined[name] for name in names]


def keep_compiled() -> None:
  """Has compiled programs kept as the flag says, where a program takes it.

  Raises:
    ValueError: if that is refused.
  """
  if 'compilation_cache' in _defined:
    compilation_cache.begin(
        _defined['compilation_cache'].value, messages.notify)


def refuse(names: Mapping[str, str | None], of: str) -> None:
  """Refuses flags of other programs.

  Args:
    names: of the flags, and what to do in place of each, if anything.
    of: what is run.

  Raises:
    ValueError: if one is given.
  """
  for name, instead in names.items():
    # Of a flag that this process does not know parsing says so.
    if name in flags.FLAGS and flags.FLAGS[name].present:
      raise ValueError(f'--{name} is not for {of}'
                       + (f': {instead}.' if instead else '.'))
