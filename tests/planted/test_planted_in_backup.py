"""Every error planted in a safety mechanism of backup, restore or erasure turns its named test red.

That each is green without it, the named tests show by themselves: they run beside these.
"""

from __future__ import annotations

import psycopg
import pytest

from metering.errors import MeteringError
from tests.doubles.closed_park import closed_park
from tests.doubles.servers import empty_dsn, migrated_dsn, migrated_template, own_dsn, postgres_dsn, shared_dsn
from tests.integration.test_backup import emptied_dsn, empty, filled, source
from tests.integration.test_erasure import park
from tests.planted.backup_errors import IN_BACKUP, PlantedInBackup
from tests.planted.test_planted_in_intake import ready

__all__ = ["closed_park", "empty_dsn", "migrated_dsn", "migrated_template", "own_dsn", "postgres_dsn", "shared_dsn"]
__all__ += ["emptied_dsn", "empty", "filled", "park", "source"]

RED = (AssertionError, MeteringError, psycopg.Error, pytest.fail.Exception)


@pytest.mark.parametrize("planted", IN_BACKUP, ids=lambda planted: planted.error)
def test_a_planted_error_turns_its_named_test_red(planted: PlantedInBackup, request: pytest.FixtureRequest) -> None:
    check = ready(planted.caught_by, request)
    with pytest.MonkeyPatch.context() as patch:
        planted.plant(patch)
        with pytest.raises(RED):
            check()


def test_a_named_test_is_green_without_an_error(request: pytest.FixtureRequest) -> None:
    ready(IN_BACKUP[0].caught_by, request)()
