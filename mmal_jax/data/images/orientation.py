"""How a picture is turned, by the metadata of its file, whatever they are.

References:
  JEITA, Exif 2.32, sections 4.5 and 4.6.2. Adobe, TIFF 6.0, section 2.
"""

from collections.abc import Iterable
import itertools
import re
import struct

_TAG = 0x112
UPRIGHT = 1
_KNOWN = range(1, 9)
_MOST = 8  # blocks that are looked at; files have one or two
# What a number may be stored as, by TIFF's number of the type.
_TYPES = {1: 'B', 3: 'H', 4: 'I', 5: 'II', 6: 'b', 8: 'h', 9: 'i', 10: 'ii',
          11: 'f', 12: 'd', 13: 'I'}
_XMP = re.compile(
    rb'tiff:Orientation\s*(?:=\s*["\']|>)\s*([1-8])\s*["\'<]')


def find(exif: Iterable[bytes], xmp: Iterable[bytes]) -> int:
  r"""EXIF's number of a turn, from the first block that says one.

  >>> find([b'II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0'], [])
  6
  >>> find([b'nonsense'], [b'<a tiff:Orientation="8"/>'])
  8

  Args:
    exif: blocks of EXIF data, of which the first eight count.
    xmp: blocks of XMP, likewise, asked where no EXIF says anything.

  Returns:
    1 to 8; 1, upright as stored, where nothing that can be read says how.
  """
  for block in itertools.islice(exif, _MOST):
    found = _of_exif(block)
    if found in _KNOWN:
      return int(found)
  for block in itertools.islice(xmp, _MOST):
    if said := _XMP.search(block):
      return int(said[1])
  return UPRIGHT


def _of_exif(block: bytes) -> float | None:
  """The number that the first directory has; None if there is none."""
  for _ in range(2):  # Some programs write the mark twice.
    block = block.removeprefix(b'Exif\0\0')
  order = {b'II': '<', b'MM': '>'}.get(block[:2])
  if order is None:
    return None
  try:
    start, = struct.unpack_from(f'{order}4xI', block)
    entries, = struct.unpack_from(f'{order}H', block, start)
    for i in range(entries):
      # Not by way of the other entries: they may be nonsense.
      at = start + 2 + 12 * i
      tag, kind, count = struct.unpack_from(f'{order}HHI', block, at)
      if tag == _TAG and kind in _TYPES and count == 1:
        values = _TYPES[kind]
        at += 8
        if struct.calcsize(f'={values}') > 4:
          at, = struct.unpack_from(f'{order}I', block, at)
        number, *rest = struct.unpack_from(f'{order}{values}', block, at)
        return number / rest[0] if rest else number
  except (struct.error, ZeroDivisionError):
    pass
  return None
