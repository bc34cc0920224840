"""Link framing, sans I/O: octets to answers and back, at both ends of the line.

Each protocol's module is a `Codec`: the gateway holds conversations, the simulated meter parses requests and builds
replies, and tests feed either with captures. Whatever octets come, the outcome is the body of the answer or a
MeterError. See docs/adr/0010 and 0072.
"""

from __future__ import annotations

import typing
from datetime import datetime
from typing import Any

from device_profiles.framing import cjt188, dlms, dlt645, hand, iec62056_21, mbus, modbus_rtu, modbus_tcp, pulse
from device_profiles.framing.conversation import Conversation, MeterSecrets
from device_profiles.framing.errors import NotInProtocol as NotInProtocol
from device_profiles.profile import Protocol

ReadT = typing.TypeVar("ReadT", contravariant=True)


class Codec(typing.Protocol[ReadT]):
    """What a gateway needs of a protocol; `address` is the meter's address as text."""

    def check_address(self, text: str, /) -> str:
        """Return a well-formed address; raises AddressInvalid."""

    def converse(self, address: str, read: ReadT, secrets: MeterSecrets = ..., /) -> Conversation:
        """Hold the conversation that `read` takes; it returns the body that the family decodes."""


class Broadcasts(typing.Protocol):
    """Commands to every meter on a line, which none answers. A protocol without one of them raises NotInProtocol."""

    def set_time(self, local: datetime, /) -> Conversation:
        """Tell every meter the wall-clock time `local` (naive, in the meters' own zone)."""

    def freeze(self) -> Conversation:
        """Have every meter copy its registers at this instant, to be read by groups `after_freeze`."""


_CODECS: dict[Protocol, Codec[Any]] = {
    Protocol.MODBUS_RTU: modbus_rtu,
    Protocol.MODBUS_RTU_OVER_TCP: modbus_rtu,
    Protocol.MODBUS_TCP: modbus_tcp,
    Protocol.DLT645_2007: dlt645.CODEC_2007,
    Protocol.DLT645_1997: dlt645.CODEC_1997,
    Protocol.CJT188_2004: cjt188,
    Protocol.CJT188_2018: cjt188,
    Protocol.MBUS: mbus,
    Protocol.DLMS_HDLC: dlms.HDLC,
    Protocol.DLMS_WRAPPER: dlms.WRAPPER,
    Protocol.IEC62056_21: iec62056_21,
    Protocol.PULSE: pulse,
    Protocol.HAND: hand,
}
_BROADCASTS: dict[Protocol, Broadcasts] = {
    Protocol.DLT645_2007: dlt645.CODEC_2007,
    Protocol.DLT645_1997: dlt645.CODEC_1997,
}


def codec_of(protocol: Protocol) -> Codec[Any]:
    """Give the codec of `protocol`; its reads are those that `plan_reads` gives for the same protocol."""
    if protocol not in _CODECS:
        raise NotInProtocol(f"{protocol} is not spoken by this version")
    return _CODECS[protocol]


def broadcasts_of(protocol: Protocol) -> Broadcasts | None:
    """Give the broadcast commands of `protocol`; None when it has none."""
    return _BROADCASTS.get(protocol)
