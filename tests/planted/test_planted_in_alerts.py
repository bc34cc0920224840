"""Every error planted in what keeps alerts honest and few turns its named test red, which is green without it."""

from __future__ import annotations

import pytest

from tests.doubles.servers import database, migrated_dsn, migrated_template, postgres_dsn, shared_dsn
from tests.integration.test_alerts_store import room
from tests.planted.alert_errors import IN_ALERTS
from tests.planted.intake_errors import PlantedInIntake
from tests.planted.test_planted_in_intake import ready

__all__ = ["database", "migrated_dsn", "migrated_template", "postgres_dsn", "room", "shared_dsn"]


@pytest.mark.parametrize("planted", IN_ALERTS, ids=lambda planted: planted.error)
def test_a_planted_error_turns_its_named_test_red(planted: PlantedInIntake, request: pytest.FixtureRequest) -> None:
    check = ready(planted.caught_by, request)
    with pytest.MonkeyPatch.context() as patch:
        planted.plant(patch)
        with pytest.raises(AssertionError):
            check()


def test_errors_have_names_of_their_own() -> None:
    assert len({one.error for one in IN_ALERTS}) == len({one.plant for one in IN_ALERTS}) == len(IN_ALERTS)
