"""Buckets, which `etils.epath` reaches through fsspec."""


class Unreachable(OSError):
  """A bucket, or a disk of the network, that does not answer for minutes.

  Nothing is wrong with what was given: the same command may go on later.
  """


def retold(error: Exception, text: str) -> OSError:
  """An error of a disk or bucket in other words, `Unreachable` if it was."""
  return (Unreachable if isinstance(error, Unreachable) else OSError)(text)


def see_changes_of_others() -> None:
  """Makes what other programs write to a bucket visible to this one.

  By itself gcsfs lists a folder once, and takes that for what is there, and for
  how large each file is, as long as the program runs. To be called before the
  first path of a bucket is used.
  """
  import fsspec.config  # pylint: disable=g-import-not-at-top
  for name in ('gcs', 's3', 'abfs'):  # As fsspec calls them.
    fsspec.config.conf.setdefault(name, {})['use_listings_cache'] = False
