"""What a file is by its first bytes: a picture that is read, another, or none.
"""

import pytest

from mmal_jax.data.images import image_formats
from mmal_jax.data.images import images
from tests.support import bad_images


@pytest.mark.parametrize('text', [
    'BMW parked by a wall, with a long caption behind it, up to a full head',
    'BM', 'BM' + ' ' * 40, 'FUJIFILM camera on a table', 'GIF8 is no name',
    '8BPS of data', 'IIRO is a letter', '%PDF is a format', '\xff\nof a poem'])
def test_captions_are_no_pictures(text):
  for encoding in ('latin1', 'utf-8'):
    found = image_formats.of(text.encode(encoding))
    assert not found.is_picture and found.description == 'another kind of file'


@pytest.mark.parametrize('name,content', [
    *[('BMP', bad_images.encoded('BMP', mode, size=size))
      for mode in ('RGB', 'L', 'P', '1', 'RGBA') for size in ((1, 1), (30, 2))],
    ('BMP', b'BM\x1a' + bytes(7) + b'\x1a\0\0\0\x0c' + bytes(7)),
    ('ICO', bad_images.encoded('ICO', size=(16, 16))),
    ('GIF', bad_images.encoded('GIF', 'P')),
    ('TIFF or a raw photo', bad_images.encoded('TIFF')),
    ('TIFF or a raw photo', b'FUJIFILMCCD-RAW 0201FF'),
    ('TIFF or a raw photo', b'IIRO\x08\0\0\0'),
    ('JPEG 2000', bad_images.encoded('JPEG2000')),
    ('PSD', b'8BPS\0\1' + bytes(6)),
    ('JPEG XL', bytes.fromhex('ff0afa1f019128080400070040'))])
def test_pictures_that_are_not_read_are_known(name, content):
  found = image_formats.of(content)
  assert (found.name, found.is_picture, found.is_read) == (name, True, False)


@pytest.mark.parametrize('content,what', [
    (b'GIF89a', 'GIF: convert to'), (b'', '0 bytes'),
    (b'\0\0\0\x1cftypheic', 'HEIC: convert to'),
    (b'\0\0\0\x1cftypavif', 'AVIF: convert to'), (b'II*\0', 'TIFF'),
    (b'\n<!DOCTYPE html>', 'a web page: download'),
    (b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
    (b'notes', 'another kind of file'),
    (b'\x89PNG\r\n\x1a\nxxxxxxxxxxxxx', 'a damaged PNG')])
def test_other_files_are_called_by_what_they_are(content, what):
  with pytest.raises(ValueError, match=f'cannot be read as.*{what}'):
    images.decode(content)
