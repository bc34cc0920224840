"""The centre's provisioning calls over HTTP, as `metertree-provision` makes them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from metering.errors import MeteringError
from metering.identity import GatewayId, SiteId

TIMEOUT_S = 15
ANSWER_OCTETS_MAX = 1024 * 1024
"""Answers are small documents; more than this comes from something else than a centre."""
_JSON = "application/json"


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

    def order(self, *, site: SiteId, gateway: GatewayId, engineer: str, expires_at: datetime) -> Mapping[str, Any]:
        """Open an install order; the answer holds `order` and `claim`."""
        content = {
            "site": site,
            "gateway": gateway,
            "engineer": engineer,
            "expires_at": expires_at.astimezone(UTC).isoformat(),
        }
        return self._call("POST", "/v1/install-orders", json.dumps(content).encode(), _JSON)

    def enrol(self, bundle: bytes) -> Mapping[str, Any]:
        """Present a bundle; the answer holds `gateway`, `epoch`, `key_id` and `centre_public_key` (hexadecimal)."""
        return self._call("POST", "/v1/enrolments", bundle, "application/cose")

    def gateway(self, gateway: GatewayId) -> Mapping[str, Any]:
        """Ask what the centre knows of a gateway."""
        return self._call("GET", f"/v1/gateways/{gateway}", None, None)

    def broker_access(self) -> Mapping[str, Any]:
        """Ask whom the broker is to let in: `gateways`, and the list of those `revoked` (PEM; empty without one)."""
        return self._call("GET", "/v1/broker-access", None, None)

    def _call(self, method: str, path: str, body: bytes | None, media_type: str | None) -> Mapping[str, Any]:
        request = urllib.request.Request(self._url + path, data=body, method=method)
        request.add_header("Accept", f"{_JSON}, application/problem+json")
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
