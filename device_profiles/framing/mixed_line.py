"""Find requests on a line that Modbus RTU and DL/T 645 meters share, as the meters' ends see it. Pure.

Neither protocol knows of the other, so each meter must ignore what is not whole and right. A request is the first
stretch of octets that is one: a DL/T 645 frame by its header and checksum, or eight octets with a right CRC.
"""

from __future__ import annotations

from device_profiles.framing import dlt645, modbus_rtu

REQUEST_OCTETS_MAX = 212
"""Longest request: a DL/T 645 frame with a full field. Anything older than this is noise."""


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
    if octets[at] == dlt645.START:
        frame, end = dlt645.frame_at(octets, at)
        if frame is not None:
            return end
    end = at + modbus_rtu.REQUEST_OCTETS
    if end <= len(octets) and octets[at + 1] in (3, 4) and modbus_rtu.crc16(octets[at:end]) == 0:
        return end
    return None
