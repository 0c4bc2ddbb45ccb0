"""Labels of several experiments: what they differ in, and no more."""

from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST = 24  # letters of a value
_MOST = 60  # letters of all values of a label together


def as_text(value: Any) -> str:
  """A value of a config as labels show it: 1.0 is 1."""
  return f'{value:.7g}' if isinstance(value, float) else str(value)


def varying(flats: Sequence[Mapping[str, Any]]) -> list[str]:
  """Keys in whose values configs differ; what one lacks it leaves open.

  >>> varying([{'a': 1, 'b': 2}, {'a': 1}])
  ['b']
  """
  keys = sorted(set().union(*flats))
  return [key for key in keys
          if any(flat.get(key) != flats[0].get(key) for flat in flats)]


def suffixes(flats: Sequence[Mapping[str, Any]]) -> list[str]:
  """What tells each config from the others, as the end of a label.

  All values that differ, but for long ones (paths, lists) that tell nothing
  more, and of these, shortened, the part that differs. Where that is still too
  long, as few values as tell all configs apart.

  >>> suffixes([{'rounds': 2, 'images': f'/data/{name}/image.npy'}
  ...           for name in ('icons', 'words')])
  [', images=icons', ', images=words']

  Args:
    flats: by dotted key, the values of each config.

  Returns:
    One a config; equal where configs are.
  """
  keys = varying(flats)
  columns = {key: shortened([as_text(flat.get(key)) for flat in flats])
             for key in keys}
  texts = {key: [as_text(flat.get(key)) for flat in flats] for key in keys}
  short = [key for key in keys if columns[key] == texts[key]]
  long = [key for key in keys if key not in short]
  labels = _labels(short + _enough(long, columns), columns, len(flats))
  if max(map(len, labels), default=0) > _MOST:
    labels = _labels(_enough(keys, columns), columns, len(flats))
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
  least = min(map(len, paths)) - 1  # One part stays of the shortest.
  start = 0
  while start < least and len({path[start] for path in paths}) == 1:
    start += 1
  end = 0
  while end < least - start and len({path[-1 - end] for path in paths}) == 1:
    end += 1
  return ['/'.join(value.split('/')[start:len(value.split('/')) - end])
          if '/' in value else value for value in values]


def _enough(keys, columns) -> list[str]:
  """Few of the keys that tell as many configs apart as all of them do."""
  kept = []

  def parts(some):
    return len(set(zip(*(columns[key] for key in some)))) if some else 1

  while parts(kept) < parts(keys):
    # What data it is, where that tells as much as anything else.
    kept.append(max(keys, key=lambda key: (
        parts([*kept, key]), key.startswith('dataset.'),
        -sum(map(len, columns[key])))))
  return kept


def _labels(keys, columns, n) -> list[str]:
  return [''.join(f', {key}={columns[key][i]}' for key in sorted(keys))
          for i in range(n)]
