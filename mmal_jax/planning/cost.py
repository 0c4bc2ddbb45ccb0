"""What a compiled program takes of a chip, and the least time it can take."""

from collections.abc import Callable
import re
import time
from typing import NamedTuple

import jax

from mmal_jax.planning import chips as chips_lib
from mmal_jax.planning import hlo

_NEEDED = re.compile(r'(?:Used|temporaries \()\s*([\d.]+)([KMGT])')
_UNITS = {'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


class Work(NamedTuple):
  """On one chip.

  Attributes:
    flops: floating point operations.
    bytes: read from and written to the chip's memory.
  """

  flops: float
  bytes: float


class Program(NamedTuple):
  """A program to compile.

  Attributes:
    name: short.
    lower: lowers it for the chips.
    least: what it has to do at least, by arithmetic; None where the compiler's
      count will do. That has every loop once, however often it goes.
  """

  name: str
  lower: Callable[[], jax.stages.Lowered]
  least: Work | None = None


class Cost(NamedTuple):
  """Of a program on one chip.

  Attributes:
    name: of the program.
    arguments: bytes.
    temporaries: bytes.
    total: bytes of arguments, results, temporaries and the program itself.
    work: that it has to do.
    by_arithmetic: whether `work` is `Program.least`, and not the compiler's.
    collectives: between the chips.
    seconds: that compiling took.
    fits: whether the compiler took it, and the total fits the chip.
  """

  name: str
  arguments: float
  temporaries: float
  total: float
  work: Work
  by_arithmetic: bool
  collectives: list[hlo.Collective]
  seconds: float
  fits: bool

  def least_seconds(self, chip: chips_lib.Chip) -> float:
    """The least that a chip takes at its peaks, whatever is said between."""
    return max(self.work.flops / chip.flops, self.work.bytes / chip.bandwidth)


def measure(program: Program, chip: chips_lib.Chip) -> Cost:
  """Compiles a program, which runs nowhere.

  Args:
    program: lowered for chips of this kind.
    chip: whose memory is to hold it.

  Returns:
    What it takes. Of what does not fit, the compiler says at most the total.
  """
  lowered = program.lower()
  started = time.perf_counter()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as e:
    if 'RESOURCE_EXHAUSTED' not in str(e):
      raise
    nan = float('nan')
    return Cost(
        program.name, nan, nan, needed(str(e)),
        program.least or Work(nan, nan), program.least is not None, [],
        time.perf_counter() - started, False)
  seconds = time.perf_counter() - started
  memory, counted = compiled.memory_analysis(), compiled.cost_analysis()
  total = (memory.argument_size_in_bytes + memory.output_size_in_bytes
           + memory.temp_size_in_bytes - memory.alias_size_in_bytes
           + memory.generated_code_size_in_bytes)
  return Cost(
      program.name, memory.argument_size_in_bytes, memory.temp_size_in_bytes,
      total,
      program.least or Work(counted['flops'], counted['bytes accessed']),
      program.least is not None, hlo.collectives(compiled.as_text()), seconds,
      total <= chip.memory)


def needed(refusal: str) -> float:
  """Bytes that the compiler says a program would need, as it refuses it.

  >>> needed('Ran out of memory in memory space hbm. Used 2.50G of 1.00G hbm.')
  2684354560.0

  Args:
    refusal: its message; infinity where it does not say.
  """
  found = _NEEDED.search(refusal)
  return float(found[1]) * _UNITS[found[2]] if found else float('inf')
