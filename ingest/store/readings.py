"""What arrived, read back: readings for settlement, sealed octets as evidence, quarantine and alarms for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.evidence import EnvelopeRef
from ingest.metering_points import StoredReading
from ingest.store.database import Connection, load_queries
from ingest.store.wired_days import wired_numbers
from metering.identity import GatewayId, MeterId
from metering.reading import MeterReading, ReadQuality

Int64Array = npt.NDArray[np.int64]
_WIRE_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
DIGEST_OCTETS = 32
EnvelopePlace = tuple[GatewayId, int, int]
"""Gateway, epoch, seq."""


@dataclass(frozen=True, slots=True)
class RegisterColumn:
    """What one meter showed at several marks, in one gateway's epoch and one form: `group` of the profile.

    marks, seqs   shape (readings,); marks are in microseconds since 2000, see `wire_instant`
    mantissas     shape (readings, channels); None if one of them is void
    """

    meter: MeterId
    profile_hash: bytes
    group: int
    gateway: GatewayId
    epoch: int
    marks: Int64Array
    seqs: Int64Array
    mantissas: Int64Array | None


@dataclass(frozen=True, slots=True)
class ShownSweep:
    """What several meters showed at one mark, in one form.

    meters     their names, with commas between them
    mantissas  for each of them an array of the channels of `group`, as the octets of the wire, end to end
    """

    mark: datetime
    profile_hash: bytes
    group: int
    meters: str
    mantissas: bytes


@dataclass(frozen=True, slots=True)
class QuarantinedEnvelope:
    """One message that was not accepted; place is None where it could not be read or was never proven."""

    reason: str
    detail: str
    proven: bool
    topic: str
    place: EnvelopePlace | None
    first_received_at: datetime
    last_received_at: datetime
    times: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person must look at."""

    kind: str
    gateway: GatewayId | None
    epoch: int | None
    seq: int | None
    raised_at: datetime
    detail: Mapping[str, str]


def readings_due(
    connection: Connection, meters: Sequence[MeterId], first: datetime, last: datetime
) -> tuple[StoredReading, ...]:
    """Give what was read of `meters` for the marks from `first` to `last`, both included, in order of mark and meter.

    A sweep that was repeated under two seqs gives both; frames stay in the sealed octets.
    """
    wanted = {"meters": list(meters), "first": first, "last": last}
    return tuple(_reading_from_row(row) for row in connection.execute(load_queries("readings")["readings_due"], wanted))


def registers_at(
    connection: Connection, meters: Sequence[MeterId], marks: Sequence[datetime]
) -> Iterator[RegisterColumn]:
    """Give what was measured of `meters` at `marks`, in no order."""
    wanted = {"meters": list(meters), "marks": list(marks)}
    for meter, profile_hash, group, gateway, epoch, *columns in connection.execute(
        load_queries("readings")["registers_at"], wanted, binary=True
    ):
        at, seqs, mantissas = (wired_numbers("i8", bytes(octets)) for octets in columns)
        assert at is not None, "a mark is never NULL"
        assert seqs is not None, "a seq is never NULL"
        yield RegisterColumn(MeterId(meter), bytes(profile_hash), group, GatewayId(gateway), epoch, at, seqs, mantissas)


def registers_between(
    connection: Connection, meters: Sequence[MeterId], first: datetime, last: datetime
) -> tuple[ShownSweep, ...]:
    """Give what was measured of `meters` at the marks from `first` to `last`, both included, in no order."""
    wanted = {"meters": list(meters), "first": first, "last": last}
    connection.execute(load_queries("readings")["read_alone"])
    rows = connection.execute(load_queries("readings")["registers_between"], wanted, binary=True)
    return tuple(ShownSweep(*row) for row in rows)


def measured_beyond(
    connection: Connection, meters: Sequence[MeterId], first: datetime, last: datetime
) -> tuple[frozenset[MeterId], frozenset[MeterId]]:
    """Give those of `meters` of which anything was measured before `first`, and those after `last`."""
    wanted = {"meters": list(meters), "first": first, "last": last}
    rows = connection.execute(load_queries("readings")["measured_beyond"], wanted).fetchall()
    before, after = (frozenset(MeterId(row[0]) for row in rows if row[side]) for side in (1, 2))
    return before, after


def wire_instant(instant: datetime) -> int:
    """Give an instant as PostgreSQL sends it: microseconds since 2000."""
    return (instant - _WIRE_EPOCH) // timedelta(microseconds=1)


def kept_digests(
    connection: Connection, places: Sequence[EnvelopePlace]
) -> Iterator[tuple[GatewayId, int, int, bytes]]:
    """Give gateway, epoch, seq and digest of those of `places` whose sealed octets are in the books."""
    if places:
        gateways, epochs, seqs = (list(column) for column in zip(*places, strict=True))
        wanted = {"gateways": gateways, "epochs": epochs, "seqs": seqs}
        for gateway, epoch, found, digests in connection.execute(
            load_queries("readings")["kept_digests"], wanted, binary=True
        ):
            for index, seq in enumerate(found):
                yield GatewayId(gateway), epoch, seq, bytes(digests[DIGEST_OCTETS * index :][:DIGEST_OCTETS])


def envelope_octets(connection: Connection, places: Collection[EnvelopePlace]) -> dict[EnvelopePlace, bytes]:
    """Give the sealed octets of accepted envelopes; places that are not in the books are left out."""
    ordered = sorted(places)
    wanted = {
        "gateways": [gateway for gateway, _, _ in ordered],
        "epochs": [epoch for _, epoch, _ in ordered],
        "seqs": [seq for _, _, seq in ordered],
    }
    rows = connection.execute(load_queries("readings")["envelope_octets"], wanted)
    return {(GatewayId(gateway), epoch, seq): bytes(octets) for gateway, epoch, seq, octets in rows}


def quarantined(connection: Connection, most: int) -> tuple[QuarantinedEnvelope, ...]:
    """Give the newest quarantined messages, at most `most`."""
    return tuple(
        QuarantinedEnvelope(
            reason=reason,
            detail=detail,
            proven=proven,
            topic=topic,
            place=None if gateway is None else (GatewayId(gateway), epoch, seq),
            first_received_at=first,
            last_received_at=last,
            times=times,
            octets=bytes(octets),
        )
        for reason, detail, proven, topic, gateway, epoch, seq, first, last, times, octets in connection.execute(
            load_queries("readings")["quarantined"], {"most": most}
        )
    )


def alarms(connection: Connection, most: int) -> tuple[Alarm, ...]:
    """Give the newest alarms, at most `most`."""
    return tuple(Alarm(*row) for row in connection.execute(load_queries("readings")["alarms"], {"most": most}))


def _reading_from_row(row: tuple[Any, ...]) -> StoredReading:
    meter, profile_hash, group, started_at, read_at, quality, mantissas, mark, *place, by_hand = row
    gateway, epoch, seq, digest = place
    reading = MeterReading(
        meter=MeterId(meter),
        profile_hash=bytes(profile_hash),
        group=group,
        started_at=started_at,
        ended_at=read_at,
        quality=ReadQuality(quality),
        mantissas=tuple(mantissas),
    )
    return StoredReading(reading, mark, EnvelopeRef(GatewayId(gateway), epoch, seq, bytes(digest)), by_hand)
