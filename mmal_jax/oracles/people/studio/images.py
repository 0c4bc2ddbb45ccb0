"""Images of questions on a Label Studio: uploaded once, and seen to be served.
"""

from collections.abc import Iterable, Mapping, Sequence
import hashlib
import pathlib

from mmal_jax.data.images import image_formats
from mmal_jax.files import durable
from mmal_jax.files import plain_text
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles.people.studio import client as client_lib

_ENDINGS = {'PNG': '.png', 'JPEG': '.jpg', 'WEBP': '.webp', 'GIF': '.gif',
            'BMP': '.bmp'}
# What an upload may hold: files, and bytes if they are several.
_FILES, _BYTES = 20, 1 << 24
_CHECKED = 32  # addresses; a sample of more


def addresses(
    client: client_lib.Client, project: int, paths: Iterable[pathlib.Path]
) -> dict[pathlib.Path, str]:
  """Sees to it that images are served, and says where.

  What was uploaded before is known by its content, and is not uploaded again.
  Of the addresses up to 32 are fetched, evenly spread over all.

  Args:
    client: of the server.
    project: to whose files they belong.
    paths: of the images.

  Returns:
    By path, the address from the server's root on.

  Raises:
    OSError: if the server does not answer for minutes, or a file is missing.
    ValueError: listing images that no browser shows, or that are not served.
  """
  names = _names(paths)
  if not names:
    return {}
  there = client.tried(lambda: _there(client, project))
  missing = {name: path for path, name in names.items() if name not in there}
  for batch in _batches(missing):
    client.tried(
        lambda batch=batch: _upload(client, project, batch),
        # What was sent without an answer may be there.
        lambda batch=batch: _upload(
            client, project, batch, _there(client, project)))
  if missing:
    there = client.tried(lambda: _there(client, project))
    lost = [name for name in missing if name not in there]
    if lost:
      raise ValueError(f'{client.url} took {len(missing)} image(s), but does '
                       f'not list {len(lost)} of them among its files: see its '
                       'log.')
  found = {path: there[name] for path, name in names.items()}
  check(client, found)
  return found


def check(
    client: client_lib.Client, found: Mapping[pathlib.Path, str]
) -> None:
  """Fetches addresses, as a browser will.

  Args:
    client: of the server.
    found: by path of an image, its address.

  Raises:
    OSError: if the server does not answer for minutes.
    ValueError: listing those at which the image is not served.
  """
  problems = []
  paths = list(found)
  for path in paths[::-(-len(paths) // _CHECKED)]:
    try:
      got = client.tried(lambda path=path: client.fetch(found[path]))
    except client_lib.Refused as e:
      problems.append(f'{found[path]} {e}.')
      continue
    what = image_formats.of(got)
    if what.name != image_formats.of(durable.read(path)).name:
      problems.append(f'{found[path]} is not the image of {path.name}, but '
                      f'{what.name or "something else"}.')
  if problems:
    # Nobody can answer about what is not seen.
    raise ValueError(
        f'{client.url} does not serve the images of the questions, which have '
        f'not gone out:\n  ' + '\n  '.join(
            map(problems_lib.shortened, problems[:10]))
        + '\nSee whether Label Studio may write to its data folder, and whether'
        ' a proxy in front of it lets /data/ through; then start again.')


def _names(paths) -> dict[pathlib.Path, str]:
  """By path, a name of what an image holds, with the ending of its format."""
  names, problems = {}, []
  for path in dict.fromkeys(paths):
    content = durable.read(path)
    found = image_formats.of(content)
    ending = _ENDINGS.get(found.name) or (
        '.svg' if path.suffix.lower() == '.svg' else None)
    if ending is None:
      problems.append(f'{path.name} ({found.description})')
    else:
      names[path] = hashlib.sha256(content).hexdigest()[:32] + ending
  if problems:
    shown = ', '.join(map(plain_text.for_terminal, problems[:5]))
    raise ValueError(
        f'Label Studio cannot serve {len(problems)} image(s) of the questions '
        f'to a browser: {shown}{" and others" if len(problems) > 5 else ""}.')
  return names


def _upload(client, project, files: Sequence[client_lib.File], there=()):
  """Uploads what is not there."""
  missing = [file for file in files if file[0] not in there]
  if missing:
    client.call('POST', f'projects/{project}/import', files=missing,
                commit_to_project='false')


def _batches(missing: Mapping[str, pathlib.Path]) -> Iterable[
    Sequence[client_lib.File]]:
  batch, size = [], 0
  for name, path in missing.items():
    content = durable.read(path)
    if batch and (len(batch) == _FILES or size + len(content) > _BYTES):
      yield batch
      batch, size = [], 0
    batch.append((name, content))
    size += len(content)
  if batch:
    yield batch


def _there(client, project) -> dict[str, str]:
  """The addresses of a project's files, by the names they were given."""
  base = client_lib.path_of(client.url)
  found = {}
  for one in client_lib.listed(client.call(
      'GET', f'projects/{project}/file-uploads', all='true'), 'file_uploads'):
    file = str(one.get('file', ''))
    # Label Studio puts eight random letters in front.
    name = file.rpartition('/')[2].partition('-')[2]
    found.setdefault(name, f'{base}/data/{file}')
  return found
