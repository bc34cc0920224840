"""Settlement shared among several programs: whichever takes a site has it alone, the others take another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingest.api.metrics import Metrics
from ingest.settlement import Settlement
from ingest.store.settled import anything_waits
from ingest.store.sites import site_ids
from ingest.store.turns import site_turn
from ingest.tracing import span
from metering.identity import SiteId


class SettlementTurns:
    """Settles the sites that no other program is at. `on_left` is called when some were, so that they are looked at
    again soon: that program may be killed before it is through."""

    def __init__(self, settlement: Settlement, metrics: Metrics, on_left: Callable[[], None]) -> None:
        self._settlement = settlement
        self._metrics = metrics
        self._on_left = on_left

    def settle_pending(self) -> int:
        """Settle whatever waits, but for sites that another program has; give the number of days that changed."""
        changed = 0
        for site in self._sites():
            with site_turn(self._settlement.database, site) as is_ours:
                if is_ours:
                    with span("settlement.site", site=site):
                        changed += self._settlement.settle_site(site)
                else:
                    self._metrics.sites_elsewhere.inc()
                    self._on_left()
        return changed

    def _sites(self) -> Sequence[SiteId]:
        with self._settlement.database.transaction() as connection:
            return site_ids(connection) if anything_waits(connection) else ()
