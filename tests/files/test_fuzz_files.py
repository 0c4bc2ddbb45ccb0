"""Damaged files of every kind: they are read, or refused in words.

Each reader gets files that were valid, with bytes changed, and JSON with a
value of any kind in place of one of its own.
"""

from collections.abc import Callable
import json
import pathlib
import shutil
import sys
from typing import Any, NamedTuple

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from mmal_jax.analysis import records
from mmal_jax.checkpoint import newest
from mmal_jax.data.images import preprocess
from mmal_jax.data.tokenizers import pretrained_tokenizer
from mmal_jax.experiment import check
from mmal_jax.models.pretrained import big_vision
from mmal_jax.models.pretrained import huggingface
from mmal_jax.oracles import journal
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files as people_lib
from mmal_jax.oracles.people import inbox
from mmal_jax.oracles.people import status
from mmal_jax.workdir import layout
from mmal_jax.workdir import saved_config
from tests.support import people
from tests.support import small_files
from tests.support import small_runs

# Paths that were opened, while they are recorded.
_opened: list[str] | None = None
_TEXTS = ['ab abc a', 'Ünï\u0301 <unk></s>', '']


class Reader(NamedTuple):
  """Something that reads a file of others.

  Attributes:
    make: a folder in which all is right.
    file: of the folder, to be damaged.
    read: what is in the folder.
    errors: that may be raised; their text must name the file or its folder.
  """

  make: Callable[[pathlib.Path], Any]
  file: str
  read: Callable[[pathlib.Path], Any]
  errors: tuple[type[Exception], ...] = (ValueError,)


def _tokenize(folder):
  made = pretrained_tokenizer.load(folder, 6)
  if made.vocab_size < 1000:
    tokens = made(_TEXTS)
    assert tokens.shape == (3, 6)
    assert 0 <= tokens.min() <= tokens.max() < made.vocab_size


def _answer(folder):
  oracle = people_lib.files(folder, people.shown())
  for suggest in (people.suggest, None):  # Once as it was, then from `answers`.
    try:
      answers = people.asks(oracle, [0, 1], suggest=suggest)
    except oracle_lib.Waiting:
      return
    assert all(own in (number, oracle_lib.NONE)
               for number, own in enumerate(answers[:, 0].tolist()))
    assert (answers >= -1).all() and (answers < people.N).all()


def _look(folder):
  try:
    inbox.look(folder, ['image-1'], 1.0, status.Rules())
  except oracle_lib.Waiting:
    pass


def _journal(folder):
  made = journal.Journal(
      folder / 'a.journal', small_runs.silent, small_runs.MODALITIES)
  for at in range(3):
    made.begin(at)
    answers = made('image', np.array([0, 1], np.int32))
    assert answers.shape == (2, 2) and answers.dtype == np.int32


def _resume(folder):
  layout.resume(folder, small_runs.CONFIG)


def _config(folder):
  try:
    check.check(saved_config.get_config(folder / 'config.json'))
  except ValueError as e:
    # Values are refused by their keys, as those of flags are.
    if folder.name not in str(e):
      raise ValueError(f'{folder}: {e}') from e
    raise


def _keep(folder):
  layout.keep_until(folder, small_runs.RUN, 1)


def _records(folder):
  found = records.read([folder])
  records.curves(found, 'annotations')
  records.shares(found)


def _newest(folder):
  newest.Checkpoints(folder).newest(small_runs.TREE)


READERS = {
    'safetensors': Reader(
        small_files.siglip, 'model.safetensors', huggingface.load),
    'config': Reader(small_files.siglip, 'config.json', huggingface.load,
                     (ValueError, FileNotFoundError)),
    'index': Reader(
        small_files.sharded_siglip, 'model.safetensors.index.json',
        huggingface.load, (ValueError, FileNotFoundError)),
    'big_vision': Reader(
        lambda folder: small_files.big_vision_file(folder / 'a.npz'), 'a.npz',
        lambda folder: big_vision.load(folder / 'a.npz')),
    'images': Reader(small_files.images, 'preprocessor_config.json',
                     preprocess.load),
    **{f'{kind} {file}': Reader(
        make, file, _tokenize, (ValueError, FileNotFoundError))
       for kind, make, files in (
           ('siglip', small_files.siglip_tokenizer,
            ('spiece.model', 'tokenizer_config.json', 'config.json')),
           ('gemma', small_files.gemma_tokenizer,
            ('tokenizer.model', 'tokenizer_config.json')),
           ('clip', small_files.clip_tokenizer,
            ('vocab.json', 'merges.txt', 'special_tokens_map.json',
             'added_tokens.json')),
           ('plain', small_files.plain_tokenizer,
            ('tokenizer.json', 'tokenizer_config.json')))
       for file in files},
    **{f'people {file}': Reader(small_runs.answered, file, _answer)
       for file in ('answers/a.jsonl', 'answers/b.json', 'ledger.jsonl',
                    'pools.json', 'round_001/queries.jsonl')},
    **{f'people {file}': Reader(small_runs.tabled, file, _answer)
       for file in ('answers/c.csv', 'annotators.jsonl')},
    'people who are waited for': Reader(
        small_runs.answered, 'pools.json', _look),
    'journal': Reader(small_runs.journal, 'a.journal', _journal),
    'saved config': Reader(small_runs.config, 'config.json', _config),
    'resume config': Reader(small_runs.workdir, 'config.json', _resume),
    'resume metrics': Reader(small_runs.workdir, 'metrics.jsonl', _keep),
    'resume queries': Reader(small_runs.workdir, 'queries.jsonl', _keep),
    'report config': Reader(small_runs.workdir, 'config.json', _records),
    'report metrics': Reader(small_runs.workdir, 'metrics.jsonl', _records),
    'report queries': Reader(small_runs.workdir, 'queries.jsonl', _records),
    'report plan': Reader(small_runs.sweep, 'sweep.json', _records),
    'seal': Reader(small_runs.states, '1.sha256.json', _newest),
}

_ODD = [float('nan'), float('inf'), -1, 0, 1, 2**31, 2**63, 10**400, -10**20,
        1e308, 0.5, True, False, None, '', '\ud800', '../../x', '/etc/passwd',
        '9' * 5000, '٣', 'x' * 2000, '\0', [], {}, [[]], [None], [True],
        {'': 0}]
_JSON = st.recursive(
    st.sampled_from(_ODD) | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=5), inner, max_size=3), max_leaves=5)
# Python's own limit is 1000 at most; it is nearer where calls are deep.
_DEEP = [101, 900, 985, 100_000]
_NOT_JSON = ('.csv', '.npz', '.model', '.txt')


@st.composite
def damaged(draw, content: bytes) -> bytes:
  """Bytes changed, cut out, put in, or moved."""
  for _ in range(draw(st.integers(1, 4))):
    at = draw(st.integers(0, len(content)))
    end = min(len(content), at + draw(st.integers(0, 40)))
    before, there, after = content[:at], content[at:end], content[end:]
    what = draw(st.integers(0, 4))
    if what == 0:
      content = before + after
    elif what == 1:
      content = before + draw(st.binary(max_size=10)) + there + after
    elif what == 2:
      content = before + there + there + after
    elif what == 3:
      content = before
    else:
      content = before + bytes(
          b ^ draw(st.integers(0, 255)) for b in there[:2]) + there[2:] + after
  return content


@st.composite
def with_another_value(draw, content: bytes) -> bytes:
  """One of the values in a line of JSON replaced, removed or added."""
  if content[8:9] == b'{':  # safetensors': a length, JSON, and numbers
    end = 8 + int.from_bytes(content[:8], 'little')
    header = draw(with_another_value(content[8:end]))
    return len(header).to_bytes(8, 'little') + header + content[end:]
  text = content.decode()
  lines = [text] if _is_json(text) else text.splitlines()
  number = draw(st.integers(0, len(lines) - 1))
  prefix = lines[number][:9] if small_runs.is_sealed(lines[number][:9]) else ''
  changed = draw(_changed(json.loads(lines[number][len(prefix):])))
  if prefix:
    prefix = small_runs.seal(changed)
  lines[number] = prefix + changed
  return '\n'.join(lines).encode('utf-8', 'surrogatepass')


@st.composite
def _changed(draw, value: Any) -> str:
  """JSON of a value that has been changed in one place."""
  root = [value]
  holder, place = root, 0
  while isinstance(holder[place], (dict, list)) and holder[place] and draw(
      st.integers(0, 4)):
    holder = holder[place]
    place = draw(st.sampled_from(
        sorted(holder) if isinstance(holder, dict) else range(len(holder))))
  what = draw(st.sampled_from(['replace', 'replace', 'remove', 'add', 'deep']))
  deep = draw(st.sampled_from(_DEEP))
  if what == 'remove' and holder is not root:
    del holder[place]
  elif what == 'add' and isinstance(holder, dict):
    holder[draw(st.text(max_size=5))] = draw(_JSON)
  else:
    holder[place] = 'DEEP' if what == 'deep' else draw(_JSON)
  return json.dumps(root[0]).replace('"DEEP"', '[' * deep + ']' * deep)


def _is_json(text: str) -> bool:
  try:
    json.loads(text)
  except ValueError:
    return False
  return True


def _watch(event, arguments):
  if event == 'open' and _opened is not None and isinstance(arguments[0], str):
    _opened.append(arguments[0])


def read_damaged(reader: Reader, good: pathlib.Path, content: bytes) -> None:
  """Reads a copy of a folder with another content of its file.

  Raises:
    AssertionError: if it opens a file elsewhere, or refuses in other words.
    Exception: that it must not raise.
  """
  global _opened
  folder = good.with_name('damaged')
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(good, folder)
  (folder / reader.file).write_bytes(content)
  _opened = []
  try:
    reader.read(folder)
  except reader.errors as e:
    assert type(e) in reader.errors, repr(e)  # A UnicodeError is one, too.
    text = str(e)
    name = pathlib.Path(reader.file).name
    assert str(folder) in text or name in text, text
    assert len(text) < 5000, text
  finally:
    opened, _opened = _opened, None
  # Python's own files are read by what is imported late.
  ours = (str(folder), sys.prefix, sys.base_prefix,
          str(pathlib.Path(small_files.__file__).parents[2]))
  assert all(path.startswith(ours) for path in opened), opened


def _fuzz(name, damage, folder, examples):
  reader, good = READERS[name], folder / 'good'
  good.mkdir()
  reader.make(good)
  content = (good / reader.file).read_bytes()

  @hypothesis.settings(deadline=None, max_examples=examples, database=None)
  @hypothesis.given(content=damage(content))
  def check_one(content):
    read_damaged(reader, good, content)

  check_one()


sys.addaudithook(_watch)
_ALL = [
    pytest.param(name, damage, id=f'{name} {damage.__name__}')
    for name, reader in READERS.items()
    for damage in (damaged, with_another_value)
    if damage is damaged or not reader.file.endswith(_NOT_JSON)]


@pytest.mark.parametrize('name,damage', _ALL)
def test_it_reads_or_refuses(name, damage, tmp_path):
  _fuzz(name, damage, tmp_path, 15)


@pytest.mark.slow
@pytest.mark.parametrize('name,damage', _ALL)
def test_it_reads_or_refuses_whatever_comes(name, damage, tmp_path):
  _fuzz(name, damage, tmp_path, 1000)
