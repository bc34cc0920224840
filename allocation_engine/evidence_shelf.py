"""The envelopes that a statement rests on: sorted and encoded once for all parties whose meters were swept together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from allocation_engine.canonical_parts import join_list, join_map, list_head
from allocation_engine.evidence import EnvelopeRef, PointEvidence, Sweeps, SweptReadings
from allocation_engine.evidence_octets import join_readings
from allocation_engine.statement_content import point_head, point_to_wire
from metering.envelope import encode

_READING = list_head(4)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Envelopes in order, where each stands, and their encoded list."""

    refs: tuple[EnvelopeRef, ...]
    place: Mapping[EnvelopeRef | None, int]
    octets: bytes
    around: dict[Sweeps, tuple[list[bytes], list[bytes]]] = field(default_factory=dict)
    """What stands before and behind each reading of a sweep in a statement that rests on just these envelopes."""

    def encode_point(self, point: PointEvidence) -> bytes:
        """Give the octets of `point_to_wire`."""
        readings = point.readings
        if not isinstance(readings, SweptReadings):
            return encode(point_to_wire(point, self.place))
        if readings.sweeps not in self.around:
            before = [_READING + encode(int(mark.timestamp())) for mark in point.marks]
            self.around[readings.sweeps] = before, [encode(self.place[ref]) for ref in point.envelopes]
        head = {name: encode(part) for name, part in point_head(point).items()}
        octets = join_list(join_readings(readings, *self.around[readings.sweeps]))
        return join_map({**head, "readings": octets})


class Shelves:
    """The shelf of each set of points that was asked for."""

    def __init__(self) -> None:
        self._known: dict[tuple[Sweeps, ...], Shelf] = {}
        self._encoded: dict[EnvelopeRef, bytes] = {}

    def of(self, points: Sequence[PointEvidence]) -> Shelf:
        """Give the envelopes of `points`."""
        sweeps = tuple(point.readings.sweeps for point in points if isinstance(point.readings, SweptReadings))
        if len(sweeps) < len(points):
            return self._make(points)
        if sweeps not in self._known:
            self._known[sweeps] = self._make(points)
        return self._known[sweeps]

    def _make(self, points: Sequence[PointEvidence]) -> Shelf:
        refs = tuple(sorted({ref for point in points for ref in point.envelopes if ref is not None}))
        octets = join_list([self._encode(ref) for ref in refs])
        return Shelf(refs, {ref: index for index, ref in enumerate(refs)}, octets)

    def _encode(self, ref: EnvelopeRef) -> bytes:
        known = self._encoded.get(ref)
        if known is None:
            known = self._encoded[ref] = encode(list(ref))
        return known
