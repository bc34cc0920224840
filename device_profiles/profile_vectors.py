"""Vectors of a profile: conversations with what they must decode to, read from its file and tried on its own decoder.

A vector runs through the very codec, reader and ranges that bill. Where it was captured from a meter it proves the
profile; where it was computed it guards the profile against our own changes only, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from device_profiles.checked_table import CheckedTable
from device_profiles.decode import decode_answer
from device_profiles.framing import NotInProtocol, cjt188, codec_of, dlt645, modbus_rtu, modbus_tcp
from device_profiles.framing.cjt188 import Cjt188Read
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.errors import AddressInvalid, FrameError
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.profile import MANTISSA_LIMIT, Profile, Protocol, ReadRequest, Vector
from device_profiles.read_plan import plan_reads
from metering.errors import MeterError, MeteringError
from metering.obis import Obis


class VectorDiffers(MeterError):
    """A vector does not decode to what it states."""


def read_vector(table: CheckedTable) -> Vector:
    """Read a [[vectors]] table."""
    protocol = Protocol(table.choice("protocol", tuple(Protocol)))
    address = table.text("address")
    try:
        codec_of(protocol).check_address(address)
    except (AddressInvalid, NotInProtocol) as error:
        table.fault("address", str(error), "mend it")
    vector = Vector(
        protocol=protocol,
        address=address,
        exchanges=tuple(_exchanges(table)),
        expected=tuple(_expected(table.table("expected"))),
        derived=table.boolean("derived"),
        origin=table.text("origin"),
    )
    table.done()
    return vector


def _exchanges(table: CheckedTable) -> list[tuple[bytes, bytes]]:
    """Read the one exchange of a vector, or several as [[vectors.exchanges]]."""
    if "exchanges" not in table:
        return [(table.hexadecimal("request"), table.hexadecimal("reply"))]
    exchanges: list[tuple[bytes, bytes]] = []
    for entry in table.tables("exchanges"):
        exchanges.append((entry.hexadecimal("request"), entry.hexadecimal("reply")))
        entry.done()
    return exchanges


def _expected(table: CheckedTable) -> list[tuple[Obis, int | None]]:
    expected: list[tuple[Obis, int | None]] = []
    for key in table.all_keys():
        mantissa = _mantissa_or_none(table, key)
        try:
            expected.append((Obis.parse(key), mantissa))
        except MeteringError as error:
            table.fault(key, str(error), "write it like 1-0:1.8.0")
    return expected


def _mantissa_or_none(table: CheckedTable, key: str) -> int | None:
    content: Any = table.raw(key)
    if content == "none":
        return None
    return table.integer(key, -MANTISSA_LIMIT, MANTISSA_LIMIT - 1)


def check_vector(profile: Profile, vector: Vector) -> None:
    """Decode `vector` as if it came over the line; raises VectorDiffers or what the codec or decoder raises."""
    found: dict[Obis, int | None] = {}
    failure: MeterError | None = None
    for read in _reads(profile, vector):
        try:
            found.update(decode_answer(profile, read, _replayed(vector, read)))
        except _AskedOtherwise:
            continue
        except MeterError as error:
            failure = error
    if not found:
        raise failure or VectorDiffers("no read of the profile asks what this vector asks")
    stated = dict(vector.expected)
    for obis in sorted(stated | found):
        if obis not in found or found[obis] != stated.get(obis, found[obis]):
            raise VectorDiffers(f"{obis} decodes to {found.get(obis, 'nothing')}, stated is {stated[obis]}")


class _AskedOtherwise(MeterError):
    """The conversation of this read is not the one that the vector holds."""


def _replayed(vector: Vector, read: ReadRequest) -> bytes:
    """Hold the conversation of `read` against the exchanges of `vector`; gives the body."""
    left = iter(vector.exchanges)

    def carry(exchange: Exchange) -> bytes:
        request, reply = next(left, (None, b""))
        if request is None or exchange.request.lstrip(b"\xfe") != request.lstrip(b"\xfe"):
            raise _AskedOtherwise("another request")
        return reply

    body = drive(codec_of(vector.protocol).converse(vector.address, read, PublishedSecrets()), carry)
    if next(left, None) is not None:
        raise VectorDiffers("the vector goes on after the conversation has ended")
    return body


def _reads(profile: Profile, vector: Vector) -> Iterator[ReadRequest]:
    """Give the reads that may have led to `vector`: what its first request says, or else any that is planned."""
    yield from _read_in(vector.protocol, vector.request)
    for group in profile.groups:
        yield from (_numbered(read, vector.request) for read in plan_reads(profile, vector.protocol, group))


def _numbered(read: ReadRequest, request: bytes) -> ReadRequest:
    """Give a planned CJ/T 188 read the number of `request`, and its order of the identifier, which both may vary."""
    if not isinstance(read, Cjt188Read):
        return read
    try:
        _, asked = cjt188.parse_request(request)
    except FrameError:
        return read
    if not isinstance(asked, Cjt188Read) or asked.di not in (read.di, read.di[::-1]):
        return read
    return replace(read, serial=asked.serial, is_low_first=asked.di != read.di)


_PARSERS: dict[Protocol, Any] = {
    Protocol.MODBUS_RTU: modbus_rtu.parse_request,
    Protocol.MODBUS_TCP: modbus_tcp.parse_request,
    Protocol.DLT645_2007: dlt645.parse_request,
}
"""Protocols whose requests tell alone what is read, so that a vector need not be one of the planned reads."""


def _read_in(protocol: Protocol, request: bytes) -> list[ReadRequest]:
    if protocol not in _PARSERS:
        return []
    try:
        read: ReadRequest = _PARSERS[protocol](request)[-1]
    except FrameError:
        return []
    return [read]
