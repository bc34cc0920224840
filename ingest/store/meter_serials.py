"""Which meter is really there: serial numbers that gateways read, against the site; and counters that broke.

A serial number comes once, and again when it is another. What does not fit the newest version of the site stays open
until it does: the exchange is declared, the site is corrected, or the right meter is back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allocation_engine.intervals import Reason
from ingest.alert_findings import Broken, Swapped
from ingest.store.database import Connection, load_queries
from metering.identity import GatewayId, MeterId
from metering.report import SerialSeen
from provisioning.serial_numbers import is_same_serial

BREAKS = (Reason.REGISTER_FELL, Reason.UNDECLARED_EXCHANGE, Reason.IMPLAUSIBLE)
"""Why energy is held where the counter is not the one it was."""
BROKEN_WITHIN = timedelta(days=40)
"""A month and the days in which it is closed; older breaks are in runs, or nobody minds."""
BROKEN_MAX = 500
TOLD_MAX = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """One word of a meter about itself, as it is kept."""

    gateway: GatewayId
    epoch: int
    seq: int
    meter: MeterId
    serial: str
    read_at: datetime
    state: str


def add_serial(connection: Connection, place: dict[str, Any], seen: SerialSeen) -> None:
    """Keep what an envelope at `place` (gateway, epoch, seq) says; again is once."""
    queries = load_queries("meter_serials")
    row = place | {"meter": seen.meter, "serial": seen.serial, "read_at": seen.read_at}
    connection.execute(queries["add_serial"], row)
    connection.execute(queries["supersede"], place | {"meter": seen.meter})


def swapped_meters(connection: Connection, now: datetime) -> tuple[Swapped, ...]:
    """Compare what is open with the sites, note what fits or is gone, and give what differs."""
    queries = load_queries("meter_serials")
    by_site: dict[str, list[Sequence[Any]]] = defaultdict(list)
    for row in connection.execute(queries["open_serials"]):
        by_site[row[0]].append(row)
    found: list[Swapped] = []
    for site, rows in by_site.items():
        wanted = {"site": site, "meters": sorted({row[4] for row in rows}), "now": now}
        written = {row[0]: row[1:] for row in connection.execute(queries["written_serials"], wanted)}
        for _, gateway, epoch, seq, meter, serial, read_at, before in rows:
            node, expected, reader = written.get(meter, ("", "", None))
            state = "gone" if reader != gateway else "fits" if is_same_serial(serial, expected) else None
            if state is None:
                found.append(Swapped(site, node, gateway, meter, expected, serial, before, read_at))
            else:
                judged = {"gateway": gateway, "epoch": epoch, "seq": seq, "meter": meter, "state": state}
                connection.execute(queries["judge_serial"], judged)
    return tuple(found)


def broken_counters(connection: Connection, now: datetime) -> tuple[Broken, ...]:
    """Give the nodes whose energy is held because a counter is not the one it was."""
    wanted = {"since": (now - BROKEN_WITHIN).date(), "reasons": [str(one) for one in BREAKS], "most": BROKEN_MAX}
    rows = connection.execute(load_queries("meter_serials")["broken_counters"], wanted)
    return tuple(Broken(site, node, tuple(reasons), start, end) for site, node, reasons, start, end in rows)


def serials_told(
    connection: Connection,
    *,
    site: str | None = None,
    gateway: str | None = None,
    meter: str | None = None,
    node: str | None = None,
) -> tuple[Told, ...]:
    """Give what meters told of themselves, the oldest first: part of the history of what is named."""
    wanted = {"site": site, "gateway": gateway, "meter": meter, "node": node, "most": TOLD_MAX}
    return tuple(Told(*row) for row in connection.execute(load_queries("meter_serials")["serials_told"], wanted))
