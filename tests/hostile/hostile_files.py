"""Bad files that are no data sets: see `tests.hostile.hostile`."""

from tests.hostile import hostile_checkpoints
from tests.hostile import hostile_people
from tests.hostile import hostile_runs
from tests.hostile import hostile_tokenizers

CASES = [*hostile_checkpoints.CASES, *hostile_tokenizers.CASES,
         *hostile_people.CASES, *hostile_runs.CASES]
