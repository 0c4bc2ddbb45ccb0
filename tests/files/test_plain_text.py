"""Text of others, as a terminal and Markdown may show it."""

import html
import re
import sys
import unicodedata

import markdown_it
import pytest

from mmal_jax.files import plain_text

# Ranges of Default_Ignorable_Code_Point, as Unicode's own table lists them.
_IGNORABLE = [
    (0xad, 0xad), (0x34f, 0x34f), (0x61c, 0x61c), (0x115f, 0x1160),
    (0x17b4, 0x17b5), (0x180b, 0x180f), (0x200b, 0x200f), (0x202a, 0x202e),
    (0x2060, 0x206f), (0x3164, 0x3164), (0xfe00, 0xfe0f), (0xfeff, 0xfeff),
    (0xffa0, 0xffa0), (0xfff0, 0xfff8), (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a), (0xe0000, 0xe0fff)]
# Format characters that are seen, such as signs of numbers in Arabic.
_SEEN = {*range(0x600, 0x606), 0x6dd, 0x70f, 0x890, 0x891, 0x8e2, 0x110bd,
         0x110cd}
_READABLE = [
    'a plain caption, 100 % of it: café, naïve, 東京 '
    '世界', 'C:\\data\\x', 'a\xa0b\u3000c', 'שלום مرحبا',
    # Families, flags, keycaps, hearts; with and without skin tones.
    '\U0001f468\u200d\U0001f469\u200d\U0001f467',
    '\u2764\ufe0f\u200d\U0001f525',
    '\U0001f469\U0001f3fd\u200d\U0001f52c', '1\ufe0f\u20e3 #\ufe0f\u20e3',
    '\U0001f3f3\ufe0f\u200d\U0001f308', '\U0001f642\u200d\u2194\ufe0f',
    '\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f',
    # Persian, Hindi, Bengali, Sinhala, Malayalam, Mongolian.
    'کتاب‌ها می‌خواهم', 'क्‍ष क्‌ष', 'র‍্য',
    'ශ්‍රී', 'ന്‍', 'ᠬᠠᠷ᠎ᠠ', '\u06dd\u0661\u0662',
    '葛\U000e0100', 'x\u0308\u034f\u0301']


def test_no_control_is_printed():
  for number in range(sys.maxunicode + 1):
    letter = chr(number)
    if unicodedata.category(letter) in ('Cc', 'Cs', 'Zl', 'Zp') or (
        unicodedata.category(letter) == 'Cf' and number not in _SEEN and not
        0x13430 <= number < 0x13440) or any(
            first <= number <= last for first, last in _IGNORABLE):
      escape = letter.encode('unicode_escape').decode()
      assert plain_text.for_terminal(f'a{letter}b') == f'a{escape}b'
      assert plain_text.for_markdown(f'a{letter}b') == f'a{escape}b'


@pytest.mark.parametrize('text', _READABLE)
def test_what_is_read_stays(text):
  assert plain_text.for_terminal(text) == text
  assert html.unescape(plain_text.for_markdown(text)) == text


@pytest.mark.parametrize('text,shown', [
    ('a\u200bb', r'a\u200bb'), ('pass\u200dword', r'pass\u200dword'),
    ('\u200d', r'\u200d'), ('a\u200d\U0001f525', '\\u200d'),
    # Letters hidden behind a flag, in variants of nothing, in a row of joiners.
    ('\U0001f3f4\U000e0068\U000e0069\U000e007f', r'\U000e0068\U000e0069'),
    ('\u2764\ufe0f\ufe0e', '\u2764\ufe0f\\ufe0e'), ('a\ufe01', r'a\ufe01'),
    ('\u06a9\u200c\u200c\u0647', '\u06a9\u200c\\u200c\u0647'),
    ('\U0001f600\U000e0101\U000e0102', '\U0001f600\U000e0101\\U000e0102'),
    ('\udc9b', r'\udc9b'), ('\ufffe\U0010ffff', r'\ufffe\U0010ffff')])
def test_what_hides_is_seen(text, shown):
  assert shown in plain_text.for_terminal(text)


def test_lines_are_those_of_the_caller_alone():
  text = 'a\r\nb\tc\x85d\u2028e'
  assert plain_text.for_terminal(text) == r'a\r\nb\tc\x85d\u2028e'
  assert plain_text.for_terminal(text, lines=True) == (
      'a\\r\nb\\tc\\x85d\\u2028e')
  again = plain_text.for_terminal('\x1b[2J')
  assert plain_text.for_terminal(again) == again


@pytest.mark.parametrize('text', [
    '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '<!-- x',
    '![a](x) [x](javascript:alert(1))', '](javascript:alert(1))', '[a][b] [c]',
    'a|b\\|c\\', '# x', '- x', '+ x', '* x', '1. x', '12) x', '---', '===',
    '> q', '    code', '```', '~~~', '`x` *y* **z** __z__ _a_ ~~s~~ $x$',
    '&lt; &#60;script&#62; &amp AT&T', '<http://a.b> http://a.b www.a.b',
    '[x] done', '[^1]', '\\<b>', '\\', 'Stop! ![', '| a | b |', '#', '1.',
    'a]b[c', '\\\x1b[2J', 'x\ny', '[1](x) seeds [1, 2]', '<b'])
def test_markdown_shows_a_text_as_it_is(text):
  page = markdown_it.MarkdownIt('gfm-like', {'html': True, 'linkify': False})
  shown, wanted = plain_text.for_markdown(text), plain_text.for_terminal(text)
  rows = page.render(f'| a | b |\n|---|---|\n| {shown} | z |\n')
  cell, last = re.findall('<td>(.*?)</td>', rows)
  assert last == 'z'
  link, = re.findall('<p><a href="asked.md">(.*)</a></p>',
                     page.render(f'[{shown}](asked.md)'))
  line, = re.findall('^<p>(.*)</p>\n$', page.render(shown))
  for found in (cell, link, line):
    assert '<' not in found  # no element at all
    assert html.unescape(found).strip() == wanted.strip()


@pytest.mark.parametrize('text', [
    'mmal_plus', 'p < 0.001', '-', '+5.3 ± 5.2', '12.3 ± 0.4', 'a & b',
    'mmal@image, train.shift=0.5', 'seeds [1]: left out', 'a dog (brown)',
    'it ends at 5 -> 6', '#5'])
def test_what_is_no_mark_is_not_escaped(text):
  assert plain_text.for_markdown(text) == text
