"""Ports for processes that meet."""

import socket


def free() -> int:
  """A port of this machine on which there is no listener yet."""
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]
