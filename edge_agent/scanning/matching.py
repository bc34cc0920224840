"""Which found meter is which expected one: by number, then by address, then by model."""

from __future__ import annotations

from collections.abc import Iterable

from device_profiles.profile import Protocol
from edge_agent.scanning.result import ExpectedMeter, FoundMeter
from provisioning.serial_numbers import is_same_serial

NUMBERED = (Protocol.DLT645_2007, Protocol.DLT645_1997, Protocol.CJT188_2004, Protocol.CJT188_2018)
"""Protocols in which the address is the number printed on the meter."""


def missing_of(expected: Iterable[ExpectedMeter], found: Iterable[FoundMeter]) -> tuple[ExpectedMeter, ...]:
    """Give the expected meters that none of those found is."""
    left, missing = list(found), list(expected)
    for same in (_same_serial, _same_address, _same_model):
        still: list[ExpectedMeter] = []
        for wanted in missing:
            meter = next((each for each in left if same(wanted, each)), None)
            if meter is None:
                still.append(wanted)
            else:
                left.remove(meter)
        missing = still
    return tuple(missing)


def has_number(meter: FoundMeter, text: str) -> bool:
    """Say whether a number as people write it is the meter's: its serial, or the address that its plate shows."""
    numbers = (meter.serial, meter.address if meter.protocol in NUMBERED else None)
    return any(number is not None and is_same_serial(text, number) for number in numbers)


def _same_serial(wanted: ExpectedMeter, meter: FoundMeter) -> bool:
    if not wanted.serial or meter.serial is None:
        return False
    numbers = {meter.serial.lstrip("0")} | ({meter.address.lstrip("0")} if meter.protocol in NUMBERED else set())
    return wanted.serial.strip().lstrip("0") in numbers


def _same_address(wanted: ExpectedMeter, meter: FoundMeter) -> bool:
    if wanted.serial and meter.serial is not None:
        return False
    is_protocol = wanted.protocol in (None, meter.protocol)
    return bool(wanted.address) and is_protocol and wanted.address == meter.address


def _same_model(wanted: ExpectedMeter, meter: FoundMeter) -> bool:
    if (wanted.serial and meter.serial is not None) or wanted.address or not wanted.profile:
        return False
    best = meter.candidates[0].score if meter.candidates else 0
    return any(each.profile == wanted.profile and each.score == best for each in meter.candidates)
