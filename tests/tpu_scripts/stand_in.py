"""Stands in for experiments.run: does what a plan says, start by start.

The plan lies in the folder $PLAN, where all that was started is kept, too.
"""

import json
import os
import pathlib
import signal
import sys
import time


def _main():
  plan = pathlib.Path(os.environ['PLAN'])
  worker = os.environ.get('SLURM_PROCID', '0')
  starts = plan / f'starts.{worker}'
  with open(starts, 'a', encoding='utf-8') as file:
    file.write(json.dumps({'pid': os.getpid(), 'flags': sys.argv[1:]}) + '\n')
  steps = json.loads((plan / 'plan.json').read_text('utf-8'))
  mine = steps.get(worker, [])
  number = len(starts.read_text('utf-8').splitlines()) - 1
  step = mine[number] if number < len(mine) else {'exit': 0}
  workdir = pathlib.Path(next(
      f.split('=', 1)[1] for f in sys.argv if f.startswith('--workdir=')))
  workdir.mkdir(parents=True, exist_ok=True)
  print('worker', worker, 'start', number, flush=True)
  with open(workdir / 'metrics.jsonl', 'a', encoding='utf-8') as file:
    file.write('{}\n' * step.get('lines', 0))
  if step.get('hang'):
    if not step.get('deaf'):
      signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
    else:
      signal.signal(signal.SIGTERM, signal.SIG_IGN)
    until = plan / 'go_on'
    while not until.exists():
      time.sleep(0.02)
  if step['exit'] == 'abort':
    os.abort()
  sys.exit(step['exit'])


if __name__ == '__main__':
  _main()
