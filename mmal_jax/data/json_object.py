"""The JSON objects that other people's files hold."""

import json
import os
from typing import Any


def parse(content: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
  """The object that a file holds.

  >>> parse(b'{"a": 1}', 'config.json')
  {'a': 1}

  Args:
    content: of the file.
    path: of the file, for the message.

  Raises:
    ValueError: if it holds something else.
  """
  try:
    value = json.loads(content)
  except (ValueError, RecursionError) as e:
    raise ValueError(f'{path} is not JSON: {e}') from e
  if not isinstance(value, dict):
    raise ValueError(f'{path} holds no JSON object.')
  return value
