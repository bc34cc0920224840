"""Readings put straight into the books, of whatever kind, and a small site whose meters were changed in every way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zlib import crc32

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from ingest.store.database import load_queries
from metering.envelope import digest_of
from metering.identity import GatewayId, MeterId, NodeId, PartyId, PortId, SiteId
from metering.interval import SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from metering.quantity import Shown, Unit
from provisioning.site import (
    ALWAYS,
    Exchange,
    Gateway,
    Meter,
    Names,
    Node,
    NodeKind,
    Parity,
    Party,
    PartyKind,
    Placement,
    SerialPort,
    Site,
    Span,
)

CATALOGUE = Catalogue.shipped()
PROFILE = CATALOGUE.by_id("dlt645/three-phase")
GROUP = PROFILE.group("billing").index
MODULUS = 100_000_000
"""Of its registers, in mantissas of 10 Wh."""
GATEWAY, PORT, SITE = GatewayId("gw"), PortId("line"), SiteId("yard")
MAIN = NodeId("main")
_NAMES = Names("件", "part")


@dataclass(frozen=True)
class Reading:
    """One row of `readings`; `mantissas` are import and export in steps of 10 Wh."""

    meter: str
    mark: datetime
    mantissas: tuple[int | None, ...]
    aligned: bool = True
    quality: int = 0
    profile: bytes = PROFILE.hash
    group: int = GROUP


def put_readings(connection: Any, readings: Iterable[Reading], first_seq: int) -> int:
    """Store readings, each as if sealed in an envelope of its own, and list their days; give the next free seq."""
    queries, seq = load_queries("intake"), first_seq
    rows = list(readings)
    with connection.cursor() as cursor, cursor.copy(queries["copy_ledger"]) as copy:
        copy.set_types(("text", "int4", "int8", "bytea", "bytea", "timestamptz", "text"))
        for place, one in enumerate(rows):
            digest = digest_of(str(seq + place).encode())
            copy.write_row((GATEWAY, 1, seq + place, digest, bytes(32), one.mark, None))
    with connection.cursor() as cursor, cursor.copy(queries["copy_readings"]) as copy:
        texts = ("text", "timestamptz", "bool", "timestamptz", "timestamptz", "int2", "bytea", "int2", "int8[]")
        copy.set_types((*texts, "text", "int4", "int8"))
        for place, one in enumerate(rows):
            mark, numbers = one.mark, list(one.mantissas)
            place_of = (GATEWAY, 1, seq + place)
            copy.write_row(
                (one.meter, mark, one.aligned, mark, mark, one.quality, one.profile, one.group, numbers, *place_of)
            )
    days: list[tuple[str, date]] = sorted({(one.meter, one.mark.date()) for one in rows})
    if days:
        meters, dates = (list(column) for column in zip(*days, strict=True))
        connection.execute(queries["add_unsettled_days"], {"meters": meters, "days": dates})
    return seq + len(rows)


def yard(zone: str = "Asia/Shanghai", *, changed_at: datetime, nodes: int = 1) -> Site:
    """A site with `nodes` plain nodes p-0, p-1, ..., and one for each way in which a meter can change at `changed_at`.

    swapped     exchanged and declared, with another ratio       ratio   the same meter from then on with another ratio
    unsaid      exchanged, and nobody declared it                late    fitted then     gone    removed then
    """
    before, after = Span(None, changed_at), Span(changed_at, None)
    meters = [_meter(f"m-p-{number}", f"p-{number}", ALWAYS, 1 + number % 3) for number in range(nodes)]
    meters += [_meter("m-swapped", "swapped", before, 20), _meter("m-swapped-2", "swapped", after, 30)]
    meters += [_meter("m-ratio", "ratio", before, 20), _meter("m-ratio-2", "ratio", after, 40)]
    meters += [_meter("m-unsaid", "unsaid", before, 1), _meter("m-unsaid-2", "unsaid", after, 1)]
    meters += [_meter("m-late", "late", after, 1), _meter("m-gone", "gone", before, 1)]
    names = [f"p-{number}" for number in range(nodes)] + ["swapped", "ratio", "unsaid", "late", "gone"]
    return Site(
        id=SITE,
        names=_NAMES,
        calendar=SiteCalendar(zone),
        currency="CNY",
        nodes=(
            Node(MAIN, NodeKind.MAIN, (), _NAMES, "1"),
            *(Node(NodeId(one), NodeKind.END, (Placement(MAIN, ALWAYS),), _NAMES, "1") for one in names),
        ),
        meters=tuple(meters),
        exchanges=tuple(
            Exchange(NodeId(node), MeterId(f"m-{node}"), MeterId(f"m-{node}-2"), changed_at, *registers, obis)
            for node, obis, registers in (
                ("swapped", ENERGY_IMPORT, (_shown(5_000), _shown(100))),
                ("swapped", ENERGY_EXPORT, (_shown(70), _shown(0))),
                ("ratio", ENERGY_IMPORT, (_shown(5_000), _shown(5_000))),
                ("ratio", ENERGY_EXPORT, (_shown(70), _shown(70))),
            )
        ),
        units=(),
        parties=(Party(PartyId("owner"), PartyKind.OWNER, _NAMES),),
        leases=(),
        gateways=(Gateway(GATEWAY, _NAMES),),
        ports=(SerialPort(PORT, GATEWAY, "/dev/ttyS0", 9600, Parity.EVEN, 1, 10),),
    )


def _meter(name: str, node: str, span: Span, ct: int) -> Meter:
    number = crc32(name.encode())
    protocol = Protocol.DLT645_2007
    return Meter(MeterId(name), name, PROFILE.id, protocol, PORT, f"{number:012d}", NodeId(node), span, ct, 1)


def _shown(mantissa: int) -> Shown:
    return Shown(mantissa, -2, Unit.KWH)
