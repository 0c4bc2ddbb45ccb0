"""The emoji that come with the package: data, making, features, a run."""

import configparser
import io
import json
import pathlib
import shutil
import sys
import tarfile
from unittest import mock

from absl import flags
from absl.testing import flagsaver
from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from experiments import make_emoji
from experiments.configs import emoji as config_lib
from mmal_jax.data import emoji
from mmal_jax.data import encode
from mmal_jax.data import registry as datasets
from mmal_jax.data import schema
from mmal_jax.experiment import build
from mmal_jax.experiment import check
from mmal_jax.experiment import gallery
from mmal_jax.experiment import report
from mmal_jax.experiment import run as run_lib
from mmal_jax.models import hog
from mmal_jax.models import registry as models

_ROOT = pathlib.Path(__file__).parents[2]
_MOST_BYTES = 3 << 20


def test_they_are_what_their_description_says():
  table, drawings = emoji.read()
  assert tuple(drawings) == emoji.STYLES and len(table) == 1906
  assert len({row.name for row in table}) == len(table)
  assert len({row.unicode for row in table}) == len(table)
  assert table[0] == ('grinning', '1F600', 'Smileys & Emotion')
  for pixels in drawings.values():
    assert pixels.shape == (1906, 48, 48, 3) and pixels.dtype == np.uint8
    assert (pixels < 255).any(axis=(1, 2, 3)).all()  # None is left white.
  files = list(emoji.FOLDER.iterdir())
  assert sum(path.stat().st_size for path in files) <= _MOST_BYTES
  made_of = json.loads((emoji.FOLDER / 'emoji.json').read_text())
  assert set(made_of['sha256']) | {'emoji.json', 'LICENSES.txt'} == {
      path.name for path in files}
  assert made_of['command'].startswith(f'python -m {make_emoji.__name__} ')
  # Whoever gets the drawings gets their sources and licences, too.
  licences = (emoji.FOLDER / 'LICENSES.txt').read_text()
  for part in ('Apache License, Version 2.0', 'CC BY 4.0', 'MIT License',
               *(f'{source["package"]} {source["version"]}'
                 for source in made_of['sources'].values())):
    assert part in licences


def test_they_are_part_of_the_package():
  parser = configparser.ConfigParser()
  parser.read(_ROOT / 'setup.cfg')
  patterns = parser['options.package_data']['mmal_jax'].split()
  for path in emoji.FOLDER.iterdir():
    assert f'{emoji.FOLDER.name}/*{path.suffix}' in patterns, path.name


def test_the_split_is_fixed_and_parts_no_two_equal_drawings():
  data, again = (datasets.DATASETS['emoji']() for _ in range(2))
  other = emoji.load(seed=1)
  assert len(data.pool) + len(data.test) == 1906
  assert len(data.test) == pytest.approx(0.2 * 1906, abs=20)
  for style in emoji.STYLES:
    np.testing.assert_array_equal(
        data.test.items[style], again.test.items[style])
    ids = schema.item_ids(np.concatenate(
        [data.pool.items[style], data.test.items[style]]))
    n = len(data.pool)
    assert not np.isin(ids[n:], ids[:n]).any()
  assert not np.array_equal(data.test.items['noto'][:300],
                            other.test.items['noto'][:300])


def test_damaged_files_are_refused(tmp_path):
  folder = tmp_path / 'emoji'
  shutil.copytree(emoji.FOLDER, folder)
  path = folder / 'noto.png'
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  with pytest.raises(ValueError, match='noto.png is damaged.*package again'):
    emoji.read(folder)
  path.unlink()
  with pytest.raises(ValueError, match='cannot be read: .*noto.png'):
    emoji.read(folder)
  (folder / 'emoji.json').write_text('{}')
  with pytest.raises(ValueError, match='emoji.json has no sha256'):
    emoji.read(folder)


def _png(colour) -> bytes:
  file = io.BytesIO()
  Image.new('RGBA', (64, 64), colour).save(file, 'PNG')
  return file.getvalue()


def _archive(path, vendor, entries):
  files = {'package.json': json.dumps({
      'name': f'emoji-datasource-{vendor}', 'version': '1.2.3'}).encode()}
  files |= {f'img/{vendor}/64/{entry["image"]}': _png((10 * i, 0, 200, 255))
            for i, entry in enumerate(entries)}
  files['emoji.json'] = json.dumps(entries).encode()
  with tarfile.open(path, 'w:gz') as archive:
    for name, content in files.items():
      about = tarfile.TarInfo(f'package/{name}')
      about.size = len(content)
      archive.addfile(about, io.BytesIO(content))
  return path


def _entry(i, google=True, twitter=True, category='Symbols'):
  return {'short_name': f'e{i}', 'unified': f'{i:04X}', 'category': category,
          'image': f'{i}.png', 'sort_order': 9 - i, 'has_img_google': google,
          'has_img_twitter': twitter}


def _make(arguments):
  argv = ['make_emoji', *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    others = ['--workdir=unused'] if 'workdir' in flags.FLAGS else []
    flags.FLAGS.unparse_flags()
    make_emoji.main(flags.FLAGS([*argv, *others])[:1])


def test_the_program_makes_them(tmp_path, capsys):
  entries = [_entry(0), _entry(1, google=False), _entry(2, twitter=False),
             _entry(3, category='Component'), _entry(4)]
  google, twitter = (_archive(tmp_path / f'{vendor}.tgz', vendor, entries)
                     for vendor in ('google', 'twitter'))
  contents = []
  for folder in (tmp_path / 'a', tmp_path / 'b'):
    folder.mkdir()
    _make([f'--google={google}', f'--twitter={twitter}', f'--out={folder}'])
    contents.append({path.name: path.read_bytes() for path in folder.iterdir()
                     if path.name != 'emoji.json'})
  assert contents[0] == contents[1] and '2 emoji' in capsys.readouterr().out
  table, drawings = emoji.read(tmp_path / 'a')
  assert [row.name for row in table] == ['e4', 'e0']
  assert drawings['noto'].shape == (2, 48, 48, 3)
  np.testing.assert_array_equal(drawings['noto'][:, 20, 20],
                                [[40, 0, 200], [0, 0, 200]])
  with pytest.raises(SystemExit, match='--twitter is needed'):
    _make([f'--google={google}'])
  with pytest.raises(SystemExit, match="it holds 'emoji-datasource-twitter'"):
    _make([f'--google={twitter}', f'--twitter={twitter}'])
  fewer = _archive(tmp_path / 'fewer.tgz', 'twitter', entries[:2])
  with pytest.raises(SystemExit, match='hold different tables'):
    _make([f'--google={google}', f'--twitter={fewer}', f'--out={tmp_path}'])


def _reference(image, cells, bins):
  """`hog.Hog` of one image, pixel by pixel, in float64."""
  ink = 1 - image / 255
  dy, dx = np.gradient(ink.mean(-1))
  high, wide = np.array(ink.shape[:2]) // cells
  colours, votes = np.zeros((cells, cells, 3)), np.zeros((cells, cells, bins))
  for y, x in np.ndindex(*ink.shape[:2]):
    cell = y // high, x // wide
    colours[cell] += ink[y, x] / (high * wide)
    turn = np.arctan2(dy[y, x], dx[y, x]) / np.pi % 1 * bins
    low, share = int(turn) % bins, turn - int(turn)
    size = np.hypot(dy[y, x], dx[y, x]) / (high * wide)
    votes[cell][low] += (1 - share) * size
    votes[cell][(low + 1) % bins] += share * size
  halves = colours.ravel(), np.sqrt(votes.ravel())
  return np.concatenate([half / max(np.linalg.norm(half), 1e-6)
                         for half in halves])


@pytest.mark.parametrize('cells,bins', [(2, 9), (4, 5), (1, 1)])
def test_features_are_those_of_the_reference(cells, bins):
  rng = np.random.default_rng(cells)
  images = rng.integers(256, size=(5, 8, 12, 3)).astype(np.uint8)
  images[0], images[1] = 255, 7  # White all over; and of one colour.
  found = hog.Hog(cells, bins)(jnp.asarray(images))
  expected = [_reference(image, cells, bins) for image in images]
  # Squared: a root near 0 makes much of float32's rounding.
  np.testing.assert_allclose(
      np.square(found), np.square(expected), atol=2e-6)


def test_what_features_are_not_for_is_refused():
  def of(shape, **config):
    models.MODELS['hog']({'noto': jax.ShapeDtypeStruct(shape, jnp.uint8)}, 0,
                         rngs=nnx.Rngs(0), **config)

  with pytest.raises(ValueError, match='model=hog needs pixels'):
    of((48, ))
  with pytest.raises(ValueError, match='model.cells=7 must divide.*48x48'):
    of((48, 48, 3), cells=7)
  with pytest.raises(ValueError, match='model.bins=0 must be at least 1'):
    of((48, 48, 3), bins=0)
  config = config_lib.get_config()
  config.train.learner = 'gradient'
  with pytest.raises(ValueError, match="model.name='hog' has nothing to train"):
    check.check(config)


@pytest.mark.long
@pytest.mark.usefixtures('quick_compilation')
def test_a_small_run_and_its_report_show_the_drawings(tmp_path, monkeypatch):
  table, drawings = emoji.read()
  few = {style: pixels[::20] for style, pixels in drawings.items()}
  monkeypatch.setattr(emoji, 'read', lambda: (table[::20], few))
  config = config_lib.get_config()
  config.model.cells, config.model.bins = 4, 3
  config.seeds, config.rounds, config.batch = (0, ), 2, 12
  config.strategies = ('random', 'mmal_plus')
  check.check(config)
  experiment = build.build(config, str(tmp_path))
  assert not experiment.learner.has_prior
  assert all(map(encode.is_features, experiment.data.pool.items.values()))
  run_lib.run(config, tmp_path / 'run', str(tmp_path / 'cache'))
  with mock.patch.object(
      gallery, '_show', side_effect=gallery._show) as show:
    report.write([tmp_path / 'run'], tmp_path / 'out', str(tmp_path / 'cache'))
  assert (tmp_path / 'out' / 'asked.png').read_bytes().startswith(b'\x89PNG')
  page = (tmp_path / 'out' / 'report.html').read_text('utf-8')
  assert page.count('of what the frozen towers make of the items') == 2
  assert page.count('<img class="picture') >= 2 * 12 * 2
  # What is drawn are the drawings, and both of a pair are of one emoji.
  pictures = [shown.picture(style, number)
              for _, shown, style, number, _ in (
                  call.args for call in show.call_args_list)]
  assert len(pictures) == 2 * 12 * 2

  def rows(style, part):
    return {few[style][i].tobytes(): i for i in range(len(few[style]))}[
        part.tobytes()]

  for noto, twemoji in zip(pictures[::2], pictures[1::2]):
    i = rows('noto', noto)
    np.testing.assert_array_equal(few['twemoji'][i], twemoji)
  config.model.shared = True
  assert build.build(config, str(tmp_path)).learner.has_prior
