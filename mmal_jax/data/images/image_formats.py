"""Which format a file has by its first bytes, whatever its name ends in."""

import re
from typing import NamedTuple

from mmal_jax.files import downloads

READ = ('PNG', 'JPEG', 'WEBP')
# Endings of these; a file of one of them is an image, or it is damaged.
ENDINGS = ('.apng', '.jfi', '.jfif', '.jif', '.jpe', '.jpeg', '.jpg', '.pjp',
           '.pjpeg', '.png', '.webp')
HEAD = 64  # bytes that are enough to know
_HOW = 'convert to JPEG or PNG'


class Format(NamedTuple):
  """What a file is.

  Attributes:
    name: of its format; empty if it is not known.
    description: for a message: what it is, and what can be done.
    is_read: whether it is one of `READ`.
    is_picture: whether it is a picture at all.
  """

  name: str
  description: str
  is_read: bool = False
  is_picture: bool = False


# Behind `ftyp`, at byte 4 of ISO's media files: the brand.
_BRANDS = {
    'HEIC': (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1',
             b'msf1'),
    'AVIF': (b'avif', b'avis'),
    'Canon CR3': (b'crx ',),
}
_STARTS = {
    'PNG': (b'\x89PNG\r\n\x1a\n',),
    'JPEG': (b'\xff\xd8\xff',),
    'GIF': (b'GIF87a', b'GIF89a'),
    'TIFF or a raw photo': (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+',
                            b'IIRO\x08\0', b'IIRS\x08\0', b'IIU\0',
                            b'FUJIFILMCCD-RAW'),
    'JPEG XL': (b'\0\0\0\x0cJXL ',),
    'JPEG 2000': (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51'),
    'PSD': (b'8BPS\0\1', b'8BPS\0\2'),
}
# Of those whose mark is so short that texts have it, too: what follows it.
_PATTERNS = {
    # Two numbers that are zero, and the sizes of the two headers.
    'BMP': re.compile(rb'BM.{4}\0{4}.{3}\0[\x0c\x10\x28\x34\x38\x40\x6c\x7c]'
                      rb'\0{3}', re.DOTALL),
    # A code stream, which has bytes that no text has.
    'JPEG XL': re.compile(rb'\xff\x0a.*?[\0-\x08\x0e-\x1f]', re.DOTALL),
    # The number of icons, and of the first its size, colours and a zero.
    'ICO': re.compile(rb'\0\0\x01\0(?!\0).\0...\0', re.DOTALL),
}
_OTHERS = {
    'a web page': ((b'<!DOCTYPE', b'<!doctype', b'<html', b'<HTML'),
                   'download the image again'),
    'a PDF': ((b'%PDF-',), _HOW),
    'an SVG': ((b'<svg', b'<?xml'), _HOW),
}


def of(content: bytes) -> Format:
  r"""The format of a file.

  >>> of(b'\xff\xd8\xff\xe0').name, of(b'GIF89a').description
  ('JPEG', 'GIF: convert to JPEG or PNG')

  Args:
    content: of the file; its first `HEAD` bytes will do.
  """
  content = content[:HEAD]
  if content.startswith(b'RIFF') and content[8:12] == b'WEBP':
    return Format('WEBP', 'WEBP', True, True)
  for name, starts in _STARTS.items():
    if content.startswith(starts):
      if name in READ:
        return Format(name, name, True, True)
      return Format(name, f'{name}: {_HOW}', is_picture=True)
  for name, pattern in _PATTERNS.items():
    if pattern.match(content):
      return Format(name, f'{name}: {_HOW}', is_picture=True)
  if content[4:8] == b'ftyp':
    for name, brands in _BRANDS.items():
      if content[8:12] in brands:
        return Format(name, f'{name}: {_HOW}', is_picture=True)
  if not content:
    return Format('', 'a file of 0 bytes')
  other = downloads.pointer(content) or downloads.packed(content)
  if other is not None:
    what = other.removeprefix('is ')
    return Format(what.partition(':')[0], what)
  for name, (starts, how) in _OTHERS.items():
    if content.lstrip().startswith(starts):
      return Format(name, f'{name}: {how}')
  return Format('', 'another kind of file')
