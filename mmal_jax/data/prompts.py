"""Prompts of zero-shot classes: captions of a picture of a thing."""

from collections.abc import Sequence

# Of any kind of thing; `{}` stands for the name of a class.
TEMPLATES = (
    'a photo of a {}.',
    'a photo of the {}.',
    'a picture of a {}.',
    'an image showing a {}.',
    'a close-up of a {}.',
    'a close view of the {}.',
    'a {} seen from far away.',
    'a photo of a {} from above.',
    'a photo of a {} from the side.',
    'a photo of a small {}.',
    'a photo of a large {}.',
    'a photo of many {}.',
    'a photo of one {} alone.',
    'a bright photo of a {}.',
    'a dark photo of a {}.',
    'a blurred photo of a {}.',
    'a sharp photo of a {}.',
    'a grainy photo of a {}.',
    'a black and white photo of a {}.',
    'a colourful photo of a {}.',
    'a photo of a {} outdoors.',
    'a photo of a {} indoors.',
    'a photo of a {} with nothing around it.',
    'a photo of a {} in a crowded scene.',
    'a snapshot that somebody took of a {}.',
    'a good photo of a {}.',
    'a bad photo of a {}.',
    'part of a {} in a cropped photo.',
    'a photo in which a {} is hard to see.',
    'a drawing of a {}.',
    'a painting of a {}.',
    'a sketch of the {}.',
    'a cartoon of a {}.',
    'a computer-made picture of a {}.',
    'a toy in the shape of a {}.',
    'here is a {}.',
)


def of_classes(
    classes: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> list[str]:
  """Every class in every template, class by class.

  >>> of_classes(['cat', 'dog'], ['a {}.', 'the {}.'])
  ['a cat.', 'the cat.', 'a dog.', 'the dog.']

  Args:
    classes: c names.
    templates: t texts with one `{}` each.

  Returns:
    `c * t` texts; their embeddings, as `[c, t, d]`, are what `class_embeddings`
    takes.

  Raises:
    ValueError: if there is no template, or one has not exactly one `{}`.
  """
  wrong = [t for t in templates if t.count('{}') != 1]
  if wrong or not templates:
    raise ValueError(
        f'templates={wrong or templates!r}: at least one is needed, with {{}} '
        'once in each.')
  return [t.replace('{}', name) for name in classes for t in templates]
