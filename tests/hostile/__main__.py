"""`python -m tests.hostile` prints every bad input and what becomes of it."""

from tests.hostile import hostile

hostile.main()
