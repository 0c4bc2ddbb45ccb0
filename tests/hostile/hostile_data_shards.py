"""Bad tar shards: see `tests.hostile.hostile`."""

import gzip
import os
import pathlib
import tarfile

from mmal_jax.data import webdataset
from mmal_jax.data.images import image_files
from tests.hostile import hostile
from tests.support import bad_images


def member(name: str, content: bytes = b'', **fields: object) -> bytes:
  """A header and what follows it."""
  info = tarfile.TarInfo(name)
  info.size = len(content)
  for field, value in fields.items():
    setattr(info, field, value)
  return info.tobuf(tarfile.GNU_FORMAT) + padded(content)


def padded(content: bytes) -> bytes:
  return content + bytes(-len(content) % 512)


def pair(i: int = 0) -> bytes:
  return (member(f'{i}.png', bad_images.noise(i))
          + member(f'{i}.txt', b'text %d' % i))


def long_names() -> bytes:
  """Two pairs whose names take headers of both kinds."""
  name = 'd/' * 60
  record = b'path=' + name.encode() + b'1.%s\n'
  return (member(name + '0.png', bad_images.noise(0))
          + member(name + '0.txt', b'text 0')
          + _pax(b'133 ' + record % b'png') + member('x', bad_images.noise(1))
          + _pax(b'133 ' + record % b'txt') + member('y', b'text 1'))


END = bytes(1024)
GOOD = pair(0) + pair(1)


def _sized(name: str, size: int) -> bytes:
  """A member that says any size, in tar's way for large ones, and has none."""
  header = bytearray(member(name)[:512])
  header[124:136] = b'\x80' + size.to_bytes(11, 'big') if size >= 0 else (
      b'\xff' + (256**11 + size).to_bytes(11, 'big'))
  return _summed(header)


def _summed(header: bytearray) -> bytes:
  header[148:156] = b' ' * 8
  header[148:156] = b'%06o\0 ' % sum(header)
  return bytes(header)


def _named(kind: bytes, size: int) -> bytes:
  """A header that says that a name of that many bytes follows."""
  header = bytearray(_sized('@LongLink', size))
  header[156:157] = kind
  return _summed(header)


def _pax(record: bytes) -> bytes:
  return member('pax', record, type=tarfile.XHDTYPE)


def _shard(content: bytes, name: str = 'a.tar'):
  def read(folder: pathlib.Path):
    path = folder / name
    path.write_bytes(content)
    found = webdataset.load(path, test_fraction=0.5)
    return f'{len(found.pool)} + {len(found.test)} pairs'
  return read


def _of_file(make):
  def read(folder: pathlib.Path):
    make(folder / 'a.tar')
    return webdataset.load(folder / 'a.tar')
  return read


def _sparse(path: pathlib.Path) -> None:
  """An image of a terabyte, which takes no room on the disk."""
  with path.open('wb') as file:
    file.write(_sized('x.png', 2**40))
    file.truncate(2**40 + 2048)


def _cut(folder: pathlib.Path):
  path = folder / 'a.tar'
  path.write_bytes(b'x')
  part = image_files.Part(path, 'x.png', 0, 2**50)
  return image_files.content(part)


def _long(path: pathlib.Path) -> None:
  with path.open('wb') as file:
    file.write(GOOD)
    file.truncate(2**40)


CASES = [
    hostile.Case('webdataset', *case) for case in (
        ('as it should be', _shard(GOOD + END), None),
        ('no bytes', _shard(b''), 'it is empty, as after a download'),
        ('gzip', _shard(gzip.compress(GOOD + END)), 'cannot be read as an unc'),
        ('a zip', _shard(b'PK\3\4' + bytes(2000)), 'cannot be read as an unc'),
        ('zeros alone', _shard(bytes(10240)), 'they hold no pairs'),
        ('no end', _shard(GOOD), 'it has no end: it was cut'),
        ('cut in a header', _shard(GOOD[:-700]), 'it has no end: it was cut'),
        ('a wrong checksum',
         _shard(pair() + pair(1).replace(b'1.png', b'2.png') + END),
         f'damaged from byte {len(pair())} on'),
        ('two archives in one file', _shard(GOOD + END + pair(2) + END),
         'it goes on after its end'),
        ('zeros after the end', _shard(GOOD + END * 100), None),
        ('a name up', _shard(GOOD + member('../x.png') + END),
         "'../x.png': its name leads out"),
        ('a name from the root', _shard(GOOD + member('/etc/x.png') + END),
         'its name leads out'),
        ('a name that clears the screen',
         _shard(GOOD + member('\x1b[2J.png', b'x') + END), r'\x1b[2J'),
        ('a name that is no UTF-8', _shard(
            GOOD + member('\udcff.png', bad_images.noise(5))
            + member('\udcff.txt', b'b') + END), None),
        ('no name', _shard(GOOD + member('', b'x') + END), None),
        ('a name of 4000 letters', _shard(
            GOOD + member('d/' * 2000 + '2.png', bad_images.noise(2))
            + member('d/' * 2000 + '2.txt', b'b') + END), None),
        ('a symbolic link', _shard(GOOD + member(
            'x.png', type=tarfile.SYMTYPE, linkname='/etc/passwd') + END),
         'it is no plain file'),
        ('a hard link', _shard(GOOD + member(
            'x.png', type=tarfile.LNKTYPE, linkname='0.png') + END),
         'it is no plain file'),
        ('a device', _shard(GOOD + member(
            'x.png', type=tarfile.CHRTYPE, devmajor=1, devminor=5) + END),
         'it is no plain file'),
        ('a member twice', _shard(GOOD + pair(1) + END), 'has another image'),
        ('an image without a text', _shard(
            GOOD + member('2.png', bad_images.noise(2)) + END),
         "'2' has no text"),
        ('a text without an image', _shard(GOOD + member('2.txt', b'x') + END),
         "'2' has no image"),
        ('a text that is no UTF-8', _shard(
            GOOD + member('2.png', bad_images.noise(2))
            + member('2.txt', b'\xe9') + END), "'2.txt': it is not UTF-8"),
        ('a text of two megabytes', _shard(
            GOOD + member('2.png', bad_images.noise(2))
            + member('2.txt', b'a' * 2**21) + END), 'are no caption'),
        ('a size of an exabyte', _shard(GOOD + _sized('x.png', 2**60) + END),
         'it has no end: it was cut'),
        ('a size beyond all files', _shard(GOOD + _sized('x.png', 2**87) + END),
         'it has no end: it was cut'),
        ('a size below zero', _shard(GOOD + _sized('x.png', -1024) + END),
         'its size is -1024'),
        ('a long name of a terabyte', _shard(
            GOOD + _named(tarfile.GNUTYPE_LONGNAME, 2**40) + END),
         'a header has 1099511627776 bytes; at most 8192 are read'),
        ('a long name of less than nothing', _shard(
            GOOD + _named(tarfile.GNUTYPE_LONGNAME, -1536) + END),
         'a header has -1536 bytes'),
        ('pax fields of a terabyte', _shard(
            GOOD + _named(tarfile.XHDTYPE, 2**40) + END), 'at most 8192'),
        ('pax fields of a megabyte', _shard(
            GOOD + _pax(b'9' * 2**20) + pair(2) + END), 'at most 8192'),
        ('pax: a record of no length', _shard(
            GOOD + _pax(b'0 path=x\n') + pair(2) + END), 'damaged from byte'),
        ('pax: another size', _shard(
            GOOD + _pax(b'22 size=9999999999999\n') + pair(2) + END),
         'it has no end: it was cut'),
        ('pax: a name up', _shard(
            GOOD + _pax(b'17 path=../x.png\n') + pair(2) + END),
         'its name leads out'),
        ('pax headers, one for the other, 2000 times', _shard(
            GOOD + _pax(b'') * 2000 + pair(2) + END), 'nested too deep'),
        ('pax: holes without an end', _shard(
            GOOD + _pax(b'22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n')
            + member('x.png', b'99999\n0\n') + END), 'cannot be read as'),
        ('holes in an image', _shard(GOOD + member(
            'x.png', type=tarfile.GNUTYPE_SPARSE) + END), 'no plain file'),
        ('a pipe', _of_file(os.mkfifo), 'it is no regular file'),
        ('a folder', _of_file(os.mkdir), 'it is no regular file'),
        ('an image of a terabyte', _of_file(_sparse),
         'more than an image of 536870912'),
        ('a terabyte of zeros after the end', _of_file(_long),
         'at most 1048576 of zeros may'),
        ('an image that says that it is a bomb', _shard(
            GOOD + member('2.png', bad_images.png(60000, 60000))
            + member('2.txt', b'b') + END), "image '2.png' cannot be read"),
        ('a pickle beside the image', _shard(
            GOOD + member('0.pkl', b'cos\nsystem\n') + END), None),
        ('JSON that is none, which is not read', _shard(
            GOOD + member('0.json', b'[' * 10**5) + END), None),
        ('a pattern that finds no file', lambda folder: webdataset.load(
            str(folder / '*.tar')), 'finds no file'),
        ('a pattern with a NUL', lambda folder: webdataset.load(
            str(folder / 'a\0.tar')), 'finds no file'),
    )
] + [
    hostile.Case('image_files', 'a part that is longer than its file', _cut,
                 'has been cut'),
]
