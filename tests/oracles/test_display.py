"""Image files that people see: endings by which a browser knows the format."""

import io

from PIL import Image
import pytest

from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_formats
from mmal_jax.data.images import preprocess
from mmal_jax.oracles.people import display


def _picture(kind):
  file = io.BytesIO()
  Image.new('RGB', (5, 4), (200, 10, 30)).save(file, kind)
  return file.getvalue()


_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize('name,content,ending', [
    *[(f'x{ending}', 'JPEG', ending) for ending in image_formats.ENDINGS],
    ('x.JPG', 'JPEG', '.JPG'), ('x.PnG', 'PNG', '.PnG'),
    ('x.jpg', 'PNG', '.jpg'),  # as browsers go by the content, too
    ('x', 'PNG', '.png'), ('x', 'WEBP', '.webp'), ('x.dat', 'JPEG', '.jpeg'),
    ('x.png.bak', 'PNG', '.png'), ('x.jpg?w=9', 'JPEG', '.jpeg'),
    ('x.tiff', 'PNG', '.png'), ('http_x.org', 'WEBP', '.webp'),
    # What is no image that is read keeps its ending, whatever it holds.
    ('x.gif', 'GIF', '.gif'), ('x.GIF', 'GIF', '.GIF'),
    ('x.bmp', 'BMP', '.bmp'),
    ('x.tif', 'TIFF', '.tif'), ('x.svg', _SVG, '.svg'), ('x', _SVG, ''),
    ('x.ico', 'ICO', '.ico'), ('x.html', b'<!DOCTYPE html>', '.html'),
    ('x.pdf', b'%PDF-1.7', '.pdf'), ('x.raw', b'', '.raw'), ('x', b'?', '')])
@pytest.mark.parametrize('how', ['copied', 'linked', 'encoded'])
def test_a_file_keeps_the_ending_of_a_picture(
    tmp_path, name, content, ending, how):
  content = content if isinstance(content, bytes) else _picture(content)
  (tmp_path / 'images').mkdir()
  source = image_files.Encoded(name, content)
  if how != 'encoded':
    source = tmp_path / name
    source.write_bytes(content)
  items = image_files.ImageFiles([source], preprocess.Preprocess(4, 4))
  found = display.put(items, 0, 'image-0', tmp_path, how == 'linked')
  assert found == {'file': f'images/image-0{ending}'}
  file = tmp_path / found['file']
  assert file.is_symlink() == (how == 'linked')
  assert file.read_bytes() == content
