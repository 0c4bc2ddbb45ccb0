"""The parts of a plan that need no compiler for TPUs."""

import dataclasses
import importlib.metadata
import math
import re

import jax
import pytest

from experiments import plan as plan_program
from experiments.benchmarks import encoders
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.models.pretrained import presets
from mmal_jax.planning import chips
from mmal_jax.planning import cost
from mmal_jax.planning import hlo
from mmal_jax.planning import largest
from mmal_jax.planning import place
from mmal_jax.planning import plan
from mmal_jax.planning import programs
from mmal_jax.terminal import messages
from tests.support import programs as programs_lib


@pytest.mark.parametrize('name,size', [
    ('v5e:4x4', 16), ('v5e:16x16', 256), ('v5p:2x2x4', 16), ('v6e:4x4', 16),
    ('v4:2x2x1', 4), ('v6e:1x1', 1)])
def test_slices_by_name(name, size):
  found = chips.parse(name)
  assert str(found) == name and found.size == size
  assert found.chip is chips.CHIPS[found.kind]


@pytest.mark.parametrize('name,wrong', [
    ('', "topology='' must be a chip out of v4, v5e, v5p, v6e"),
    ('v5e', 'must be a chip'), ('v7:2x2', 'must be a chip'),
    ('v5e:0x4', 'must be a chip'), ('v5e:4x4 ', 'must be a chip'),
    ('v5e:-4x4', 'must be a chip'), ('v5e:4x', 'must be a chip'),
    ('v5p:4x4', 'has 2 axes, and v5p 3: as v5p:2x2x4'),
    ('v5e:2x2x4', 'has 3 axes, and v5e 2: as v5e:2x4'),
    ('v6e:32x16', 'has 512 chips, and a slice of v6e at most 256')])
def test_other_names_are_refused(name, wrong):
  with pytest.raises(ValueError, match=wrong):
    chips.parse(name)


def test_peaks_are_those_of_the_benchmarks():
  for kind, name in (('v4', 'TPU v4'), ('v5e', 'TPU v5 lite'),
                     ('v5p', 'TPU v5p'), ('v6e', 'TPU v6 lite')):
    assert chips.CHIPS[kind].flops == encoders._PEAKS[name]


@pytest.mark.parametrize('need,expected', [
    (lambda n: n, 1000), (lambda n: 3 * n + 7, 330), (lambda n: 2000, 0),
    (lambda n: n**2, 30), (lambda n: 100 * math.sqrt(n), 100),
    (lambda n: 500 + n // 100 * 100, 590),  # In stairs.
    (lambda n: n if n <= 640 else math.inf, 640),
    (lambda n: math.inf, 0)])
@pytest.mark.parametrize('guess', [1, 10, 300, 330, 5000])
def test_the_largest_that_fits(need, expected, guess):
  assert largest.largest(need, 1000, 10, guess) == expected


def test_of_a_straight_line_few_looks_are_enough():
  looks = []

  def need(n):
    looks.append(n)
    return 1029.0 * n + 8e7

  limit = 15.75 * chips.GIB
  found = largest.largest(need, limit, 65536, int(0.9 * limit / 1029))
  assert need(found) <= limit < need(found + 65536)
  assert len(looks[:-2]) <= 4


def test_what_is_needed_is_read_off_a_refusal():
  for message, size in (
      ('RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required'
       ' for HLO temporaries (80.00G) exceeds available HBM (15.75G).',
       80 * 2**30),
      ('RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory '
       'in memory space hbm. Used 512.5M of 15.75G hbm.', 512.5 * 2**20),
      ('RESOURCE_EXHAUSTED: something else', math.inf)):
    assert cost.needed(message) == size


_CHIP = chips.Chip(100e12, 2.0 * chips.GIB, 500e9, 2, 256)


def _cost(**fields):
  return cost.Cost(**{
      'name': 'a', 'arguments': 2**30, 'temporaries': 2**20,
      'total': 1.5 * 2**30,
      'work': cost.Work(2e12, 1e9), 'by_arithmetic': False, 'collectives': [],
      'seconds': 12.3, 'fits': True, **fields})


def test_the_least_time_is_that_of_the_scarcer():
  assert _cost().least_seconds(_CHIP) == 0.02
  assert _cost(work=cost.Work(2e9, 5e9)).least_seconds(_CHIP) == 0.01


def test_table():
  found = [hlo.Collective('all-gather', 10, 40, True),
           hlo.Collective('all-reduce', 10**6, 4 * 10**6, False),
           hlo.Collective('all-reduce', 10, 40, True)]
  nan = float('nan')
  lines = plan.table([
      _cost(), _cost(name='b', collectives=found, by_arithmetic=True),
      _cost(name='c', arguments=nan, temporaries=nan, total=math.inf,
            work=cost.Work(nan, nan), fits=False)], _CHIP).splitlines()
  cells = [[cell.strip() for cell in line.strip('|').split('|')]
           for line in lines]
  assert cells[0] == list(plan._HEADER)
  assert cells[2] == ['a', '1', '0.000977', '1.5', 'yes', '2,000', '1',
                      '20 ms', 'nothing', '12 s']
  assert cells[3][5:7] == ['2,000*', '1*']
  assert cells[3][8] == (
      '1 all-gather, 4e-05 MB a pass; 2 all-reduce, 4 MB (1 a pass)')
  assert cells[4][1:5] == ['-', '-', '-', 'NO'] and cells[4][8] == '-'


def test_legend_says_what_the_figures_are():
  text = plan.legend(chips.CHIPS['v5e'])
  assert '15.75' in text and '197 TFLOP/s' in text and '819 GB/s' in text
  assert 'lower bound' in text
  assert 'nothing was run on a TPU' in plan.NOT_RUN


# On the CPUs at hand, at sizes that take seconds.
_SIZES = programs.Sizes(
    4096, 64, queries=16, aligned=128, rank=32, pairs=16)


@pytest.mark.parametrize('mesh', [(8, 1), (4, 2), (1, 1)])
def test_programs_of_acquisition_and_closed_form(mesh, quick_compilation):
  where = place.of(jax.devices(), *mesh)
  chips_ = mesh[0] * mesh[1]
  assert where.chips == chips_
  names = [name for name in programs.NAMES
           if not name.startswith(('embed', 'step'))]
  made = dict(zip(names, programs.made(where, _SIZES, names)))
  found = {name: cost.measure(program, _CHIP)
           for name, program in made.items()}
  for name, one in found.items():
    assert one.fits and one.seconds > 0, name
    assert math.isfinite(one.least_seconds(_CHIP)), name
    largest_said = max((x.elements for x in one.collectives), default=0)
    assert largest_said < 4096 * 64, name
    assert bool(one.collectives) == (
        chips_ > 1 and name not in ('coverage', 'basis', 'heads')), name
  # Both pools, and all that is known of their rows.
  rows = 4096 // chips_
  for name in programs.OF_POOLS:
    assert found[name].arguments >= 2 * rows * (64 * 2 + 1 + 4), name
  assert found['coverage'].work == (2.0 * rows * 64 * 128, rows * 64 * 2)
  assert found['margin'].work == (2.0 * rows * 64 * 32, rows * 64 * 2)


def test_arithmetic_is_what_the_compiler_counts_where_no_loop_repeats():
  """Rows of one tile, by centres and candidates of one tile."""
  where = place.of(jax.devices(), 1, 1)
  sizes = programs.Sizes(2048, 256, 'float32', queries=32, aligned=64)
  for name in ('coverage', 'margin'):
    (program,) = programs.made(where, sizes, [name])
    counted = cost.measure(program._replace(least=None), _CHIP).work.flops
    # Norms, comparisons and second looks at what is in doubt come on top.
    assert program.least.flops <= counted, name


def test_tiles_are_those_of_the_chips():
  """Even after the same was lowered for the devices at hand, or for others."""
  where = place.of(jax.devices(), 1, 1)
  sizes = programs.Sizes(2**18, 8, aligned=64)

  def tiles():
    text = programs._coverage(where, sizes).lower().as_text()
    return {rows for rows in (4096, 8192) if f'tensor<{rows}x8x' in text}

  for _ in range(2):
    assert tiles() == {4096}
    with tile_sizes.compiled_for('tpu'):
      assert tiles() == {8192}
  # What is made goes by its own chips.
  (program,) = programs.made(where, sizes, ['coverage'])
  with tile_sizes.compiled_for('tpu'):
    assert 'tensor<4096x8x' in program.lower().as_text()


@pytest.mark.parametrize('memory', [1.0, 2.0 * chips.GIB])
def test_a_plan_says_what_to_do_where_something_does_not_fit(
    monkeypatch, memory):
  monkeypatch.setattr(chips, 'devices', lambda topology: jax.devices())
  monkeypatch.setattr(importlib.metadata, 'version', lambda name: '0')
  monkeypatch.setitem(chips.CHIPS, 'v5e', _CHIP._replace(memory=memory))
  text = plan.plan('v5e:2x4', 4, 2, _SIZES, ['moments'])
  assert 'v5e:2x4, data=4 fsdp=2, 8 chips' in text
  assert (plan.ADVICE in text) == ('| NO ' in text) == (memory == 1)


def test_wrong_sizes_are_refused():
  where = place.of(jax.devices(), 4, 2)
  with pytest.raises(ValueError, match="program='nope' is none of coverage"):
    programs.made(where, _SIZES, ['nope'])
  with pytest.raises(ValueError, match="model='nope' is none of clip_b32"):
    programs.made(where, _SIZES._replace(model='nope'), ['step'])
  with pytest.raises(ValueError, match='programs: none is wanted; take some of '
                     'coverage'):
    programs.made(where, _SIZES, [])
  with pytest.raises(ValueError, match='pool=2147483648 must be at most'):
    programs.made(where, _SIZES._replace(pool=2**31), ['coverage'])


@pytest.mark.parametrize('pairs,parts,name,wrong', [
    (20, 1, 'step', '8 chips times 1 parts: 16 or 24'),
    (24, 2, 'step', '8 chips times 2 parts: 16 or 32'),
    (20, 2, 'embed_text', '8 chips times 1 parts: 16 or 24'),
    (7, 1, 'embed_image', '8 chips times 1 parts: 8'),
    (24, 2, 'embed_image', None), (20, 1, 'coverage', None)])
def test_pairs_that_chips_cannot_share(pairs, parts, name, wrong):
  where = place.of(jax.devices(), 4, 2)
  sizes = _SIZES._replace(pairs=pairs, parts=parts)
  if wrong is None:
    assert programs.made(where, sizes, [name])
  else:
    with pytest.raises(ValueError, match=re.escape(
        f'pairs={pairs} must be a multiple of {wrong}.')):
      programs.made(where, sizes, [name])


def test_embedding_and_training_are_lowered(monkeypatch, quick_compilation):
  preset = presets.PRESETS['siglip_b16']
  stack = dataclasses.replace(
      preset.image.stack, width=32, depth=1, heads=2, mlp_width=64)
  monkeypatch.setitem(presets.PRESETS, 'siglip_b16', dataclasses.replace(
      preset, embed_dim=32,
      image=dataclasses.replace(preset.image, stack=stack, size=(32, 32)),
      text=dataclasses.replace(
          preset.text, stack=stack, vocab_size=64, length=8)))
  where = place.of(jax.devices(), 4, 2)
  for program in programs.made(where, _SIZES, ['embed_image', 'step']):
    found = cost.measure(program, _CHIP)
    kinds = set(hlo.summed(found.collectives))
    assert 'all-gather' in kinds, program.name
    # Texts go around.
    assert ('collective-permute' in kinds) == program.name.startswith('step')


def test_the_program_prints_the_plan(monkeypatch, capsys):
  given = []
  monkeypatch.setattr(jax.config, 'update', lambda *option: None)
  monkeypatch.setattr(
      plan, 'plan', lambda *values: given.append(values) or '| a table |')
  programs_lib.call(
      plan_program, '--workdir=unused', '--topology=v5p:2x2x1', '--pool=1000',
      '--programs=acquisition')
  assert capsys.readouterr().out == '| a table |\n'
  (topology, data, fsdp, sizes, names, searches, notify), = given
  assert (topology, data, fsdp, sizes.pool) == ('v5p:2x2x1', -1, 1, 1000)
  assert names == ['acquisition'] and not searches
  assert notify is messages.notify
