"""Find requests on a line that meters of several protocols share, as the meters' ends see it. Pure.

No protocol knows of the others, so each meter must ignore what is not whole and right. A request is the first stretch
of octets that is one for some protocol; those with a start mark and a checksum are tried before the others.
"""

from __future__ import annotations

from device_profiles.framing import cjt188, dlt645, iec62056_21, mbus_frame, modbus_rtu

REQUEST_OCTETS_MAX = 212
"""Longest request: a DL/T 645 frame with a full field. Anything older than this is noise."""


REQUEST_ENDS = (
    dlt645.request_end,
    mbus_frame.request_end,
    iec62056_21.request_end,
    cjt188.request_end,
    modbus_rtu.request_end,
)
"""Each gives where the request that begins at a place ends, or None. A new protocol adds its own."""


def split_requests(octets: bytes) -> tuple[list[bytes], bytes]:
    """Give every whole request in `octets`, without wake-up, and the octets that may begin the next one."""
    requests: list[bytes] = []
    at = begun = 0
    while at < len(octets):
        end = _request_end(octets, at)
        if end is None:
            at += 1
            continue
        requests.append(octets[at:end])
        at = begun = end
    return requests, octets[begun:][-REQUEST_OCTETS_MAX:]


def address_in(request: bytes) -> tuple[bool, str]:
    """Give whether a request found by `split_requests` is a Modbus one, and the address it asks."""
    frames, _ = dlt645.scan(request)
    return (False, frames[0].address) if frames else (True, str(request[0]))


def _request_end(octets: bytes, at: int) -> int | None:
    return next((end for request_end in REQUEST_ENDS if (end := request_end(octets, at)) is not None), None)
