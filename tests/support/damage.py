"""Damage to files of an experiment, and what a program makes of it."""

from collections.abc import Callable, Iterator
import contextlib
import json
import pathlib
import random
import re
import shutil
import signal
from typing import NamedTuple

from absl import logging

from mmal_jax.files import seals
from tests.support import damaged_runs

SAME, REFUSED, RECOVERED = 'same result', 'refused by name', (
    'recovered with a warning')
GOOD = SAME, REFUSED, RECOVERED
_SECONDS = 120  # A program that takes longer hangs.
_RUN = re.compile(r'(.+)-seed(\d+)')  # in the names of journals, states, ...
_STEP = re.compile(r'.*states/[^/]+/(\d+)')  # A checkpoint's folder.
_HASH = re.compile('[0-9a-f]{32}')  # names of some of Orbax's files


class Damage(NamedTuple):
  """What is done to a file or folder.

  Attributes:
    name: of the kind, as the table has it.
    do: takes the path that is damaged.
    outside: a file that `do` makes elsewhere, which must stay as it is.
  """

  name: str
  do: Callable[[pathlib.Path], None]
  outside: pathlib.Path | None = None


class Outcome(NamedTuple):
  """What came of it.

  Attributes:
    verdict: one of `GOOD`, or what is wrong.
    said: by the program.
  """

  verdict: str
  said: str


def targets(root: pathlib.Path) -> list[str]:
  """All files, and the folders of a state, of one run's or of all runs' files.
  """
  found = []
  for path in sorted(root.rglob('*')):
    name = path.relative_to(root).as_posix()
    of_runs = path.parent.name in ('states', 'matches', 'models')
    if (path.is_file() or of_runs or path.parent == root / 'w'
        or _STEP.fullmatch(name)):
      found.append(name)
  return found


def damages(
    kind: damaged_runs.Made, root: pathlib.Path, name: str, rng: random.Random
) -> Iterator[Damage]:
  """All that is done to a file or folder.

  Args:
    kind: of experiment.
    root: an undamaged copy, which holds the file.
    name: of the file, relative to it.
    rng: of the places of flipped bits.
  """
  path = root / name
  if path.is_file():
    size = path.stat().st_size
    if size:
      thirds = range(3) if _is_short(name) else [rng.randrange(3)]
      for third in thirds:
        yield Damage(f'flip in the {("start", "middle", "end")[third]}',
                     _flip(*_place(path.read_bytes(), third, rng)))
      yield Damage('flip of the last bit', _flip(size - 1, 0))
      for part, length in (('half', size // 2), ('all but a byte', size - 1),
                           ('nothing', 0))[:3 if _is_short(name) else 1]:
        yield Damage(f'truncation to {part}', _truncation(length))
    yield Damage('zeros', _zeros)
    outside = kind.live.parent / 'outside'
    yield Damage('a link to a copy outside', _link(outside), outside)
  yield Damage('removal', _removal)
  sources: dict[str, pathlib.Path | None] = {
      'another experiment': _like(kind.same, name),
      'one of another config': _like(kind.other, name)}
  sources |= {f'another {what}': _like(tree, other) for what, tree, other in
              _of_other_runs(kind, root, name)}
  sources['an older copy'] = _older(kind, root, name)
  step = _STEP.fullmatch(name)
  if step is not None and (
      older := path.with_name(f'{int(step[1]) - 1}')).exists():
    yield Damage('an older state with its seal', _sealed_from(older))
  for what, source in sources.items():
    if source is not None and source.is_dir() == path.is_dir() and (
        _content(source) != _content(path)):
      yield Damage(f'from {what}', _from(source))


def _is_short(name: str) -> bool:
  """Whether all is done to a file; Orbax's own are many, and all sealed."""
  return not re.search('/(states|models)/', name) or (
      name.endswith('.sha256.json'))


def _of_other_runs(kind, root, name):
  """The same file of a run of another seed, and of another strategy."""
  if name.startswith('asked/seed0/'):
    yield 'seed', root, name.replace('seed0', 'seed1')
  if name.startswith('asked/seed1/'):
    yield 'seed', root, name.replace('seed1', 'seed0')
  if _RUN.search(name) is None:
    return
  start, end = re.search(r'[^/]+-seed\d+', name).span()
  strategy, _, seed = name[start:end].rpartition('-seed')
  runs = [other for other in kind.strategies if other != strategy]
  seeds = [other for other in kind.seeds if other != int(seed)]
  for what, others in (
      ('seed', [f'{strategy}-seed{other}' for other in seeds]),
      ('strategy', [f'{other}-seed{seed}' for other in runs])):
    for other in others[:1]:
      there = name[:start] + other + name[end:]
      tree = root if _like(root, there) is not None else kind.finished
      yield what, tree, there


def _like(root: pathlib.Path, name: str) -> pathlib.Path | None:
  """A file of that name; or in its place, where Orbax drew the names."""
  path = root / name
  if path.exists():
    return path
  if not path.parent.is_dir() or not _HASH.fullmatch(path.name):
    return None
  found = sorted(other for other in path.parent.iterdir()
                 if _HASH.fullmatch(other.name))
  return found[0] if found else None


def _older(kind, root, name) -> pathlib.Path | None:
  """The newest copy with another content, from before."""
  path = root / name
  before = kind.before[:kind.until if root == kind.unfinished else None]
  state = re.search(r'(states/[^/]+/)(\d+)([/.].*|$)', name)
  if state is not None:  # That of the round before.
    there = f'{state[1]}{int(state[2]) - 1}{state[3]}'
    for tree in (root, *before):
      found = _like(tree, name[:state.start()] + there)
      if found is not None:
        return found
    return None
  for tree in reversed(before):
    if (tree / name).exists() and _content(tree / name) != _content(path):
      return tree / name
  return None


def _content(path: pathlib.Path):
  if path.is_file():
    return path.read_bytes()
  return {file.relative_to(path): file.read_bytes()
          for file in path.rglob('*') if file.is_file()}


def _place(content: bytes, third: int, rng: random.Random) -> tuple[int, int]:
  """A byte in a third of a file, and a bit of it, that change what it means.

  In JSON some do not: of a number with 17 digits the last may be another.
  """
  start = third * len(content) // 3
  for _ in range(100):
    at = rng.randrange(start, max((third + 1) * len(content) // 3, start + 1))
    bit = rng.randrange(8)
    if _meaning(_flipped(content, at, bit)) != _meaning(content):
      return at, bit
  raise AssertionError('no flip changes what the file means.')


def _meaning(content: bytes):
  try:
    return [json.loads(line) for line in content.splitlines()]
  except ValueError:
    return content


def _flipped(content: bytes, at: int, bit: int) -> bytes:
  changed = bytearray(content)
  changed[at] ^= 1 << bit
  return bytes(changed)


def _flip(at: int, bit: int):
  return lambda path: path.write_bytes(_flipped(path.read_bytes(), at, bit))


def _truncation(length: int):
  return lambda path: path.write_bytes(path.read_bytes()[:length])


def _zeros(path):
  """A disk has the length of a file, and nothing of its content."""
  path.write_bytes(bytes(max(path.stat().st_size, 1)))


def _removal(path):
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink()


def _from(source: pathlib.Path):
  def do(path):
    _removal(path)
    if source.is_dir():
      shutil.copytree(source, path)
    else:
      shutil.copy(source, path)
  return do


def _sealed_from(source: pathlib.Path):
  def do(path):
    _from(source)(path)
    _from(_seal(source))(_seal(path))
  return do


def _seal(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(f'{path.name}{seals.ENDING}')


def _link(outside: pathlib.Path):
  def do(path):
    outside.unlink(missing_ok=True)
    path.rename(outside)
    path.symlink_to(outside)
  return do


def state_of(path: pathlib.Path | None):
  """What a file holds, and when that was last written; None of none."""
  return None if path is None or not path.exists() else (
      path.read_bytes(), path.stat().st_mtime_ns)


class _Hangs(BaseException):
  """A program takes too long."""


def call(work: Callable[[], None]) -> tuple[int, str]:
  """Runs a program; its status, and what it said.

  Returns:
    -1 for an exception that leaves the program, -2 for a program that hangs.
  """
  def end(*_):
    raise _Hangs

  before = signal.signal(signal.SIGALRM, end)
  signal.alarm(_SECONDS)
  warnings: list[str] = []
  try:
    with _logged(warnings):
      try:
        work()
        status, said = 0, ''
      except SystemExit as e:
        status = e.code if isinstance(e.code, int) else bool(e.code) + 0
        said = '' if isinstance(e.code, int) else str(e.code)
      except _Hangs:
        status, said = -2, ''
      except Exception as e:  # pylint: disable=broad-exception-caught
        status, said = -1, f'{type(e).__name__}: {e}'
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
  return status, '\n'.join([*warnings, said]).strip()


@contextlib.contextmanager
def _logged(warnings: list[str]) -> Iterator[None]:
  class Handler(logging.PythonHandler):

    def emit(self, record):
      if record.levelno >= logging.converter.STANDARD_WARNING:
        warnings.append(record.getMessage())

  handler = Handler()
  logger = logging.get_absl_logger()
  logger.addHandler(handler)
  try:
    yield
  finally:
    logger.removeHandler(handler)


def judge(
    name: str, status: int, said: str, warned: str, same: Callable[[], str],
    untouched: bool,
) -> Outcome:
  """What came of a damaged file.

  Args:
    name: of the file, relative to the root.
    status: of the program.
    said: by it.
    warned: what it says of undamaged files.
    same: says how the results differ; '' if they do not.
    untouched: whether a file outside, to which a link leads, is as it was.
  """
  if not untouched:
    return Outcome('WRITTEN TO THROUGH A LINK', said)
  if status in (-1, -2):
    return Outcome('STACK' if status == -1 else 'HANGS', said)
  if status:
    return Outcome(REFUSED if _names(said, name) else 'REFUSED WITHOUT A NAME',
                   said)
  other = same()
  if other:
    return Outcome(f'OTHER RESULT: {other}', said)
  news = '\n'.join(line for line in said.splitlines()
                   if line not in warned.splitlines())
  if not news:
    return Outcome(SAME, said)
  return Outcome(
      RECOVERED if _names(news, name) else 'WARNING WITHOUT A NAME', said)


def _names(said: str, name: str) -> bool:
  """Whether a file is named, or the run or folder that it is a part of."""
  path = pathlib.PurePath(name)
  if path.name in said:
    return True
  run = re.search(r'([^/]+)-seed(\d+)', name)
  if run is not None:
    return run[0] in said or f'{run[1]}, seed {run[2]}' in said
  return len(path.parts) > 2 and path.parts[1] in said
