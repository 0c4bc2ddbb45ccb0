"""The flag of programs whose output is no experiment's workdir."""

from experiments import paths

OUT = paths.define(
    'out', None, 'Folder to write to. A report replaces an earlier report there'
    '; benchmarks write to runs/benchmarks by default.')
