"""The centre's provisioning calls over HTTP, as `metertree-provision` makes them."""

from __future__ import annotations

import json
import platform
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from metering.errors import MeteringError
from metering.identity import GatewayId, SiteId, check_identifier
from provisioning.photo_file import PlainPhoto

TIMEOUT_S = 15
ANSWER_OCTETS_MAX = 1024 * 1024
"""Answers are small documents; more than this comes from something else than a centre."""
_JSON = "application/json"
_DEVICE = "Metertree-Device"
"""Header with the name of this machine: the centre's audit log keeps it."""


class CentreUnreachable(MeteringError):
    """No centre answered at the address, or what answered is none."""


class CentreRefused(MeteringError):
    """The centre said no; `status` is the HTTP status, `reason` its stable code if it gave one."""

    def __init__(self, status: int, detail: str, mend: str, reason: str | None) -> None:
        super().__init__(f"{detail} ({mend})" if mend else detail)
        self.status = status
        self.reason = reason


class TokenFileInvalid(MeteringError):
    """The file with the admin token cannot be read or is empty."""


def read_token(path: Path) -> str:
    """Read the admin token from its file; raises TokenFileInvalid."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileInvalid(f"{path}: cannot be read: {error}") from error
    if not token or not token.isprintable():
        raise TokenFileInvalid(f"{path}: holds no token; write the admin token of the centre into it")
    return token


class CentreClient:
    """Speaks to the centre at `url`; `token` is the admin token, needed for orders only."""

    def __init__(self, url: str, token: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise CentreUnreachable(f"{url!r} is no address of a centre; give http(s)://host:port")
        self._url = url.rstrip("/")
        self._token = token

    def order(
        self,
        *,
        site: SiteId,
        gateway: GatewayId,
        engineer: str,
        expires_at: datetime,
        expected: Sequence[Mapping[str, Any]] = (),
        centre_url: str | None = None,
        broker: str | None = None,
    ) -> Mapping[str, Any]:
        """Open an install order; the answer holds `order` and `claim`, `voucher` and `order_file` (base64)."""
        content: dict[str, Any] = {
            "site": site,
            "gateway": gateway,
            "engineer": engineer,
            "expires_at": expires_at.astimezone(UTC).isoformat(),
        }
        further = {"expected": list(expected), "centre_url": centre_url, "broker": broker}
        content |= {key: part for key, part in further.items() if part}
        return self._call("POST", "/v1/install-orders", json.dumps(content).encode(), _JSON)

    def enrol(self, bundle: bytes) -> Mapping[str, Any]:
        """Present a bundle; the answer holds `gateway`, `epoch`, `key_id` and `centre_public_key` (hexadecimal)."""
        return self._call("POST", "/v1/enrolments", bundle, "application/cose")

    def gateway(self, gateway: GatewayId) -> Mapping[str, Any]:
        """Ask what the centre knows of a gateway."""
        return self._call("GET", f"/v1/gateways/{gateway}", None, None)

    def revoke(self, gateway: GatewayId, reason: str, epoch: int | None) -> Mapping[str, Any]:
        """Let a gateway's key count no more, of one epoch or of all; the answer holds `revoked` and `revocations`."""
        content = {"reason": reason} | ({} if epoch is None else {"epoch": epoch})
        return self._call("POST", f"/v1/gateways/{gateway}/revoke", json.dumps(content).encode(), _JSON)

    def orders(self, site: str | None, gateway: str | None) -> Mapping[str, Any]:
        """List install orders."""
        return self._list("/v1/install-orders", site=site, gateway=gateway)

    def bindings(self, *, site: str | None, state: str | None, meter: str | None) -> Mapping[str, Any]:
        """List bindings, each beside what was planned."""
        return self._list("/v1/bindings", site=site, state=state, meter=meter)

    def decide(self, binding: str, decision: str, reason: str) -> Mapping[str, Any]:
        """Approve or refuse (`decision`) a binding."""
        body = json.dumps({"reason": reason}).encode()
        return self._call("POST", f"/v1/bindings/{check_identifier(binding)}/{decision}", body, _JSON)

    def history(
        self, *, site: str | None, gateway: str | None, meter: str | None, node: str | None
    ) -> Mapping[str, Any]:
        """Tell what was done at a site, gateway, meter or node."""
        return self._list("/v1/history", site=site, gateway=gateway, meter=meter, node=node)

    def send_event(self, sealed: bytes) -> Mapping[str, Any]:
        """Send one sealed installation event."""
        return self._call("POST", "/v1/installation-events", sealed, "application/cose")

    def send_package(self, package: bytes) -> Mapping[str, Any]:
        """Bring a package; the answer holds `enrolment` with the grant if a bundle was in it, `events` and `photos`."""
        return self._call("POST", "/v1/installation-packages", package, "application/zip")

    def readings(self, *, site: str | None, meter: str | None, state: str | None) -> Mapping[str, Any]:
        """List what people read."""
        return self._list("/v1/readings", site=site, meter=meter, state=state)

    def add_reading(self, look: Mapping[str, Any]) -> Mapping[str, Any]:
        """Enter what somebody read; the answer says whether it counts."""
        return self._call("POST", "/v1/readings/manual", json.dumps(look).encode(), _JSON)

    def photo_candidate(self, look: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask what a photo shows of a register."""
        return self._call("POST", "/v1/readings/candidate", json.dumps(look).encode(), _JSON)

    def decide_reading(self, number: int, decision: str, reason: str) -> Mapping[str, Any]:
        """Accept, refuse or withdraw (`decision`) what somebody read."""
        return self._call("POST", f"/v1/readings/{number}/{decision}", json.dumps({"reason": reason}).encode(), _JSON)

    def put_photo(self, photo: PlainPhoto) -> Mapping[str, Any]:
        """Bring a photo, named by its hash."""
        return self._call("PUT", f"/v1/photos/{photo.sha256.hex()}", photo.octets, photo.media)

    def _list(self, path: str, **wanted: str | None) -> Mapping[str, Any]:
        query = urlencode({key: text for key, text in wanted.items() if text is not None})
        return self._call("GET", f"{path}?{query}" if query else path, None, None)

    def broker_access(self) -> Mapping[str, Any]:
        """Ask whom the broker is to let in: `gateways`, and the list of those `revoked` (PEM; empty without one)."""
        return self._call("GET", "/v1/broker-access", None, None)

    def _call(self, method: str, path: str, body: bytes | None, media_type: str | None) -> Mapping[str, Any]:
        request = urllib.request.Request(self._url + path, data=body, method=method)
        request.add_header("Accept", f"{_JSON}, application/problem+json")
        request.add_header(_DEVICE, platform.node())
        if media_type is not None:
            request.add_header("Content-Type", media_type)
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return self._document(answer.read(ANSWER_OCTETS_MAX))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error.code, error.read(ANSWER_OCTETS_MAX)) from error
        except (OSError, HTTPException) as error:
            raise CentreUnreachable(f"no centre answers at {self._url}: {error}") from error

    def _document(self, octets: bytes) -> Mapping[str, Any]:
        try:
            document = json.loads(octets)
        except ValueError as error:
            raise CentreUnreachable(f"what answers at {self._url} is no centre: it sent no JSON") from error
        if not isinstance(document, dict):
            raise CentreUnreachable(f"what answers at {self._url} is no centre: it sent no JSON object")
        return document

    def _refusal(self, status: int, octets: bytes) -> CentreRefused:
        problem = self._document(octets)
        detail = str(problem.get("detail") or problem.get("title") or f"the centre answered with status {status}")
        return CentreRefused(status, detail, str(problem.get("mend") or ""), problem.get("reason"))
