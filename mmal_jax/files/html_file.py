"""One HTML file that needs nothing else: data, style and program are in it."""

import base64
from collections.abc import Mapping, Sequence
import hashlib
import html
import importlib.resources
import json
import re
from typing import Any

from mmal_jax.files import plain_text

# `<` may end the script that holds the data. The others are, as letters of a
# document, errors in HTML, be they harmless or not.
_ESCAPED = re.compile(
    '[<>&\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff'
    + ''.join(chr(plane + last) for plane in range(0x10000, 0x110000, 0x10000)
              for last in (0xfffe, 0xffff)) + ']')


def asset(package: str, name: str) -> str:
  """A text in the folder `assets` of a package."""
  folder = importlib.resources.files(package)
  return (folder / 'assets' / name).read_text('utf-8')


def program(package: str, names: Sequence[str]) -> str:
  """One script of several assets, whose names no other script sees."""
  return ('(() => {\n\'use strict\';\n'
          + '\n'.join(asset(package, name) for name in names) + '})();\n')


def policy(style: str, script: str, *more: str) -> str:
  """A policy (CSP) that allows this style, this script, and nothing else.

  Args:
    style: the text of the one `<style>`.
    script: of the one `<script>`.
    *more: rules besides.
  """
  return '; '.join((
      "default-src 'none'", f"script-src '{digest(script)}'",
      f"style-src '{digest(style)}'", 'img-src data:', *more,
      "base-uri 'none'", "form-action 'none'",
      "require-trusted-types-for 'script'", "trusted-types 'none'"))


def fill(template: str, parts: Mapping[str, str]) -> str:
  """A template with each `{{name}}` replaced, once, by what is HTML already."""
  return re.sub(r'\{\{(\w+)\}\}', lambda found: parts[found[1]], template)


def as_text(text: str) -> str:
  r"""A text of any origin, as a text or an attribute's value in HTML.

  Controls, and what reverses or hides letters, are visible escapes.

  >>> as_text('<b>"\u202e\n')
  '&lt;b&gt;&quot;\\u202e\\n'
  """
  return html.escape(plain_text.for_terminal(text))


def as_script(content: Any) -> str:
  r"""JSON that may stand in a script of HTML.

  >>> as_script({'a': '</script>'})
  '{"a":"\\u003c/script\\u003e"}'
  """
  text = json.dumps(content, ensure_ascii=False, separators=(',', ':'))
  return _ESCAPED.sub(
      lambda found: json.dumps(found[0])[1:-1] if ord(found[0]) > 0x7e
      else f'\\u{ord(found[0]):04x}', text)


def digest(text: str) -> str:
  """By which a policy names a script or a style."""
  found = base64.b64encode(hashlib.sha256(text.encode()).digest())
  return f'sha256-{found.decode()}'
