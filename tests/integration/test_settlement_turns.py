"""Settlement among several programs: each site by one at a time, none forgotten, and an end when one is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from ingest.api.metrics import Metrics
from ingest.settlement import Settlement
from ingest.settlement_turns import SettlementTurns
from ingest.store.database import Database
from ingest.store.sites import import_site
from ingest.store.turns import site_turn
from metering.identity import SiteId
from metering.interval import SLOT
from tests.doubles.park_books import ORDERED_AT, ParkBooks, read_park

PARK, OTHER = SiteId("park"), SiteId("other")


@dataclass
class Turns:
    """Turns over a settlement that only notes which sites it was asked to settle."""

    database: Database
    settlement: Any
    metrics: Metrics = field(default_factory=Metrics)
    settled: list[SiteId] = field(default_factory=list)
    left: int = 0
    told: bool = False

    def take(self) -> int:
        """Take the turns of one pass."""
        turns = SettlementTurns(self.settlement, self.metrics, on_left=self.leave, stop=lambda: self.told)
        return turns.settle_pending()

    def leave(self) -> None:
        """Note that a site was left to another program."""
        self.left += 1


class Noting:
    """A settlement in whose sites something waits, always."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.turns: Turns | None = None

    def waiting_sites(self) -> tuple[SiteId, ...]:
        """Both."""
        return (OTHER, PARK)

    def settle_site(self, site: SiteId, stop: Any) -> int:
        """Note it; one day changed."""
        assert self.turns is not None
        assert not stop()
        with site_turn(self.database, site) as is_free:
            assert not is_free, "a site is settled in its turn"
        self.turns.settled.append(site)
        return 1


@pytest.fixture
def turns(database: Database) -> Turns:
    """Turns over two sites."""
    noting = Noting(database)
    noting.turns = Turns(database, noting)
    return noting.turns


def test_each_site_is_settled_in_its_turn(turns: Turns) -> None:
    assert turns.take() == 2
    assert (turns.settled, turns.left) == ([OTHER, PARK], 0)


def test_a_site_that_another_program_is_at_is_left_and_looked_at_again(turns: Turns) -> None:
    with site_turn(turns.database, PARK):
        assert turns.take() == 1
    assert (turns.settled, turns.left) == ([OTHER], 1)
    assert turns.metrics.registry.get_sample_value("metertree_settlement_sites_elsewhere_total") == 1
    assert turns.take() == 2


def test_no_further_site_is_begun_once_the_program_is_to_end(turns: Turns) -> None:
    turns.told = True
    assert turns.take() == 0
    assert turns.settled == []


def test_only_sites_in_which_something_waits_are_taken(database: Database) -> None:
    site, rules, play, catalogue = read_park()
    books = ParkBooks(database, site, rules, play, catalogue)
    books.enrol_all()
    with database.transaction() as connection:
        import_site(connection, site, rules.document, imported_at=ORDERED_AT)
    metrics = Metrics()
    turns = SettlementTurns(Settlement(database, catalogue), metrics, on_left=pytest.fail, stop=lambda: False)
    assert turns.settle_pending() == 0
    start = site.calendar.period("2026-07-01--2026-07-01").start
    books.write([start, start + SLOT])
    assert turns.settle_pending() > 20
    assert turns.settle_pending() == 0
