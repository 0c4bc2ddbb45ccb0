"""A gcloud without Google: a program that is found first on PATH.

All lies in the folder $FAKE_CLOUD: `state.json`, `calls.jsonl`, and a HOME for
each host. What is sent to hosts runs here, with that HOME and few variables.
Nothing but the standard library is imported: it is started often.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

_START = json.dumps({
    'hosts': 2, 'resources': {}, 'faults': [],
    # What a new resource is, one `describe` after another.
    'granted': ['ACCEPTED', 'PROVISIONING', 'ACTIVE'],
    # And its node, once it is active.
    'nodes': ['CREATING', 'READY'],
    # Whether `ssh` forgets --output-directory, as it does in gcloud 528.
    'forgets': True})


@contextlib.contextmanager
def state_of(folder: pathlib.Path):
  """The state, as a dict that is written back."""
  with open(folder / 'lock', 'a', encoding='utf-8') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    path = folder / 'state.json'
    state = json.loads(path.read_text('utf-8') if path.exists() else _START)
    try:
      yield state
    finally:  # A call that fails has changed something, too.
      path.write_text(json.dumps(state, indent=1), 'utf-8')


def home_of(folder: pathlib.Path, name: str, worker: int) -> pathlib.Path:
  return folder / 'homes' / name / str(worker)


def processes_of(folder: pathlib.Path, name: str) -> list[int]:
  """Numbers of the processes of all hosts of a slice."""
  mark = f'FAKE_HOST={folder}/{name}/'.encode()
  found = []
  for entry in os.listdir('/proc'):
    with contextlib.suppress(OSError):
      if entry.isdecimal() and mark in pathlib.Path(
          '/proc', entry, 'environ').read_bytes():
        found.append(int(entry))
  return found


def kill_all(folder: pathlib.Path, name: str) -> None:
  """Kills what runs on all hosts of a slice, and what that begins meanwhile."""
  while found := processes_of(folder, name):
    for pid in found:
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.01)


def lose_hosts(folder: pathlib.Path, name: str) -> None:
  """As a machine that is taken away: with all that ran and lay there."""
  kill_all(folder, name)
  shutil.rmtree(folder / 'homes' / name, ignore_errors=True)


def preempt(folder: pathlib.Path, name: str) -> None:
  with state_of(folder) as state:
    # Nothing new is begun there while the old is ended.
    state['resources'][name] |= {
        'path': ['SUSPENDING', 'SUSPENDING', 'SUSPENDED']}
    lose_hosts(folder, name)


def _end(message, status=1):
  print(f'ERROR: (gcloud.compute.tpus) {message}', file=sys.stderr)
  sys.exit(status)


def _next(path):
  """The first of a path; the last one stays."""
  return path.pop(0) if len(path) > 1 else path[0]


def _fault(state, what, text):
  """The fault of this call, if there is one, which is over with its times."""
  for fault in state['faults']:
    if fault['on'] == what and fault.get('match', '') in text:
      fault['times'] = fault.get('times', 1) - 1
      if not fault['times']:
        state['faults'].remove(fault)
      return fault
  return {}


class _Gcloud:
  """One call."""

  def __init__(self, folder, words):
    self.folder, self.words = folder, words
    self.flags = dict(re.fullmatch('--([a-z-]+)(?:=(.*))?', w, re.S).groups()
                      for w in words if w.startswith('--'))
    self.given = [w for w in words if not w.startswith('--')]

  def run(self):
    with open(self.folder / 'calls.jsonl', 'a', encoding='utf-8') as calls:
      calls.write(json.dumps(self.words) + '\n')
    # A question that is not seen is waited for without end.
    assert 'quiet' in self.flags, self.words
    assert os.path.samestat(os.fstat(0), os.stat(os.devnull)), self.words
    if self.given[:2] == ['auth', 'list']:
      print('someone@example.com')
      return
    what = '_'.join(self.given[2:4]).replace('-', '_')
    with state_of(self.folder) as state:
      fault = _fault(state, self.given[3], self.flags.get('command') or '')
      if fault.get('kind') == 'error':
        _end(fault['message'])
      getattr(self, f'_{what}')(state, fault)
    getattr(self, f'_{what}_unlocked', lambda fault: None)(fault)

  def _resource(self, state):
    name = self.given[4].split(':')[0]
    if name in state['resources'] and state['resources'][name]['path'] == [
        'GONE']:
      del state['resources'][name]
    if name not in state['resources']:
      _end(f"NOT_FOUND: Resource '{name}' was not found.")
    return name, state['resources'][name]

  def _queued_resources_create(self, state, fault):
    name = self.given[4]
    if name in state['resources']:
      _end(f"ALREADY_EXISTS: Resource '{name}' already exists.")
    state['resources'][name] = {
        'path': list(state['granted']), 'nodes': list(state['nodes']),
        'message': state.get('message', '')}
    if fault.get('kind') == 'lost_answer':
      _end(f"ALREADY_EXISTS: Resource '{name}' already exists.")

  def _queued_resources_describe(self, state, _):
    _, resource = self._resource(state)
    if 'message' in self.flags['format']:
      print(resource['message'])
      return
    now = _next(resource['path'])
    print(now)

  def _queued_resources_delete(self, state, _):
    name, _ = self._resource(state)
    assert 'force' in self.flags
    lose_hosts(self.folder, name)
    del state['resources'][name]

  def _tpu_vm_describe(self, state, _):
    name, resource = self._resource(state)
    if resource['path'] != ['ACTIVE']:
      _end(f"NOT_FOUND: Resource '{name}' was not found.")
    now = _next(resource['nodes'])
    print(f'{now}||{state["hosts"] if now == "READY" else 0}')

  def _workers(self, state):
    name, resource = self._resource(state)
    if resource['path'] != ['ACTIVE'] or resource['nodes'] != ['READY']:
      _end('the node cannot be reached.')
    self.hosts = state['hosts']
    for worker in range(self.hosts):
      home_of(self.folder, name, worker).mkdir(parents=True, exist_ok=True)
    asked = self.flags['worker']
    return list(range(self.hosts)) if asked == 'all' else [int(asked)]

  def _queued_resources_ssh(self, state, _):
    self.workers, self.forgets = self._workers(state), state['forgets']

  def _queued_resources_ssh_unlocked(self, fault):
    out = pathlib.Path(self.flags['output-directory'])
    assert out.is_dir() and 'ssh-flag' in self.flags
    if self.forgets:
      out = pathlib.Path('None')
    files = {w: open(out / f'{w}.log', 'wb') for w in self.workers}
    kind, hit = fault.get('kind'), fault.get('workers', self.workers)
    lost = [w for w in self.workers if w in hit and kind == 'unreachable']
    started = {w: self._command(w, files[w]) for w in self.workers
               if w not in lost}
    if kind == 'preempt':
      time.sleep(fault['after'])
      preempt(self.folder, self.given[4])
    if kind == 'twice':  # Again, though what was lost goes on.
      for w in hit:
        with open(home_of(self.folder, self.given[4], w) / 'twice.log',
                  'wb') as file:
          self._command(w, file)
    statuses = {w: process.wait() for w, process in started.items()}
    if kind == 'rerun':  # As gcloud does where ssh ends with 255.
      for w in hit:
        statuses[w] = self._command(w, files[w]).wait()
    if kind == 'drop':
      for w in hit:
        files[w].truncate(fault['bytes'])
    failed = [s for s in statuses.values() if s]
    if kind in ('unreachable', 'drop', 'preempt'):
      failed = [255]
    sys.exit(failed[0] if failed else 0)

  def _command(self, worker, to):
    name = self.given[4]
    home = home_of(self.folder, name, worker)
    environment = {
        'HOME': str(home), 'PATH': f'{self.folder}/host_bin:/usr/bin:/bin',
        'FAKE_HOST': f'{self.folder}/{name}/{worker}'}
    if self.hosts > 1:
      # By which JAX finds the other processes, as on a slice by its metadata.
      environment |= {
          'SLURM_JOB_ID': '1', 'SLURM_STEP_NODELIST': '127.0.0.1',
          'SLURM_NTASKS': str(self.hosts), 'SLURM_PROCID': str(worker),
          'SLURM_LOCALID': '0'}
    return subprocess.Popen(
        ['bash', '-c', self.flags['command']], cwd=home, env=environment,
        stdin=subprocess.DEVNULL, stdout=to, stderr=to)

  def _queued_resources_scp(self, state, fault):
    *sources, to = self.given[4:]
    name = (to if ':' in to else sources[0]).split(':')[0]
    self.given[4] = name
    whole = fault.get('kind') != 'cut'
    if fault.get('kind') == 'nothing':
      print(fault['message'], file=sys.stderr)
      return
    for worker in self._workers(state):
      home = home_of(self.folder, name, worker)
      for source in sources:
        path = pathlib.Path(source)
        end = pathlib.Path(to)
        if ':' in to:
          end = home / to.split(':')[1] / path.name
        else:
          path = home / source.split(':')[1]
        data = path.read_bytes()
        end.write_bytes(data if whole else data[:len(data) // 2])
    if not whole:
      _end('scp: Connection closed')


if __name__ == '__main__':
  _Gcloud(pathlib.Path(os.environ['FAKE_CLOUD']), sys.argv[1:]).run()
