"""The scripts, with a fake gcloud first on PATH and a repository to install."""

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

from tests.tpu_scripts import fake_gcloud

ROOT = pathlib.Path(__file__).parent.parent.parent
SCRIPTS = ROOT / 'tpu_scripts'
NAME = 'slice'
# Of the longest wait of a test, on a machine that is very busy.
SECONDS = 1200
_UV = '''#!/bin/sh
# What a host has in place of uv: its environments run this Python.
echo "$@" >>"$HOME/uv"
[ "$1" = venv ] || { sleep "$(cat FOLDER/uv_seconds)"; exit; }
for last; do :; done
mkdir -p "$last/bin"
printf '#!/bin/sh\\nexec PYTHON "$@"\\n' >"$last/bin/python"
chmod +x "$last/bin/python"
'''


def _program(path, text):
  path.parent.mkdir(exist_ok=True)
  path.write_text(text, 'utf-8')
  path.chmod(0o755)


def _kill_group(process):
  """Kills the scripts, and the gcloud that they wait for."""
  os.killpg(process.pid, signal.SIGKILL)


def commit_all(folder: pathlib.Path) -> None:
  """Makes a repository of a folder, or commits what has changed there."""
  who = ['-c', 'user.name=someone', '-c', 'user.email=someone@example.com',
         '-c', 'init.defaultBranch=main']
  for words in (['init', '-q'], ['add', '-A'],
                ['commit', '-q', '--no-gpg-sign', '-m', 'All']):
    subprocess.run(['git', *who, *words], cwd=folder, check=True)


class Cloud:
  """A folder with all of it.

  Attributes:
    folder: of the fake gcloud.
    repository: what is installed, with the scripts.
    plan: of the stand-in for the run.
    variables: of the environment, besides those that are always set.
  """

  def __init__(self, folder: pathlib.Path, python: str = sys.executable):
    self.folder, self.repository = folder / 'cloud', folder / 'repository'
    self.plan, self.shared = folder / 'plan', folder / 'shared'
    for path in (self.folder, self.plan, self.shared):
      path.mkdir()
    _program(self.folder / 'bin' / 'gcloud',
             f'#!/bin/sh\nexec {shlex.quote(python)} -S -E '
             f'{shlex.quote(fake_gcloud.__file__)} "$@"\n')
    _program(self.folder / 'host_bin' / 'uv',
             _UV.replace('FOLDER', str(self.folder)).replace('PYTHON', python))
    (self.folder / 'uv_seconds').write_text('0')
    self.write_plan({})
    self._begun, self.variables = [], {}
    self._ends = self._terminal, _ = os.pipe()
    self.settings = {
        'NAME': NAME, 'PROJECT': 'project', 'ZONE': 'zone-a',
        'TYPE': 'v5litepod-8', 'RUNTIME': 'v2-alpha-tpuv5-lite',
        'STORAGE': 'shared', 'WORKDIR': self.shared / 'run',
        'ENV': f'PLAN={shlex.quote(str(self.plan))}'}

  def copy_scripts(self) -> None:
    shutil.copytree(SCRIPTS, self.repository / 'tpu_scripts',
                    ignore=shutil.ignore_patterns('.state', 'tpu.env'))

  def stand_in(self) -> None:
    """Makes a repository whose run is the stand-in."""
    self.copy_scripts()
    program = self.repository / 'experiments'
    program.mkdir()
    (program / '__init__.py').touch()
    shutil.copy(pathlib.Path(__file__).with_name('stand_in.py'),
                program / 'run.py')
    commit_all(self.repository)

  def write_plan(self, plan: dict[str, list[dict]]) -> None:
    """What each worker's run does at each of its starts."""
    (self.plan / 'plan.json').write_text(json.dumps(plan), 'utf-8')

  def change(self, **values) -> None:
    """Changes the state of the fake."""
    with fake_gcloud.state_of(self.folder) as state:
      state |= values

  def fault(self, on: str, kind: str, **more) -> None:
    """One more fault, of the next call of a command that it fits."""
    with fake_gcloud.state_of(self.folder) as state:
      state['faults'].append({'on': on, 'kind': kind, **more})

  def state(self) -> dict:
    with fake_gcloud.state_of(self.folder) as state:
      return state

  def set(self, name: str, path: list[str]) -> None:
    """A resource that is there already."""
    with fake_gcloud.state_of(self.folder) as state:
      state['resources'][name] = {
          'path': path, 'nodes': ['READY'], 'message': ''}

  def begin(self, *words, stdout=subprocess.PIPE) -> subprocess.Popen:
    """Starts the scripts."""
    settings = self.repository / 'tpu_scripts' / 'tpu.env'
    settings.write_text(''.join(
        f'{k}={v}\n' for k, v in self.settings.items()), 'utf-8')
    environment = os.environ | {
        'PATH': f'{self.folder}/bin:{os.environ["PATH"]}',
        'FAKE_CLOUD': str(self.folder)} | self.variables
    # With a standard input that is never closed, as a terminal's.
    process = subprocess.Popen(
        ['bash', self.repository / 'tpu_scripts' / 'tpu', *words],
        env=environment, stdin=self._terminal, stdout=stdout,
        stderr=subprocess.PIPE, text=True, cwd=self.folder,
        start_new_session=True)
    self._begun.append(process)
    return process

  def tpu(self, *words, status: int = 0) -> str:
    """Runs the scripts to their end; returns what they said."""
    process = self.begin(*words)
    said = '\n'.join(self.ended(process))
    assert process.returncode == status, (process.returncode, said)
    return said

  def ended(
      self, process: subprocess.Popen, seconds: float = SECONDS
  ) -> tuple[str | None, str]:
    """What one that was begun has said, once it has ended by itself."""
    try:
      return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as e:
      _kill_group(process)
      said = '\n'.join(s or '' for s in process.communicate())
      raise AssertionError(f'after {seconds} s: {said}') from e

  def up(self) -> None:
    """A slice that is ready, with all installed."""
    self.set(NAME, ['ACTIVE'])
    self.tpu('install')

  def hosts(self) -> list[dict]:
    return self.status()['hosts']

  def status(self) -> dict:
    return json.loads(self.tpu('status', '--json'))

  def calls(self, *words) -> list[list[str]]:
    """Calls of gcloud that have these words."""
    path = self.folder / 'calls.jsonl'
    lines = path.read_text('utf-8').splitlines() if path.exists() else []
    return [call for call in map(json.loads, lines)
            if all(any(w in c for c in call) for w in words)]

  def starts(self, worker: int = 0) -> list[dict]:
    """What the stand-in of a worker was started with."""
    path = self.plan / f'starts.{worker}'
    lines = path.read_text('utf-8').splitlines() if path.exists() else []
    return list(map(json.loads, lines))

  def until(self, reached, seconds: float = SECONDS) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not reached():
      assert time.monotonic() < end
      time.sleep(0.02)

  def close(self) -> None:
    """Ends all that runs: what would begin more first, and then the hosts."""
    for process in self._begun:
      if process.poll() is None:
        _kill_group(process)
        process.communicate()
    for end in self._ends:
      os.close(end)
    for name in self.state()['resources']:
      fake_gcloud.lose_hosts(self.folder, name)
