"""Bad files that are no data sets: see `tests.hostile`."""

from tests import hostile_checkpoints
from tests import hostile_people
from tests import hostile_runs
from tests import hostile_tokenizers

CASES = [*hostile_checkpoints.CASES, *hostile_tokenizers.CASES,
         *hostile_people.CASES, *hostile_runs.CASES]
