"""What an encoded image is decoded from, apart from what is said about it.

Whatever stands in a file beside the picture (EXIF, XMP, colour profiles, texts,
previews, later frames) is taken out before anything is decoded, so that none of
it can stop the picture from being read. Only how the picture is turned is of
use; `orientation` finds that in what was taken out.

References:
  ISO/IEC 15948 (PNG), section 5.3. ITU-T T.81 (JPEG), annex B. Google, WebP
  Container Specification.
"""

from collections.abc import Iterator
import re
import struct
from typing import NamedTuple
import zlib

_PNG = b'\x89PNG\r\n\x1a\n'
_PNG_COLOURS = {0: 2, 2: 6}  # bytes of the transparent one, by colour type
_PNG_PALETTE = 3  # the colour type that has one
_PNG_END = b'\0\0\0\0IEND' + struct.pack('>I', zlib.crc32(b'IEND'))
_WEBP_CHUNKS = (b'VP8X', b'VP8 ', b'VP8L', b'ALPH', b'ANIM', b'ANMF')
_WEBP_EXIF, _WEBP_XMP, _WEBP_SAID = 0x08, 0x04, 0x2c  # flags; all and profiles
_JPEG_XMP = b'http://ns.adobe.com/xap/1.0/\0'
_PNG_XMP = b'XML:com.adobe.xmp'
# ImageMagick's way to put EXIF data into a text, in hexadecimal digits.
_RAW = re.compile(rb'\s*\w+\s+\d+\s+([0-9A-Fa-f\s]+)')
_RAW_KEYS = (b'Raw profile type exif', b'Raw profile type APP1')
_MAX_TEXT = 2**20  # bytes of one block of metadata
_MAX_BLOCKS = 8  # as many as `orientation` looks at


class Parts(NamedTuple):
  """An encoded image, taken apart.

  Attributes:
    picture: in the same format, without metadata.
    exif: blocks of EXIF data, whatever they hold.
    xmp: the same of XMP. Both together are the first eight of a file, so that
      what is packed into a small one takes little memory.
  """

  picture: bytes
  exif: list[bytes]
  xmp: list[bytes]

  def is_full(self) -> bool:
    return len(self.exif) + len(self.xmp) >= _MAX_BLOCKS


def split(content: bytes) -> Parts:
  """Takes the metadata out of a PNG, JPEG or WebP file.

  Args:
    content: of the file.

  Returns:
    The parts. What is damaged beyond its metadata remains so, and what is none
    of these formats is not changed.
  """
  parts = Parts(b'', [], [])
  if content.startswith(_PNG):
    picture = b''.join(_png(content, parts))
  elif content.startswith(b'\xff\xd8\xff'):
    picture = b''.join(_jpeg(content, parts))
  elif content.startswith(b'RIFF') and content[8:12] == b'WEBP':
    chunks = b''.join(_webp(content, parts))
    picture = struct.pack('<4sI4s', b'RIFF', 4 + len(chunks), b'WEBP') + chunks
  else:
    picture = content
  return parts._replace(picture=picture)


def _png(content: bytes, parts: Parts) -> Iterator[bytes]:
  yield _PNG
  at, colour, alphas, seen = len(_PNG), -1, 256, set()
  while at + 8 <= len(content):
    size, kind = struct.unpack_from('>I4s', content, at)
    end = at + 12 + size
    if kind == b'IHDR' and size >= 10 and end <= len(content):
      colour = content[at + 17]
    if kind in (b'IHDR', b'IDAT') or (
        kind == b'PLTE' and colour == _PNG_PALETTE):
      seen.add(kind)
      if kind == b'PLTE':
        alphas = size // 3
      yield content[at:end]
      if end > len(content):
        return  # Cut within its picture: the decoder says so.
    elif kind == b'tRNS':
      # Optional: as in libpng, one that is no good, or too late, is none.
      clear = _png_transparent(content[at:end], colour, alphas)
      if clear and not seen & {b'IDAT', b'tRNS'}:
        seen.add(kind)
        yield (struct.pack('>I', len(clear)) + kind + clear
               + struct.pack('>I', zlib.crc32(kind + clear)))
    elif kind == b'IEND':
      break
    else:
      _png_metadata(kind, content[at + 8:end - 4], parts)
    if end > len(content):
      break
    at = end
  yield _PNG_END  # Also where what was cut is metadata.


def _png_transparent(chunk: bytes, colour: int, alphas: int) -> bytes:
  """What a chunk says to be transparent; empty if it is damaged."""
  body = chunk[8:-4]
  if chunk[-4:] != struct.pack('>I', zlib.crc32(chunk[4:-4])):
    return b''
  if colour == _PNG_PALETTE:
    return body[:alphas]
  return body if len(body) == _PNG_COLOURS.get(colour) else b''


def _png_metadata(kind: bytes, body: bytes, parts: Parts) -> None:
  if parts.is_full():
    return
  if kind == b'eXIf':
    parts.exif.append(body)
  if kind not in (b'tEXt', b'zTXt', b'iTXt'):
    return
  key, _, text = body.partition(b'\0')
  if key not in (*_RAW_KEYS, _PNG_XMP, b'exif'):
    return
  is_packed = kind == b'zTXt'
  if kind == b'iTXt':
    is_packed = text[:1] == b'\1'
    text = text[2:].partition(b'\0')[2].partition(b'\0')[2]
  elif is_packed:
    text = text[1:]
  if is_packed:
    try:
      text = zlib.decompressobj().decompress(text, _MAX_TEXT)
    except zlib.error:
      text = b''  # It counts, for the time that it took.
  text = text[:_MAX_TEXT]
  if key in _RAW_KEYS:
    raw = _RAW.match(text)
    digits = raw[1].translate(None, b' \t\n\r\f\v') if raw else b''
    text = bytes.fromhex(digits[:len(digits) // 2 * 2].decode())
  (parts.xmp if key == _PNG_XMP else parts.exif).append(text)


def _jpeg(content: bytes, parts: Parts) -> Iterator[bytes]:
  yield content[:2]
  at, blocks = 2, []
  while at + 4 <= len(content):
    # Past junk, what fills up, and markers that stand alone.
    at = content.find(b'\xff', at)
    if not 0 <= at <= len(content) - 4:
      return  # Without a picture.
    marker = content[at + 1]
    if marker in (0, 1, 0xff) or 0xd0 <= marker <= 0xd8:
      at += 1 if marker == 0xff else 2
      continue
    size, = struct.unpack_from('>H', content, at + 2)
    end = at + 2 + size
    if marker in (0xd9, 0xda) or size < 2 or end > len(content):
      break  # The picture begins, or it is damaged: the decoder says so.
    body = content[at + 4:end]
    if not _is_jpeg_metadata(marker, body):
      yield content[at:end]
    elif len(blocks) + len(parts.xmp) >= _MAX_BLOCKS:
      pass
    elif marker == 0xe1 and body.startswith(b'Exif\0'):
      blocks.append(body[6:])
    elif marker == 0xe1 and body.startswith(_JPEG_XMP):
      parts.xmp.append(body[len(_JPEG_XMP):])
    at = end
  # What is too long for one segment is cut into several.
  parts.exif.extend([b''.join(blocks)[:_MAX_TEXT], *blocks] if blocks[1:]
                    else blocks)
  yield content[at:]


def _is_jpeg_metadata(marker: int, body: bytes) -> bool:
  if marker == 0xe0:  # Two of these say which colours the numbers mean.
    return not (body.startswith(b'JFIF\0') and len(body) >= 14)
  if marker == 0xee:
    return not (body.startswith(b'Adobe') and len(body) >= 12)
  return 0xe0 <= marker <= 0xef or marker >= 0xf0


def _webp(content: bytes, parts: Parts) -> Iterator[bytes]:
  size, = struct.unpack_from('<I', content, 4)
  whole = min(len(content), 8 + size)
  at, flags = 12, 0
  while at + 8 <= whole:
    kind, size = struct.unpack_from('<4sI', content, at)
    end = at + 8 + size
    chunk = content[at:min(end, whole)]
    if kind == b'VP8X' and len(chunk) > 8:
      flags = chunk[8]
      chunk = chunk[:8] + bytes([flags & ~_WEBP_SAID]) + chunk[9:]
    if kind in _WEBP_CHUNKS:
      yield chunk
      if size % 2 and end <= whole:
        yield b'\0'
    elif parts.is_full():
      pass
    elif kind == b'EXIF' and flags & _WEBP_EXIF:
      parts.exif.append(chunk[8:8 + size])
    elif kind == b'XMP ' and flags & _WEBP_XMP:
      parts.xmp.append(chunk[8:8 + size])
    at = end + size % 2
