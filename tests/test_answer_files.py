"""Files of answers that are refused before anything in them is read."""

import pytest

from mmal_jax import durable
from mmal_jax.align.people import answer_files


def _read(folder):
  notes: list[str] = []
  problems: list[str] = []
  found = list(answer_files.read(
      folder, {'image': 9, 'text': 9}, 'x', False, notes, problems))
  return found, notes, problems


@pytest.mark.parametrize('error,words', [
    (PermissionError(13, 'Permission denied', 'x'), 'Permission denied'),
    (OSError(5, 'The disk is not ready.', 'x'), 'The disk is not ready'),
    (RuntimeError('Symlink loop'), 'Symlink loop'),
    (ValueError('x has 9 bytes; at most 8 are read.'),
     'x has 9 bytes; at most 8 are read')])
def test_why_a_file_cannot_be_read_is_said_as_everywhere(
    tmp_path, monkeypatch, error, words):
  (tmp_path / 'a.csv').write_text('query,answer,annotator\n')

  def read(*_, **__):
    raise error
  monkeypatch.setattr(durable, 'read', read)
  assert _read(tmp_path) == ([], [], [f'a.csv: cannot be read: {words}.'])
