"""The settings in which experiments differ; data are known by content."""

from collections.abc import Mapping, Sequence
import json
from typing import Any

from mmal_jax.config import differences
from mmal_jax.config import paths

# Where states and questions lie makes no difference to the results.
_NO_SETTINGS = ('strategies', 'seeds', paths.STATES, paths.MIRROR,
                paths.PEOPLE)
# By what is read of the data and how, digests of their items can be compared.
_READ_BY = ('dataset', 'text', 'init', 'model')


def values(
    configs: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, str]]
) -> list[dict[str, Any]]:
  """By dotted key, the values of each experiment in which it differs.

  Data and checkpoints are compared by content: where they lay does not matter,
  and what was changed in place is something else.

  Args:
    configs: of the experiments.
    items: digests of what each was made of (`identity.digests`).
  """
  flats = [dict(differences.flat(config)) for config in configs]
  for flat in flats:
    for key in _NO_SETTINGS:
      flat.pop(key, None)
  _name_by_content(flats, items)
  return flats


def _name_by_content(
    flats: Sequence[dict[str, Any]], items: Sequence[Mapping[str, str]]
) -> None:
  """Gives equal content equal paths, and other content at one path a name."""
  groups: dict[str, list[int]] = {}
  where = []
  for i, flat in enumerate(flats):
    of_paths = paths.keys(flat.get('dataset.name'))
    places = {key: flat[key] for key in flat
              if differences.within(key, of_paths)}
    read_by = {key: value for key, value in flat.items()
               if key.partition('.')[0] in _READ_BY and key not in places}
    where.append(places)
    groups.setdefault(json.dumps(read_by, sort_keys=True), []).append(i)
  for group in groups.values():
    # An earlier version recorded less.
    recorded = [set(items[i]) for i in group if items[i]]
    known = sorted(set.intersection(*recorded)) if recorded else []
    contents = {i: json.dumps(
        {name: items[i][name] for name in known} if items[i] else where[i])
                for i in group}
    first: dict[str, dict[str, Any]] = {}  # By content, the paths to show.
    for i in group:
      shown = first.setdefault(contents[i], where[i])
      for key in where[i]:
        del flats[i][key]
      flats[i].update(shown)
    at = [json.dumps(shown, sort_keys=True) for shown in first.values()]
    if len(set(at)) < len(at):
      for i in group:
        flats[i]['data'] = f'version {1 + list(first).index(contents[i])}'
