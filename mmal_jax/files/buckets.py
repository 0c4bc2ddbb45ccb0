"""Buckets, which `etils.epath` reaches through fsspec."""

import errno
import os
import pathlib
from typing import Any

from etils import epath

_PASSING_ERRORS = frozenset(getattr(errno, name) for name in (
    'EIO', 'ESTALE', 'ETIMEDOUT', 'ECONNABORTED', 'ECONNREFUSED', 'ECONNRESET',
    'EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETRESET', 'ENETUNREACH',
    'EPIPE', 'EAGAIN', 'EINTR'))
# As HTTP has it: of too many requests, and of a server's own faults.
_PASSING_CODES = 408, 429, 500, 502, 503, 504
# Of aiohttp, requests, google.auth and TensorFlow, none of which need be there.
_PASSING_KINDS = frozenset((
    'ClientConnectionError', 'ClientPayloadError', 'RequestException',
    'TransportError', 'UnavailableError', 'DeadlineExceededError'))


class Unreachable(OSError):
  """A bucket, a disk of the network, or a server that is silent for minutes.

  Nothing is wrong with what was given: the same command may go on later.
  """


def may_pass(error: Any) -> bool:
  """Whether an error may be gone in a while, with nothing done about it."""
  return (
      isinstance(error, (Unreachable, ConnectionError, TimeoutError))
      or getattr(error, 'errno', None) in _PASSING_ERRORS
      or str(getattr(error, 'code', None)) in map(str, _PASSING_CODES)
      or any(kind.__name__ in _PASSING_KINDS for kind in type(error).__mro__))


def retold(
    error: BaseException, text: str, path: str | os.PathLike[str]
) -> OSError:
  """An error of a disk or bucket in other words.

  It is `Unreachable` if that, or, in a bucket, any error behind it, may pass by
  itself. Of a disk of this machine none does: a person has to look at it.

  >>> type(retold(TimeoutError(), 'silent', 'gs://a/b')).__name__
  'Unreachable'
  >>> type(retold(TimeoutError(), 'silent', '/a/b')).__name__
  'OSError'
  """
  is_bucket = '://' in str(path)
  cause: BaseException | None = error
  while cause is not None:
    if isinstance(cause, Unreachable) or is_bucket and may_pass(cause):
      return Unreachable(text)
    cause = cause.__cause__ or cause.__context__
  return OSError(text)


def entries(folder: pathlib.Path | epath.Path) -> list[Any]:
  """What lies in a folder; nothing if it does not exist.

  Raises:
    Exception: of many kinds, if it cannot be listed.
  """
  try:
    # Not `is_dir()`, which is False, too, where a bucket cannot be reached.
    return list(folder.iterdir())
  except (FileNotFoundError, NotADirectoryError):
    return []


def see_changes_of_others() -> None:
  """Makes what other programs write to a bucket visible to this one.

  By itself gcsfs lists a folder once, and takes that for what is there, and for
  how large each file is, as long as the program runs. To be called before the
  first path of a bucket is used.
  """
  import fsspec.config  # pylint: disable=g-import-not-at-top
  for name in ('gcs', 's3', 'abfs'):  # As fsspec calls them.
    fsspec.config.conf.setdefault(name, {})['use_listings_cache'] = False
