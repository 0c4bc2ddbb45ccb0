"""The most memory that the process holds at a time. Needs Linux."""

import gc
import pathlib
import threading

_STATUS = pathlib.Path('/proc/self/status')
_EVERY = 0.002  # seconds


class Peak:
  """The most memory that the process takes in a `with` block.

  Sampled, as what `getrusage` reports has no use here: it counts mapped files,
  never falls, and a child starts with its parent's.

  Attributes:
    grown: bytes, beyond those at the start.
  """

  def __enter__(self):
    gc.collect()  # Until then JAX holds on to arrays that were copied to it.
    self._start, self.grown = _held(), 0
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._watch)
    self._thread.start()
    return self

  def __exit__(self, *error):
    self._stop.set()
    self._thread.join()

  def _watch(self):
    while not self._stop.wait(_EVERY):
      self.grown = max(self.grown, _held() - self._start)


def _held():
  # Not the whole resident set: pages of a mapped file are the system's, to be
  # taken back whenever it needs them.
  for line in _STATUS.read_text().splitlines():
    if line.startswith('RssAnon:'):
      return int(line.split()[1]) * 1024
  raise RuntimeError(f'{_STATUS} has no RssAnon; Linux does.')
