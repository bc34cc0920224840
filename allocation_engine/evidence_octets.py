"""Evidence as it is hashed. A large site has millions of readings, so what many of them share is encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from allocation_engine.canonical_parts import join_list, list_head
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading
from metering.envelope import encode, to_ms
from metering.identity import MeterId

_BARE, _SEALED = list_head(3), list_head(7)


def evidence_octets(points: Iterable[PointEvidence]) -> Iterator[bytes]:
    """Encode points one by one: node, register, installations, readings."""
    marks: dict[datetime, bytes] = {}
    sealed: dict[EnvelopeRef | None, bytes] = {None: b""}
    for point in points:
        meters: dict[MeterId, bytes] = {}
        readings = [_reading(one, marks, meters, sealed) for one in point.readings]
        installations = [_installation(one) for one in point.installations]
        head = (encode(part) for part in (point.node, str(point.obis), installations))
        yield join_list([*head, join_list(readings)])


def _reading(
    one: PointReading,
    marks: dict[datetime, bytes],
    meters: dict[MeterId, bytes],
    sealed: dict[EnvelopeRef | None, bytes],
) -> bytes:
    """Encode a reading: mark, meter, register, and the envelope's place where it is sealed in one."""
    mark = marks.get(one.mark) or marks.setdefault(one.mark, encode(to_ms(one.mark)))
    meter = meters.get(one.meter) or meters.setdefault(one.meter, encode(one.meter))
    ref = one.envelope
    if ref not in sealed:
        sealed[ref] = b"".join(map(encode, ref or ()))
    return (_BARE if ref is None else _SEALED) + mark + meter + _whole(one.register_wh) + sealed[ref]


def _whole(number: int) -> bytes:
    """Encode a whole number; those of five octets, as most registers are, without asking the library."""
    return b"\x1a" + number.to_bytes(4, "big") if 1 << 16 <= number < 1 << 32 else encode(number)


def _installation(one: Installation) -> list[Any]:
    span = [None if instant is None else to_ms(instant) for instant in (one.start, one.end)]
    return [one.meter, *span, one.multiplier, one.modulus_wh, one.power_max_w, one.initial_wh, one.final_wh]
