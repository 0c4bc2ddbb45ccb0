"""An experiment that was run before: `--config=.../saved.py:PATH`.

PATH is the `config.json` that it left in its workdir.
"""

import json
import pathlib

import ml_collections


def get_config(path: str) -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(
      json.loads(pathlib.Path(path).read_text('utf-8')))
