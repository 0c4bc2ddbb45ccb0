"""Parts that several sections of the page are made of."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from mmal_jax.files import html_file

as_text = html_file.as_text


class Item(NamedTuple):
  """What is seen of an item.

  Attributes:
    text: a caption, a file's name, or a number.
    picture: a `data:` address of an image; None of all else.
    size: its width and height in pixels.
  """

  text: str
  picture: str | None = None
  size: tuple[int, int] = (0, 0)


# (modality, number) -> what is seen of that item
See = Callable[[str, int], Item]


def tag(name: str, inner: str = '', **attributes: Any) -> str:
  """An element around HTML; `_` of an attribute's name is `-`.

  >>> tag('p', 'a', class_='b', data_x='"')
  '<p class="b" data-x="&quot;">a</p>'
  """
  written = ''.join(
      f' {key.rstrip("_").replace("_", "-")}="{as_text(str(value))}"'
      for key, value in attributes.items() if value is not None)
  return f'<{name}{written}>{inner}</{name}>'


def table(rows: Sequence[Sequence[str]]) -> str:
  """A table of texts of any origin, the first row its header: `tables.Form`."""
  head, *body = rows
  return _scrolled(
      tag('thead', tag('tr', ''.join(
          tag('th', as_text(cell), scope='col') for cell in head)))
      + tag('tbody', ''.join(tag('tr', cells(row)) for row in body)))


def cells(row: Sequence[str], first: str | None = None) -> str:
  """The cells of a row; `first`, if given, is the HTML of its header."""
  first = as_text(row[0]) if first is None else first
  return tag('th', first, scope='row', dir='auto') + ''.join(
      tag('td', as_text(cell)) for cell in row[1:])


def _scrolled(inner: str) -> str:
  # A table that is too wide scrolls by itself, by keys, too.
  return tag('div', tag('table', inner), class_='wide', tabindex=0,
             role='group', aria_label='Table')


def figure(
    item: Item, modality: str, number: int | None, class_: str = 'item'
) -> str:
  """An item with a line under it.

  Args:
    item: what is seen of it.
    modality: of the item.
    number: of the item; None where it is none.
    class_: of the element.
  """
  parts = []
  if item.picture is not None:
    width, height = item.size
    tiny = ' tiny' if max(item.size) <= 64 else ''
    parts.append(
        f'<img class="picture{tiny}" src="{as_text(item.picture)}" '
        f'width="{width}" height="{height}" alt="{as_text(item.text)}" '
        'decoding="async">')
  else:
    parts.append(tag('p', as_text(item.text), class_='text', dir='auto'))
  name = '' if number is None else f'{modality} {number}'
  known = None if number is None else f'{modality}-{number}'
  return tag('figure', ''.join(parts) + tag('figcaption', as_text(name)),
             class_=class_, data_item=known)


def listed(lines: Iterable[str], class_: str = 'notes') -> str:
  """A list of texts of any origin; '' of none."""
  inner = ''.join(tag('li', as_text(line), dir='auto') for line in lines)
  return tag('ul', inner, class_=class_) if inner else ''
