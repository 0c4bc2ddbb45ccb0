"""Kinds of input that people have, and what becomes of each: beside the table.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Kind(NamedTuple):
  """Inputs that one mechanism takes, or refuses in words.

  Attributes:
    inputs: what they are.
    happens: with them.
    tests: files in which they are tried.
  """

  inputs: str
  happens: str
  tests: Sequence[str]


KINDS = (
    Kind('A checkpoint without preprocessor_config.json, tokenizer_config.json '
         'or fields of them',
         'Its family\'s own defaults, said in a warning and equal to those of '
         'transformers; where they are not known (SigLIP 2), refused, naming '
         'the file.', ['test_checkpoint_defaults']),
    Kind('One person in exports of other forms: by id, by e-mail, in upper '
         'case, with spaces',
         'One vote. Where two forms cannot be joined, refused.',
         ['test_annotator_identity']),
    Kind('Data, a checkpoint, states or a folder of people that have moved',
         'Known by content: --resume, sweeps and reports go on; other content '
         'is refused, or is another setting of a report.', ['test_identity']),
    Kind('A path with ~ or $VARIABLE, relative, empty, in a bucket, of no user',
         'Made absolute in one place, for flags and values of configs; or '
         'refused, naming it.', ['test_paths']),
    Kind('Metadata of an image that are damaged, nonsense or far too large; '
         'transparency of 1 to 16 bits',
         'The picture is read, upright where the metadata say how, on white.',
         ['test_image_metadata', 'test_image_transparency']),
    Kind('Files of a folder of images that are no images, hidden, linked, or '
         'named otherwise',
         'The same images for every program and loader; what is left out is '
         'counted and named with the reason.', ['test_image_listing']),
    Kind('Text files with another encoding, byte order marks, or lines that '
         'end in other ways',
         'Read alike by every program, or refused, naming file, line and '
         'remedy.', ['test_text_files']),
    Kind('Many images, some unreadable; one removed, added or replaced later',
         'All unreadable ones are named before the work starts; finished rows '
         'are kept by content.', ['test_embed_rows']),
    Kind('Files that are no such files: Git LFS pointers, web pages, empty or '
         'cut-off downloads; exports without results; names with full stops; '
         'misspelt flags and values',
         'Named in plain words, with file, item and remedy; the rest is '
         'taken.', ['test_downloads', 'test_answers_folder',
                    'test_webdataset_names', 'test_config_file']),
)


def table() -> str:
  """All kinds as a table of Markdown."""
  return '\n'.join([
      '| kind | what happens | tests |', '|---|---|---|',
      *(f'| {kind.inputs} | {kind.happens} | '
        f'{", ".join(f"tests/{name}.py" for name in kind.tests)} |'
        for kind in KINDS)])
