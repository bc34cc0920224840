"""Signed messages to the centre over HTTP, one call each: for what must work while the broker's door is shut."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

from metering.errors import MeteringError
from provisioning.broker_tls import BrokerTls
from provisioning.gateway_config import HttpWay

TIMEOUT_S = 20.0
ANSWER_OCTETS_MAX = 1 << 20
_COSE = "application/cose"
_PASSING = (404, 408, 425, 429)
"""Answers that may be another one tomorrow, as 5xx: a proxy without its centre, an old centre, too many calls."""


class DoorShut(MeteringError):
    """The centre was not reached, or cannot answer now."""


class DoorRefused(MeteringError):
    """The centre said no, and would again; `reason` is its stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class CentreDoor:
    """Calls the centre of a way; holds no connection between two calls."""

    def __init__(self, way: HttpWay) -> None:
        self._way = way

    def post(self, path: str, octets: bytes) -> bytes:
        """Hand over a signed message and give the signed answer; raises DoorShut or DoorRefused."""
        parts = urlsplit(self._way.url)
        assert parts.hostname is not None, "a way was checked when it was read"
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        if parts.scheme == "https":
            context = BrokerTls(self._way.ca, None, None).context()
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)
        try:
            connection.request("POST", parts.path.rstrip("/") + path, octets, {"Content-Type": _COSE, "Accept": _COSE})
            answer = connection.getresponse()
            told = answer.read(ANSWER_OCTETS_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise DoorShut(f"{self._way.url}: {str(error) or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status in (http.client.OK, http.client.CREATED):
            return told
        reason, detail = _told(told, answer.status)
        if answer.status >= http.client.INTERNAL_SERVER_ERROR or answer.status in _PASSING:
            raise DoorShut(f"{self._way.url}: {detail}")
        raise DoorRefused(reason, f"{self._way.url}: {detail}")


def _told(octets: bytes, status: int) -> tuple[str, str]:
    """Give reason and words of a problem document, as far as it is one."""
    try:
        document = json.loads(octets)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return "", f"status {status}"
    mend = f" ({document['mend']})" if document.get("mend") else ""
    return str(document.get("reason") or ""), f"{document.get('detail') or f'status {status}'}{mend}"
