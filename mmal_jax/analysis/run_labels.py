"""Labels of several experiments: what they differ in, and no more."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmal_jax.config import differences
from mmal_jax.config import paths

_LONGEST = 24  # letters of a value
_MOST = 60  # letters of all values of a label together
_OPEN = 'None'  # as a label shows a value that a config leaves open
# Whether items come in a stream decides over much that changes with it.
_STREAM = 'stream.buffer'


def varying(flats: Sequence[Mapping[str, Any]]) -> list[str]:
  """Keys in whose values configs differ; what one lacks it leaves open.

  >>> varying([{'a': 1, 'b': 2}, {'a': 1}])
  ['b']
  """
  keys = sorted(set().union(*flats))
  return [key for key in keys
          if any(flat.get(key) != flats[0].get(key) for flat in flats)]


def suffixes(flats: Sequence[Mapping[str, Any]]) -> list[str]:
  """What distinguishes each config from the others, as the end of a label.

  All values that differ, but for long ones (paths, lists) that say nothing
  more, and of these, shortened, the part that differs. Where that is still too
  long, as few values as distinguish all configs: what data it is before all
  else, then settings that no config leaves open.

  >>> suffixes([{'rounds': 2, 'images': f'/data/{name}/image.npy'}
  ...           for name in ('icons', 'words')])
  [', images=icons', ', images=words']

  Args:
    flats: by dotted key, the values of each config.

  Returns:
    One a config; equal where configs are.
  """
  keys, data = varying(flats), _of_data(flats)
  columns = {key: shortened([
      differences.as_text(flat.get(key)) for flat in flats])
             for key in keys}
  texts = {key: [differences.as_text(flat.get(key)) for flat in flats]
           for key in keys}
  short = [key for key in keys if columns[key] == texts[key]]
  long = [key for key in keys if key not in short]
  labels = _labels(short + _enough(long, columns, data), columns, len(flats))
  if max(map(len, labels), default=0) > _MOST:
    labels = _without_open(
        _enough(keys, columns, data), columns, len(flats))
  return labels


def shortened(values: Sequence[str]) -> list[str]:
  """Texts without what is common to all, and without their middle if too long.

  >>> shortened(['/a/flickr/image.npy', '/a/b/coco/image.npy'])
  ['flickr', 'b/coco']
  >>> shortened(['1', '2'])
  ['1', '2']

  Args:
    values: any texts; parts of paths are taken off as a whole.

  Returns:
    As many, different where the values are.
  """
  distinct = list(dict.fromkeys(values))
  short = dict(zip(distinct, _without_common(distinct)))
  for value, text in short.items():
    if len(text) > _LONGEST:
      half = _LONGEST // 2 - 1
      short[value] = f'{text[:half]}...{text[-half:]}'
  seen = list(short.values())
  for number, value in enumerate(distinct, 1):
    if seen.count(short[value]) > 1:
      # What differs lies in the middle that was left out.
      short[value] = f'{short[value]}#{number}'
  return [short[value] for value in values]


def _without_common(values: list[str]) -> list[str]:
  """Paths without the folders, and the file's name, that all have in common."""
  paths = [value.split('/') for value in values if '/' in value]
  if len(paths) < 2:
    return [value.rsplit('/', 1)[-1] or value for value in values]
  least = min(map(len, paths)) - 1  # One part remains of the shortest.
  start = 0
  while start < least and len({path[start] for path in paths}) == 1:
    start += 1
  end = 0
  while end < least - start and len({path[-1 - end] for path in paths}) == 1:
    end += 1
  return ['/'.join(value.split('/')[start:len(value.split('/')) - end])
          if '/' in value else value for value in values]


def _of_data(flats) -> list[str]:
  """Keys that say what data it is, the one that says most first."""
  of_paths = {key for flat in flats
              for key in paths.keys(flat.get('dataset.name'))}
  return ['dataset.name', 'data', *(key for key in varying(flats)
                                    if key.startswith('dataset.')
                                    and differences.within(key, of_paths))]


def _enough(keys, columns, data) -> list[str]:
  """Few of the keys that distinguish as many configs as all of them do.

  Other data are never distinguished by what merely changed with them.
  """
  kept = []

  def parts(some):
    return len(set(zip(*(columns[key] for key in some)))) if some else 1

  def is_open(key):
    return _OPEN in columns[key]

  named = [key for key in data[:1] if key in keys]
  of_data = [key for key in data if key in keys]
  for some in (named, of_data, keys):
    while parts(kept) < parts([*kept, *some]):
      kept.append(max(some, key=lambda key: (
          parts([*kept, key]), key == _STREAM, not is_open(key),
          key.startswith('dataset.'), -sum(map(len, columns[key])))))
  return kept


def _labels(keys, columns, n) -> list[str]:
  return [''.join(label) for label in _parts(keys, columns, n)]


def _without_open(keys, columns, n) -> list[str]:
  """As `_labels`, less what a config leaves open where other values suffice."""
  full = _labels(keys, columns, n)
  found = [''.join(part for part in parts if not part.endswith(f'={_OPEN}'))
           or ''.join(parts) for parts in _parts(keys, columns, n)]
  return found if len(set(found)) == len(set(full)) else full


def _parts(keys, columns, n) -> list[list[str]]:
  """Of each config, what its label holds of each key."""
  return [[f', {key}={columns[key][i]}' for key in sorted(keys)]
          for i in range(n)]
