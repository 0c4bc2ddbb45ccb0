"""Metadata never costs a picture: whatever it holds, the pixels are read."""

import io
import struct
from unittest import mock
import warnings
import zlib

import numpy as np
from PIL import Image
from PIL import PngImagePlugin
import pytest

from mmal_jax.data.images import image_bytes
from mmal_jax.data.images import images
from mmal_jax.data.images import orientation
from tests.support import bad_images

_NOISE = np.random.default_rng(3).integers(
    256, size=(6, 9, 3)).astype(np.uint8)
_XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
        b'tiff:Orientation="%d"/></x:xmpmeta>')


def _encoded(fmt, pixels=_NOISE, **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, fmt, **options)
  return file.getvalue()


def _png(*chunks, behind=()):
  """A sound PNG with chunks before and behind its pixels."""
  png = _encoded('PNG')
  return (png[:33] + b''.join(bad_images.chunk(*c) for c in chunks)
          + png[33:-12] + b''.join(bad_images.chunk(*c) for c in behind)
          + png[-12:])


def _jpeg(*segments):
  jpeg = _encoded('JPEG', quality=95)
  return jpeg[:20] + b''.join(
      struct.pack('>HH', marker, len(body) + 2) + body
      for marker, body in segments) + jpeg[20:]


def _webp(*chunks, flags=0x2c, pixels=_NOISE):
  """Lossless, with the given chunks behind the picture."""
  picture = _encoded('WEBP', pixels, lossless=True)[12:]
  height, width = pixels.shape[:2]
  said = struct.pack('<4sIB3x', b'VP8X', 10, flags) + (
      (width - 1).to_bytes(3, 'little') + (height - 1).to_bytes(3, 'little'))
  body = said + picture + b''.join(
      struct.pack('<4sI', kind, len(rest)) + rest + b'\0' * (len(rest) % 2)
      for kind, rest in chunks)
  return struct.pack('<4sI4s', b'RIFF', len(body) + 4, b'WEBP') + body


def _tiff(*entries, order='<', start=8):
  """EXIF data of entries (tag, type, count, four bytes)."""
  return struct.pack(
      f'{order}2sHI', {'<': b'II', '>': b'MM'}[order], 42, start) + (
          bytes(start - 8) + struct.pack(f'{order}H', len(entries))
          + b''.join(struct.pack(f'{order}HHI', *entry[:3]) + entry[3]
                     for entry in entries) + bytes(4))


_TURNED = _tiff((0x112, 3, 1, b'\x06\0\0\0'))
_ELSEWHERE = (0x10e, 2, 40, b'\xff\xff\xff\x7f')  # a text beyond all bytes
_NONSENSE = {
    'nothing': b'', 'a letter': b'x', 'text': b"b'Exif\\x00\\x00II*\\x00'",
    'the mark alone': b'Exif\0\0', 'half a header': b'II*\0',
    'a first directory beyond the end': b'II*\0' + b'\xff' * 4,
    'a directory that is itself': b'MM\0*\0\0\0\0',
    'all ones': b'\xff' * 99, 'zeros': bytes(99),
    'another order': b'IM*\0\x08\0\0\0', 'JSON': b'{"Orientation": 6}',
    'a directory that is cut': _TURNED[:14],
    'turned by a text': _tiff((0x112, 2, 2, b'6\0\0\0')),
    'turned by 9': _tiff((0x112, 3, 1, b'\x09\0\0\0')),
    'turned by 0': _tiff((0x112, 3, 1, b'\0\0\0\0')),
    'turned by -1': _tiff((0x112, 8, 1, b'\xff\xff\0\0')),
    'turned by two numbers': _tiff((0x112, 3, 2, b'\x06\0\x06\0')),
    'turned by none': _tiff((0x112, 3, 0, b'\x06\0\0\0')),
    'turned by NaN': _tiff((0x112, 11, 1, b'\xff\xff\xff\xff')),
    'turned by 1 / 0': _tiff((0x112, 5, 1, b'\x1a\0\0\0')) + b'\1\0\0\0' * 2,
    'an unknown type': _tiff((0x112, 99, 1, b'\x06\0\0\0')),
    'ten thousand entries': b'II*\0\x08\0\0\0\x10\x27' + bytes(50),
}


def _everywhere(block):
  """The same EXIF data in every place that takes any."""
  yield 'PNG', _png((b'eXIf', block))
  yield 'PNG behind', _png(behind=[(b'eXIf', block)])
  yield 'PNG text', _png((b'tEXt', b'Raw profile type exif\0\nexif\n  9\n'
                          + block.hex().encode()))
  yield 'PNG packed', _png((b'zTXt', b'Raw profile type APP1\0\0' + (
      zlib.compress(b'\nexif\n 9\n' + b'Exif\0\0'.hex().encode()
                    + block.hex().encode()))))
  yield 'JPEG', _jpeg((0xffe1, b'Exif\0\0' + block))
  yield 'JPEG twice', _jpeg((0xffe1, b'Exif\0\0\0\0'),
                            (0xffe1, b'Exif\0\0' + block))
  yield 'WebP', _webp((b'EXIF', block))
  yield 'WebP with the mark', _webp((b'EXIF', b'Exif\0\0' + block))


def _upright(name):
  fmt = name.split()[0].upper()
  return np.asarray(Image.open(io.BytesIO(
      _encoded(fmt, **({'quality': 95} if fmt == 'JPEG' else {'lossless': True}
                       )))).convert('RGB'))


@pytest.mark.parametrize('block', _NONSENSE.values(), ids=_NONSENSE)
def test_nonsense_leaves_a_picture_as_it_is_stored(block):
  for name, content in _everywhere(block):
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      pixels = images.decode(content)
    np.testing.assert_array_equal(pixels, _upright(name), err_msg=name)


@pytest.mark.parametrize('block', [
    _TURNED,
    _tiff(_ELSEWHERE, (0x112, 3, 1, b'\x06\0\0\0')),
    _tiff((0x112, 4, 1, b'\0\0\0\x06'), order='>', start=30),
    _tiff((0x112, 1, 1, b'\x06\xff\xff\xff')),
    _tiff((0x112, 9, 1, b'\x06\0\0\0')),
    _tiff((0x112, 11, 1, struct.pack('<f', 6))),
    _tiff((0x112, 5, 1, b'\x1a\0\0\0')) + struct.pack('<II', 12, 2),
    _TURNED[:-4],
    _TURNED + b'\xff' * 60000,
])
def test_a_turn_is_found_wherever_it_can_be_read(block):
  assert orientation.find([block], []) == 6
  for name, content in _everywhere(block):
    if len(content) > 65000 and 'JPEG' in name:
      continue
    np.testing.assert_array_equal(
        images.decode(content), np.rot90(_upright(name), -1), err_msg=name)


@pytest.mark.parametrize('turn', range(1, 9))
def test_every_turn_is_undone_in_every_format(turn):
  up = np.asarray(Image.fromarray(_NOISE))
  stored = {1: up, 2: up[:, ::-1], 3: up[::-1, ::-1], 4: up[::-1],
            5: up.swapaxes(0, 1), 6: np.rot90(up), 7: np.rot90(
                up[::-1]), 8: np.rot90(up, -1)}[turn]
  exif = Image.Exif()
  exif[0x112] = turn
  for content in (_encoded('PNG', stored, exif=exif),
                  _encoded('WEBP', stored, exif=exif, lossless=True),
                  _encoded('WEBP', stored, xmp=_XMP % turn, lossless=True)):
    np.testing.assert_array_equal(images.decode(content), up)


def test_xmp_says_the_turn_where_no_exif_does():
  xmp = b'XML:com.adobe.xmp\0'
  said = _XMP % 8
  for content in (
      _png((b'iTXt', xmp + b'\0\0\0\0' + said)),
      _png((b'iTXt', xmp + b'\1\0\0\0' + zlib.compress(said))),
      _png((b'iTXt', xmp + b'\0\0\0\0' + said), (b'eXIf', b'nonsense')),
      _png((b'iTXt', xmp + b'\0\0\xff\0\xfe\0' + said + b'\xff')),
      _jpeg((0xffe1, b'http://ns.adobe.com/xap/1.0/\0' + said)),
      _webp((b'XMP ', b'<tiff:Orientation>8</tiff:Orientation>'))):
    name = {b'\x89': 'PNG', b'\xff': 'JPEG', b'R': 'WebP'}[content[:1]]
    np.testing.assert_array_equal(
        images.decode(content), np.rot90(_upright(name)))
  both = _png((b'iTXt', xmp + b'\0\0\0\0' + said), (b'eXIf', _TURNED))
  np.testing.assert_array_equal(
      images.decode(both), np.rot90(_NOISE, -1))


_LARGE = zlib.compress(bytes(2 * PngImagePlugin.MAX_TEXT_CHUNK))
_CHUNKS = {
    'a packed text that is large': (b'zTXt', b'Comment\0\0' + _LARGE),
    'an international text that is large': (
        b'iTXt', b'Comment\0\1\0en\0\0' + _LARGE),
    'EXIF as a packed text that is large': (
        b'zTXt', b'Raw profile type exif\0\0' + _LARGE),
    'a text packed in another way': (b'zTXt', b'Comment\0\7nothing'),
    'an unknown text': (b'tEXt', b'\0' * 9),
    'a profile that is large': (b'iCCP', b'sRGB\0\0' + _LARGE),
    'a profile packed in another way': (b'iCCP', b'sRGB\0\1x'),
    'a profile without a name': (b'iCCP', b''),
    'half a gamma': (b'gAMA', b'\0\1'),
    'half the chromaticities': (b'cHRM', bytes(31)),
    'half a pixel size': (b'pHYs', bytes(8)),
    'no rendering intent': (b'sRGB', b''),
    'a film without a number of pictures': (b'acTL', b'\0'),
    'a film of frames out of order': (b'fcTL', b'\0\0\0\7' + bytes(22)),
    'a frame beyond the picture': (
        b'fcTL', struct.pack('>5I', 0, 99, 99, 50, 50) + bytes(6)),
    'half a frame': (b'fdAT', b'\0'),
    'a time of nothing': (b'tIME', b''),
    'an unknown chunk': (b'prVt', bytes(9)),
}


@pytest.mark.parametrize('chunk', _CHUNKS.values(), ids=_CHUNKS)
def test_other_chunks_of_a_png_cost_nothing(chunk):
  kind, body = chunk
  wrong = struct.pack('>I', len(body)) + kind + body + b'\0\1\2\3'
  png = _png()
  for content in (_png(chunk), _png(behind=[chunk]), _png(chunk, chunk),
                  png[:33] + wrong + png[33:],  # its checksum is wrong
                  png[:-12] + wrong[:-6], png[:-12] + wrong + b'junk'):
    np.testing.assert_array_equal(images.decode(content), _NOISE)


@pytest.mark.parametrize('segment', [
    (0xffe0, b'JFIF'), (0xffe0, b'JFIF\0\1'), (0xffee, b'Adobe'),
    (0xffee, b''), (0xffe2, b'MPF\0'), (0xffe2, b'MPF\0II*\0\xff\xff\xff\xff'),
    (0xffe2, b'ICC_PROFILE\0'), (0xffe2, b'ICC_PROFILE\0\1\1nonsense'),
    (0xffed, b'Photoshop 3.0\0008BIM'), (0xffed, b'Photoshop 3.0\0008BIM\0'),
    (0xffe1, b'http://ns.adobe.com/xap/1.0/\0\xff\xfe'), (0xfffe, b''),
    (0xfffe, bytes(60000)), (0xffe1, b'Exif'), (0xffeb, b'\xff\xd9\xff\xda'),
    (0xfff0, b'\xff\xda')])
def test_other_segments_of_a_jpeg_cost_nothing(segment):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    pixels = images.decode(_jpeg(segment, segment))
  np.testing.assert_array_equal(pixels, _upright('JPEG'))


def test_what_stands_behind_a_picture_may_be_cut():
  for whole, least in ((_webp((b'EXIF', bytes(100))), 100),
                       (_png(behind=[(b'eXIf', bytes(100))]), 112),
                       (_jpeg() + b'an album of films' * 9, 150)):
    name = {b'\x89': 'PNG', b'\xff': 'JPEG', b'R': 'WebP'}[whole[:1]]
    for left_out in (1, 2, 9, least):
      np.testing.assert_array_equal(
          images.decode(whole[:-left_out]), _upright(name))


def _many(text):
  """The same block of metadata two thousand times, in every format."""
  exif = b'Exif\0\0' + b'II*\0' + text
  xmp = b'XML:com.adobe.xmp\0'
  packed = zlib.compress(b' ' * 2**20, 9)
  yield _png(*[(b'zTXt', b'Raw profile type exif\0\0' + packed)] * 2000)
  yield _png(*[(b'iTXt', xmp + b'\1\0\0\0' + packed)] * 2000)
  yield _png(*[(b'zTXt', b'exif\0\0' + packed[:-9] + b'no end')] * 2000)
  yield _png(*[(b'eXIf', text)] * 2000)
  yield _jpeg(*[(0xffe1, exif), (0xffe1, b'http://ns.adobe.com/xap/1.0/\0'
                                 + text)] * 1000)
  yield _webp(*[(b'EXIF', exif), (b'XMP ', text)] * 1000)


def test_only_the_first_blocks_of_metadata_are_unpacked():
  unpacked = []
  inflate = zlib.decompressobj

  def counted():
    unpacked.append(1)
    return inflate()

  with mock.patch.object(zlib, 'decompressobj', counted):
    for content in _many(b'a text'):
      unpacked.clear()
      parts = image_bytes.split(content)
      assert len(parts.exif) + len(parts.xmp) <= 9 and len(unpacked) <= 8
      assert sum(map(len, parts.exif + parts.xmp)) <= 2**23 + 2**20
      name = {b'\x89': 'PNG', b'\xff': 'JPEG', b'R': 'WebP'}[content[:1]]
      np.testing.assert_array_equal(images.decode(content), _upright(name))


def test_an_image_that_breaks_its_reader_is_named_a_damaged_one(tmp_path):
  (tmp_path / 'x.png').write_bytes(_png())
  for error in (IndexError('list index'), struct.error('unpack requires'),
                OverflowError('too large'), MemoryError()):
    with mock.patch.object(image_bytes, 'split', side_effect=error):
      for source in (_png(), tmp_path / 'x.png'):
        with pytest.raises(ValueError, match='it is a damaged PNG$'):
          images.decode(source)


def _spans(content):
  """Where the metadata of a file stand, their lengths left out."""
  at = 8 if content[:1] == b'\x89' else 2 if content[:1] == b'\xff' else 12
  while at + 8 < len(content):
    if content[:1] == b'\x89':
      size, kind = struct.unpack_from('>I4s', content, at)
      end, own = at + 12 + size, kind in (
          b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')
      start = at + 8
    elif content[:1] == b'\xff':
      marker, size = struct.unpack_from('>HH', content, at)
      end, own = at + 2 + size, not (
          marker in (0xffe1, 0xffe2, 0xffed, 0xfffe))
      start = at + 4
      if marker == 0xffda:
        return
    else:
      kind, size = struct.unpack_from('<4sI', content, at)
      end, own = at + 8 + size + size % 2, kind.startswith(b'VP8')
      start = at + 8
    if not own:
      yield start, end
    at = end


_KINDS = {
    'PNG': _png((b'eXIf', _tiff((0x131, 3, 1, bytes(4)))),
                (b'iCCP', b'sRGB\0\0' + zlib.compress(bytes(99))),
                (b'tEXt', b'Comment\0here'), (b'gAMA', bytes(4)),
                (b'iTXt', b'XML:com.adobe.xmp\0\1\0\0\0' + zlib.compress(
                    b'<x/>')), (b'pHYs', bytes(9)),
                (b'zTXt', b'Raw profile type exif\0\0' + zlib.compress(
                    b'\nexif\n 3\n 49492a\n')),
                behind=[(b'tIME', bytes(7)), (b'eXIf', b'II*\0')]),
    'JPEG': _jpeg((0xffe1, b'Exif\0\0' + _tiff(_ELSEWHERE)),
                  (0xffe1, b'http://ns.adobe.com/xap/1.0/\0<x/>'),
                  (0xffe2, b'ICC_PROFILE\0\1\1' + bytes(60)),
                  (0xffe2, b'MPF\0II*\0\x08\0\0\0\1\0' + bytes(20)),
                  (0xffed, b'Photoshop 3.0\0008BIM\3\xed\0\0\0\0\0\x10'
                   + bytes(16)), (0xfffe, b'a comment')),
    'WEBP': _webp((b'EXIF', _tiff(_ELSEWHERE)), (b'XMP ', b'<x/>'),
                  (b'ICCP', bytes(60)), (b'abcd', b'efg')),
}


@pytest.mark.parametrize('fmt', _KINDS)
def test_random_bytes_in_metadata_change_no_pixel(fmt):
  content = _KINDS[fmt]
  spans = list(_spans(content))
  assert len(spans) >= 4
  expected = _upright(fmt)
  rng = np.random.default_rng(5)
  for _ in range(400):
    changed = bytearray(content)
    start, end = spans[rng.integers(len(spans))]
    for at in rng.integers(start, end, size=rng.integers(1, 6)):
      changed[at] = rng.integers(256)
    parts = image_bytes.split(bytes(changed))
    turn = orientation.find(parts.exif, parts.xmp)
    pixels = images.decode(bytes(changed))
    if turn == 1:
      np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize('mode,fmt,options', [
    ('RGB', 'PNG', {}), ('RGBA', 'PNG', {}), ('P', 'PNG', {}), ('L', 'PNG', {}),
    ('LA', 'PNG', {}), ('1', 'PNG', {}), ('RGB', 'JPEG', {'progressive': True}),
    ('L', 'JPEG', {}), ('CMYK', 'JPEG', {'subsampling': 0}),
    ('RGB', 'WEBP', {}), ('RGBA', 'WEBP', {}),
    ('RGBA', 'WEBP', {'lossless': True, 'exact': True})])
def test_without_metadata_the_pixels_are_pillows_own(mode, fmt, options):
  rng = np.random.default_rng(0)
  for size in ((1, 1), (7, 5), (40, 33)):
    noise = rng.integers(256, size=(*size, 4)).astype(np.uint8)
    image = Image.fromarray(noise, 'RGBA' if mode != 'CMYK' else 'CMYK')
    file = io.BytesIO()
    extra = b'Exif\0\0' + _tiff((0x131, 3, 1, bytes(4)))
    (image if mode in ('RGBA', 'CMYK') else image.convert(mode)).save(
        file, fmt, icc_profile=bytes(200), exif=extra, dpi=(300, 300),
        **options)
    with Image.open(file) as opened:
      np.testing.assert_array_equal(
          images.decode(file.getvalue()), np.asarray(images.to_rgb(opened)))


def test_what_truly_is_damaged_is_refused():
  png, jpeg, webp = _png(), _jpeg(), _webp()
  for content in (png[:60], jpeg[:len(jpeg) // 2], webp[:60], png[:33],
                  png[:41] + b'\xff' * 20 + png[61:], jpeg[:20]):
    with pytest.raises(ValueError, match='cannot be read as PNG/JPEG/WEBP'):
      images.decode(content)


@pytest.mark.parametrize('exif', [b'', b'Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0'])
@pytest.mark.parametrize('fmt', ['PNG', 'JPEG', 'WEBP'])
def test_a_file_that_was_cut_is_refused_or_read_as_it_was(fmt, exif):
  rng = np.random.default_rng(7)
  content = _encoded(
      fmt, rng.integers(256, size=(12, 9, 3)).astype(np.uint8),
      **({'exif': exif} if exif else {}))
  expected, refused = images.decode(content), 0
  for end in range(len(content)):
    try:
      np.testing.assert_array_equal(images.decode(content[:end]), expected)
    except ValueError:
      refused += 1
  assert refused > len(content) - 80
