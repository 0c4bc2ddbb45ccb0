"""What a compressed file may grow to."""

_MAX_GROWTH = 64  # floats and images grow to twice their size, or less
_ALWAYS = 2**26  # bytes that any file may grow to: zeros are common in tests


def check(what: str, stored: int, grown: int) -> None:
  """Refuses a file that holds far more than it could, before it is unpacked.

  >>> check('x.npz', 2**20, 2**26)

  Args:
    what: is unpacked, for the message.
    stored: bytes of the file.
    grown: bytes that it claims to hold, or was found to.

  Raises:
    ValueError: if they are more than 64 times as many, and more than 64 MiB.
  """
  if grown > max(_ALWAYS, _MAX_GROWTH * stored):
    raise ValueError(
        f'{what} would grow from {stored} bytes to {grown}; at most '
        f'{_MAX_GROWTH} times its size, or {_ALWAYS} bytes, are unpacked')
