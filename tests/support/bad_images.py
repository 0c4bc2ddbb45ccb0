"""Images that are small, odd, or say more of themselves than is true."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(fmt: str = 'PNG', mode: str = 'RGB', size=(8, 8), **options):
  """A good one, of one colour."""
  file = io.BytesIO()
  Image.new(mode, size, 60 if mode in ('L', 'P', 'I;16') else None).save(
      file, fmt, **options)
  return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
  """Of a PNG file, its checksum with it."""
  return (struct.pack('>I', len(content)) + kind + content
          + struct.pack('>I', zlib.crc32(kind + content)))


def png(width: int, height: int, rows: bytes = b'', extra: bytes = b''):
  """Grey, of any size that its header may say, whatever its rows are."""
  header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
  return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + extra
          + chunk(b'IDAT', zlib.compress(rows, 1)) + chunk(b'IEND', b''))


def bomb() -> bytes:
  """8200 x 8200 pixels in a tenth of a megabyte, all of them there."""
  pack = zlib.compressobj(9)
  rows = b''.join(
      pack.compress(bytes(8201 * 100)) for _ in range(82)) + pack.flush()
  return png(8200, 8200).replace(
      chunk(b'IDAT', zlib.compress(b'', 1)), chunk(b'IDAT', rows))


def noise(seed: int = 0) -> bytes:
  """A PNG that no other seed gives."""
  file = io.BytesIO()
  pixels = np.random.default_rng(seed).integers(256, size=(8, 8, 3))
  Image.fromarray(pixels.astype(np.uint8)).save(file, 'PNG')
  return file.getvalue()


def turned(orientation: object, **others: object) -> bytes:
  """A JPEG of 8 x 4 pixels with EXIF data."""
  exif = Image.Exif()
  exif[0x112] = orientation
  for tag, value in others.items():
    exif[int(tag[1:])] = value
  return encoded('JPEG', size=(8, 4), exif=exif)
