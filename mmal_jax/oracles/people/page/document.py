"""One HTML file that needs nothing else: data, style and program are in it."""

from collections.abc import Mapping
import html
from typing import Any

from mmal_jax.files import html_file

# In the order in which they make up the one program.
_SCRIPTS = ('round.js', 'storage.js', 'answers.js', 'search.js', 'delivery.js',
            'question.js', 'overview.js', 'main.js')
_ALONE, _SERVED = "connect-src 'none'", "connect-src 'self'"


def render(content: Mapping[str, Any]) -> str:
  """The page.

  It runs no script but its own and asks for nothing from the network: its
  policy (CSP) names the digests of script and style, and forbids all else.

  Args:
    content: from `content.of_round`.
  """
  style = html_file.asset(__package__, 'style.css')
  script = html_file.program(__package__, _SCRIPTS)
  return html_file.fill(html_file.asset(__package__, 'template.html'), {
      'policy': html_file.policy(style, script, _ALONE),
      'style': style, 'script': script,
      'title': html.escape(f'{content["name"]}: {content["modality"]}'),
      'data': html_file.as_script(content)})


def served(page: str) -> str:
  """The page as a program serves it, which may save answers there."""
  return page.replace(_ALONE, _SERVED, 1)
