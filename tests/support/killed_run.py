"""`experiments.run` that dies at a moment of its own choosing, as by SIGKILL.

  python -m tests.support.killed_run MOMENT SEED FLAGS ...

runs `experiments.run FLAGS ...`, counts moments (writes to the disk, renamings,
training steps, questions, checkpoints begun), and dies in the given one: before
or after it, or with a write half done, as SEED has it; `3:journal` is the third
of those in whose name that pattern is found; below 0 it dies after that number
of milliseconds. Ends with `moments: N` on stderr if it gets there.

People, if any are asked, answer at once: the item of the same number, or of
some queries nothing for a while.

With `BUCKETS` in the environment, gs:// is that folder; with `ASKED` each call
of the exact oracle is a line of that file: the process, what it asks; with
`STEPS` each training step is one: the process. With `ASKED_TO_END` it sends
itself SIGTERM before that moment in place of dying in it.
"""

import contextlib
import functools
import json
import os
import pathlib
import random
import re
import signal
import sys
import threading
import time

import jax

from experiments import program
from experiments import run
from mmal_jax.checkpoint import pytrees
from mmal_jax.learn.gradient import step
from mmal_jax.oracles import registry
from mmal_jax.oracles.people import files
from tests.support import bucket

# Flags that name folders to which a run writes.
_FOLDERS = r'--(workdir|mirror|config\.oracle\.folder)='


class Moments:
  """Counts moments, and dies in one of them."""

  def __init__(self, last: int, seed: int, only: str = ''):
    self.count, self._last, self._only = 0, last, only
    self._rng = random.Random(seed)
    self._lock = threading.Lock()

  def comes(self, what: str) -> bool:
    """Whether the present one is the last."""
    with self._lock:
      is_one = bool(re.search(self._only, what))
      self.count += is_one
      return is_one and self.count == self._last

  def around(self, what, function, tear=None):
    """The function, each call of which is a moment."""
    def called(*args, **kwargs):
      where = what(*args) if callable(what) else what
      if not self.comes(where):
        return function(*args, **kwargs)
      if 'ASKED_TO_END' in os.environ:
        os.kill(os.getpid(), signal.SIGTERM)
        return function(*args, **kwargs)
      if tear is not None and self._rng.random() < 0.6:
        tear(*args, self._rng)
        where += ', half done'
      elif self._rng.random() < 0.5:
        function(*args, **kwargs)
      die(where)

    return called

  def soon_after(self, what, function):
    """The function, each call of which begins work in the background."""
    def called(*args, **kwargs):
      if self.comes(what):
        # From the time that a small one takes in all.
        threading.Timer(self._rng.uniform(0, 0.06), die, [what]).start()
      return function(*args, **kwargs)

    return called


def die(where: str) -> None:
  print(f'\ndied: {where}', file=sys.stderr, flush=True)
  os.kill(os.getpid(), signal.SIGKILL)
  time.sleep(60)  # It takes a moment to arrive.


class Torn:
  """What of a file would be on the disk if the power had gone."""

  def __init__(self, folders: list[pathlib.Path]):
    """What lies in the folders now is taken to be on the disk."""
    self._synced = {
        str(path): path.stat().st_size for folder in folders
        for path in folder.rglob('*') if path.is_file()}

  def fsync(self, function):
    """`os.fsync`, remembering how much of a file is safe."""
    def called(descriptor):
      function(descriptor)
      path = os.readlink(f'/proc/self/fd/{descriptor}')
      if os.path.isfile(path):
        self._synced[path] = os.path.getsize(path)

    return called

  def replace(self, function):
    """`os.replace`, whose new file is as safe as it was."""
    def called(source, target):
      function(source, target)
      self._synced[str(target)] = self._synced.pop(str(source), 0)

    return called

  def tear(self, descriptor, rng) -> None:
    """Cuts what was written since anywhere, or leaves NULs in its place."""
    path = os.readlink(f'/proc/self/fd/{descriptor}')
    if not os.path.isfile(path):
      return
    size = os.path.getsize(path)
    os.truncate(path, rng.randint(min(self._synced.get(path, 0), size), size))
    if rng.random() < 0.3:
      os.truncate(path, size)  # The length is there, the content is not.


def answer_all(folder: pathlib.Path, seconds: float) -> None:
  """Answers what is open, in one new file, in place of waiting."""
  del seconds
  answers = folder / 'answers'
  given = ''.join(path.read_text() for path in sorted(answers.glob('*.jsonl')))
  lines = []
  for path in sorted(folder.glob('round_*/queries.jsonl')):
    for query in map(json.loads, path.read_text().splitlines()):
      # The lazy one leaves some for later rounds.
      late = query['item'] % 4 == 0 and not (
          folder / f'round_{int(path.parent.name[6:]) + 1:03d}').exists()
      if f'"{query["query"]}"' not in given and not late:
        lines.append(json.dumps({
            'query': query['query'], 'answer': query['item'],
            'annotator': 'ann'}))
  if lines:
    draft = answers / '.draft'
    draft.write_text('\n'.join(lines) + '\n')
    draft.rename(answers / f'{len(list(answers.iterdir())):04d}.jsonl')


def patch(moments: Moments, folders: list[pathlib.Path]) -> None:
  """Makes moments of all that is to be survived."""
  torn = Torn(folders)
  os.fsync = moments.around(_synced, torn.fsync(os.fsync), torn.tear)
  os.replace = moments.around('renaming', torn.replace(os.replace))
  os.rename = moments.around('renaming', os.rename)
  step.train_step = moments.around('training', _counted(step.train_step))
  pytrees.save_async = moments.soon_after(
      'checkpoint being written', pytrees.save_async)
  registry.ORACLES['exact'] = _asked(registry.ORACLES['exact'], moments)
  registry.ORACLES['files'] = lambda tuples, modalities, shown, **config: (
      files.files(shown=shown(), **config, sleep=moments.around(
          'people', functools.partial(
              answer_all, pathlib.Path(config['folder'])))))


def _synced(descriptor) -> str:
  """What is being written: a journal, records, a checkpoint's seal, ..."""
  path = pathlib.Path(os.readlink(f'/proc/self/fd/{descriptor}'))
  if path.is_dir():
    return 'folder'
  return f'write of {path.name.strip(".").removesuffix(".draft")}' if (
      path.suffix in ('.jsonl', '.draft')) else f'write of {path.suffix}'


def _counted(train_step):
  """A training step that is recorded, if that is wanted."""
  if 'STEPS' not in os.environ:
    return train_step

  def take(*args):
    taken = train_step(*args)
    jax.block_until_ready(taken)
    with open(os.environ['STEPS'], 'a', encoding='utf-8') as file:
      file.write(f'{os.getpid()}\n')
    return taken

  return take


def _asked(make, moments):
  return lambda *args, **kwargs: moments.around(
      'asking', _recorded(make(*args, **kwargs)))


def _recorded(oracle):
  """An oracle whose calls are recorded, if that is wanted."""
  if 'ASKED' not in os.environ:
    return oracle

  def ask(modality, numbers, suggest=None):
    with open(os.environ['ASKED'], 'a', encoding='utf-8') as file:
      file.write(json.dumps(
          [os.getpid(), modality, list(map(int, numbers))]) + '\n')
    return oracle(modality, numbers, suggest)

  return ask


def main() -> None:
  moment, _, only = sys.argv[1].partition(':')
  moment = int(moment)
  moments = Moments(moment, int(sys.argv[2]), only)
  if moment < 0:
    timer = threading.Timer(-moment / 1000, die, ['any time'])
    timer.daemon = True
    timer.start()
  patch(moments, [pathlib.Path(os.path.abspath(flag.partition('=')[2]))
                  for flag in sys.argv[3:] if re.match(_FOLDERS, flag)])
  sys.argv[1:3] = []
  buckets = os.environ.get('BUCKETS')
  try:
    with contextlib.nullcontext() if buckets is None else (
        bucket.in_place_of_gs(pathlib.Path(buckets))):
      program.start(run.main, run.parse_flags)
  finally:
    print(f'moments: {moments.count}', file=sys.stderr)


if __name__ == '__main__':
  main()
