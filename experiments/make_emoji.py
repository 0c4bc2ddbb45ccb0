"""Makes the emoji that come with the package, from two packages of npm.

Example:

  npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
  python -m experiments.make_emoji --google=emoji-datasource-google-16.0.0.tgz --twitter=emoji-datasource-twitter-16.0.0.tgz

writes to mmal_jax/emoji, or to the folder --out. All emoji are taken that both
vendors draw, each in its default skin tone, and without the tones themselves.
"""  # noqa: E501

from collections.abc import Sequence
import pathlib
import shlex
import sys

from experiments import common_flags
from experiments import program
from mmal_jax.data import emoji
from mmal_jax.data import emoji_archives

_OUT, = common_flags.take('out')
_GOOGLE = common_flags.define_path(
    'google', None, 'The archive of emoji-datasource-google: Noto Emoji.')
_TWITTER = common_flags.define_path(
    'twitter', None, 'The archive of emoji-datasource-twitter: Twemoji.')


def _work() -> str:
  for flag in (_GOOGLE, _TWITTER):
    if not flag.value:
      raise ValueError(f'--{flag.name} is needed.')
  out = pathlib.Path(_OUT.value or emoji.FOLDER)
  n = emoji_archives.make(
      dict(zip(emoji.STYLES, (_GOOGLE.value, _TWITTER.value))), out,
      shlex.join(['python', '-m', 'experiments.make_emoji', *sys.argv[1:]]))
  return f'Written to {out}: {n} emoji.'


def main(argv: Sequence[str]) -> None:
  program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
