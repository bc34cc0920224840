"""What gateways report of themselves, and the settings ordered for them. Functions take an open transaction.

Readings of an envelope whose clock was unknown enter `readings` only once an anchor of its boot is here, with the times
that follow from it; the envelope itself is kept as it came. Envelope and anchor may come in either order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from ingest.ports import Entry
from ingest.store.database import Connection, load_queries
from ingest.store.meter_serials import add_serial
from ingest.sweeps import Opened, Sweep, sweep_as_of
from metering.clock import ClockQuality
from metering.envelope import EnvelopeMalformed, Head, Kind
from metering.identity import GatewayId
from metering.report import Anchor, Record, SerialSeen, SettingsReport, TimeSource, read_records

_log = logging.getLogger(__name__)

Boot = tuple[GatewayId, int, bytes]
"""Gateway, epoch and boot."""
RECORDS_MAX = 32
"""Records of one report that count: a gateway says one or two things at a time, and each costs a query or two."""
DATED_AT_ONCE = 128
"""Envelopes dated at once: at most 32 MiB, whatever waited for an anchor."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """One order of settings; `outcome` None until the gateway has reported."""

    gateway: GatewayId
    version: int
    epoch: int
    octets: bytes
    ordered_by: str
    ordered_at: datetime
    times: int
    outcome: str | None
    reason: str
    reported_at: datetime | None


def is_undated(head: Head) -> bool:
    """Say whether an envelope's readings have no date yet."""
    return head.kind is Kind.READINGS and head.clock.quality is ClockQuality.UNKNOWN


def has_readings(head: Head) -> bool:
    """Say whether an envelope's readings can enter the books as they are."""
    return head.kind is Kind.READINGS and head.clock.quality is not ClockQuality.UNKNOWN


def enter_reports(
    connection: Connection, accepted: Sequence[Entry], is_bound: Callable[[Sweep], bool]
) -> Iterator[list[Sweep]]:
    """Take in what is no dated sweep, octets and ledger being written; give the sweeps that have a date by now.

    is_bound   whether a gateway may report these meters at the times found out; else the sweep goes on waiting
    """
    queries = load_queries("gateway_reports")
    boots: set[Boot] = set()
    for entry in accepted:
        head = entry.sealed.head
        place = {"gateway": head.gateway, "epoch": head.epoch, "seq": head.seq}
        if is_undated(head):
            connection.execute(queries["add_undated"], place | {"boot": head.boot})
            boots.add((head.gateway, head.epoch, head.boot))
        for record in _records(entry.sealed):
            if isinstance(record, Anchor):
                connection.execute(queries["add_anchor"], place | _anchor_row(record))
                boots.add((head.gateway, head.epoch, record.boot))
            elif isinstance(record, SettingsReport):
                reason = record.reason.replace("\0", "\\0")
                row = {"version": record.version, "outcome": str(record.outcome), "reason": reason}
                connection.execute(queries["report_settings"], place | row | {"reported_at": entry.received_at})
            elif isinstance(record, SerialSeen):
                add_serial(connection, place, record)
    for boot in sorted(boots):
        yield from _dated(connection, boot, is_bound)


def undated_counts(connection: Connection) -> dict[GatewayId, int]:
    """Give how many envelopes of each gateway wait to be dated."""
    return {
        GatewayId(name): count for name, count in connection.execute(load_queries("gateway_reports")["count_undated"])
    }


def next_order(connection: Connection, gateway: GatewayId) -> tuple[int, int] | None:
    """Give epoch and number of a gateway's next order, and hold the number; None for one that is not enrolled."""
    queries = load_queries("gateway_reports")
    connection.execute(queries["lock_orders"], {"gateway": gateway})
    row = connection.execute(queries["next_order"], {"gateway": gateway}).fetchone()
    return None if row is None else (row[0], row[1])


def add_order(connection: Connection, order: Ordered) -> None:
    """Keep a new order; it is sent from its `ordered_at` on."""
    row = {name: getattr(order, name) for name in ("gateway", "version", "epoch", "octets", "ordered_by", "ordered_at")}
    connection.execute(load_queries("gateway_reports")["add_order"], row)


def orders(connection: Connection, gateway: GatewayId) -> tuple[Ordered, ...]:
    """List the orders of a gateway, the newest first."""
    rows = connection.execute(load_queries("gateway_reports")["orders"], {"gateway": gateway})
    return tuple(
        Ordered(GatewayId(name), version, epoch, bytes(octets), *rest) for name, version, epoch, octets, *rest in rows
    )


def due_orders(connection: Connection, now: datetime, most: int) -> Sequence[tuple[GatewayId, bytes]]:
    """Give the orders that are to be sent now; each is given to one worker."""
    rows = connection.execute(load_queries("gateway_reports")["due_orders"], {"now": now, "most": most})
    return [(GatewayId(gateway), bytes(octets)) for gateway, octets in rows]


def _records(sealed: Opened) -> Iterable[Record]:
    """Give what a report says; one that nobody can read is kept as it came, and says nothing."""
    if sealed.head.kind is not Kind.REPORT:
        return ()
    try:
        return read_records(islice(sealed.envelope.records, RECORDS_MAX))
    except EnvelopeMalformed:
        return ()


def _anchor_row(anchor: Anchor) -> dict[str, object]:
    return {
        "boot": anchor.boot,
        "since_boot_ms": anchor.since_boot_ms,
        "instant": anchor.instant,
        "error_ms": anchor.error_ms,
        "source": str(anchor.source),
    }


def _dated(connection: Connection, boot: Boot, is_bound: Callable[[Sweep], bool]) -> Iterator[list[Sweep]]:
    """Date what waits in a boot, so many at a time; what an anchor gives no possible time stays without readings."""
    gateway, epoch, octets_of_boot = boot
    queries = load_queries("gateway_reports")
    wanted = {"gateway": gateway, "epoch": epoch, "boot": octets_of_boot, "most": DATED_AT_ONCE}
    after_seq = 0
    while rows := connection.execute(queries["date_envelopes"], wanted | {"after": after_seq}).fetchall():
        sweeps: list[Sweep] = []
        for seq, octets, since_boot_ms, instant, error_ms, source in rows:
            after_seq = seq
            anchor = Anchor(octets_of_boot, since_boot_ms, instant, error_ms, TimeSource(source))
            sweep = None if octets is None else _sweep_at(bytes(octets), anchor)
            if sweep is not None and is_bound(sweep):
                sweeps.append(sweep)
            elif sweep is not None:
                connection.execute(queries["undate"], {"gateway": gateway, "epoch": epoch, "seq": seq})
                _log.warning("intake.dated_unbound gateway=%s epoch=%s seq=%s", gateway, epoch, seq)
        yield sweeps


def _sweep_at(octets: bytes, anchor: Anchor) -> Sweep | None:
    try:
        return sweep_as_of(octets, anchor.dated)
    except EnvelopeMalformed as error:
        _log.warning("intake.not_datable: %s", error)
        return None
