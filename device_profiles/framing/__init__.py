"""Link framing, sans I/O: octets to answers and back, at both ends of the line.

Each protocol's module offers the same functions (`Codec`): the gateway builds requests and parses replies, the
simulated meter parses requests and builds replies, and tests feed either with captures. Whatever octets come, the
outcome is the body of the answer or a MeterError. See docs/adr/0010.
"""

from __future__ import annotations

import typing
from typing import Any

from device_profiles.framing import dlt645, modbus_rtu, modbus_tcp
from device_profiles.profile import Protocol

ReadT = typing.TypeVar("ReadT", contravariant=True)


class Codec(typing.Protocol[ReadT]):
    """What a gateway needs of a protocol; `address` is the meter's address as text."""

    def check_address(self, text: str, /) -> str:
        """Return a well-formed address; raises AddressInvalid."""

    def build_request(self, address: str, read: ReadT, /) -> bytes:
        """Give the octets to send."""

    def octets_expected(self, read: ReadT, received: bytes, /) -> int:
        """Predict the length of the reply, given what has been received of it; raises FrameError."""

    def parse_reply(self, address: str, read: ReadT, frame: bytes, /) -> bytes:
        """Give the body of the reply; raises FrameError or ExceptionReply."""


_CODECS: dict[Protocol, Codec[Any]] = {
    Protocol.MODBUS_RTU: modbus_rtu,
    Protocol.MODBUS_TCP: modbus_tcp,
    Protocol.DLT645_2007: dlt645,
}


def codec_of(protocol: Protocol) -> Codec[Any]:
    """Give the codec of `protocol`; its reads are those that `plan_reads` gives for the same protocol."""
    return _CODECS[protocol]
