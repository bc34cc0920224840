"""The meter's end of Modbus: the profile's registers as an image, from which any read is answered."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

from device_profiles.families.family import MeterEnd, Registers
from device_profiles.families.fixed_layout import Cell, FixedLayoutEnd, PreparedAnswer, distinct_channels
from device_profiles.families.modbus_plan import ModbusOptions
from device_profiles.families.modbus_source import form_of, own
from device_profiles.forms import Form, RegisterType, WordOrder, register_form
from device_profiles.framing import modbus_pdu, modbus_rtu, modbus_tcp, sunspec
from device_profiles.framing.errors import FrameError
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Channel, Profile, Protocol

COMMON_MODEL = 1
COMMON_REGISTERS = 66
"""Length of SunSpec's common model, which every device has first (model_1.json)."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some registers of the image: what stands in them, as a cell of register 0 or as constant octets."""

    function: int
    address: int
    count: int
    content: Cell | bytes


@dataclass(frozen=True, slots=True)
class _PartForm:
    """Shows the whole or the decimal part of a mantissa."""

    form: Form
    pick: Callable[[int], int]

    @property
    def octets(self) -> int:
        """Length on the wire."""
        return self.form.octets

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the part alone."""
        return self.form.to_mantissa(wire)

    def to_octets(self, mantissa: int) -> bytes:
        """Write the part of `mantissa` that belongs here."""
        return self.form.to_octets(self.pick(mantissa))


def meter_end(
    profile: Profile, protocol: Protocol, address: str, options: ModbusOptions, registers: Registers
) -> MeterEnd:
    """Give the meter's end for any Modbus profile."""
    image = _image(profile, options)
    codec: ModuleType = modbus_tcp if protocol is Protocol.MODBUS_TCP else modbus_rtu

    def prepare(frame: bytes) -> PreparedAnswer | None:
        try:
            asked, read = codec.parse_request(frame)[-2:]
        except FrameError:
            return None
        return _answer(codec, address, read, image, options) if asked == address else None

    end = FixedLayoutEnd(profile, registers, prepare)
    return _TcpEnd(end) if protocol is Protocol.MODBUS_TCP else end


class _TcpEnd:
    """Carries the transaction id past the prepared answers, which are kept for transaction 0."""

    def __init__(self, end: MeterEnd) -> None:
        self._end = end

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply under the request's transaction id."""
        reply = self._end.answer(b"\0\0" + received[2:])
        return None if reply is None else received[:2] + reply[2:]


def _answer(
    codec: ModuleType, address: str, read: ModbusRead, image: tuple[_Part, ...], options: ModbusOptions
) -> PreparedAnswer:
    """Lay out what `read` touches, at least in part; nothing when the model would refuse the read."""
    refused = read.count > options.registers_max or any(each.touches(read) for each in options.forbid)
    touched = [] if refused else [part for part in image if _touches(read, part)]
    placed = [(2 * (part.address - read.address), part.content) for part in touched]
    return PreparedAnswer(
        octets=2 * read.count,
        cells=tuple(replace(content, start=start) for start, content in placed if isinstance(content, Cell)),
        constants=tuple((start, content) for start, content in placed if isinstance(content, bytes)),
        framed=lambda body: codec.build_reply(address, read, body),
        refusal=codec.build_exception(address, read, modbus_pdu.ILLEGAL_ADDRESS),
    )


def _touches(read: ModbusRead, part: _Part) -> bool:
    return part.function == read.function and part.address < read.end and read.address < part.address + part.count


def _image(profile: Profile, options: ModbusOptions) -> tuple[_Part, ...]:
    """Place every part of every channel."""
    chain, starts = _chain(profile, options)
    parts = list(chain)
    for channel in distinct_channels(profile):
        model = own(channel.source).model
        parts += _parts(channel, 0 if model is None else starts[model])
    return tuple(parts)


def _parts(channel: Channel, base: int) -> list[_Part]:
    source = own(channel.source)
    form = form_of(channel)
    parts: list[_Part] = []

    def add(address: int, content: Cell | bytes, count: int) -> None:
        parts.append(_Part(source.function, base + address, count, content))

    single = register_form(RegisterType.U16, WordOrder.ABCD, ())
    if source.decimals is not None:
        unit = 10**source.digits
        add(source.decimals, Cell.of(channel, _PartForm(single, lambda mantissa: mantissa % unit), 0), 1)
        form = _PartForm(form, lambda mantissa: mantissa // unit)
    if source.scale is not None:
        add(source.scale, struct.pack(">h", channel.exponent - source.exponent), 1)
    for address in source.added:
        add(address, bytes(2 * source.count), source.count)
    add(source.address, Cell.of(channel, form, 0, merged=source.bits is not None), source.count)
    return parts


def _chain(profile: Profile, options: ModbusOptions) -> tuple[list[_Part], dict[int, int]]:
    """Lay out SunSpec's mark and headers, if the profile has models; give where each model starts."""
    lengths: dict[int, int] = {}
    function = modbus_pdu.READ_FUNCTIONS[0]
    for channel in distinct_channels(profile):
        source = own(channel.source)
        if source.model is not None:
            lengths[source.model] = max(lengths.get(source.model, 0), source.end - sunspec.HEADER_REGISTERS)
            function = source.function
    if not lengths:
        return [], {}
    at = options.bases[0]
    parts = [_Part(function, at, 2, sunspec.MARK)]
    starts: dict[int, int] = {}
    at += 2
    for model, length in sorted({COMMON_MODEL: COMMON_REGISTERS, **lengths}.items()):
        starts[model] = at
        parts.append(_Part(function, at, 2 + length, struct.pack(">HH", model, length) + bytes(2 * length)))
        at += sunspec.HEADER_REGISTERS + length
    parts.append(_Part(function, at, 2, struct.pack(">HH", sunspec.END_MODEL, 0)))
    return parts, starts
