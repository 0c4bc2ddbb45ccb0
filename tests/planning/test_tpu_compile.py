"""All that a pod is to run is compiled for TPUs: it fits, and says little.

By the compiler: nothing here runs on a TPU. `pytest -m tpu_compile`, where
libtpu is installed.
"""

import dataclasses
import importlib.util
import os

import jax
import pytest

from mmal_jax.models import names as names_lib
from mmal_jax.models.pretrained import presets
from mmal_jax.parallel import sharding
from mmal_jax.planning import chips
from mmal_jax.planning import cost
from mmal_jax.planning import hlo
from mmal_jax.planning import place
from mmal_jax.planning import programs

pytestmark = pytest.mark.tpu_compile
_POOL, _WIDTH = 10_000_000, 512
_SIZES = programs.Sizes(_POOL, _WIDTH)
_MESHES = [('v5e:4x4', 16, 1), ('v5e:4x4', 4, 4), ('v5e:16x16', 64, 4),
           ('v5p:2x2x4', 4, 4), ('v6e:4x4', 8, 2)]
_ON_A_MESH = pytest.mark.parametrize(
    'mesh', _MESHES, ids=lambda mesh: '{}-{}x{}'.format(*mesh))


@pytest.fixture(autouse=True, scope='module')
def _libtpu():
  if importlib.util.find_spec('libtpu') is None:
    pytest.skip('there is no libtpu: pip install "mmal_jax[tpu]" brings it')
  # Others may compile on this machine, too.
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  # What is compiled for other machines is kept, but cannot be read again.
  jax.config.update('jax_enable_compilation_cache', False)
  yield
  jax.config.update('jax_enable_compilation_cache', True)


def _compiled(mesh, name, sizes=_SIZES):
  """A program on a mesh, which has to fit its chips."""
  topology, data, fsdp = mesh
  topology = chips.parse(topology)
  where = place.of(chips.devices(topology), data, fsdp)
  (program,) = programs.made(where, sizes, [name])
  found = cost.measure(program, topology.chip)
  print(topology, data, fsdp, found._replace(collectives=None),
        hlo.summed(found.collectives))
  assert found.fits, found
  assert found.total < topology.chip.memory
  # No chip gets a pool, nor a tenth of it (a table of tokens has 25 million).
  assert max((x.elements for x in found.collectives), default=0) < (
      _POOL * _WIDTH // 10)
  return found


def _said(found):
  """By kind, how many collectives, and how many of them in a loop."""
  return {kind: (one.count, one.in_loops)
          for kind, one in hlo.summed(found.collectives).items()}


def _are_gathered_and_added(found, gathered, added):
  """Elements of all-gathers and all-reduces.

  On 16x16 chips the compiler makes all-reduces of all-gathers, too, of what
  each chip has beside zeros.
  """
  wanted = [('all-gather', n) for n in gathered]
  wanted += [('all-reduce', n) for n in added]
  said = [(x.kind, x.elements) for x in found.collectives]
  assert sorted(said) in (
      sorted(wanted), sorted(('all-reduce', n) for _, n in wanted))


@_ON_A_MESH
def test_coverage_says_nothing(mesh):
  assert _said(_compiled(mesh, 'coverage')) == {}


@_ON_A_MESH
def test_k_center_says_three_things_a_block(mesh):
  found = _compiled(mesh, 'k_center')
  assert all(x.in_loop for x in found.collectives)
  # Distances and places of every chip's candidates; rows of the best.
  _are_gathered_and_added(
      found, [1024 * mesh[1] * mesh[2]] * 2, [1024 * _WIDTH])


@_ON_A_MESH
@pytest.mark.parametrize('score,values', [('margin', 2), ('entropy', 4)])
def test_matches_say_two_things(mesh, score, values):
  found = _compiled(mesh, score)
  candidates = 2 * _SIZES.queries
  assert not any(x.in_loop for x in found.collectives)
  _are_gathered_and_added(
      found, [values * candidates * mesh[1] * mesh[2]], [candidates * _WIDTH])


@_ON_A_MESH
def test_moments_are_added_up(mesh):
  found = _compiled(mesh, 'moments')
  assert set(_said(found)) == {'all-reduce'}
  assert max(x.elements for x in found.collectives) == _WIDTH**2


@_ON_A_MESH
def test_plans_are_added_up(mesh):
  found = _compiled(mesh, 'plan')
  assert _said(found) == {'all-reduce': (1, 0)}
  assert found.collectives[0].elements == _SIZES.rank**2


@pytest.mark.parametrize('name', ['basis', 'heads'])
def test_what_one_chip_does_for_all(name):
  assert _said(_compiled(_MESHES[0], name)) == {}


def _cut(mesh, sizes, of):
  """Values of each parameter of these names that may be cut over `fsdp`."""
  topology, data, fsdp = mesh
  where = place.of(chips.devices(chips.parse(topology)), data, fsdp)
  _, params = programs._model(where, sizes)
  return [
      leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(params)
      if any(leaf.sharding.spec) and names_lib.dotted(path).startswith(of)]


# Of all blocks of a tower each is the same to the compiler, which takes minutes
# for twelve: two will do for what is said between chips.
@pytest.fixture(name='shallow')
def _shallow(monkeypatch):
  whole = presets.PRESETS['siglip_b16']
  image, text = (
      dataclasses.replace(
          tower, stack=dataclasses.replace(tower.stack, depth=2))
      for tower in (whole.image, whole.text))
  monkeypatch.setitem(
      presets.PRESETS, 'shallow',
      dataclasses.replace(whole, image=image, text=text))
  return _SIZES._replace(model='shallow')


@_ON_A_MESH
@pytest.mark.parametrize('modality', ['image', 'text'])
def test_embedding_gathers_parameters_alone(mesh, modality, shallow):
  found = _compiled(mesh, f'embed_{modality}', shallow)
  cut = _cut(mesh, shallow, f'{modality}_')
  assert len(cut) > 12
  assert _said(found) == (
      {'all-gather': (len(cut), 0)} if mesh[2] > 1 else {})


@_ON_A_MESH
def test_a_step_says_nothing_of_activations(mesh, shallow):
  found = _compiled(mesh, 'step', shallow)
  said, cut = _said(found), _cut(mesh, shallow, '')
  # Texts go around, and their gradients: once a turn.
  assert said['collective-permute'][1] > 0
  # Gradients are added up; parameters that are cut are gathered.
  assert 'all-reduce' in said
  assert ('all-gather' in said) == (mesh[2] > 1)
  # A part of the batch's activations has far more values than any parameter.
  assert max(x.elements for x in found.collectives) <= max(cut)


@pytest.mark.parametrize('name', ['embed_image', 'step'])
def test_a_published_size(name):
  found = _compiled(_MESHES[0], name)
  assert ('all-reduce' in _said(found)) == (name == 'step')
  # Of 4,096 pairs, in bfloat16.
  assert found.least_seconds(chips.CHIPS['v5e']) < 1


@pytest.mark.parametrize('topology,sizes', [
    ('v6e:4x4', (8, 2)), ('v6e:4x4', (2, 8)), ('v6e:4x4', (-1, 2)),
    ('v5e:4x4', (8, 2)), ('v6e:16x16', (128, 2)), ('v5p:2x2x4', (2, 8)),
    ('v4:2x2x4', (8, 2))])
def test_meshes_over_chips_as_libtpu_lists_them(topology, sizes):
  devices = chips.devices(chips.parse(topology))
  mesh = sharding.make_mesh(*sizes, devices)
  assert mesh.shape['fsdp'] == sizes[1] and mesh.size == len(devices)
  assert sharding.row_sharding(devices).mesh.size == len(devices)


def test_several_slices_are_refused():
  from jax.experimental import topologies
  chips.devices(chips.parse('v5e:4x4'))
  devices = topologies.get_topology_desc(
      platform='tpu', topology_name='v5e:4x4', num_slices=2).devices
  with pytest.raises(ValueError, match='in 2 TPU slices'):
    sharding.make_mesh(-1, 2, devices)


def test_tiles_are_a_tpus():
  where = place.of(chips.devices(chips.parse('v5e:1x1')), 1, 1)
  (program,) = programs.made(where, _SIZES, ['coverage'])
  assert f'tensor<65536x{_WIDTH}x' in program.lower().as_text()


def test_a_single_chip():
  found = _compiled(('v5e:1x1', 1, 1), 'margin', _SIZES._replace(pool=10**6))
  assert found.collectives == []


def test_what_does_not_fit_is_said():
  topology = chips.parse('v5e:2x2')
  where = place.of(chips.devices(topology), -1, 1)
  (program,) = programs.made(
      where, _SIZES._replace(pool=10**8), ['coverage'])
  found = cost.measure(program, topology.chip)
  assert not found.fits
  assert found.total > topology.chip.memory


@pytest.mark.parametrize('name', ['v5e:3x5', 'v6e:1x3'])
def test_slices_that_libtpu_does_not_know(name):
  with pytest.raises(ValueError, match='no such slice; .* rented, as v'):
    chips.devices(chips.parse(name))
