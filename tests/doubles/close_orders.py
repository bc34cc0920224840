"""An order for many sites, and settings of a worker that lead nowhere."""

from __future__ import annotations

from datetime import UTC, datetime

from ingest.many_sites.order import CentreMark, CloseOrder, Way
from ingest.many_sites.site_task import WorkerSettings

MARK = CentreMark("1, engine 2", "k", "s", "p", "d")
ORDER = CloseOrder("2026-07", datetime(2026, 8, 1, tzinfo=UTC), "an", Way.STORE, MARK)
SETTINGS = WorkerSettings("postgresql://secret@nowhere/none", "/secret/centre.key", "/secret/profiles")
