"""A session that asks and is told until it is killed.

  python -m tests.support.killed_session FOLDER ITEMS

goes on with the session in FOLDER, of the pools of that many items, and prints
`ready`, then `asked MODALITY NUMBER` of all open questions when `ask` has
returned, and `told MODALITY NUMBER` when `tell` has; `done` once all is asked.
"""

import pathlib
import sys

from mmal_jax.session import folder as folder_lib
from mmal_jax.session import session as session_lib
from tests.session import known

BATCH = 3


def main() -> None:
  folder, hidden = pathlib.Path(sys.argv[1]), known.hidden(int(sys.argv[2]))
  if (folder / folder_lib.SESSION).exists():
    session = session_lib.Session.load(folder)
  else:
    session = known.session(hidden, folder=folder)
  print('ready', flush=True)
  while questions := session.ask(BATCH):
    for question in questions:
      print('asked', question.modality, question.number, flush=True)
    for question in questions:
      session.tell({question: hidden.answer(question)})
      print('told', question.modality, question.number, flush=True)
  print('done', flush=True)


if __name__ == '__main__':
  main()
