"""What is transparent is white, whatever way a PNG has to say it."""

import struct
import zlib

import numpy as np
import pytest

from mmal_jax.data.images import images
from tests.support import bad_images


def _png(depth, colour, rows, *chunks, width=None):
  """Rows of bytes as they are packed, every row unfiltered."""
  width = width or len(rows[0]) * 8 // depth // {0: 1, 2: 3, 3: 1, 4: 2}[colour]
  header = struct.pack('>IIBBBBB', width, len(rows), depth, colour, 0, 0, 0)
  return (b'\x89PNG\r\n\x1a\n' + bad_images.chunk(b'IHDR', header)
          + b''.join(bad_images.chunk(*chunk) for chunk in chunks)
          + bad_images.chunk(b'IDAT', zlib.compress(
              b''.join(b'\0' + bytes(row) for row in rows)))
          + bad_images.chunk(b'IEND', b''))


def _of(values):
  return struct.pack(f'>{len(values)}H', *values)


@pytest.mark.parametrize('depth,row,key,expected', [
    (1, [0b00110011], 0, [255] * 8),
    (1, [0b00110011], 1, [0, 0, 255, 255] * 2),
    (2, [0b00011011], 1, [0, 255, 170, 255]),
    (2, [0b00011011], 2, [0, 85, 255, 255]),
    (4, [0x5a, 0xa0], 5, [255, 170, 170, 0]),
    (4, [0x5a, 0xa0], 10, [85, 255, 255, 0]),
    (8, [4, 156, 9], 156, [4, 255, 9]),
    (8, [4, 156, 9], 0x1009, [4, 156, 255]),  # the lower bits count
    (16, _of([1000, 40000, 40001]), 40000, [4, 255, 156]),
    (16, _of([0, 255, 257]), 0, [255, 1, 1]),
    (16, _of([65535, 1, 65534]), 65535, [255, 0, 255])])
def test_a_transparent_grey(depth, row, key, expected):
  pixels = images.decode(_png(depth, 0, [row] * 2, (b'tRNS', _of([key]))))
  assert pixels.tolist() == [[[v] * 3 for v in expected]] * 2


def test_greys_of_16_bits_are_laid_on_white_as_those_of_8_are():
  rng = np.random.default_rng(0)
  narrow = rng.integers(256, size=(5, 7))
  for key in narrow[0, :3].tolist():
    one = images.decode(_png(8, 0, narrow.astype(np.uint8),
                             (b'tRNS', _of([key]))))
    rows = [_of(row) for row in (narrow * 257).tolist()]
    other = images.decode(_png(16, 0, rows, (b'tRNS', _of([257 * key]))))
    np.testing.assert_array_equal(one, other)
    expected = np.where(narrow == key, 255, narrow)
    np.testing.assert_array_equal(one[..., 0], expected)
  opaque = images.decode(_png(16, 0, rows))
  np.testing.assert_array_equal(opaque[..., 0], narrow)


def test_a_transparent_colour():
  row = [1, 2, 3, 4, 5, 6]
  pixels = images.decode(_png(8, 2, [row], (b'tRNS', _of([1, 2, 3]))))
  assert pixels.tolist() == [[[255] * 3, [4, 5, 6]]]


@pytest.mark.parametrize('key', [
    (1000, 2000, 3000), (1000, 2000, 3001), (3, 7, 11), (1, 2, 3)])
def test_a_transparent_colour_of_16_bits_is_compared_in_full(key):
  values = [1000, 2000, 3000, 1000, 2000, 3001, 3, 7, 11, 1, 2, 3, 257, 514,
            771, 768, 1792, 2816]
  pixels = images.decode(_png(16, 2, [_of(values)], (b'tRNS', _of(key))))
  assert pixels.tolist() == [[
      [255] * 3 if tuple(values[i:i + 3]) == key
      else [v >> 8 for v in values[i:i + 3]] for i in range(0, 18, 3)]]
  opaque = images.decode(_png(16, 2, [_of(values)]))
  assert opaque.tolist()[0][0] == [3, 7, 11]


@pytest.mark.parametrize('alphas,expected', [
    (b'\0', [[255] * 3, [50, 60, 70], [0, 0, 255]]),
    (b'\xff\0', [[10, 20, 30], [255] * 3, [0, 0, 255]]),
    (b'\xff\xff\0', [[10, 20, 30], [50, 60, 70], [255] * 3])])
def test_a_transparent_colour_of_a_palette(alphas, expected):
  palette = bytes([10, 20, 30, 50, 60, 70, 0, 0, 255])
  for depth, row in ((2, [0b00011000]), (4, [0x01, 0x20]), (8, [0, 1, 2])):
    pixels = images.decode(_png(
        depth, 3, [row], (b'PLTE', palette), (b'tRNS', alphas), width=3))
    assert pixels.tolist() == [expected]


_ROW = [10, 20, 30, 50, 60, 70]
_PALETTE = bytes([10, 20, 30, 50, 60, 70])


@pytest.mark.parametrize('depth,colour,row,before,chunk,expected', [
    (8, 0, [4, 9], (), b'\0', [[4] * 3, [9] * 3]),
    (8, 0, [4, 9], (), b'', [[4] * 3, [9] * 3]),
    (8, 0, [4, 9], (), b'\0\4\0', [[4] * 3, [9] * 3]),
    (1, 0, [0b10000000], (), b'\1', [[255] * 3] + [[0] * 3] * 7),
    (16, 0, _of([1000, 2570]), (), _of([1000] * 3), [[4] * 3, [10] * 3]),
    (8, 2, _ROW, (), b'', [_ROW[:3], _ROW[3:]]),
    (8, 2, _ROW, (), _of([10]), [_ROW[:3], _ROW[3:]]),
    (8, 2, _ROW, (), _of([10, 20]) + b'\0', [_ROW[:3], _ROW[3:]]),
    (8, 4, [7, 255, 8, 255], (), _of([7]), [[7] * 3, [8] * 3]),
    (8, 3, [0, 1], ((b'PLTE', _PALETTE),), b'', [_ROW[:3], _ROW[3:]]),
    (8, 3, [0, 1], ((b'PLTE', _PALETTE),), b'\0\xff\xff\0',
     [[255] * 3, _ROW[3:]]),
    (8, 3, [0, 1], ((b'PLTE', _PALETTE),), b'\0' + b'\xff' * 299,
     [[255] * 3, _ROW[3:]])])
def test_what_cannot_say_a_transparent_colour_says_none(
    depth, colour, row, before, chunk, expected):
  pixels = images.decode(_png(depth, colour, [row], *before, (b'tRNS', chunk),
                              width=len(expected)))
  assert pixels.tolist() == [expected]


def test_a_transparent_colour_that_is_damaged_late_or_repeated():
  good = _png(8, 2, [_ROW], (b'tRNS', _of([10, 20, 30])))
  at = good.index(b'tRNS')
  for i in range(4, 14):  # its value and its checksum
    bad = bytearray(good)
    bad[at + i] ^= 1
    assert images.decode(bytes(bad)).tolist() == [[_ROW[:3], _ROW[3:]]]
  chunk = bad_images.chunk(b'tRNS', _of([50, 60, 70]))
  for content in (good.replace(b'tRNS', b'xRNS'), _png(8, 2, [_ROW])):
    late = content[:-12] + chunk + content[-12:]
    assert images.decode(late).tolist() == [[_ROW[:3], _ROW[3:]]]
  twice = good[:at + 14] + chunk + good[at + 14:]
  assert images.decode(twice).tolist() == [[[255] * 3, _ROW[3:]]]


@pytest.mark.parametrize('palette', [b'', b'12345', bytes(768), bytes(3000)])
def test_a_palette_beside_colours_is_not_needed(palette):
  for depth, colour, row, expected in (
      (8, 2, _ROW, [_ROW[:3], _ROW[3:]]), (8, 0, [4, 9], [[4] * 3, [9] * 3]),
      (8, 6, [1, 2, 3, 255, 4, 5, 6, 0], [[1, 2, 3], [255] * 3]),
      (8, 4, [7, 255, 8, 0], [[7] * 3, [255] * 3])):
    png = _png(depth, colour, [row], (b'PLTE', palette), (b'hIST', b'\0'),
               width=2)
    at = png.index(b'PLTE') + 4 + len(palette)
    for content in (png, png[:at] + b'\0\0\0\0' + png[at + 4:]):
      assert images.decode(content).tolist() == [expected]


def test_half_transparent():
  pixels = images.decode(_png(
      8, 3, [[0, 1]], (b'PLTE', bytes(6)), (b'tRNS', b'\x80\x40')))
  np.testing.assert_allclose(pixels[0, :, 0], [127, 191], atol=1)
  for depth, row in ((8, [100, 0, 100, 255, 0, 128]), (16, _of(
      [25700, 0, 25700, 65535, 0, 32896]))):
    grey = images.decode(_png(depth, 4, [row]))
    np.testing.assert_allclose(grey[0, :, 0], [255, 100, 127], atol=1)
