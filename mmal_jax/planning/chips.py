"""TPU chips as published, and slices of them that only a compiler sees."""

import importlib.util
import os
import re
from typing import NamedTuple

import jax
from jax.experimental import topologies

GIB = 2**30
# What libtpu would ask Google's metadata server for and complain of without,
# and no logs in /tmp, which it would keep forever.
_NO_SERVER = {
    'TPU_SKIP_MDS_QUERY': '1', 'TPU_ACCELERATOR_TYPE': 'v5litepod-16',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_LOG_DIR': 'disabled'}


class Chip(NamedTuple):
  """One chip.

  Attributes:
    flops: bfloat16 operations a second, at its peak.
    memory: bytes that programs may use. Of the published 16, 32 and 32 GiB of
      v5e, v4 and v6e libtpu 0.0.42 leaves this much to them.
    bandwidth: bytes a second between memory and chip.
    dims: axes of a slice.
    most: chips of the largest slice.
  """

  flops: float
  memory: float
  bandwidth: float
  dims: int
  most: int


# As published: docs.cloud.google.com/tpu/docs/v4, /v5e, /v5p, /v6e. Editions of
# the bandwidth differ (v5e: 800 and 819 GB/s, v6e: 1,600 and 1,640, v4: 1,200
# and 1,228); the larger gives the lower bound.
CHIPS = {
    'v4': Chip(275e12, 30.75 * GIB, 1228e9, 3, 4096),
    'v5e': Chip(197e12, 15.75 * GIB, 819e9, 2, 256),
    'v5p': Chip(459e12, 95.0 * GIB, 2765e9, 3, 6144),
    'v6e': Chip(918e12, 31.25 * GIB, 1640e9, 2, 256)}


class Topology(NamedTuple):
  """A slice: `v5e:4x4`.

  Attributes:
    kind: of its chips, out of `CHIPS`.
    dims: chips along each axis.
  """

  kind: str
  dims: tuple[int, ...]

  @property
  def chip(self) -> Chip:
    return CHIPS[self.kind]

  @property
  def size(self) -> int:
    """How many chips."""
    size = 1
    for length in self.dims:
      size *= length
    return size

  def __str__(self) -> str:
    return f'{self.kind}:{"x".join(map(str, self.dims))}'


def parse(name: str) -> Topology:
  """Reads a slice's name.

  >>> parse('v5e:4x4')
  Topology(kind='v5e', dims=(4, 4))

  Args:
    name: `v5e:4x4`, `v6e:16x16`, `v5p:2x2x4`, `v4:2x2x2`.

  Raises:
    ValueError: for unknown chips, or lengths that they do not come in.
  """
  kind, _, rest = name.partition(':')
  if kind not in CHIPS or not re.fullmatch(r'[1-9]\d{0,3}(x[1-9]\d{0,3})*',
                                           rest):
    raise ValueError(
        f'topology={name!r} must be a chip out of {", ".join(CHIPS)} and its '
        'numbers along each axis, as v5e:4x4 or v5p:2x2x4.')
  found = Topology(kind, tuple(map(int, rest.split('x'))))
  if len(found.dims) != found.chip.dims:
    raise ValueError(
        f'topology={name!r} has {len(found.dims)} axes, and {kind} '
        f'{found.chip.dims}: as {_example(kind)}.')
  if found.size > found.chip.most:
    raise ValueError(f'topology={name!r} has {found.size} chips, and a slice '
                     f'of {kind} at most {found.chip.most}.')
  return found


def devices(topology: Topology) -> list[jax.Device]:
  """The slice's chips, to compile for; nothing can run on them.

  Args:
    topology: the slice. No TPU is needed, but libtpu is.

  Raises:
    ImportError: without libtpu, which the extra `tpu` has.
    ValueError: if libtpu knows no such slice, or another process has it.
  """
  if importlib.util.find_spec('libtpu') is None:
    raise ImportError('libtpu is needed to compile for a TPU: pip install '
                      '"mmal_jax[tpu]"')
  for name, value in _NO_SERVER.items():
    os.environ.setdefault(name, value)
  how = {}
  if topology.kind == 'v4':  # Others are one device a chip by default.
    how['chip_config_name'] = 'megacore'
  if topology.size == 1:  # Of a host's 4.
    how['chips_per_host_bounds'] = (1, 1, 1)
  try:
    return list(topologies.get_topology_desc(
        platform='tpu', topology_name=str(topology), **how).devices)
  except jax.errors.JaxRuntimeError as e:
    reason = str(e).partition('\n')[0]
    if 'lockfile' in reason:
      raise ValueError(
          'another process of this machine uses libtpu: wait until it has '
          'ended; or, where there is no TPU to share, set '
          'ALLOW_MULTIPLE_LIBTPU_LOAD=1.') from e
    raise ValueError(
        f'topology={topology}: libtpu knows no such slice; take one that is '
        f'rented, as {_example(topology.kind)}. It says: {reason}') from e


def _example(kind):
  return f'{kind}:{"x".join("224"[-CHIPS[kind].dims:])}'
