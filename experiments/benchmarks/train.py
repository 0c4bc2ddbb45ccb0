"""A training step of a published dual encoder, beside the same in PyTorch."""

from collections.abc import Sequence
import time
from typing import Any, NamedTuple

import jax

from experiments.benchmarks import encoders
from experiments.benchmarks import flops
from experiments.benchmarks import jax_siglip
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.benchmarks import torch_siglip
from mmal_jax.models import config as config_lib

# Of the loss, relative: what another order of summation may change.
TOLERANCES = {'float32': 1e-4, 'bfloat16': 1e-2}
_CHECKED = 4  # pairs
_OURS: dict[str, dict[str, Any]] = {
    encoders.OURS: {}, 'ours, remat': {'remat': True},
    'ours, 2 parts': {'parts': 2}}


class Case(NamedTuple):
  """A row of the table."""

  batch: int
  dtype: str
  what: str


class Found(NamedTuple):
  """What came of it.

  Attributes:
    seconds: of a step, or why there are none.
    compiling: seconds.
    temporary: bytes.
  """

  seconds: timing.Seconds | str
  compiling: float | None = None
  temporary: int | None = None


def run(small: bool) -> result.Result:
  """Pairs a second at several sizes of the batch."""
  load = encoders.load_note()
  encoders.leave_memory()
  config, rate = encoders.make_config(small), encoders.machine_rate(small)
  ours = jax_siglip.Siglip(config)
  theirs = encoders.in_torch(config, ours)
  size = sum(x.size for x in jax.tree.leaves(ours.params))
  work = flops.TRAINING * flops.pair(config)
  cases = _cases(small, jax.default_backend())
  notes = [encoders.torch_note(theirs)]
  if not isinstance(theirs, str):
    notes += [check(config, ours, theirs, dtype) for dtype in dict.fromkeys(
        case.dtype for case in cases if case.what not in _OURS)]
  found = measure(config, cases, ours, theirs)
  return result.Result(
      'train',
      ['batch', 'dtype', 'what', 'seconds', 'pairs/s', 'TFLOP/s', '% of rate',
       'compile s', 'temporary GB'],
      [_row(case, found[case], work, rate.flops) for case in found], [
          f'{"A tiny model" if small else encoders.PRESET}, {size / 1e6:.4g} M '
          'parameters: sigmoid loss, gradients clipped, AdamW (PyTorch\'s: '
          'fused); a step on a batch that lies on the device.',
          f'TFLOP/s: of {work / 1e9:.4g} GFLOP a pair, three forward passes; '
          'what remat and parts compute once more does not count. Rate: '
          f'{rate.what}.',
          'Compile s of PyTorch: the first step less another. Temporary: what '
          'the compiled program plans beyond parameters, optimizer and batch.',
          *notes, load, timing.NOTE])


def check(
    config: config_lib.DualEncoder,
    ours: jax_siglip.Siglip,
    theirs: torch_siglip.Siglip,
    dtype: str,
) -> str:
  """Compares the losses of both models on the same pairs.

  Returns:
    What was found, in words.

  Raises:
    RuntimeError: if they differ: then no timing would mean anything.
  """
  batch = encoders.inputs(config, _CHECKED)
  a, b = (model.loss(*batch, dtype) for model in (ours, theirs))
  message = (f'Before all steps, in {dtype}, on the same {_CHECKED} pairs and '
             f'parameters: ours has a loss of {a:.7g}, PyTorch of {b:.7g}; '
             f'they may differ by a share of {TOLERANCES[dtype]:g}.')
  if not abs(a - b) <= TOLERANCES[dtype] * abs(b):
    raise RuntimeError(message)
  return message


def measure(
    config: config_lib.DualEncoder,
    cases: Sequence[Case],
    ours: jax_siglip.Siglip,
    theirs: torch_siglip.Siglip | str,
) -> dict[Case, Found]:
  """Times all cases, those that can be.

  Args:
    config: of both models.
    cases: rows of the table.
    ours: our model.
    theirs: PyTorch's, which is closed after its last case; or why there is
      none.

  Returns:
    By case, in the order of sizes. A case more where PyTorch cannot compile.
  """
  # On a CPU, which others may use as well, all of a size are timed in turn. On
  # an accelerator PyTorch comes first: it gives memory back, which JAX keeps.
  phases = [cases]
  if jax.default_backend() != 'cpu':
    phases = [[case for case in cases if (case.what in _OURS) == of_ours]
              for of_ours in (False, True)]
  sizes = list(dict.fromkeys(case[:2] for case in cases))
  found = {}
  for phase in phases:
    for size in sizes:
      group = [case for case in phase if case[:2] == size]
      found |= _in_turn(config, group, ours, theirs)
    if phase is phases[0] and not isinstance(theirs, str):
      theirs.close()
  order = [*_OURS, encoders.COMPILED, encoders.EAGER]
  return {case: found[case] for case in sorted(found, key=lambda case: (
      sizes.index(case[:2]), order.index(case.what)))}


def _cases(small: bool, platform: str) -> list[Case]:
  if small:
    # Compiled by XLA alone: all else takes no time beside a compiler.
    return [Case(4, 'float32', what) for what in (*_OURS, encoders.EAGER)]
  if platform == 'cpu':
    # Every variant at every size would take half an hour.
    return [*(Case(batch, 'float32', what) for batch in (4, 8)
              for what in (encoders.OURS, encoders.COMPILED)),
            *(Case(16, 'float32', what)
              for what in (*_OURS, encoders.COMPILED)),
            Case(8, 'bfloat16', encoders.OURS)]
  return [Case(2**i, 'bfloat16', what) for i in range(6, 11)
          for what in (*_OURS, encoders.COMPILED)]


def _in_turn(config, cases, ours, theirs) -> dict[Case, Found]:
  found, steps, first, temporary = {}, {}, {}, {}
  todo = list(cases)
  while todo:
    case = todo.pop(0)
    of_ours = case.what in _OURS
    if not of_ours and isinstance(theirs, str):
      found[case] = Found(theirs)
      continue
    batch = encoders.inputs(config, case.batch)
    started = time.perf_counter()
    try:
      if of_ours:
        step, temporary[case] = ours.training(
            *batch, case.dtype, **_OURS[case.what])
        first[case] = time.perf_counter() - started
        step()
      else:
        step = theirs.training(
            *batch, case.dtype, case.what == encoders.COMPILED)
        step()
        if case.what == encoders.COMPILED:
          first[case] = time.perf_counter() - started
    except Exception as error:
      if encoders.lacks_memory(error):
        found[case] = Found('does not fit memory')
      elif case.what == encoders.COMPILED:
        found[case] = Found(f'torch.compile failed: {type(error).__name__}')
        todo.insert(0, case._replace(what=encoders.EAGER))
      else:
        raise
      (ours if of_ours else theirs).recover()
    else:
      steps[case] = step
  # They have been run once.
  timed = timing.side_by_side(steps, dict.fromkeys(steps, lambda: None))
  for case, (seconds, _) in timed.items():
    compiling = first.get(case)
    if case.what == encoders.COMPILED:
      compiling -= seconds.best
    found[case] = Found(seconds, compiling, temporary.get(case))
  return found


def _row(case, found, work, rate):
  if isinstance(found.seconds, str):
    return [*case, found.seconds] + [None] * 5
  pairs = case.batch / found.seconds.best
  return [*case, found.seconds, pairs, pairs * work / 1e12,
          100 * pairs * work / rate, found.compiling,
          None if found.temporary is None else found.temporary / 1e9]
