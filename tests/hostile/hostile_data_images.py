"""Bad images: see `tests.hostile.hostile`."""

import os
import pathlib

from PIL import Image

from mmal_jax.data import paired_folder
from mmal_jax.data import unpaired_folder
from mmal_jax.data.images import class_folder
from mmal_jax.data.images import images
from mmal_jax.data.images import preprocess
from tests.hostile import hostile
from tests.support import bad_images


def _file(content: bytes, name: str = 'x.png'):
  """Reads it as an image."""
  def read(folder: pathlib.Path):
    path = folder / name
    path.write_bytes(content)
    pixels = images.decode(path, 4)
    return f'{pixels.dtype} of shape {pixels.shape}'
  return read


def _made(make):
  """Reads what is made only now, as it takes a while."""
  return lambda folder: _file(make())(folder)


def _pairs(make):
  """Reads a folder of which `make` makes the image."""
  def read(folder: pathlib.Path):
    inside = folder / 'data'
    inside.mkdir()
    make(inside / 'x.png')
    (inside / 'pairs.jsonl').write_text('{"image": "x.png", "text": "a"}\n')
    return paired_folder.load(inside)
  return read


def _sparse(path: pathlib.Path) -> None:
  with path.open('wb') as file:
    file.write(bad_images.encoded())
    file.truncate(2**40)


def _loop(path: pathlib.Path) -> None:
  path.symlink_to(path)


def _link_out(path: pathlib.Path) -> None:
  outside = path.parent.parent / 'secret.png'
  outside.write_bytes(bad_images.encoded())
  path.symlink_to(outside)


def _classes(make):
  """Reads two classes; `make` adds to the folder."""
  def read(folder: pathlib.Path):
    inside = folder / 'data'
    for i, name in enumerate('ab'):
      (inside / name).mkdir(parents=True)
      (inside / name / 'x.png').write_bytes(bad_images.noise(i))
    make(inside)
    found = class_folder.load_labelled(inside)
    return f'{len(found)} images of {found.classes}'
  return read


def _class_elsewhere(folder: pathlib.Path) -> None:
  (folder / 'c').symlink_to(folder.parent)


def _deep(folder: pathlib.Path):
  """More folders in one another than Python calls functions."""
  made = [folder / 'data' / 'a']
  for _ in range(1100):
    made.append(made[-1] / 'd')

  def make(_):
    for inside in made[1:]:
      inside.mkdir()
    (made[-1] / 'y.png').write_bytes(bad_images.noise(7))

  try:
    return _classes(make)(folder)
  finally:
    (made[-1] / 'y.png').unlink()
    for inside in made[:0:-1]:  # What clears up after tests goes no deeper.
      inside.rmdir()


def _loose(name: bytes, content: bytes):
  def read(folder: pathlib.Path):
    for inside in ('images', 'test'):
      (folder / inside).mkdir()
    (folder / 'images' / os.fsdecode(name)).write_bytes(content)
    (folder / 'test' / 'y.png').write_bytes(bad_images.noise(3))
    (folder / 'test' / 'pairs.jsonl').write_text(
        '{"image": "y.png", "text": "a"}\n')
    (folder / 'texts.txt').write_text('b\n')
    return unpaired_folder.load(folder / 'images', folder / 'texts.txt',
                                folder / 'test' / 'pairs.jsonl').name
  return read


def _wide(folder: pathlib.Path):
  del folder
  return preprocess.Preprocess(4, 10**9)


_GOOD = bad_images.encoded()
_JPEG = bad_images.encoded('JPEG')
_GIF = bad_images.encoded('GIF', 'P')
_MOVING = bad_images.encoded('PNG', save_all=True, append_images=[
    Image.new('RGB', (8, 8), 'red')] * 3)

CASES = [
    hostile.Case('images', *case) for case in (
        ('says 100000 x 100000 pixels', _file(bad_images.png(10**5, 10**5)),
         'decompression bomb'),
        ('8200 x 8200 pixels in 0.1 MB', _made(bad_images.bomb),
         '8200 x 8200 pixels are more than 67108864'),
        ('as wide and as high as nothing', _file(bad_images.png(0, 0)),
         'cannot be read as PNG/JPEG/WEBP'),
        ('one pixel wide, 60000 high',
         _file(bad_images.png(1, 60000, b'\0\0' * 60000)),
         'one side is more than 1000 times the other'),
        ('inflates to more than its pixels',
         _file(bad_images.png(8, 8, bytes(10**7))), None),
        ('a comment that inflates to 100 MB', _made(lambda: bad_images.png(
            8, 8, bytes(72), bad_images.chunk(
                b'zTXt', b'x\0\0' + bad_images.zlib.compress(bytes(10**8))))),
         None),
        ('two thousand blocks of EXIF in 2 MB that inflate to 2 GB',
         _made(lambda: bad_images.png(8, 8, bytes(72), bad_images.chunk(
             b'zTXt', b'exif\0\0' + bad_images.zlib.compress(
                 bytes(2**20), 9)) * 2000)), None),
        ('no bytes', _file(b''), 'is empty'),
        ('JPEG, cut in half', _file(_JPEG[:len(_JPEG) * 2 // 3], 'x.jpg'),
         'cannot be read as PNG/JPEG/WEBP'),
        ('PNG, a bit of its pixels turned', _file(
            _GOOD.replace(b'IDATx', b'IDATy')), 'cannot be read as'),
        ('WebP, cut', _file(bad_images.encoded('WEBP')[:-9], 'x.webp'),
         'cannot be read as'),
        ('a GIF that is called PNG', _file(_GIF), 'it is none of these'),
        ('a JPEG that is called PNG', _file(_JPEG), None),
        ('a tar that is called PNG', _file(bytes(2000)), 'none of these'),
        ('PNG that moves: its first picture', _file(_MOVING), None),
        ('CMYK', _file(bad_images.encoded('JPEG', 'CMYK')), None),
        ('palette', _file(bad_images.encoded('PNG', 'P')), None),
        ('16 bit', _file(bad_images.encoded('PNG', 'I;16')), None),
        ('half transparent', _file(bad_images.encoded('PNG', 'LA')), None),
        ('EXIF: turned in a way that there is not',
         _file(bad_images.turned(77)), None),
        ('EXIF: turned, other fields of wrong types', _file(
            bad_images.turned(6).replace(b'\x01\x12\x00\x03',
                                         b'\x01\x12\x00\x0b')), None),
        ('EXIF: nonsense', _file(bad_images.encoded(
            'JPEG', exif=b'Exif\0\0nonsense')), None),
    )
] + [
    hostile.Case('paired_folder', *case) for case in (
        ('an image of a terabyte', _pairs(_sparse),
         'at most 536870912 are read'),
        ('a pipe in place of an image', _pairs(os.mkfifo), 'is no file'),
        ('a folder in place of an image', _pairs(os.mkdir), 'is no file'),
        ('an image that links to itself', _pairs(_loop), 'cannot be found'),
        ('an image that links elsewhere', _pairs(_link_out),
         "image 'x.png' lies outside the folder"),
    )
] + [
    hostile.Case('class_folder', *case) for case in (
        ('a class that links elsewhere', _classes(_class_elsewhere),
         "folder 'c' lies outside the folder"),
        ('folders a thousand deep', _deep, None),
        ('a pipe among the images', _classes(
            lambda folder: os.mkfifo(folder / 'a' / 'z.png')),
         "image 'a/z.png' is no file"),
    )
] + [
    hostile.Case('unpaired_folder', 'a name that is no UTF-8',
                 _loose(b'\xff.png', _GOOD), None),
    hostile.Case('unpaired_folder', 'a name that clears the screen',
                 _loose(b'\x1b[2J.png', b''), r'\x1b[2J.png: image'),
    hostile.Case('preprocess', 'images of a billion pixels a side',
                 _wide, 'at most 4096 pixels'),
]
