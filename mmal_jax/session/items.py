"""From what users have to what is seen of each item, and to its features."""

from collections.abc import Iterable, Mapping, Sequence
import numbers
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.acquire import arrays
from mmal_jax.acquire import check
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.data import text_list
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import image_sources
from mmal_jax.files import problems as problems_lib
from mmal_jax.pools import pools as pools_lib
from mmal_jax.session import shown as shown_lib


class Given(NamedTuple):
  """Items of a session.

  Attributes:
    shown: by modality, what is seen of them.
    pools: their features.
  """

  shown: shown_lib.Items
  pools: pools_lib.Pools


def by_modality(items: Any, images: Any, texts: Any) -> Mapping[str, Any]:
  """The items of a session, by modality, in whichever of two ways given.

  Raises:
    TypeError: if they are given in both, or in none.
  """
  if (items is None) == (images is None and texts is None):
    raise TypeError('give images and texts, or items by modality.')
  if items is None:
    items = {'image': images, 'text': texts}
  if not isinstance(items, Mapping):
    raise TypeError(f'items={arguments.shown(items)} must be items by '
                    'modality; or give images= and texts=.')
  missing = [m for m, some in items.items() if some is None]
  if missing:
    raise TypeError(f'there are no items of the modality {missing[0]}.')
  return items


def read(
    given: Mapping[str, Any], encoder: Any,
    features: Mapping[str, Any] | None,
) -> Given:
  """Reads items, and embeds those that are no features.

  Args:
    given: by modality, n items: `[n, d]` floats, which are features; a folder
      of images; a file of texts, one a line, or a folder of them, a `.txt`
      each; or n texts, or images as `data.images.image_sources` takes them.
      Strings are paths of images where the modality is `image`, and texts
      elsewhere.
    encoder: with `encode_images` and `encode_texts`, as of `load_pretrained`;
      or by modality, a function of its items that returns their features.
    features: by modality, `[n, d]` floats of items, which need no encoder.

  Raises:
    TypeError: for items, an encoder or features of other types.
    ValueError: for fewer than two modalities, none or damaged items, items
      without features, or features that are not finite.
  """
  check_names(list(given))
  for name, by in (('encoder', encoder), ('features', features)):
    unknown = [m for m in by if m not in given] if isinstance(
        by, Mapping) else []
    if unknown:
      raise ValueError(f'{name} has {arguments.shown(unknown[0])}, of which '
                       f'there are no items; there are {", ".join(given)}.')
  shown, items = {}, {}
  for modality, some in given.items():
    shown[modality], rows = _seen(modality, some)
    if features and modality in features:
      rows = arrays.rows(f'features[{modality!r}]', features[modality], False)
    elif rows is None:
      rows = _embedded(modality, shown[modality], encoder)
    count = shown_lib.sizes(shown)[modality]
    items[modality] = _items(modality, rows, count)
  return Given(shown, pools_lib.Pools(items))


def check_names(modalities: Sequence[Any]) -> None:
  """Refuses names of modalities that no file can have, or too few of them."""
  if len(modalities) < 2:
    raise ValueError(f'the items are of {len(modalities)} modalities '
                     f'({", ".join(map(str, modalities))}); two are needed.')
  for modality in modalities:
    if not isinstance(modality, str) or not re.fullmatch(
        '[A-Za-z][A-Za-z0-9_]{0,39}', modality):
      raise ValueError(
          f'modality={arguments.shown(modality)} must be of letters, digits and'
          ' underscores, at most 40: files are named after it.')


def check_count(name: str, value: Any) -> None:
  """Refuses what is no number of items, of at least 1."""
  if isinstance(value, bool) or not isinstance(value, numbers.Integral):
    raise TypeError(f'{name}={arguments.shown(value)} must be an integer.')
  if value < 1:
    raise ValueError(f'{name}={value} must be at least 1.')


def check_modality(modality: Any, modalities: Iterable[str]) -> None:
  """Refuses what is no modality of the session."""
  if modality not in tuple(modalities):
    raise ValueError(f'modality={arguments.shown(modality)} is none of '
                     f'{", ".join(modalities)}.')


def check_item(modality: Any, number: Any, sizes: Mapping[str, int]) -> None:
  """Refuses what is no item of the session: -1 is not the last one."""
  check_modality(modality, sizes)
  if isinstance(number, bool) or not isinstance(number, numbers.Integral):
    raise TypeError(f'number={arguments.shown(number)} must be an integer.')
  if not 0 <= number < sizes[modality]:
    raise ValueError(f'there is no {modality} {number}: numbers are 0 to '
                     f'{sizes[modality] - 1}.')


def two(of: Any, modalities: Sequence[str]) -> tuple[str, str]:
  """Two modalities of the session; refuses all else."""
  given = tuple(of) if isinstance(of, (list, tuple)) else ()
  if len(given) != 2 or given[0] == given[1] or not all(
      some in modalities for some in given):
    raise ValueError(f'of={arguments.shown(of)} must be two of '
                     f'{", ".join(modalities)}.')
  return given


def check_probability(value: Any) -> None:
  """Refuses what is no number within [0, 1]."""
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    raise TypeError(f'probability={arguments.shown(value)} must be a number.')
  if not 0 <= value <= 1:
    raise ValueError(f'probability={arguments.shown(value)} must be within '
                     '[0, 1].')


def of_rows(rows: np.ndarray) -> encode.Items:
  """Items of features; equal rows are equal items."""
  return encode.Items(rows, schema.item_ids(rows))


def _items(modality, rows, count) -> encode.Items:
  with np.errstate(over='ignore'):
    rows = np.asarray(rows).astype(np.float32)
  if rows.ndim != 2 or len(rows) != count or not count:
    raise ValueError(
        f'features of {modality} have shape {rows.shape}; [{count}, d] is '
        'needed, a row for each of the items' + (
            '.' if count else ', of which there are none.'))
  check.values(modality, rows, count, np.ones(count, bool), True)
  return of_rows(rows)


def _seen(modality, given) -> tuple[shown_lib.Shown, Any]:
  """What is seen of items; and their features, if they are these."""
  if isinstance(given, (str, os.PathLike)):
    return _of_path(modality, pathlib.Path(given).expanduser()), None
  given = arrays.on_host(given)
  if hasattr(given, '__array__'):
    given = np.asarray(given)
  if isinstance(given, Mapping) or not isinstance(given, Iterable):
    raise TypeError(
        f'{modality}={arguments.shown(given)} must be features, texts, images, '
        'or the path of a folder of images or of a file of texts.')
  if not isinstance(given, np.ndarray) or given.dtype.kind in 'OUT':
    given = list(given)
    _check_one_each(modality, given)
  if len(given) and all(map(_is_row, given)):
    rows = arrays.rows(modality, given, False)
    return shown_lib.of_numbers(rows), rows
  if isinstance(given, np.ndarray) and given.dtype.kind == 'f':
    raise ValueError(f'{modality} has shape {given.shape}; features are [n, d] '
                     'floats, and arrays of pixels are uint8.')
  image_sources.check_several(given, modality)
  given = list(given)
  if not given:
    raise ValueError(f'{modality} holds items, of which there are none.')
  if modality != 'image' and (
      modality == 'text' or any(isinstance(one, str) for one in given)):
    return _texts(modality, given), None
  # They are read again later, when the working folder may be another one.
  return _files([
      source.expanduser().absolute() if isinstance(source, pathlib.Path)
      else source for source in image_sources.sources(given, modality)]), None


def _check_one_each(modality, given) -> None:
  """Refuses rows of several texts, and of several columns."""
  for number, one in enumerate(given):
    if isinstance(one, (list, tuple)) and one and isinstance(one[0], str):
      raise ValueError(
          f'{modality} {number} is a list of {len(one)} texts, and an item has '
          'one counterpart: give one of each, [some[0] for some in texts].')
    if isinstance(one, Mapping) and not {'bytes', 'path'} & {*one}:
      raise ValueError(
          f'{modality} {number} has the columns {", ".join(map(str, one))}: '
          'give one column, as dataset[\'image\'].')


def _texts(modality, given) -> list[str]:
  problems = []
  for number, one in enumerate(given):
    if not isinstance(one, str):
      problems.append(
          f'{modality} {number} is {arguments.shown(one)}; a string is needed.')
  problems_lib.report(modality, problems)
  return given


def _is_row(one) -> bool:
  """Whether it is numbers, and no text or image."""
  return isinstance(one, (list, tuple)) or getattr(one, 'ndim', None) == 1


def _files(sources) -> image_files.ImageFiles:
  return image_files.ImageFiles(sources, shown_lib.THUMBNAIL)


def _of_path(modality, path: pathlib.Path) -> shown_lib.Shown:
  if not path.exists():
    raise ValueError(f'{modality}={str(path)!r} does not exist.')
  if not path.is_dir() or modality != 'image' and text_list.files_of(path):
    return text_list.texts_of(path)
  problems: list[str] = []
  left_out: list[image_listing.LeftOut] = []
  path = path.absolute()
  found = image_listing.listed(path, path, problems, left_out)
  image_listing.warn(path, left_out)
  if not found and not problems:
    problems.append('it holds no JPEG, PNG or WebP file.')
  problems_lib.report(f'{modality}={str(path)!r}', problems)
  return _files(found)


def _embedded(modality, shown, encoder) -> Any:
  """Features by the encoder."""
  if isinstance(encoder, Mapping):
    embed = encoder.get(modality)
    images = texts = embed
  else:
    images, texts = (getattr(encoder, f'encode_{kind}', None)
                     for kind in ('images', 'texts'))
  is_images = isinstance(shown, image_files.ImageFiles)
  embed = images if is_images else texts
  if not callable(embed):
    raise ValueError(
        f'{modality} holds {"images" if is_images else "texts"}, of which there'
        f' are no features: give encoder=, a model of load_pretrained or a '
        f'function by modality, or features={{{modality!r}: ...}}.')
  items = list(shown.paths) if is_images else list(shown)
  return arrays.rows(f'encoder of {modality}', embed(items), False)
