"""Every error planted into settlement turns its named test red, which is green without it."""

from __future__ import annotations

import pytest
from psycopg.errors import UniqueViolation

from tests.planted.intake_errors import PlantedInIntake
from tests.planted.named import named_test
from tests.planted.settlement_errors import IN_SETTLEMENT


@pytest.mark.parametrize("planted", IN_SETTLEMENT, ids=lambda planted: planted.error)
def test_a_planted_error_turns_its_named_test_red(planted: PlantedInIntake) -> None:
    check = named_test(planted.caught_by)
    check()
    with pytest.MonkeyPatch.context() as patch:
        planted.plant(patch)
        with pytest.raises((AssertionError, UniqueViolation)):
            check()
