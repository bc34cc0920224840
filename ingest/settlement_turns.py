"""Settlement shared among several programs: whichever takes a site has it alone, the others take another."""

from __future__ import annotations

from collections.abc import Callable

from ingest.api.metrics import Metrics
from ingest.settlement import Settlement
from ingest.store.turns import site_turn
from ingest.tracing import span


class SettlementTurns:
    """Settles the sites that no other program is at.

    on_left  called when some were, so that they are looked at again soon: that program may be killed meanwhile
    stop     says whether this program is to end; then the rest waits for another pass
    """

    def __init__(
        self, settlement: Settlement, metrics: Metrics, *, on_left: Callable[[], None], stop: Callable[[], bool]
    ) -> None:
        self._settlement = settlement
        self._metrics = metrics
        self._on_left = on_left
        self._stop = stop

    def settle_pending(self) -> int:
        """Settle whatever waits, but for sites that another program has; give the number of days that changed."""
        changed = 0
        for site in self._settlement.waiting_sites():
            if self._stop():
                break
            with site_turn(self._settlement.database, site) as is_ours:
                if is_ours:
                    with span("settlement.site", site=site):
                        changed += self._settlement.settle_site(site, self._stop)
                else:
                    self._metrics.sites_elsewhere.inc()
                    self._on_left()
        return changed
