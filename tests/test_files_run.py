"""The program with people as its oracle: it waits, and goes on."""

import json
import os
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from experiments import run
from experiments import workdir
from tests import tiny

_CONFIGS = os.path.join(os.path.dirname(run.__file__), 'configs')


def _main(tmp_path, *arguments):
  argv = ['run', f'--config={_CONFIGS}/features.py',
          f'--config.dataset.images={tmp_path / "image.npy"}',
          f'--config.dataset.texts={tmp_path / "text.npy"}',
          f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}',
          '--config.train.steps_per_round=2', '--config.model.width=8',
          '--batch=3', '--rounds=2', '--seeds=0', '--strategies=mmal',
          '--oracle=files', f'--config.oracle.folder={tmp_path / "people"}',
          *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    run.main(flags.FLAGS(argv))


def test_it_ends_while_it_waits_and_goes_on_with_the_answers(
    tmp_path, capsys):
  for name, values in tiny.feature_pairs(40, 0).items.items():
    np.save(tmp_path / f'{name}.npy', values)
  folder = tmp_path / 'people' / 'seed0'
  for number in (1, 2):
    with pytest.raises(SystemExit) as e:
      _main(tmp_path, *(['--overwrite'] if number > 1 else []))
    assert e.value.code == run.WAITING == 3
    assert '0 of 3 queries' in capsys.readouterr().out
    lines = (folder / f'round_{number:03}' / 'queries.jsonl').read_text()
    with open(folder / 'answers' / f'{number}.jsonl', 'w') as answers:
      for query in map(json.loads, lines.splitlines()):
        (other, likely), = query['candidates'].items()
        answers.write(json.dumps({
            'query': query['query'], 'answer': {other: likely[0]['item']},
            'annotator': 'ann'}) + '\n')
  _main(tmp_path, '--overwrite')
  metrics = workdir.read_lines(tmp_path / 'w' / workdir.METRICS)
  assert [m['annotations'] for m in metrics] == [0, 3, 6]
  assert len(list(folder.glob('round_*'))) == 2  # Nobody is asked twice.
  assert 'zero-shot' in capsys.readouterr().out
