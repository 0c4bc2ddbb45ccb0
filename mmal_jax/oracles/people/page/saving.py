"""Answers of a page that is served, and what became of them."""

import pathlib
import tempfile
from typing import Any

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.oracles.people import inbox
from mmal_jax.oracles.people import intake
from mmal_jax.oracles.people import label_studio_export
from mmal_jax.oracles.people import ledger as ledger_lib
from mmal_jax.oracles.people import naming
from mmal_jax.oracles.people import rounds
from mmal_jax.oracles.people import status as status_lib


def save(
    folder: pathlib.Path, name: str, session: str, content: bytes
) -> None:
  """Puts answers into the folder of answers, whole or not at all.

  Args:
    folder: of all rounds.
    name: of the round.
    session: of the browser. Of its answers to a query the later one holds: what
      two tabs send may come in any order.
    content: JSON lines.

  Raises:
    ValueError: listing all that keeps a run from reading them.
  """
  file = folder / status_lib.ANSWERS / f'page_{name}_{session}.jsonl'
  with inbox.ENTERING:
    content = usable(folder, content)
    if file.exists():
      content = _later(durable.read(file), content)
    elif not content:
      return
    durable.write(file, content)


def _later(before: bytes, content: bytes) -> bytes:
  """Of each query the line that was changed last."""
  latest: dict[str, tuple[float, dict[str, Any]]] = {}
  for lines in (before, content):
    for _, line in json_lines.read(lines, None, []):
      query, when = str(line.get('query')), (
          label_studio_export.seconds(line.get('changed')) or 0.0)
      if query not in latest or latest[query][0] <= when:
        latest[query] = when, line
  return json_lines.dump(line for _, line in latest.values()).encode()


def usable(folder: pathlib.Path, content: bytes) -> bytes:
  """Answers that a run can read, without those about what is settled.

  An answer that was accepted stays as it is: another by the same person would
  end the run.

  Args:
    folder: of all rounds.
    content: JSON lines.

  Raises:
    ValueError: listing every problem.
  """
  sizes, pools = inbox.pools_of(folder)
  entries = ledger_lib.read(folder / status_lib.LEDGER, sizes, pools)
  with tempfile.TemporaryDirectory() as alone:
    (pathlib.Path(alone) / 'answers.jsonl').write_bytes(content)
    try:
      intake.read(
          pathlib.Path(alone), sizes, rounds.asked(folder), pools, False,
          naming.Items(folder),
          intake.stated_names(folder / status_lib.ANNOTATORS),
          ledger_lib.known(entries))
    except ValueError as e:  # of a file that is no more
      raise ValueError(str(e).replace(alone, 'What was sent')) from e
  return json_lines.dump(
      line for _, line in json_lines.read(content, None, [])
      if line['query'] not in entries).encode()


def state_of(folder: pathlib.Path) -> dict[str, Any]:
  """The newest round, which answers are settled, and which cannot be used."""
  sizes, pools = inbox.pools_of(folder)
  return {
      'round': newest(folder),
      'used': list(ledger_lib.read(folder / status_lib.LEDGER, sizes, pools)),
      'disputes': status_lib.disputes(folder / status_lib.CONFLICTS)}


def newest(folder: pathlib.Path) -> str | None:
  """The name of the newest round; None before the first."""
  return max(rounds.asked(folder).values(), default=None,
             key=lambda name: int(name.partition('_')[2]))
