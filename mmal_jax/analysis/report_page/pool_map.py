"""The map of a pool: where its items lie, and which were asked about when."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmal_jax.analysis.report_page import elements
from mmal_jax.files import plain_text

tag = elements.tag
_SIDE, _EDGE = 1000, 30
# Neither too dark for a dark page, nor too light for a light one.
_COLOURS = np.array([
    [0x2f, 0x6f, 0xdf], [0x96, 0x4f, 0xd6], [0xd9, 0x46, 0x8a],
    [0xe8, 0x70, 0x2a], [0xb8, 0x96, 0x00]], float)
REST, ASKED, NAMED = 0, 1, 2


class Panel(NamedTuple):
  """The map of one modality.

  Attributes:
    numbers: `[k]` int, of the items on it.
    places: `[k, 2]` coordinates.
    size: of the whole pool, of which k are shown.
    texts: k, what each item is called.
    rounds: `[k]` int, in which each was asked about or named; 0 of the rest.
    kinds: `[k]` int, `REST`, `ASKED`, or `NAMED` by an answer.
    axes: what the coordinates are, in words.
  """

  numbers: np.ndarray
  places: np.ndarray
  size: int
  texts: Sequence[str]
  rounds: np.ndarray
  kinds: np.ndarray
  axes: str


def when(
    queries: Sequence[Mapping[str, Any]], modalities: Sequence[str]
) -> dict[str, dict[int, tuple[int, int]]]:
  """By modality and item, the first round it was part of, and as what.

  Args:
    queries: a run's records, a round each.
    modalities: their names, of the columns of the answers.
  """
  found: dict[str, dict[int, tuple[int, int]]] = {m: {} for m in modalities}
  for record in queries:
    for (modality, number), answer in zip(record['asked'], record['answers']):
      found.setdefault(modality, {})[number] = record['round'], ASKED
      for other, n in zip(modalities, answer):
        if n >= 0 and other != modality:
          found[other].setdefault(n, (record['round'], NAMED))
  return found


def colour(at_round: int, rounds: int) -> str:
  """The colour of a round.

  >>> colour(1, 4), colour(4, 4)
  ('#2f6fdf', '#b89600')
  """
  place = (at_round - 1) / max(rounds - 1, 1) * (len(_COLOURS) - 1)
  at = np.arange(len(_COLOURS))
  return '#' + ''.join(
      f'{round(float(np.interp(place, at, channel))):02x}'
      for channel in _COLOURS.T)


def _scaled(places: np.ndarray) -> np.ndarray:
  """Into the panel, both axes alike."""
  low, high = places.min(0), places.max(0)
  middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-12)
  found = (places - middle) / half * (_SIDE / 2 - _EDGE) + _SIDE / 2
  found[:, 1] = _SIDE - found[:, 1]
  return np.round(found).astype(int)


def drawn(panels: Mapping[str, Panel], rounds: int) -> str:
  """A map for each modality, and a legend of the rounds."""
  legend = tag('span', tag('svg', tag(
      'path', d='M6 6h0', class_='rest'), class_='key', aria_hidden='true')
               + 'not asked')
  for t in _some_rounds(rounds):
    legend += tag('span', tag('svg', tag(
        'path', d='M6 6h0', class_='mark', stroke=colour(t, rounds)),
                              class_='key', aria_hidden='true')
                  + f'round {t}')
  legend += tag('span', 'large: asked; small: named by an answer')
  hint = tag('p', 'Point at an item to see what it is, or go through what was '
             'asked by the arrow keys.', class_='hint note', hidden='')
  return tag('p', legend, class_='legend') + hint + tag(
      'div', ''.join(_panel(m, of, rounds) for m, of in panels.items()),
      class_='maps')


def _some_rounds(rounds: int, most: int = 8) -> list[int]:
  return [int(t) for t in np.unique(np.round(
      np.linspace(1, rounds, min(rounds, most))))] if rounds else []


def _panel(modality: str, of: Panel, rounds: int) -> str:
  places = _scaled(of.places)
  parts = [tag('path', d=_dots(places[of.kinds == REST]), class_='rest')]
  for t in range(1, rounds + 1):
    for kind, name in ((NAMED, 'mark named'), (ASKED, 'mark')):
      some = places[(of.rounds == t) & (of.kinds == kind)]
      if len(some):
        parts.append(tag('path', d=_dots(some), class_=name, data_round=t,
                         stroke=colour(t, rounds)))
  parts.append(tag('path', class_='ring', d='M0 0'))
  shown = f'{len(of.numbers)} items' if len(of.numbers) == of.size else (
      f'{len(of.numbers)} of {of.size} items: all that were asked about or '
      'named, and others at random')
  title = tag('h3', elements.as_text(modality))
  words = tag('p', elements.as_text(f'{shown}. {of.axes}'), class_='about')
  stage = tag(
      'svg', ''.join(parts), viewBox=f'0 0 {_SIDE} {_SIDE}', class_='pool',
      tabindex=0, role='img',
      aria_label=f'Map of the pool of {modality}; arrow keys go through what '
      'was asked about') + tag('div', '', class_='seen', role='status')
  return tag('figure', title + tag('div', stage, class_='stage') + tag(
      'figcaption', words), class_='map', data_modality=modality)


def _dots(places: np.ndarray) -> str:
  return ''.join(f'M{x} {y}h0' for x, y in places) or 'M0 0'


def data(panels: Mapping[str, Panel]) -> dict[str, Any]:
  """What the script needs to show an item."""
  found = {}
  for modality, of in panels.items():
    places = _scaled(of.places)
    found[modality] = {
        'x': places[:, 0].tolist(), 'y': places[:, 1].tolist(),
        'numbers': of.numbers.tolist(), 'rounds': of.rounds.tolist(),
        'kinds': of.kinds.tolist(),
        'texts': [plain_text.for_terminal(text) for text in of.texts]}
  return found
