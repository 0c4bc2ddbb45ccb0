"""What the tests begin does not outlive them."""

import os

import pytest

from tests.tpu_scripts import cloud as cloud_lib


def _gone(process):
  try:
    os.killpg(process.pid, 0)
  except ProcessLookupError:
    return True
  return False


@pytest.mark.long
def test_what_does_not_end_is_ended_with_all_that_it_began(tmp_path):
  cloud = cloud_lib.Cloud(tmp_path)
  cloud.stand_in()
  cloud.set(cloud_lib.NAME, ['WAITING_FOR_RESOURCES'])
  late, left = (cloud.begin('babysit', '--poll=0.05'),
                cloud.begin('wait', '--poll=1000'))
  try:
    assert not _gone(left)
    with pytest.raises(AssertionError, match='after 1 s'):
      cloud.ended(late, 1)
    assert late.returncode
    cloud.until(lambda: _gone(late))
  finally:
    cloud.close()
  cloud.until(lambda: _gone(left))
