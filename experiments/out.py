"""The flag of programs whose output is no experiment's workdir."""

from absl import flags

OUT = flags.DEFINE_string(
    'out', None, 'Folder to write to. A report replaces an earlier report there'
    '; benchmarks write to runs/benchmarks by default.')
