"""What the benchmarks of encoders share: model, input, yardstick."""

import functools
import os
import tempfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import jax_siglip
from experiments.benchmarks import timing
from experiments.benchmarks import torch_siglip
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import huggingface
from mmal_jax.models.pretrained import presets

PRESET = 'siglip_b16'
OURS, COMPILED, EAGER = 'ours', 'PyTorch, compiled', 'PyTorch, eager'
# Dense bfloat16 as the makers publish it, by the name of the device. Cards of
# the same chip for a PCIe slot are slower and have names of their own.
_PEAKS = {
    'NVIDIA A100-PCIE-40GB': 312e12, 'NVIDIA A100 80GB PCIe': 312e12,
    'NVIDIA A100-SXM4-40GB': 312e12, 'NVIDIA A100-SXM4-80GB': 312e12,
    'NVIDIA H100 80GB HBM3': 989e12, 'NVIDIA H200': 989e12,
    'TPU v4': 275e12, 'TPU v5 lite': 197e12, 'TPU v5e': 197e12,
    'TPU v5': 459e12, 'TPU v5p': 459e12, 'TPU v6 lite': 918e12,
    'TPU v6e': 918e12}
_TORCH_DEVICES = {'cpu': 'cpu', 'gpu': 'cuda'}


class Rate(NamedTuple):
  """Operations a second that a share is of, and what they are."""

  flops: float
  what: str


def make_config(small: bool) -> config_lib.DualEncoder:
  """Of the published model, or of a tiny one of its kind."""
  if not small:
    return presets.PRESETS[PRESET]
  stack = config_lib.Stack(32, 1, 2, 64)
  return families.SIGLIP.build(
      {'stack': stack, 'size': (32, 32), 'patch': 8},
      {'stack': stack, 'vocab_size': 100, 'length': 8}, stack.width)


def inputs(
    config: config_lib.DualEncoder, n: int
) -> tuple[np.ndarray, np.ndarray]:
  """Random pixels `[n, h, w, 3]` uint8 and tokens `[n, length]` int32."""
  rng = np.random.default_rng(0)
  return (
      rng.integers(256, size=(n, *config.image.size, 3), dtype=np.uint8),
      rng.integers(config.text.vocab_size, size=(n, config.text.length),
                   dtype=np.int32))


def machine_rate(small: bool) -> Rate:
  """As published, or else as measured."""
  kind = jax.devices()[0].device_kind
  if kind in _PEAKS:
    return Rate(_PEAKS[kind], f'{_PEAKS[kind] / 1e12:.0f} TFLOP/s, the '
                f'published dense bfloat16 peak of {kind}')
  sides = (64, 128) if small else (2048, 4096)
  product = jax.jit(metric_lib.dots)
  timed = timing.side_by_side({
      side: functools.partial(product, *[jnp.ones((side, side))] * 2)
      for side in sides})
  best = max(2 * side**3 / timed[side][0].best for side in sides)
  return Rate(best, f'{best / 1e12:.3g} TFLOP/s, the best of square float32 '
              f'products of {" and ".join(map(str, sides))}, just before')


def leave_memory() -> None:
  """Keeps JAX from taking most of a GPU, of which PyTorch needs some too."""
  # It reads this when it first touches the device.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')


def in_torch(
    config: config_lib.DualEncoder, model: jax_siglip.Siglip
) -> torch_siglip.Siglip | str:
  """The same model in PyTorch, with the same parameters, or why not."""
  platform = jax.default_backend()
  if platform not in _TORCH_DEVICES:
    return f'no PyTorch on a {platform}'
  device = _TORCH_DEVICES[platform]
  missing = torch_siglip.missing(device)
  if missing:
    return missing
  with tempfile.TemporaryDirectory() as folder:
    huggingface.save(folder, config, model.params)
    return torch_siglip.Siglip(folder, device)


def torch_note(theirs: torch_siglip.Siglip | str) -> str:
  """What PyTorch is, or how to get it."""
  if isinstance(theirs, str):
    return (f'PyTorch: {theirs}; the extra `parity` has it, for a CPU or an '
            'NVIDIA GPU.')
  return (f'PyTorch: {theirs.versions}, SiglipModel with attention by sdpa, '
          f'{os.cpu_count()} threads; bfloat16 by autocast.')


def load_note() -> str:
  """How busy the machine is, which every timing suffers from."""
  return ('Load of the machine over the minute before: '
          f'{os.getloadavg()[0]:.2f} on {os.cpu_count()} cores.')


def lacks_memory(error: Exception) -> bool:
  """Whether JAX or PyTorch has failed for want of memory."""
  message = str(error).lower()
  return isinstance(error, MemoryError) or any(
      words in message for words in (
          'resource_exhausted', 'out of memory', 'can\'t allocate memory'))
