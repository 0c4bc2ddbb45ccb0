"""Images and texts of two pools, in which each stands once and in no test."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from mmal_jax.data import duplicates
from mmal_jax.data import pair_rows
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_files
from mmal_jax.files import problems as problems_lib


def images(
    names: Mapping[image_files.Source, str],
    tests: Collection[image_files.Source],
    drop: bool | None,
    problems: list[str],
) -> list[image_files.Source]:
  """The images of a pool without copies.

  Args:
    names: of images that can be read, what messages call each.
    tests: images of the test pairs.
    drop: whether an image that is there twice, or in the test pairs, too, is
      left out; how many is logged. If not, it is a problem.
    problems: takes a sentence for each.

  Returns:
    Those that are left, in the same order.
  """
  of_tests = {digest: source for source, digest
              in checked_images.digests(tests).items()}
  first: dict[bytes, str] = {}
  copies = {}
  for source, digest in checked_images.digests(names).items():
    name = names[source]
    if digest in of_tests:
      copies[source] = (f'{name} is the same as {of_tests[digest].name!r} of '
                        'the test pairs')
    elif first.setdefault(digest, name) != name:
      copies[source] = (
          f'{name} is the same as {first[digest].removeprefix("image ")}')
  duplicates.settle('images', copies.values(), drop, problems)
  return [source for source in names if source not in copies]


def texts(
    found: Iterable[tuple[str, object]],
    name: str,
    tests: Sequence[pair_rows.Row],
    drop: bool | None,
    problems: list[str],
) -> tuple[str, ...]:
  """The texts of a pool without copies; those of test pairs have no image here.

  Args:
    found: the place of each, and what stands there, whatever it is.
    name: of the field.
    tests: the test pairs.
    drop: as for `images`.
    problems: takes a sentence for each that is wrong, or if there is none.
  """
  of_tests = {row.text: row.place for row in tests}
  first: dict[str, str] = {}
  copies = []
  for place, text in found:
    wrong = problems_lib.of_text(name, text)
    problems += [f'{place}: {what}.' for what in wrong]
    if not wrong and text in of_tests:
      copies.append(f'{place}: the same text as {of_tests[text]} of the test '
                    'pairs')
    elif not wrong and first.setdefault(text, place) != place:
      copies.append(f'{place}: the same text as {first[text]}')
  if not first and not copies and not problems:
    problems.append('it holds no text.')
  duplicates.settle('texts', copies, drop, problems)
  if not first and not problems:
    problems.append('all its texts are in the test pairs, too.')
  return tuple(first)
