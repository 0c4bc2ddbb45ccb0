"""What the tests of the TPU scripts have in common."""

import pytest

from tests.tpu_scripts import cloud as cloud_lib


@pytest.fixture(name='cloud')
def _cloud(tmp_path):
  """With the stand-in for the run; none of its processes outlives the test."""
  cloud = cloud_lib.Cloud(tmp_path)
  cloud.stand_in()
  yield cloud
  cloud.close()
