"""A meter that answers on the wire by its profile: the decoder's counterpart, pure and without a clock.

It keeps no registers of its own. True registers come from a `RegisterSource` in integer base units; the meter shows
them as the model would: floored to the register's resolution, rolled over at its modulus, rounded to float32 where the
model keeps floats. Registers the profile does not name read as zero beside named ones and are refused on their own.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from device_profiles.decode import octet_offset
from device_profiles.forms import Form, form_of
from device_profiles.framing import dlt645, modbus_pdu, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import FrameError
from device_profiles.profile import Channel, Dlt645Source, Profile, Protocol
from device_profiles.read_plan import Dlt645Read, ModbusRead, ReadRequest
from metering.identity import MeterId
from metering.obis import Obis


class RegisterSource(typing.Protocol):
    """The world the meters measure."""

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the true register in base units [Wh, mV, mA, W, mHz ...]; None while this meter is off the bus."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """One channel in an answer: where its octets go and how a true register becomes what the meter shows.

    mantissa = register x numerator // denominator, modulo modulus
    """

    obis: Obis
    start: int
    form: Form
    numerator: int
    denominator: int
    modulus: int | None

    def shown(self, register: int) -> bytes:
        """Give the octets that show `register` [base units]."""
        mantissa = register * self.numerator // self.denominator
        return self.form.to_octets(mantissa if self.modulus is None else mantissa % self.modulus)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The prepared answer to one request frame: its length, its cells, and how to frame the body."""

    octets: int
    cells: tuple[_Cell, ...]
    framed: Callable[[bytes], bytes]
    refusal: bytes


class SimulatedMeter:
    """One meter of the world on one link; `address` is its unit id or its 12-digit DL/T 645 address."""

    ANSWERS_MAX = 1024
    """Prepared answers kept; a gateway asks the same few questions for ever, a fuzzer must not fill the memory."""

    def __init__(self, meter_id: MeterId, profile: Profile, protocol: Protocol, address: str) -> None:
        profile.link(protocol)
        self.meter_id = meter_id
        self.profile = profile
        self.protocol = protocol
        self.address = address
        self._answers: dict[bytes, _Answer | None] = {}

    def answer(self, frame: bytes, registers: RegisterSource) -> bytes | None:
        """Give the reply frame to one request frame; None when it is not for this meter, or the meter is off the bus.

        Under Modbus TCP frames carry their MBAP header; under DL/T 645 wake-up octets may come first.
        """
        if self.protocol is Protocol.MODBUS_TCP:
            reply = self._answer(b"\0\0" + frame[2:], registers)
            return None if reply is None else frame[:2] + reply[2:]
        return self._answer(frame, registers)

    def _answer(self, frame: bytes, registers: RegisterSource) -> bytes | None:
        if frame in self._answers:
            prepared = self._answers[frame]
        else:
            prepared = self._prepare(frame)
            if len(self._answers) < self.ANSWERS_MAX:
                self._answers[frame] = prepared
        if prepared is None:
            return None
        if not prepared.cells:
            is_there = registers.register(self.meter_id, self.profile.groups[0].channels[0].obis) is not None
            return prepared.refusal if is_there else None
        body = bytearray(prepared.octets)
        for cell in prepared.cells:
            register = registers.register(self.meter_id, cell.obis)
            if register is None:
                return None
            _place(body, cell.start, cell.shown(register))
        return prepared.framed(bytes(body))

    def _prepare(self, frame: bytes) -> _Answer | None:
        """Parse a request and lay out its answer; None when it is not a read of this meter."""
        try:
            return self._prepare_dlt645(frame) if not self.protocol.is_modbus else self._prepare_modbus(frame)
        except FrameError:
            return None

    def _prepare_modbus(self, frame: bytes) -> _Answer | None:
        is_tcp = self.protocol is Protocol.MODBUS_TCP
        address, read = modbus_tcp.parse_request(frame)[1:] if is_tcp else modbus_rtu.parse_request(frame)
        if address != self.address:
            return None
        link = self.profile.link(self.protocol)
        codec = modbus_tcp if is_tcp else modbus_rtu
        cells = self._cells(read) if read.count <= (link.registers_max or read.count) else ()
        return _Answer(
            octets=2 * read.count,
            cells=cells,
            framed=lambda body: codec.build_reply(address, read, body),
            refusal=codec.build_exception(address, read, modbus_pdu.ILLEGAL_ADDRESS),
        )

    def _prepare_dlt645(self, frame: bytes) -> _Answer | None:
        address, read = dlt645.parse_request(frame)
        if address != self.address:
            return None
        cells = self._cells(read)
        lengths = [
            channel.source.octets * channel.source.count
            for channel in self._channels().values()
            if isinstance(channel.source, Dlt645Source) and channel.source.di == read.di
        ]
        return _Answer(
            octets=max(lengths, default=0),
            cells=cells,
            framed=lambda body: dlt645.build_reply(address, read, body),
            refusal=dlt645.build_exception(address, read, dlt645.NO_SUCH_ITEM),
        )

    def _channels(self) -> Mapping[object, Channel]:
        return {channel.source: channel for group in self.profile.groups for channel in group.channels}

    def _cells(self, read: ReadRequest) -> tuple[_Cell, ...]:
        """Lay out every channel that the answer to `read` holds at least in part."""
        return tuple(_cell(read, channel) for channel in self._channels().values() if _touches(read, channel))


def _touches(read: ReadRequest, channel: Channel) -> bool:
    source = channel.source
    if isinstance(source, Dlt645Source):
        return isinstance(read, Dlt645Read) and read.di == source.di
    return (
        isinstance(read, ModbusRead)
        and read.function == source.function
        and source.address < read.end
        and read.address < source.end
    )


def _cell(read: ReadRequest, channel: Channel) -> _Cell:
    scale = 1 / (channel.unit.factor * Fraction(10) ** channel.exponent)
    return _Cell(
        obis=channel.obis,
        start=octet_offset(read, channel),
        form=form_of(channel),
        numerator=scale.numerator,
        denominator=scale.denominator,
        modulus=channel.modulus,
    )


def _place(body: bytearray, start: int, octets: bytes) -> None:
    """Write `octets` at `start`, leaving off what lies outside the body (a read may cut a register in half)."""
    left, right = max(start, 0), min(start + len(octets), len(body))
    body[left:right] = octets[left - start : right - start]
