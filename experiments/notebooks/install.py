import glob
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys

# OWNER is who publishes the repository.
REPOSITORY = 'git+https://github.com/OWNER/mmal_jax'

if os.environ.get('JAX_PLATFORMS') == 'cpu':
  device = 'cpu'
elif shutil.which('nvidia-smi'):
  device = 'gpu'
elif glob.glob('/dev/accel[0-9]*') + glob.glob('/dev/vfio/[0-9]*'):
  device = 'tpu'
else:
  device = 'cpu'

if importlib.util.find_spec('mmal_jax') is None:
  # Before JAX is imported, and with the extra of the device: else JAX gets
  # newer, its CUDA plugin stays old, and all runs on the CPU without an error.
  assert 'jax' not in sys.modules, 'Restart the runtime, then begin here.'
  extras = [*EXTRAS, *{'gpu': ['cuda'], 'tpu': ['tpu'], 'cpu': []}[device]]
  subprocess.run([
      sys.executable, '-m', 'pip', 'install', '--quiet',
      f'mmal_jax[{",".join(extras)}] @ {REPOSITORY}'], check=True)
  importlib.invalidate_caches()

import jax

assert jax.default_backend() == device, (
    f'This machine has a {device}, and JAX uses the {jax.default_backend()}: '
    'restart the runtime, then begin here.')
print('JAX', jax.__version__, 'on', jax.devices()[0].device_kind)
