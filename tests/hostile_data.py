"""Bad data: see `tests.hostile`."""

from tests import hostile

CASES: list[hostile.Case] = []
