"""The page of a report: what it holds, and what it may do."""

import json
import re

import numpy as np
import pytest

from mmal_jax.analysis import scores_at as scores_lib
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis.report_page import asked
from mmal_jax.analysis.report_page import curves
from mmal_jax.analysis.report_page import document
from mmal_jax.analysis.report_page import elements
from mmal_jax.analysis.report_page import matched
from mmal_jax.experiment import report as report_lib
from mmal_jax.files import html_file
from mmal_jax.files import plain_text
from tests.support import report_run

ODD = report_run.ODD


def _held(text):
  found, = re.findall(
      '<script type="application/json" id="data">(.*)</script>', text)
  return json.loads(found)


def _page(summary=None, seen=None, settings=((ODD[0],), (ODD[1],))):
  return document.render(summary or report_run.summary(), ODD, ODD[0], settings,
                         seen or report_run.seen())


@pytest.mark.parametrize('modalities', [
    ('image', 'text'), ('image', 'text', 'sound')])
def test_nothing_that_others_wrote_leaves_its_place(modalities):
  text = _page(report_run.summary(('random', *ODD[:3])),
               report_run.seen(modalities=modalities))
  assert text.count('<script') == text.count('</script>') == 2
  assert '<svg onload' not in text and '<img src=x' not in text
  assert not re.search(r'<[^>]* on\w+=', re.sub('"[^"]*"', '', text))
  assert ' style=' not in text
  assert '\u202e' not in text and '{{' not in re.sub(
      re.escape('{{script}}'), '', text)
  assert _held(text)['map']['text']['texts'] == [
      plain_text.for_terminal(odd) for odd in ODD]
  # RTL letters and emoji remain; what hides or reverses does not.
  assert ODD[6] in text and ODD[7] in text and r'a\u2028b\u202ec\x85d' in text
  text.encode()  # No half of a letter is left.
  urls = re.findall(r'(?:src|href)="([^"]*)"', text)
  assert all(url.startswith(('data:', '#')) for url in urls)
  assert 'http' not in text.replace('http-equiv', '')


def test_it_is_valid_html():
  html5lib = pytest.importorskip('html5lib')
  for strategies in (('random', *ODD), ('mmal',)):
    for seeds in (1, 3):
      html5lib.HTMLParser(strict=True).parse(
          _page(report_run.summary(strategies, seeds)))


def test_its_policy_allows_its_own_script_and_nothing_else():
  text = _page()
  policy, = re.findall('Content-Security-Policy" content="(.*)"', text)
  rules = dict(rule.split(' ', 1) for rule in policy.split('; '))
  assert rules['default-src'] == rules['connect-src'] == "'none'"
  assert rules['img-src'] == 'data:' and 'unsafe' not in policy
  for tag, rule in (('style', 'style-src'), ('script', 'script-src')):
    inner, = re.findall(f'<{tag}>(.*?)</{tag}>', text, re.S)
    assert rules[rule] == f"'{html_file.digest(inner)}'"


def test_scores_at_every_point():
  summary = report_run.summary(whole_pool=[{'aligned': 30, 'scores': {
      'mean_r10': 60.0 + seed}} for seed in range(3)])
  at = scores_lib.scores_at(summary)
  assert at.header == [
      'strategy', 'mean_r10', "mean_r10 - baseline's", 'i2t_r1']
  assert at.labels == ['random', 'mmal'] and len(at.cells) == 3
  of = {name: entry['curves']['mean_r10']
        for name, entry in summary['strategies'].items()}
  for t in range(3):
    assert at.cells[t][0][:2] == [
        summary_lib.pm(summary_lib.cell(of['random'][:, t])), '-']
    assert at.cells[t][1][1] == summary_lib.pm(summary_lib.cell(
        of['mmal'][:, t] - of['random'][:, t]), '+')
  # Of the whole pool alone the other score is not known.
  assert at.fixed[-1] == ['all 30 pairs', '61.0 ± 2.5', '-', '-']
  text = _page(summary)
  assert _held(text)['cells'] == at.cells
  assert 'class="level whole"' in text and 'class="level zero"' in text


def test_without_a_baseline_and_of_one_seed():
  summary = report_run.summary(('mmal',), 1)
  at = scores_lib.scores_at(summary)
  assert at.header == ['strategy', 'mean_r10', 'i2t_r1']
  assert '±' not in str(at.cells) and curves.about_bands(summary) == ''
  assert 'class="band"' not in curves.drawn(summary)


def test_of_many_strategies_no_bands_hide_the_lines():
  many = report_run.summary(('random', *'abcdefgh'))
  assert 'class="band"' not in curves.drawn(many)
  assert 'in the tables alone' in curves.about_bands(many)
  assert curves.drawn(report_run.summary()).count('class="band"') == 2


@pytest.mark.parametrize('low,high', [(0, 1e-6), (0, 0), (99.5, 100), (0, 3e5)])
def test_any_scale_has_ticks_within(low, high):
  summary = report_run.summary(('mmal',), 1)
  summary['strategies']['mmal']['curves']['mean_r10'] = np.array(
      [[low, high, low]], float)
  scale = curves.Scale(summary)
  for found in (scale.y(scale.y_ticks()), scale.x(scale.x_ticks())):
    assert 1 < len(found) < 8
    assert found.min() > -1 and found.max() < 1001


def test_many_rounds_are_cut_short_and_said_so():
  queries = [{'round': t, 'asked': [['image', n] for n in range(100)],
              'answers': [[n, n] for n in range(100)]} for t in range(1, 31)]
  most = asked.shown_of_a_round(30, 2)
  found = asked.drawn(queries, ('image', 'text'),
                      lambda m, n: elements.Item('x'))
  assert found.count('class="card"') == 30 * most
  assert f'Round 30: 100 asked, the first {most} shown' in found
  assert len(asked.items(queries, ('image', 'text'))) == 2 * most


def test_matches_are_the_likeliest_and_the_rest_is_counted():
  records = [{'modality': a, 'item': i, 'name': 'n', 'of': b, 'mutual': True,
              'counterparts': [{'item': i, 'name': 'm',
                                'probability': i / 1000}]}
             for a, b in (('image', 'text'), ('text', 'image'))
             for i in range(500)]
  records.append(records[0] | {'item': 999, 'counterparts': []})
  found, total = matched.likeliest(records)
  assert total == 500 and [match.number for match in found] == list(
      range(499, 299, -1))
  text = matched.drawn(found, total, lambda m, n: elements.Item('x'))
  assert '300 more, less likely, are not shown' in text
  assert text.count('<tr>') == 201


def _write(tmp_path, folders, **options):
  report_lib.write(folders, tmp_path / 'out', str(tmp_path / 'c'), **options)
  return (tmp_path / 'out' / 'report.html').read_text('utf-8')


@pytest.mark.parametrize('seeds', [(0,), (0, 1, 2)])
@pytest.mark.parametrize('modalities', [('image', 'text'), ('image', 'text',
                                                            'sound')])
def test_a_report_without_data_states_or_matches(tmp_path, seeds, modalities):
  folder = report_run.scores(
      tmp_path / 'a', seeds, modalities=modalities, metric=ODD[0])
  text = _write(tmp_path, [folder], metric=ODD[0])
  assert 'There are no matches' in text
  assert text.count('What was asked is not shown') == 3  # notes, asked, map
  for modality in modalities:  # Numbers are known without the data.
    assert f'{modality} 5' in text or f'{modality} 6' in text
  assert _held(text)['reached'] == [0, 1, 2, 3, 4]
  text = _write(tmp_path, [folder], asked=False, metric='i2t_r1')
  assert text.count('It was left out by --noasked.') == 2


def test_a_report_of_a_sweep(tmp_path):
  folders = [report_run.scores(tmp_path / str(value), missing=value)
             for value in (0.0, 0.5)]
  text = _write(tmp_path, folders, asked=False)
  assert 'Settings in which the experiments differ' in text
  assert len(_held(text)['y']) == 4


def test_matches_that_no_run_sealed_are_not_shown(tmp_path):
  folder = report_run.scores(tmp_path / 'a')
  report_run.matches(folder, 20)
  text = _write(tmp_path, [folder], asked=False)
  assert re.search('The matches in .* are damaged: .*run.json is missing', text)
  # A report changes nothing of a run.
  assert [path.name for path in (folder / 'matches').iterdir()] == [
      'mmal-seed0']


def test_an_unknown_map_is_refused_before_anything_is_written(tmp_path):
  folder = report_run.scores(tmp_path / 'a')
  with pytest.raises(ValueError, match="map_by='tsne' is none of pca, umap"):
    _write(tmp_path, [folder], map_by='tsne')
  assert not (tmp_path / 'out').exists()
