"""Every bad input is refused in words, or taken as documented."""

import pathlib

import pytest

from tests.hostile import hostile
from tests.hostile import hostile_data
from tests.hostile import hostile_files
from tests.hostile import hostile_kinds


@pytest.mark.long
@pytest.mark.parametrize('case', [
    pytest.param(case, id=f'{case.reader}: {case.wrong}')
    for case in (*hostile_data.CASES, *hostile_files.CASES)])
def test_bad_input(case, tmp_path):
  happens, text = hostile.outcome(case, tmp_path)
  if case.says is None:
    assert happens == 'taken', text
  else:
    assert happens == 'refused', text
    assert case.says in text
    assert len(text) < 5000


def test_the_page_names_kinds_and_cases():
  page = hostile.page(hostile_data.CASES[:2])
  assert page.count('\n| ') == 2 + len(hostile_kinds.KINDS) + 2
  assert ' of 2 are refused' in page
  folder = pathlib.Path(__file__).parents[1]
  for kind in hostile_kinds.KINDS:
    for name in kind.tests:
      assert list(folder.rglob(f'{name}.py'))
