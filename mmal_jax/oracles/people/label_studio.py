"""What Label Studio takes: tasks and their labeling interface.

Images are named by addresses at which Label Studio serves the files: tasks with
images as base64 would be slow to load, and Label Studio advises against them.
"""

from collections.abc import Callable, Container, Mapping
import html
from typing import Any
import urllib.parse
from xml.sax import saxutils

NONE_OF_THESE = 'none of these'
NO_COUNTERPART = 'no counterpart'


def config(modality: str, image: bool, others: Mapping[str, int],
           with_rows: Container[str] = ()) -> str:
  """The labeling interface for queries of one modality.

  Args:
    modality: of the items that are asked about.
    image: whether they are images.
    others: by modality of a counterpart, how many items there are.
    with_rows: those whose items have rows in a file of the user.

  Returns:
    XML.
  """
  tag = ('<Image name="item" value="$item" zoom="true"/>' if image else
         '<Text name="item" value="$item"/>')
  lines = [f'  <Header value="This {modality}:"/>', f'  {tag}']
  for other, size in others.items():
    lines += [
        f'  <Header value="Which {other} belongs to it?"/>',
        f'  <Choices name="choice_{other}" toName="item" '
        f'value="$candidates_{other}" choice="single-radio" '
        'layout="vertical" required="true"/>',
        f'  <Header value="{saxutils.escape(NONE_OF_THESE)}, but you know the '
        f'number of the right {other}:" size="5"/>',
        f'  <Number name="number_{other}" toName="item" min="0" '
        f'max="{size - 1}" step="1"/>']
    if other in with_rows:
      lines += [
          f'  <Header value="or its row in the file of {other}:" size="5"/>',
          f'  <Number name="row_{other}" toName="item" min="0" step="1"/>']
  return '\n'.join(['<View>', *lines, '</View>', ''])


def local_address(round_path: str) -> Callable[[str], str]:
  """Where Label Studio serves the files of a round from a folder of its own.

  >>> local_address('seed0/round_001')('images/image-5.png')
  '/data/local-files/?d=seed0/round_001/images/image-5.png'

  Args:
    round_path: of the round's folder, relative to Label Studio's document root.
  """
  return lambda file: '/data/local-files/?d=' + urllib.parse.quote(
      f'{round_path}/{file}')


def task(
    query: dict[str, Any], address: Callable[[str], str], pools: str
) -> dict[str, dict[str, Any]]:
  """One task of the import format.

  Args:
    query: as in `queries.jsonl`.
    address: at which a file of the round is served.
    pools: marks the pools whose item numbers these are.
  """
  def option(candidate):
    number = str(candidate['item'])
    if 'file' in candidate:
      body = (f'<img src="{html.escape(address(candidate["file"]))}" '
              'style="max-height: 200px; max-width: 100%">')
    else:
      body = html.escape(candidate['text']).replace('\n', '<br>')
    # The value comes back in the export; in a text there, Label Studio would
    # put task data in the place of words that begin with a dollar sign.
    return {'value': number, 'html': f'<b>{number}</b> {body}'}

  data = {
      'query': query['query'], 'pools': pools,
      'item': address(query['file']) if 'file' in query else query['text']}
  for other, candidates in query['candidates'].items():
    data[f'candidates_{other}'] = [
        *map(option, candidates),
        {'value': NONE_OF_THESE}, {'value': NO_COUNTERPART}]
  return {'data': data}
