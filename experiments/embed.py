"""Embeds images and texts with a checkpoint, into memory-mapped files.

Example:

  python -m experiments.embed --init=DIR --images=photos --texts=captions.txt \
      --embeddings=DIR2

writes `image.npy` and `text.npy`, rows of norm 1, and `image.txt`, the path of
every row. What was begun is gone on with; what is done and has not changed is
not done again. The files are pools for `mmal_jax.acquire.ask`, and features for
`experiments/configs/features.py`.
"""

from collections.abc import Sequence
import os
import pathlib
import time

from absl import app
from absl import flags
import ml_collections
import tqdm

from experiments import check
from experiments import checkpoints
from experiments import pretrained as pretrained_lib
from experiments import program
from mmal_jax import embed_disk
from mmal_jax import sharding
from mmal_jax.data import encode
from mmal_jax.data import image_files
from mmal_jax.data import image_listing
from mmal_jax.data import problems as problems_lib
from mmal_jax.data import schema
from mmal_jax.data import text_list
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition

flags.adopt_module_key_flags(checkpoints)  # --help tells of them.
_IMAGES = flags.DEFINE_string(
    'images', None, 'Folder of JPEG, PNG and WebP images; those in folders '
    'below it count, hidden ones do not.')
_TEXTS = flags.DEFINE_string(
    'texts', None, 'File of texts, one a line, a blank line among them being '
    'one, too; or a .jsonl of {"text": ...}.')
_EMBEDDINGS = flags.DEFINE_string(
    'embeddings', None, 'Folder to write to, or to go on with.')
_TOKENIZER = flags.DEFINE_string(
    'tokenizer', None, 'Folder of the tokenizer, where it does not lie with the'
    ' weights, as for a .npz.')
_IMAGE_SIZE = flags.DEFINE_integer(
    'image_size', None, 'Pixels, if not as published.', lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 512, 'Items at a time.', lower_bound=1)
_DTYPE = flags.DEFINE_enum(
    'dtype', 'float32', config_lib.DTYPES, 'What the towers compute in.')
_FSDP = flags.DEFINE_integer(
    'fsdp', 1, 'Devices over which parameters are cut; batches always are over '
    'all there are.', lower_bound=1)


def run() -> str:
  """Embeds what is given; says how quick that was."""
  if _IMAGES.value is None and _TEXTS.value is None:
    raise ValueError('give --images, --texts or both.')
  if _EMBEDDINGS.value is None:
    raise ValueError('give --embeddings, the folder to write to.')
  config = ml_collections.ConfigDict({
      'init': checkpoints.INIT.value,
      'model': {'name': checkpoints.MODEL.value or pretrained_lib.ANY,
                'dtype': _DTYPE.value, 'image_size': _IMAGE_SIZE.value},
      'text': {'folder': _TOKENIZER.value}})
  check.check_model(config)
  model = pretrained_lib.load(config)
  params = partition.place(
      model.params, sharding.make_mesh(-1, _FSDP.value))
  out = pathlib.Path(_EMBEDDINGS.value)
  out.mkdir(parents=True, exist_ok=True)
  found = []
  if _IMAGES.value is not None:
    paths = _paths(pathlib.Path(_IMAGES.value))
    files = image_files.ImageFiles(paths, model.preprocess)
    # Never beside rows that it does not tell of.
    listed = os.fsencode(''.join(f'{path}\n' for path in paths))
    names = out / 'image.txt'
    if names.exists() and names.read_bytes() != listed:
      names.unlink()
    found.append(_embed(
        'image', encode.Items(files, image_files.item_ids(files)), model,
        params))
    draft = out / 'image.txt.draft'
    draft.write_bytes(listed)
    os.replace(draft, names)
  if _TEXTS.value is not None:
    texts = _lines(pathlib.Path(_TEXTS.value))
    found.append(_embed(
        'text', encode.Items(model.tokenizer(texts), schema.item_ids(texts)),
        model, params))
  return '\n'.join(found)


def _embed(modality, items, model, params) -> str:
  taken, started = 0, time.perf_counter()
  with tqdm.tqdm(total=len(items), unit=modality, dynamic_ncols=True) as bar:
    def progress(first, done):
      nonlocal taken
      taken += done - first
      bar.update(done - bar.n)

    rows = embed_disk.embed_to_disk(
        _EMBEDDINGS.value, dual_encoder.graphdef_of(model.config), params,
        items, modality, _BATCH_SIZE.value, progress=progress)
  seconds = time.perf_counter() - started
  return (f'{modality}: {rows.shape[0]} rows of {rows.shape[1]}, of which '
          f'{taken} were embedded now, {taken / seconds:.1f} a second.')


def _lines(path: pathlib.Path) -> list[str]:
  try:
    content = path.read_bytes()
  except OSError as e:
    raise ValueError(f'texts={str(path)!r} cannot be read: {e.strerror}') from e
  problems: list[str] = []
  texts = []
  for place, text in text_list.read(content, path, problems):
    if not isinstance(text, str) or text.strip():  # Blank ones are texts, too.
      problems += [f'{place}: {what}.'
                   for what in problems_lib.of_text('text', text)]
    texts.append(text)
  if not texts and not problems:
    problems.append('it holds no text.')
  problems_lib.report(f'texts={str(path)!r}', problems)
  return texts


def _paths(folder: pathlib.Path) -> list[pathlib.Path]:
  if not folder.is_dir():
    raise ValueError(f'images={str(folder)!r} is no folder.')
  problems: list[str] = []
  left_out: list[image_listing.LeftOut] = []
  paths = image_listing.listed(folder, folder, problems, left_out)
  image_listing.warn(folder, left_out)
  if not paths and not problems:
    problems.append('it holds no JPEG, PNG or WebP file.')
  problems_lib.report(f'images={str(folder)!r}', problems)
  return paths


def main(argv: Sequence[str]) -> None:
  program.call(run, argv)


if __name__ == '__main__':
  app.run(main)
