"""A Modbus meter as a proof sees it: registers written as its profile says, or otherwise, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from device_profiles.catalogue import Catalogue
from device_profiles.families.modbus_source import ModbusSource, form_of
from device_profiles.forms import WordOrder
from device_profiles.profile import Channel, Profile, Protocol, Side
from device_profiles.read_plan import plan_reads
from metering.obis import Obis
from provisioning.meter_snapshot import MeterSnapshot, snapshot

READ_AT = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
CATALOGUE = Catalogue.shipped()
ADL400 = "acrel/adl400"
"""Secondary side, u32, kWh with two decimals."""
SDM630 = "eastron/sdm630"
"""Primary side, f32."""
B23 = "abb/b23"
"""Three phases with active power of each."""


def meter(
    mantissas: Mapping[str, int],
    *,
    model: str | Profile = ADL400,
    name: str = "m-1",
    ct: int = 1,
    pt: int = 1,
    order: WordOrder | None = None,
    at: datetime = READ_AT,
) -> MeterSnapshot:
    """Give a meter that shows `mantissas`; in its registers the words stand in `order`, whatever its profile says."""
    profile = CATALOGUE.by_id(model) if isinstance(model, str) else model
    protocol = Protocol.MODBUS_RTU if Protocol.MODBUS_RTU in profile.links else Protocol.MODBUS_TCP
    answers = []
    for group in profile.groups:
        for read in plan_reads(profile, protocol, group):
            body = bytearray(2 * read.count)
            for channel in group.channels:
                source = channel.source
                assert isinstance(source, ModbusSource)
                inside = source.function == read.function and read.address <= source.first and source.end <= read.end
                if inside and str(channel.obis) in mantissas:
                    octets = form_of(_in_order(channel, source, order)).to_octets(mantissas[str(channel.obis)])
                    at_octet = 2 * (source.address - read.address)
                    body[at_octet : at_octet + len(octets)] = octets
            answers.append((read, bytes(body)))
    taken = snapshot(meter=name, profile=profile, protocol=protocol, ct=ct, pt=pt, read_at=at, answers=answers)
    told = {obis: shown for obis, shown in taken.shown.items() if str(obis) in mantissas}
    return replace(taken, shown=told)


def _in_order(channel: Channel, source: ModbusSource, order: WordOrder | None) -> Channel:
    return channel if order is None else replace(channel, source=replace(source, order=order))


def phases(
    amperes: tuple[float, float, float],
    watts: tuple[float, float, float],
    *,
    volts: tuple[float, float, float] = (230.0, 231.0, 229.0),
    total: float | None = None,
    side: Side = Side.SECONDARY,
    **parts: object,
) -> MeterSnapshot:
    """Give a three-phase meter (B23) under load; volts and watts to a tenth and hundredth, as it shows them."""
    shown: dict[str, int] = {}
    for index, first in enumerate((20, 40, 60)):
        shown[f"1-0:{first + 12}.7.0"] = round(volts[index] * 10)
        shown[f"1-0:{first + 11}.7.0"] = round(amperes[index] * 100)
        shown[f"1-0:{first + 16}.7.0"] = round(watts[index] * 100)
    shown["1-0:16.7.0"] = round((sum(watts) if total is None else total) * 100)
    return meter(shown, model=replace(CATALOGUE.by_id(B23), side=side), **parts)  # type: ignore[arg-type]


def obis(text: str) -> Obis:
    """Give an OBIS code, for short."""
    return Obis.parse(text)
