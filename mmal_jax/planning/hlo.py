"""What chips say to each other, read off a compiled program's text."""

import collections
from collections.abc import Iterable, Iterator, Sequence
import math
import re
from typing import NamedTuple

KINDS = ('all-gather', 'all-reduce', 'all-to-all', 'collective-broadcast',
         'collective-permute', 'ragged-all-to-all', 'reduce-scatter')
_COLLECTIVE = re.compile(
    r'^\s*(?:ROOT )?%?[\w.-]+ = (?P<shape>.*?) '
    rf'(?P<kind>{"|".join(KINDS)})(?P<start>-start)?\(')
_CHANNEL = re.compile(r'channel_id=(\d+)')
# `bf16[16,512]` of `bf16[16,512]{1,0:T(8,128)(2,1)}`.
_ARRAY = re.compile(r'\b([a-z]\w*)\[([\d,]*)\]')
_COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.-]+) .*\{$')
_WHILE = re.compile(r' while\(.*?condition=%?([\w.-]+), body=%?([\w.-]+)')
_CALLED = re.compile(
    r'(?:calls|to_apply|body|condition|true_computation|false_computation)='
    r'%?([\w.-]+)')
_BRANCHES = re.compile(r'(?:branch_computations|called_computations)='
                       r'\{([^}]*)\}')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')


class Collective(NamedTuple):
  """One exchange between chips.

  Attributes:
    kind: as in `KINDS`.
    elements: of its result on one chip; of the largest, if it has several.
    bytes: of all its results on one chip.
    in_loop: whether it stands in a loop: then it takes place once a pass.
  """

  kind: str
  elements: int
  bytes: int
  in_loop: bool


class Sum(NamedTuple):
  """Collectives of one kind; in loops, of one pass."""

  count: int
  bytes: int
  in_loops: int


def collectives(text: str) -> list[Collective]:
  """The collectives of a compiled program, each once.

  Args:
    text: of `jax.stages.Compiled.as_text()`. What it does in the background is
      there several times (beginning, steps, end), on the same channel.

  Returns:
    In the order of the text.
  """
  looped, found = _in_loops(text), {}
  for computation, line in _lines(text):
    match = _COLLECTIVE.match(line)
    if not match:
      continue
    arrays = _results(match['kind'], match['start'], match['shape'])
    channel = _CHANNEL.search(line)
    key = (match['kind'], tuple(arrays), channel[1] if channel else line)
    sizes = [math.prod(dims) for _, dims in arrays]
    one = Collective(
        match['kind'], max(sizes, default=0),
        sum(size * _width(kind) for size, (kind, _) in zip(sizes, arrays)),
        computation in looped)
    if key in found:
      one = one._replace(in_loop=one.in_loop or found[key].in_loop)
    found[key] = one
  return list(found.values())


def summed(found: Iterable[Collective]) -> dict[str, Sum]:
  """Counts and bytes by kind, in the order of the alphabet."""
  sums = {}
  for one in sorted(found):
    count, size, in_loops = sums.get(one.kind, (0, 0, 0))
    sums[one.kind] = Sum(
        count + 1, size + one.bytes, in_loops + one.in_loop)
  return sums


def cycles(text: str, trips: Sequence[Sequence[float]]) -> float:
  """Cycles that the compiler of a TPU expects its program to take.

  Args:
    text: of a compiled program. How often a loop goes, it does not say.
    trips: by depth, how often each loop of a computation goes, in their order;
      of loops beyond, the last of that depth. Loops that are deeper, as what
      happens rarely is, count as never taken.
  """
  own, loops, entry = collections.Counter(), {}, ''
  for computation, line in _lines(text):
    if line.startswith('ENTRY'):
      entry = computation
    found = _CYCLES.search(line)
    if found:
      own[computation] += int(found[1])
    loop = _WHILE.search(line)
    if loop:
      loops.setdefault(computation, []).append(loop.groups())

  def total(computation, depth):
    found = own[computation]
    if depth < len(trips):
      for i, parts in enumerate(loops.get(computation, ())):
        times = trips[depth][min(i, len(trips[depth]) - 1)]
        found += times * sum(total(part, depth + 1) for part in parts)
    return found

  return total(entry, 0)


def _lines(text) -> Iterator[tuple[str, str]]:
  """Each line with the name of the computation that it is of."""
  computation = ''
  for line in text.splitlines():
    begins = _COMPUTATION.match(line)
    if begins:
      computation = begins[1]
    yield computation, line


def _in_loops(text) -> set[str]:
  """Names of the computations that a loop's body calls, or is."""
  calls, todo = {}, []
  for computation, line in _lines(text):
    called = calls.setdefault(computation, set())
    called.update(_CALLED.findall(line))
    for names in _BRANCHES.findall(line):
      called.update(name.strip(' %') for name in names.split(','))
    loop = _WHILE.search(line)
    if loop:
      todo += loop.groups()
  found = set()
  while todo:
    name = todo.pop()
    if name not in found:
      found.add(name)
      todo += calls.get(name, ())
  return found


def _results(kind, start, shape) -> list[tuple[str, tuple[int, ...]]]:
  arrays = [(name, tuple(int(n) for n in dims.split(',') if n))
            for name, dims in _ARRAY.findall(shape)]
  if start and kind != 'all-reduce':
    # Operands, as many results, and what it waits for.
    arrays = [(name, dims) for name, dims in arrays
              if (name, dims) != ('u32', ())]
    arrays = arrays[len(arrays) // 2:]
  return arrays


def _width(kind: str) -> float:
  """Bytes of a value: 2 of bf16, 1 of pred, s8 and f8e4m3fn."""
  bits = re.match(r'[a-z]+(\d+)', kind)
  return int(bits[1]) / 8 if bits else 1
