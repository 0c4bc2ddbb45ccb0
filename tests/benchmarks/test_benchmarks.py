"""Every benchmark, at sizes that tell nothing but that it works."""

import json

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from experiments.benchmarks import data
from experiments.benchmarks import facility
from experiments.benchmarks import peers
from experiments.benchmarks import plain
from experiments.benchmarks import run
from experiments.benchmarks import truth


def _main(folder, *names):
  flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(out=str(folder), only=list(names), small=True):
    run.main(['run'])


@pytest.mark.long
@pytest.mark.parametrize('name', run.BENCHMARKS)
def test_benchmark(name, tmp_path, capsys):
  _main(tmp_path, name)
  record = json.loads((tmp_path / f'{name}.json').read_text())
  assert record['name'] == name and record['rows'] and record['notes']
  assert record['small'] and record['cores'] and record['device']
  table = capsys.readouterr().out
  assert table.startswith(f'## {name}\n')
  for column in record['rows'][0]:
    assert column in table
  if name == 'peers':
    _check_peers(record['rows'], table)
  if name == 'points':
    assert all(-1e-3 < row['loss, %'] < 50 for row in record['rows'])
  if name in ('devices', 'disk'):
    columns = [c for c in record['rows'][0] if c.startswith('picks of')]
    assert {row[c] for row in record['rows'] for c in columns} <= {True, 'yes'}


def test_facility_location_of_other_packages(tmp_path, capsys):
  _main(tmp_path, 'facility')
  rows = json.loads((tmp_path / 'facility.json').read_text())['rows']
  assert len(rows) == len(data.KINDS) * (1 + len(facility.PEERS))
  for row in rows:
    missing = row['version'] == 'not installed'
    assert row['picks of ours'] == (None if missing else 'yes')
    assert (row['seconds'] is None) == missing


def _check_peers(rows, table):
  for peer in peers.PEERS:
    of_it = [row for row in rows if row['who'] == peer.package]
    assert len(of_it) == len(data.KINDS)
    missing = peers.version(peer.package) is None
    for row in of_it:
      assert (row['version'] == 'not installed') == missing
      assert (row['seconds'] is None) == missing
    assert peer.package in table


def test_a_missing_peer_is_reported(monkeypatch, tmp_path, capsys):
  missing = peers.Peer('mmal-jax-no-such-package', peers.PEERS[0].select)
  monkeypatch.setattr(peers, 'PEERS', (missing,))
  _main(tmp_path, 'peers')
  lines = capsys.readouterr().out.splitlines()
  found = [line for line in lines if missing.package in line]
  assert len(found) == len(data.KINDS)
  assert all('not installed' in line for line in found)


def test_plain_loop_picks_what_float64_does():
  pool = data.pool('clustered', 500, 16)
  picks = plain.select(data.view(pool, np.array([3])), 30)
  assert truth.compared(
      np.append(3, picks), truth.greedy(pool, 3, 31)) == 'yes'


def test_unknown_benchmark(tmp_path):
  with pytest.raises(SystemExit, match='nonsense'):
    _main(tmp_path, 'nonsense')
