"""Bad data: see `tests.hostile`."""

from tests import hostile
from tests import hostile_data_arrays
from tests import hostile_data_images
from tests import hostile_data_shards
from tests import hostile_data_tables

CASES: list[hostile.Case] = [
    *hostile_data_tables.CASES, *hostile_data_images.CASES,
    *hostile_data_shards.CASES, *hostile_data_arrays.CASES]
