"""Finished experiments written by hand, and what a report's page is made of."""

import pathlib
from typing import Any

import numpy as np

from experiments.configs import features
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis.report_page import document
from mmal_jax.analysis.report_page import elements
from mmal_jax.analysis.report_page import matched
from mmal_jax.analysis.report_page import pool_map
from mmal_jax.files import json_lines
from mmal_jax.workdir import layout

ATTACK = 'window.hacked = true'
ODD = (
    f'</script><script>{ATTACK}</script>', f'<img src=x onerror="{ATTACK}">',
    f'"\'><svg onload={ATTACK}>', '<!--', '{{script}}',
    'a\u2028b\u202ec\x85d', '\u0643\u0644\u0628 \u0628\u0646\u064a',
    '\U0001f469\U0001f3fd\u200d\U0001f680', '__proto__',
    '\udce9\ufdd0\U0001ffff', ' a\tb\nc ', '&lt;')
ROUNDS, BATCH = 4, 5
_PIXEL = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='


def scores(folder: pathlib.Path, seeds=(0, 1, 2), strategies=('random', 'mmal'),
           modalities=('image', 'text'), metric='mean_r10', **config: Any):
  """Records of runs whose data nobody has.

  Args:
    folder: of the experiment.
    seeds: of each strategy.
    strategies: their names.
    modalities: of the items.
    metric: beside `i2t_r1`.
    **config: values of the config.
  """
  folder.mkdir(parents=True)
  made = features.get_config()
  made.dataset.images, made.dataset.texts = '/no/i.npy', '/no/t.npy'
  layout.write(folder / layout.CONFIG, made.to_dict() | config)
  rng = np.random.default_rng(0)
  for strategy in strategies:
    for seed in seeds:
      score = 10.0
      for t in range(ROUNDS + 1):
        one = {'strategy': strategy, 'seed': seed, 'round': t}
        layout.append(folder / layout.METRICS, one | {
            'annotations': BATCH * t, 'cost': float(BATCH * t),
            'aligned': BATCH * t, 'scores': {'i2t_r1': 1.0, metric: score}})
        score += float(rng.uniform(0, 12))
        if t:
          numbers = [(BATCH * t + i) % len(ODD) for i in range(BATCH)]
          layout.append(folder / layout.QUERIES, one | {
              'asked': [[modalities[(t + i) % len(modalities)], n]
                        for i, n in enumerate(numbers)],
              'answers': [[n] * len(modalities) if i else [-1] * len(modalities)
                          for i, n in enumerate(numbers)]})
  layout.write(folder / layout.SUMMARY, {})
  return folder


def matches(folder: pathlib.Path, count: int, strategy='mmal', seed=0) -> None:
  """Matches of a run, without a seal."""
  out = layout.matches_path(folder, strategy, seed)
  out.mkdir(parents=True)
  lines = [{'modality': one, 'item': i, 'name': ODD[i % len(ODD)], 'of': other,
            'counterparts': [{'item': i, 'name': ODD[i % len(ODD)],
                              'probability': round(1 - i / count / 2, 4)}],
            'mutual': True}
           for one, other in (('image', 'text'), ('text', 'image'))
           for i in range(count)]
  (out / 'matches.jsonl').write_text(json_lines.dump(lines), 'utf-8')


def summary(strategies=('random', 'mmal'), seeds=3, **more):
  """Of curves that are drawn at random, over 0, 5 and 10 answers."""
  rng = np.random.default_rng(0)
  return summary_lib.summarise(np.array([0, 5, 10]), {
      name: {'mean_r10': 10 + rng.uniform(0, 9, (seeds, 3)).cumsum(1),
             'i2t_r1': rng.uniform(0, 9, (seeds, 3))}
      for name in strategies}, 'mean_r10', **more)


def seen(texts=ODD, modalities=('image', 'text')):
  """Of every item a text that others wrote; of images also a picture."""
  queries = [{'round': t, 'asked': [['image', t], ['text', t + 1]],
              'answers': [[t] + [t + 1] * (len(modalities) - 1),
                          [-1] * len(modalities)]} for t in (1, 2)]
  k = len(texts)
  panels = {m: pool_map.Panel(
      np.arange(k), np.random.default_rng(0).normal(size=(k, 2)), 99, texts,
      np.r_[1, 2, np.zeros(k - 2, int)], np.r_[1, 2, np.zeros(k - 2, int)],
      ODD[0]) for m in modalities}
  found = matched.Match('image', 3, 'a', 'text', 4, 'b', 0.5, True)

  def see(modality, number):
    words = texts[number % k]
    return elements.Item(words, _PIXEL, (4, 3)) if (
        modality == 'image') else elements.Item(words)

  return document.Seen(
      f'mmal{ODD[0]}', queries, [0, 1, 2], modalities, see, ODD[0],
      ([found], 1), ODD[0], panels, ODD[0])
