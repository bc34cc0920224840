"""Which sealed readings prove a period, found for many metering points at once.

Nearly every point was read at each mark that it has to be proven at, so one query by meters and marks finds its
registers, and another the digests of the envelopes they are sealed in. Only where a mark was not read, the readings
around it are looked for, point by point.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from itertools import repeat
from queue import SimpleQueue

import numpy as np

from allocation_engine.evidence import EnvelopeRef, PointEvidence, PointReading, Sweeps, SweptReadings, pick_readings
from device_profiles.catalogue import Catalogue, ProfileUnknown
from device_profiles.profile import Profile
from ingest.metering_points import MeteringPoint
from ingest.settlement import Shelf, around
from ingest.store.database import Connection, Database
from ingest.store.readings import (
    EnvelopePlace,
    Int64Array,
    RegisterColumn,
    kept_digests,
    registers_at,
    wire_instant,
)
from metering.errors import BooksError
from metering.identity import GatewayId, NodeId
from metering.interval import Interval
from metering.obis import Obis
from provisioning.site import Site

METERS_AT_ONCE = 1000
"""A month of these at band changes is some 200,000 readings: well below 100 MiB on the way."""

Needed = Mapping[tuple[NodeId, Obis], tuple[datetime, ...]]
"""The marks that each register has to be proven at, as `allocation_engine.metered.evidence_needed` gives them."""


Part = tuple[Sequence[MeteringPoint], tuple[datetime, ...]]
"""Points, and the marks that all of them have to be proven at."""
Columns = Mapping[NodeId, Sequence[RegisterColumn]]
"""What the meters of each node showed."""


class EvidenceMissing(BooksError):
    """A reading is in the books and the envelope it was sealed in is not: the store is damaged."""


def prove_points(
    connection: Connection,
    site: Site,
    catalogue: Catalogue,
    period: Interval,
    points: Iterable[MeteringPoint],
    needed: Needed,
    beside: Database | None = None,
) -> tuple[PointEvidence, ...]:
    """Give the evidence of the points that need any, in their order; raises EvidenceMissing.

    beside   lends a second connection to ask about many points with, where that may see all that `connection` sees
    """
    asked = [point for point in points if (point.node, point.obis) in needed]
    alike: dict[tuple[datetime, ...], list[MeteringPoint]] = {}
    for point in asked:
        alike.setdefault(needed[point.node, point.obis], []).append(point)
    books = _Books(connection, site, catalogue)
    proven: dict[tuple[NodeId, Obis], Sequence[PointReading]] = {}
    parts = [
        (group[first : first + METERS_AT_ONCE], marks)
        for marks, group in alike.items()
        for first in range(0, len(group), METERS_AT_ONCE)
    ]
    with _lent(connection, beside if len(parts) > 1 else None) as connections:
        for part, columns in _asked_ahead(books.ask, parts, connections):
            proven |= books.prove(part, columns, period)
    return tuple(
        PointEvidence(point.node, point.obis, point.installations, proven[point.node, point.obis]) for point in asked
    )


@contextmanager
def _lent(connection: Connection, beside: Database | None) -> Iterator[Sequence[Connection]]:
    if beside is None:
        yield [connection]
        return
    with beside.spare() as other:
        yield [connection] if other is None else [connection, other]


def _asked_ahead(
    ask: Callable[[Connection, Part], Columns], parts: Sequence[Part], connections: Sequence[Connection]
) -> Iterator[tuple[Part, Columns]]:
    """Give each part with its columns; while one is worked on, each connection looks for those of another."""
    free: SimpleQueue[Connection] = SimpleQueue()
    for connection in connections:
        free.put(connection)

    def asked(part: Part) -> Columns:
        connection = free.get()
        try:
            return ask(connection, part)
        finally:
            free.put(connection)

    ahead = len(connections)
    with ThreadPoolExecutor(ahead) as asking:
        answers = deque(asking.submit(asked, part) for part in parts[:ahead])
        for place, part in enumerate(parts):
            columns = answers.popleft().result()
            answers.extend(asking.submit(asked, one) for one in parts[place + ahead : place + ahead + 1])
            yield part, columns


@dataclass(frozen=True, slots=True)
class _Books:
    """Readings and envelopes in the store, with what was already found of the latter."""

    connection: Connection
    site: Site
    catalogue: Catalogue
    sealed: dict[tuple[GatewayId, int], dict[int, EnvelopeRef]] = field(default_factory=dict)
    alike: dict[tuple[GatewayId, int, bytes, bytes], Sweeps] = field(default_factory=dict)

    def ask(self, connection: Connection, part: Part) -> Columns:
        """Ask what the meters of points showed at marks that all of them have to be proven at."""
        points, marks = part
        meters = {meter.id: meter.node for point in points for meter in self.site.meters_at(point.node)}
        columns: dict[NodeId, list[RegisterColumn]] = {}
        for column in registers_at(connection, list(meters), marks):
            columns.setdefault(meters[column.meter], []).append(column)
        self._find_sealed(connection, (column for found in columns.values() for column in found))
        return columns

    def prove(
        self, part: Part, columns: Columns, period: Interval
    ) -> dict[tuple[NodeId, Obis], Sequence[PointReading]]:
        """Pick what proves these points."""
        points, marks = part
        return {
            (point.node, point.obis): self._readings(columns.get(point.node, ()), point, marks)
            or self._readings_around(point, marks, period)
            for point in points
        }

    def _readings(
        self, columns: Sequence[RegisterColumn], point: MeteringPoint, marks: tuple[datetime, ...]
    ) -> Sequence[PointReading] | None:
        """Give the readings at `marks`, or None if one of them was not read, or not plainly."""
        wire = _wire_marks(marks)
        registers = []
        for column in columns:
            register = self._register(column, point.obis)
            if register is None:
                return None
            registers.append(register)
        if len(columns) == 1 and np.array_equal(columns[0].marks, wire):
            return SweptReadings(self._sweeps(columns[0], marks), columns[0].meter, registers[0])
        mark_of = dict(zip(wire.tolist(), marks, strict=True))
        found: list[PointReading] = []
        for column, register in zip(columns, registers, strict=True):
            refs = self.sealed[column.gateway, column.epoch]
            at = map(mark_of.__getitem__, column.marks.tolist())
            sealed = map(refs.__getitem__, column.seqs.tolist())
            found += map(PointReading, at, repeat(column.meter), register.tolist(), sealed)
        if {one.mark for one in found} != set(marks):
            return None
        return pick_readings(marks, sorted(found, key=lambda one: (one.mark, one.meter, one.register_wh, one.envelope)))

    def _sweeps(self, column: RegisterColumn, marks: tuple[datetime, ...]) -> Sweeps:
        """Give the sweeps that a column was read in; meters that were read together have the same."""
        key = column.gateway, column.epoch, column.marks.tobytes(), column.seqs.tobytes()
        if key not in self.alike:
            refs = self.sealed[column.gateway, column.epoch]
            self.alike[key] = Sweeps(marks, tuple(map(refs.__getitem__, column.seqs.tolist())))
        return self.alike[key]

    def _register(self, column: RegisterColumn, obis: Obis) -> Int64Array | None:
        """Decode a column; None if it is not plain: a void or impossible number, a form that is not the profile's."""
        try:
            profile = self.catalogue.by_hash(column.profile_hash)
        except ProfileUnknown:
            return None
        plain = _plain_channel(profile, column.group, obis)
        shown = column.mantissas
        if plain is None or shown is None:
            return None
        limits = np.array([channel.limits for channel in profile.groups[column.group].channels])
        if shown.shape[1] != len(limits) or (shown < limits[:, 0]).any() or (shown > limits[:, 1]).any():
            return None
        position, factor = plain
        return shown[:, position] * factor

    def _readings_around(
        self, point: MeteringPoint, marks: tuple[datetime, ...], period: Interval
    ) -> tuple[PointReading, ...]:
        """Give the readings at and around `marks`, as settlement saw them."""
        meters = tuple(meter.id for meter in self.site.meters_at(point.node))
        shelf = Shelf(self.connection, self.catalogue, meters, (point.obis,))
        known = around(shelf.registers(shelf.widen(period))[point.obis], period)
        picked = pick_readings(marks, known)
        self._require_kept(
            self.connection,
            ((one.envelope.gateway, one.envelope.epoch, one.envelope.seq) for one in picked if one.envelope),
        )
        return picked

    def _find_sealed(self, connection: Connection, columns: Iterable[RegisterColumn]) -> None:
        wanted: dict[tuple[GatewayId, int], set[int]] = {}
        for column in columns:
            wanted.setdefault((column.gateway, column.epoch), set()).update(column.seqs.tolist())
        self._require_kept(connection, ((*chain, seq) for chain, seqs in wanted.items() for seq in seqs))

    def _require_kept(self, connection: Connection, places: Iterable[EnvelopePlace]) -> None:
        """Look up the digests of envelopes that were not met before; raises EvidenceMissing."""
        unknown = sorted({place for place in places if place[2] not in self.sealed.setdefault(place[:2], {})})
        for gateway, epoch, seq, digest in kept_digests(connection, unknown):
            self.sealed[gateway, epoch][seq] = EnvelopeRef(gateway, epoch, seq, digest)
        for gateway, epoch, seq in unknown:
            if seq not in self.sealed[gateway, epoch]:
                raise EvidenceMissing(f"the envelope {gateway} epoch {epoch} seq {seq} is not in the store")


@lru_cache(maxsize=16)
def _wire_marks(marks: tuple[datetime, ...]) -> Int64Array:
    return np.array([wire_instant(mark) for mark in marks], np.int64)


@lru_cache(maxsize=1024)
def _plain_channel(profile: Profile, group: int, obis: Obis) -> tuple[int, int] | None:
    """Say where a group holds a register, and how many base units its last digit is; None where that is not plain."""
    if not 0 <= group < len(profile.groups):
        return None
    holding = [(place, one) for place, one in enumerate(profile.groups[group].channels) if one.obis == obis]
    if len(holding) != 1:
        return None
    position, channel = holding[0]
    factor = Fraction(10) ** channel.exponent * channel.unit.factor
    is_plain = factor.denominator == 1 and factor.numerator * max(map(abs, channel.limits)) < 2**63
    return (position, factor.numerator) if is_plain else None
