"""The default experiment at its full size: does it show what README says?"""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_answers_teach_the_default_model(tmp_path):
  subprocess.run(
      [sys.executable, '-m', 'experiments.run', '--seeds=0',
       f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}'],
      check=True)
  summary = json.loads((tmp_path / 'w' / 'summary.json').read_text())
  for entry in summary['strategies'].values():
    curve = entry['curves']['group'][0]
    assert curve[0] < 25  # Chance is 100 / 6; CLIP has 12 on the real set.
    assert curve[-1] > curve[0] + 20
    assert curve[-1] > curve[1] == min(curve[1:]) > curve[0]
  whole = summary['whole_pool']['final']['group']['mean']
  assert whole > summary['strategies']['random']['final']['group']['mean']
