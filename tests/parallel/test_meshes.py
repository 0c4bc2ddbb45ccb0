"""Meshes over TPUs, by devices that only say where they lie."""

import dataclasses
import itertools

import numpy as np
import pytest

from mmal_jax.parallel import sharding


@dataclasses.dataclass(frozen=True)
class _Chip:
  """What JAX reads of a TPU device to arrange a mesh."""

  id: int
  coords: tuple[int, int, int]
  device_kind: str
  slice_index: int = 0
  core_on_chip: int = 0
  process_index: int = 0
  platform: str = 'tpu'


def _slice(kind, dims, index=0, cores=1):
  """The chips of one slice, x running fastest, as JAX lists them."""
  places = itertools.product(*map(range, dims[::-1]), range(cores))
  return [_Chip(i, place[2::-1], kind, index, place[3])
          for i, place in enumerate(places)]


_V6E, _V5P, _V4 = 'TPU v6 lite', 'TPU v5', 'TPU v4'


@pytest.mark.parametrize('kind', [_V6E, 'TPU v5 lite'])
@pytest.mark.parametrize('sizes', [
    (16, 1), (8, 2), (4, 4), (2, 8), (1, 16), (-1, 2), (2, 4), (2, 2)])
def test_any_power_of_2_over_4x4_chips(kind, sizes):
  chips = _slice(kind, (4, 4, 1))
  mesh = sharding.make_mesh(*sizes, chips)
  data, fsdp = sizes
  count = 16 if data == -1 else data * fsdp
  assert dict(mesh.shape) == {'data': count // fsdp, 'fsdp': fsdp}
  assert {chip.id for chip in mesh.devices.flat} == set(range(count))


def test_axes_are_cut_between_neighbours():
  """Parameters are gathered over `fsdp`: its chips lie side by side."""
  mesh = sharding.make_mesh(8, 2, _slice(_V6E, (4, 4, 1)))
  for one, other in mesh.devices:
    assert np.abs(np.subtract(one.coords, other.coords)).sum() == 1


def test_three_axes_of_chips():
  for sizes in ((8, 2), (4, 4), (2, 8), (16, 1)):
    assert sharding.make_mesh(
        *sizes, _slice(_V5P, (2, 2, 4))).devices.shape == sizes


@pytest.mark.parametrize('make', [
    lambda chips: sharding.make_mesh(-1, 2, chips), sharding.row_sharding])
def test_several_slices_are_refused(make):
  chips = _slice(_V6E, (4, 4, 1)) + _slice(_V6E, (4, 4, 1), index=1)
  with pytest.raises(ValueError, match=(
      r'lie in 2 TPU slices \(multislice\), and .* run on one slice')):
    make(chips)
  # Of which the first may be taken.
  assert sharding.make_mesh(8, 2, chips).size == 16


@pytest.mark.parametrize('make', [
    lambda chips: sharding.make_mesh(3, 5, chips),
    lambda chips: sharding.row_sharding(chips[:15])])
def test_chips_that_are_no_block_are_refused(make):
  with pytest.raises(ValueError, match=(
      r'cannot be laid over the first 15 of 1\d devices \(TPU v6 lite\): '
      r'take all .* \(data=-1\)')):
    make(_slice(_V6E, (4, 4, 1)))


def test_halves_of_chips_are_refused():
  with pytest.raises(ValueError, match='a chip has to be one device'):
    sharding.make_mesh(-1, 2, _slice(_V4, (2, 2, 4), cores=2))
