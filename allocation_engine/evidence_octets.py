"""Evidence as it is hashed. A large site has millions of readings, so what many of them share is encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

from allocation_engine.canonical_parts import join_list, list_head
from allocation_engine.evidence import Installation, PointEvidence, PointReading, Sweeps, SweptReadings
from metering.envelope import encode, to_ms

_BARE, _SEALED = list_head(3), list_head(7)


def evidence_octets(points: Iterable[PointEvidence]) -> Iterator[bytes]:
    """Encode points one by one: node, register, installations, readings."""
    alike: dict[Sweeps, tuple[list[bytes], list[bytes]]] = {}
    for point in points:
        readings = _swept(point.readings, alike) if isinstance(point.readings, SweptReadings) else _each(point.readings)
        installations = [_installation(one) for one in point.installations]
        head = (encode(part) for part in (point.node, str(point.obis), installations))
        yield join_list([*head, join_list(readings)])


def _each(readings: Iterable[PointReading]) -> list[bytes]:
    """Encode readings: mark, meter, register, and the envelope's place where it is sealed in one."""
    return [
        (_BARE if one.envelope is None else _SEALED)
        + b"".join(map(encode, (to_ms(one.mark), one.meter, one.register_wh, *(one.envelope or ()))))
        for one in readings
    ]


def _swept(readings: SweptReadings, alike: dict[Sweeps, tuple[list[bytes], list[bytes]]]) -> list[bytes]:
    """The same of one meter's readings; what stands before and behind each is that of all meters swept with it."""
    sweeps = readings.sweeps
    if sweeps not in alike:
        marks = [_SEALED + encode(to_ms(mark)) for mark in sweeps.marks]
        alike[sweeps] = marks, [b"".join(map(encode, ref)) for ref in sweeps.envelopes]
    return join_readings(readings, *alike[sweeps])


def join_readings(readings: SweptReadings, before: Iterable[bytes], behind: Iterable[bytes]) -> list[bytes]:
    """Encode each reading of one meter: what stands before it, meter, register, what stands behind it."""
    meter, registers = encode(readings.meter), map(_whole, readings.registers_wh.tolist())
    return [b"".join(parts) for parts in zip(before, repeat(meter), registers, behind, strict=False)]


def _whole(number: int) -> bytes:
    """Encode a whole number; those of five octets, as most registers are, without asking the library."""
    return b"\x1a" + number.to_bytes(4, "big") if 1 << 16 <= number < 1 << 32 else encode(number)


def _installation(one: Installation) -> list[Any]:
    span = [None if instant is None else to_ms(instant) for instant in (one.start, one.end)]
    return [one.meter, *span, one.multiplier, one.modulus_wh, one.power_max_w, one.initial_wh, one.final_wh]
