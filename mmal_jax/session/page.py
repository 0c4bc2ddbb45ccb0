"""HTML of questions and pairs, for a notebook.

Captions, file names and names of modalities are others': all text is escaped,
set apart from the direction of what stands around it, and no address but that
of a picture made here is in the page.
"""

import base64
from collections.abc import Sequence
import html

from mmal_jax.files import plain_text
from mmal_jax.session import shown as shown_lib

_LONGEST = 300  # letters of a text
_CELL = ('display:inline-block;vertical-align:top;max-width:150px;margin:2px;'
         'text-align:center;overflow-wrap:anywhere')
_ALIGNED = 'text-align:left;vertical-align:top'


def escaped(text: str) -> str:
  r"""A text as HTML shows it, in an element or an attribute.

  >>> escaped('<b title="x">\x00')
  '&lt;b title=&quot;x&quot;&gt;\\x00'
  """
  if len(text) > _LONGEST:
    text = text[:_LONGEST] + ' ...'
  return html.escape(plain_text.for_terminal(text))


def cell(items: shown_lib.Items, modality: str, number: int) -> str:
  """An item with its number: a picture, or a text."""
  text = escaped(shown_lib.text(items[modality], number))
  picture = shown_lib.thumbnail(items[modality], number)
  if picture is None:
    seen = f'<bdi>{text}</bdi>'
  else:
    encoded = base64.b64encode(picture).decode()
    seen = (f'<img src="data:image/jpeg;base64,{encoded}" alt="{text}" '
            f'title="{text}">')
  return (f'<div style="{_CELL}">{seen}<br><small>{escaped(modality)} {number}'
          '</small></div>')


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], empty: str,
    more: str = '',
) -> str:
  """A table.

  Args:
    head: texts.
    rows: of cells, in HTML.
    empty: in place of a table without rows.
    more: said below it.
  """
  if not rows:
    return f'<p>{escaped(empty)}</p>'
  lines = [''.join(f'<th style="{_ALIGNED}">{escaped(name)}</th>'
                   for name in head)]
  lines += [''.join(f'<td style="{_ALIGNED}">{one}</td>' for one in row)
            for row in rows]
  return '<table>{}</table>{}'.format(
      ''.join(f'<tr>{line}</tr>' for line in lines),
      f'<p>{escaped(more)}</p>' if more else '')
