"""Folders of small photos, and tables that name them."""

import json
import pathlib

from tests.support import bad_images


def photos(folder: pathlib.Path, n: int = 12) -> list[str]:
  """Writes n different images; returns their names."""
  folder.mkdir(parents=True, exist_ok=True)
  names = [f'{i}.png' for i in range(n)]
  for i, name in enumerate(names):
    (folder / name).write_bytes(bad_images.noise(i))
  return names


def json_lines(rows) -> bytes:
  """Rows as JSON lines."""
  return ''.join(json.dumps(row) + '\n' for row in rows).encode()
