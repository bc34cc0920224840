"""What a register would show if its octets stood in another word order, or were another kind of number.

Only registers of a Modbus map have orders and types of their own; every other protocol states both in its frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from device_profiles.families import family_of
from device_profiles.families.modbus_source import ModbusSource
from device_profiles.forms import RegisterType, WordOrder
from device_profiles.profile import Channel
from metering.obis import Obis
from metering.quantity import Shown
from provisioning.meter_snapshot import MeterSnapshot, readable

_ALTERNATIVES = tuple(kind for kind in RegisterType if kind.bits in (32, 64) and kind.value[:3] != "mag")


@dataclass(frozen=True, slots=True)
class OtherForm:
    """A register read in another way; `is_same_type` when only the order of its octets differs."""

    type: RegisterType
    order: WordOrder
    is_same_type: bool
    shown: Shown


def read_otherwise(meter: MeterSnapshot, obis: Obis) -> Iterator[OtherForm]:
    """Read a register's octets in every other order, then as every other type of its width."""
    channel = meter.channel(obis)
    if channel is None or not isinstance(channel.source, ModbusSource) or channel.source.bits is not None:
        return
    source = channel.source
    orders = tuple(WordOrder) if source.count > 1 else (WordOrder.ABCD, WordOrder.BADC)
    forms = [(source.type, order) for order in orders if order is not source.order]
    forms += [
        (kind, order)
        for kind in _ALTERNATIVES
        if kind.bits == source.type.bits and kind is not source.type
        for order in (source.order, *(order for order in orders if order is not source.order))
    ]
    for kind, order in forms:
        mantissa = _mantissa(meter, replace(channel, source=_form(source, kind, order)))
        if mantissa is not None:
            yield OtherForm(kind, order, kind is source.type, channel.shown(mantissa))


def _form(source: ModbusSource, kind: RegisterType, order: WordOrder) -> ModbusSource:
    """Give the source with another type and order; its patterns for "no value" belong to its own."""
    same = kind is source.type
    return replace(source, type=kind, order=order, exponent=source.exponent if same else 0, invalid=())


def _mantissa(meter: MeterSnapshot, channel: Channel) -> int | None:
    family = family_of(meter.protocol)
    for answer in meter.raw:
        if family.covers(answer.read, channel):
            return readable(channel, family.reader(answer.read, channel), answer.body)
    return None
