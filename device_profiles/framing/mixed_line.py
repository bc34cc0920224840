"""Find requests on a line that meters of several protocols share, as the meters' ends see it. Pure.

No protocol knows of the others, so each meter must ignore what is not whole and right. A request is the first stretch
of octets that is one for some protocol; those with a start mark and a checksum are tried before the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from device_profiles.framing import (
    cjt188,
    dlms_wrapper,
    dlt645,
    hdlc,
    iec62056_21,
    mbus_frame,
    modbus_rtu,
    modbus_write,
)
from device_profiles.profile import Protocol

REQUEST_OCTETS_MAX = 212
"""Longest request: a DL/T 645 frame with a full field. Anything older than this is noise."""

RequestEnd = Callable[[bytes, int], int | None]
"""Gives where the request that begins at a place ends, or None."""

_REQUEST_ENDS: tuple[tuple[RequestEnd, tuple[Protocol, ...]], ...] = (
    (hdlc.request_end, (Protocol.DLMS_HDLC,)),
    (dlt645.request_end, (Protocol.DLT645_2007, Protocol.DLT645_1997)),
    (mbus_frame.request_end, (Protocol.MBUS,)),
    (cjt188.request_end, (Protocol.CJT188_2004, Protocol.CJT188_2018)),
    (modbus_rtu.request_end, (Protocol.MODBUS_RTU, Protocol.MODBUS_RTU_OVER_TCP)),
    (modbus_write.request_end, (Protocol.MODBUS_RTU, Protocol.MODBUS_RTU_OVER_TCP)),
    (dlms_wrapper.request_end, (Protocol.DLMS_WRAPPER,)),
    (iec62056_21.request_end, (Protocol.IEC62056_21,)),
)
"""Those that check more stand first; IEC 62056-21, whose block check differs from maker to maker, checks least."""


def request_ends(protocols: Iterable[Protocol]) -> tuple[RequestEnd, ...]:
    """Give what finds the requests of `protocols`, and no others: `01 03` begins two of them."""
    spoken = frozenset(protocols)
    return tuple(request_end for request_end, of in _REQUEST_ENDS if spoken.intersection(of))


def split_requests(octets: bytes, ends: tuple[RequestEnd, ...]) -> tuple[list[bytes], bytes]:
    """Give every whole request in `octets`, without wake-up, and the octets that may begin the next one.

    ends   those of the protocols that meters on this line speak
    """
    requests: list[bytes] = []
    at = begun = 0
    while at < len(octets):
        end = _request_end(octets, at, ends)
        if end is None:
            at += 1
            continue
        requests.append(octets[at:end])
        at = begun = end
    return requests, octets[begun:][-REQUEST_OCTETS_MAX:]


def _request_end(octets: bytes, at: int, ends: tuple[RequestEnd, ...]) -> int | None:
    return next((end for request_end in ends if (end := request_end(octets, at)) is not None), None)
