"""Embeds images and texts with a checkpoint, into memory-mapped files.

Example:

  python -m experiments.embed --init=DIR --images=photos --texts=captions.txt \
      --embeddings=DIR2

writes `image.npy` and `text.npy`, rows of norm 1, and `image.txt`, the path of
every row. All images are checked first, and those that cannot be read are named
together. Rows go by the content of their items: what was begun is gone on with,
and of what was done only items that are new or have changed are embedded again.
The files are pools for `mmal_jax.ask`. They are features for
`experiments/configs/features.py` if text i belongs to the image in line i of
`image.txt`: images go by their paths, texts by their lines.

On several hosts with a common disk the same command is given on each, with
--multihost, or with --coordinator, --num_processes and --process_id: each
embeds a share of the items.
"""

from collections.abc import Sequence

from absl import flags

from experiments import common_flags
from experiments import hosts
from experiments import program
from mmal_jax import progress
from mmal_jax.experiment import embed_files
from mmal_jax.models import config as config_lib
from mmal_jax.parallel import processes
from mmal_jax.terminal import messages

_INIT, _MODEL = common_flags.take('init', 'model')
common_flags.take('compilation_cache')  # For `program.call`.
_IMAGES = common_flags.define_path(
    'images', None, 'Folder of JPEG, PNG and WebP images; those in folders '
    'below it count, hidden ones do not.')
_TEXTS = common_flags.define_path(
    'texts', None, 'File of texts, one a line, a blank line among them being '
    'one, too; or a .jsonl of {"text": ...}.')
_EMBEDDINGS = common_flags.define_path(
    'embeddings', None, 'Folder to write to, or to go on with.')
_TOKENIZER = common_flags.define_path(
    'tokenizer', None, 'Folder of the tokenizer, where it does not lie with the'
    ' weights, as for a .npz.')
_IMAGE_SIZE = flags.DEFINE_integer(
    'image_size', None, 'Pixels, if not as published.', lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 512, 'Items at a time.', lower_bound=1)
_DTYPE = flags.DEFINE_enum(
    'dtype', 'float32', config_lib.DTYPES, 'What the towers compute in.')
_FSDP = flags.DEFINE_integer(
    'fsdp', 1, 'Devices of a process over which parameters are cut; batches '
    'always are over all that it has.', lower_bound=1)
flags.adopt_module_key_flags(hosts)


def _work() -> str:
  if _IMAGES.value is None and _TEXTS.value is None:
    raise ValueError('give --images, --texts or both.')
  if _EMBEDDINGS.value is None:
    raise ValueError('give --embeddings, the folder to write to.')
  is_first = processes.is_primary()
  with progress.shown_by(progress.bar if is_first else None):
    text = embed_files.embed(
        _INIT.value, _EMBEDDINGS.value, _IMAGES.value, _TEXTS.value,
        model=_MODEL.value, tokenizer=_TOKENIZER.value,
        image_size=_IMAGE_SIZE.value, dtype=_DTYPE.value,
        batch_size=_BATCH_SIZE.value, fsdp=_FSDP.value,
        notify=messages.notify if is_first else None)
  return text if is_first else ''


def main(argv: Sequence[str]) -> None:
  with hosts.joined():
    program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
