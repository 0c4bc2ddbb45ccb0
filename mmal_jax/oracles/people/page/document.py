"""One HTML file that needs nothing else: data, style and program are in it."""

import base64
from collections.abc import Mapping
import hashlib
import html
import importlib.resources
import json
import re
from typing import Any

# In the order in which they make up the one program.
_SCRIPTS = ('round.js', 'storage.js', 'answers.js', 'search.js', 'delivery.js',
            'question.js', 'overview.js', 'main.js')
_ALONE, _SERVED = "connect-src 'none'", "connect-src 'self'"
# `<` may end the script that holds the data. The others are, as letters of a
# document, errors in HTML, be they harmless or not.
_ESCAPED = re.compile(
    '[<>&\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff'
    + ''.join(chr(plane + last) for plane in range(0x10000, 0x110000, 0x10000)
              for last in (0xfffe, 0xffff)) + ']')


def render(content: Mapping[str, Any]) -> str:
  """The page.

  It runs no script but its own and asks for nothing from the network: its
  policy (CSP) names the digests of script and style, and forbids all else.

  Args:
    content: from `content.of_round`.
  """
  style = _asset('style.css')
  script = ('(() => {\n\'use strict\';\n'
            + '\n'.join(map(_asset, _SCRIPTS)) + '})();\n')
  policy = '; '.join((
      "default-src 'none'", f"script-src '{_digest(script)}'",
      f"style-src '{_digest(style)}'", 'img-src data:', _ALONE,
      "base-uri 'none'", "form-action 'none'",
      "require-trusted-types-for 'script'", "trusted-types 'none'"))
  parts = {
      'policy': policy, 'style': style, 'script': script,
      'title': html.escape(f'{content["name"]}: {content["modality"]}'),
      'data': as_script(content)}
  return re.sub(r'\{\{(\w+)\}\}', lambda found: parts[found[1]],
                _asset('template.html'))


def served(page: str) -> str:
  """The page as a program serves it, which may save answers there."""
  return page.replace(_ALONE, _SERVED, 1)


def as_script(content: Any) -> str:
  r"""JSON that may stand in a script of HTML.

  >>> as_script({'a': '</script>'})
  '{"a":"\\u003c/script\\u003e"}'
  """
  text = json.dumps(content, ensure_ascii=False, separators=(',', ':'))
  return _ESCAPED.sub(
      lambda found: json.dumps(found[0])[1:-1] if ord(found[0]) > 0x7e
      else f'\\u{ord(found[0]):04x}', text)


def _asset(name: str) -> str:
  folder = importlib.resources.files(__package__)
  return (folder / 'assets' / name).read_text('utf-8')


def _digest(text: str) -> str:
  found = base64.b64encode(hashlib.sha256(text.encode()).digest())
  return f'sha256-{found.decode()}'
