"""What people read, as it is kept, and what is known beside it. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from allocation_engine.evidence import EnvelopeRef
from device_profiles.catalogue import Catalogue
from device_profiles.decode import register_readings
from ingest.chain import GENESIS
from ingest.metering_points import StoredReading
from ingest.ports import GatewayEpoch
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError, MeteringError
from metering.hand_note import HandSource
from metering.identity import GatewayId, KeyId, MeterId, SiteId
from metering.obis import Obis
from metering.reading import MeterReading, ReadQuality
from provisioning.hand_reading import Doubt, Known, Neighbours
from provisioning.keys import PublicVerifier

LOOKED = 32
"""Sweeps before a mark that are looked at: another register of the same meter may have been read in some of them."""


class HandState(StrEnum):
    """What became of a reading.

    waiting    does not fit; a second person decides
    counted    stands in the books
    kept       the bus knows that mark itself; kept as a check
    refused    a second person said no
    withdrawn  was counted, and is taken out again
    yielded    was counted until the bus's own reading of that mark came
    """

    WAITING = "waiting"
    COUNTED = "counted"
    KEPT = "kept"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    YIELDED = "yielded"


class HandReadingUnknown(BooksError):
    """There is no hand reading of this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandReading:
    """One register that somebody read.

    number         None before it is kept
    shown          as written down; `register` in base units, before CT and PT
    mark           the quarter hour it counts for
    reader         who looked at the display; entered_by: who brought it
    seen           digits that a machine read off the photo, `confidence_pm` how sure it was of the least sure one
    place          chain and seq where it is sealed; None where it never counted
    """

    number: int | None
    site: SiteId
    meter: MeterId
    obis: Obis
    shown: str
    register: int
    read_at: datetime
    mark: datetime
    source: HandSource
    photo: bytes | None
    seen: str | None
    confidence_pm: int | None
    reader: str
    reader_salt: bytes | None
    entered_at: datetime
    entered_by: str
    state: HandState
    doubts: tuple[Doubt, ...]
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""
    place: tuple[GatewayEpoch, int] | None = None


@dataclass(frozen=True, slots=True)
class DeskKey:
    """The newest key that a desk signs with, as registered; epoch 0 and None where it has none yet."""

    is_desk: bool
    site: SiteId
    epoch: int
    key_id: KeyId | None


def desk_key(connection: Connection, desk: GatewayId) -> DeskKey | None:
    """Give what the registry says of a desk; None where there is nothing of that name."""
    row = connection.execute(load_queries("hand_readings")["desk_key"], {"gateway": desk}).fetchone()
    if row is None:
        return None
    is_desk, site, epoch, key_id = row
    return DeskKey(is_desk, SiteId(site), epoch or 0, None if key_id is None else KeyId(bytes(key_id)))


def add_desk(
    connection: Connection, desk: GatewayId, site: SiteId, epoch: int, key: PublicVerifier, at: datetime
) -> None:
    """Register a desk, or its next epoch, with the key that signs in it."""
    row: dict[str, Any] = {"gateway": desk, "site": site, "epoch": epoch, "enrolled_at": at}
    connection.execute(load_queries("hand_readings")["add_desk"], row)
    row |= {"key_id": key.key_id, "algorithm": int(key.algorithm), "public_key": key.public_key}
    connection.execute(load_queries("gateways")["add_key"], row | {"bundle_hash": GENESIS})


def add_hand_reading(connection: Connection, one: HandReading) -> int:
    """Keep a reading and give its number."""
    owner, seq = one.place if one.place is not None else (None, None)
    row: dict[str, Any] = {name: getattr(one, name) for name in _PLAIN}
    row |= {"obis": str(one.obis), "source": str(one.source), "state": str(one.state), "seq": seq}
    row |= {"doubts": [str(doubt) for doubt in one.doubts]}
    row |= {"gateway": owner and owner.gateway, "epoch": owner and owner.epoch}
    found = connection.execute(load_queries("hand_readings")["add_hand_reading"], row).fetchone()
    assert found is not None
    return int(found[0])


def find_hand_reading(connection: Connection, number: int) -> HandReading:
    """Give one and hold it until the transaction ends; raises HandReadingUnknown."""
    row = connection.execute(load_queries("hand_readings")["find_hand_reading"], {"number": number}).fetchone()
    if row is None:
        raise HandReadingUnknown(f"hand reading {number} does not exist: list them with `metertree reading list`")
    return _from_row(row)


def list_hand_readings(
    connection: Connection,
    *,
    site: str | None = None,
    meter: str | None = None,
    state: HandState | None = None,
    most: int = 100,
) -> tuple[HandReading, ...]:
    """Give the newest ones, newest first."""
    wanted = {"site": site, "meter": meter, "state": None if state is None else str(state), "most": most}
    return tuple(map(_from_row, connection.execute(load_queries("hand_readings")["list_hand_readings"], wanted)))


def same_hand_reading(
    connection: Connection, meter: MeterId, obis: Obis, mark: datetime
) -> tuple[int, int, HandState] | None:
    """Give number, register and state of what was entered for this register and mark before, unless refused."""
    wanted = {"meter": meter, "obis": str(obis), "mark": mark}
    row = connection.execute(load_queries("hand_readings")["same_hand_reading"], wanted).fetchone()
    return None if row is None else (row[0], row[1], HandState(row[2]))


def decide_hand_reading(connection: Connection, one: HandReading) -> None:
    """Write state, decision and place of a reading that is kept."""
    owner, seq = one.place if one.place is not None else (None, None)
    row: dict[str, Any] = {"number": one.number, "state": str(one.state), "seq": seq, "reason": one.reason}
    row |= {"decided_by": one.decided_by, "decided_at": one.decided_at}
    row |= {"gateway": owner and owner.gateway, "epoch": owner and owner.epoch}
    connection.execute(load_queries("hand_readings")["decide_hand_reading"], row)


def take_out(connection: Connection, one: HandReading) -> None:
    """Take a counted reading out of what is settled, and have its day settled again."""
    assert one.place is not None, "what counts is sealed"
    (owner, seq) = one.place
    row = {"meter": one.meter, "mark": one.mark, "gateway": owner.gateway, "epoch": owner.epoch, "seq": seq}
    connection.execute(load_queries("hand_readings")["take_out_reading"], row)
    days = {"meters": [one.meter], "days": [one.mark.date()]}
    connection.execute(load_queries("intake")["add_unsettled_days"], days)


def waiting_readings(connection: Connection) -> tuple[tuple[str, datetime], ...]:
    """Give the sites where readings wait for a second person, and since when."""
    rows = connection.execute(load_queries("hand_readings")["waiting_readings"])
    return tuple((site, since) for site, since in rows)


def hand_read_meters(connection: Connection, meters: Collection[MeterId]) -> frozenset[MeterId]:
    """Give those of `meters` of which something counts that a person read."""
    rows = connection.execute(load_queries("hand_readings")["hand_read_meters"], {"meters": list(meters)})
    return frozenset(MeterId(row[0]) for row in rows)


def yield_to_bus(connection: Connection, meters: Collection[MeterId]) -> tuple[int, ...]:
    """Take out hand readings whose mark the bus has brought since; give their numbers."""
    rows = connection.execute(load_queries("hand_readings")["yield_to_bus"], {"meters": sorted(meters)})
    return tuple(row[0] for row in rows)


def neighbours(
    connection: Connection, catalogue: Catalogue, meter: MeterId, obis: Obis, mark: datetime, desk: GatewayId
) -> Neighbours:
    """Give what is known of a register around a mark. `desk`: whose readings are those of people."""
    wanted = {"meter": meter, "mark": mark, "earlier": LOOKED}
    rows = connection.execute(load_queries("hand_readings")["registers_beside"], wanted).fetchall()
    known = sorted(filter(None, (_known(row, catalogue, meter, obis, desk) for row in rows)), key=lambda one: one.mark)
    before = [one for one in known if one.mark < mark]
    here = [one for one in known if one.mark == mark]
    return Neighbours(
        earlier=before[-2] if len(before) > 1 else None,
        before=before[-1] if before else None,
        here=next((one for one in here if not one.by_hand), here[0] if here else None),
        after=next((one for one in known if one.mark > mark), None),
    )


def _known(row: tuple[Any, ...], catalogue: Catalogue, meter: MeterId, obis: Obis, desk: GatewayId) -> Known | None:
    stored = _stored(row, meter)
    try:
        registers = register_readings(catalogue.by_hash(stored.reading.profile_hash), stored.reading, stored.mark)
    except MeteringError:
        return None
    found = [one.shown for one in registers if one.obis == obis and one.shown is not None]
    if not found or stored.mark is None or stored.envelope is None:
        return None
    return Known(stored.mark, found[0].to_base(), stored.envelope.gateway == desk)


def _stored(row: Sequence[Any], meter: MeterId) -> StoredReading:
    mark, profile_hash, group, started_at, read_at, quality, mantissas, gateway, epoch, seq = row
    quality = ReadQuality(quality)
    reading = MeterReading(meter, bytes(profile_hash), group, started_at, read_at, quality, tuple(mantissas))
    return StoredReading(reading, mark, EnvelopeRef(GatewayId(gateway), epoch, seq, b""))


_PLAIN = (
    *("site", "meter", "shown", "register", "read_at", "mark", "photo", "seen", "confidence_pm"),
    *("reader", "reader_salt", "entered_at", "entered_by"),
)


def _from_row(row: Sequence[Any]) -> HandReading:
    number, site, meter, obis, shown, register, read_at, mark, source, photo, seen, confidence_pm, reader = row[:13]
    entered_at, entered_by, state, doubts, decided_by, decided_at, reason, gateway, epoch, seq, salt = row[13:]
    return HandReading(
        number=number,
        site=SiteId(site),
        meter=MeterId(meter),
        obis=Obis.parse(obis),
        shown=shown,
        register=register,
        read_at=read_at,
        mark=mark,
        source=HandSource(source),
        photo=None if photo is None else bytes(photo),
        seen=seen,
        confidence_pm=confidence_pm,
        reader=reader,
        reader_salt=None if salt is None else bytes(salt),
        entered_at=entered_at,
        entered_by=entered_by,
        state=HandState(state),
        doubts=tuple(Doubt(one) for one in doubts),
        decided_by=decided_by,
        decided_at=decided_at,
        reason=reason,
        place=None if gateway is None else (GatewayEpoch(GatewayId(gateway), epoch), seq),
    )
