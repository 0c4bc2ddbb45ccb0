"""`experiments.run` in which Orbax fails at a moment that is drawn beforehand.

  python -m tests.support.faulty_orbax FUNCTION CALL KIND FLAGS ...

runs `experiments.run FLAGS ...`. From the first checkpoint on it numbers the
Python functions of Orbax's, and those by which it reaches the disk, as they are
called for the first time in any thread. The given call (from 1 on) of that with
the number FUNCTION (0 for none) fails: by KIND it raises an OSError ('raise'),
or what is no Exception ('exit'), or never returns ('block'). Prints
`fault: WHERE SECONDS` then, by the monotonic clock, and at the end of an
undisturbed run `functions: N`, all on stderr.
"""

import os
import sys
import threading
import time

from experiments import program
from experiments import run
from mmal_jax.checkpoint import pytrees

_ROOTS = tuple(f'{os.sep}{name}{os.sep}' for name in (
    'orbax', os.path.join('etils', 'epath')))
# The thread that only waits for Orbax, and seals what it has written.
_OURS = 'checkpoints_'
# After this time a thread is taken to wait for ever, and not for a slow disk.
_STALLED_SECONDS = 3


class Fault:
  """Counts functions and their calls, and makes one call fail."""

  def __init__(self, function: int, call: int, kind: str):
    self.calls, self._kind = {}, kind
    self._number, self._call, self._chosen = function, call, None
    self._lock = threading.Lock()

  def __call__(self, frame, event, argument):
    """As `threading.setprofile` takes it."""
    del argument
    code = frame.f_code
    if event != 'call' or not any(
        root in code.co_filename for root in _ROOTS) or (
            threading.current_thread().name.startswith(_OURS)):
      return
    with self._lock:
      self.calls[code] = self.calls.get(code, 0) + 1
      if len(self.calls) == self._number and self._chosen is None:
        self._chosen = code
      if code is not self._chosen or self.calls[code] != self._call:
        return
    where = f'{os.path.basename(code.co_filename)}:{code.co_name}'
    print(f'\nfault: {where} {time.monotonic()}', file=sys.stderr, flush=True)
    if self._kind == 'block':
      while True:
        time.sleep(3600)
    raise SystemExit(7) if self._kind == 'exit' else OSError(
        17, f'File exists (in {where})')


def main() -> None:
  fault = Fault(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
  save = pytrees.save_async
  pytrees.STALLED_SECONDS = _STALLED_SECONDS

  def save_async(*args, **kwargs):
    threading.setprofile(fault)  # of all threads that are started from here on
    return save(*args, **kwargs)

  pytrees.save_async = save_async
  sys.argv[1:4] = []
  try:
    program.start(run.main, run.parse_flags)
  finally:
    print(f'functions: {len(fault.calls)}', file=sys.stderr, flush=True)


if __name__ == '__main__':
  main()
