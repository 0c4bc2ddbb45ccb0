"""Every bad input is refused in words, or taken as documented."""

import pytest

from tests import hostile
from tests import hostile_data
from tests import hostile_files


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
