"""Bad data: see `tests.hostile.hostile`."""

from tests.hostile import hostile
from tests.hostile import hostile_data_arrays
from tests.hostile import hostile_data_images
from tests.hostile import hostile_data_shards
from tests.hostile import hostile_data_tables
from tests.hostile import hostile_own_tables

CASES: list[hostile.Case] = [
    *hostile_data_tables.CASES, *hostile_data_images.CASES,
    *hostile_data_shards.CASES, *hostile_data_arrays.CASES,
    *hostile_own_tables.CASES]
