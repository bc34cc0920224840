"""The central service as the demo sees it: its HTTP interface, and nothing else."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from metering.errors import MeteringError
from metering.identity import GatewayId, SiteId

TIMEOUT_S = 60
"""Closing a month takes seconds on a slow machine, compiling its kernels for the first time some ten more."""


class CentreAway(MeteringError):
    """The central service did not answer: it is starting, or was just killed."""


class CentreRefused(MeteringError):
    """The central service said no; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What has arrived from one gateway: envelopes without a gap, and how many were refused."""

    contiguous_seq: int
    refused: int


class Centre:
    """Speaks to the service at `url`; `token` is the admin token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def is_ready(self) -> bool:
        """Say whether the service and all it depends on are there."""
        try:
            self.get("/readyz")
        except (CentreAway, CentreRefused):
            return False
        return True

    def arrivals(self) -> dict[GatewayId, Arrival]:
        """Ask what has arrived from each gateway."""
        answer: Any = json.loads(self.get("/v1/gateways"))
        return {
            GatewayId(gateway["gateway"]): Arrival(gateway["contiguous_seq"], gateway["quarantined"])
            for gateway in answer["gateways"]
        }

    def close(self, site: SiteId, period: str, booked_at: str, actor: str) -> str:
        """Ask for the allocation run of a period; give its id."""
        request = {"site": site, "period": period, "booked_at": booked_at, "by": actor}
        answer: Any = json.loads(self._call("POST", "/v1/allocation-runs", json.dumps(request).encode()))
        return str(answer["run"])

    def log(self, run: str) -> tuple[str, list[str]]:
        """Say where a run stands, and which of its findings no reason speaks of."""
        answer: Any = json.loads(self.get(f"/v1/allocation-runs/{run}/log"))
        return str(answer["steps"][-1]["to"]), list(answer["unexplained"])

    def move(self, run: str, verb: str, request: dict[str, Any]) -> None:
        """Move a run on: `check`, `approve` or `publish`."""
        self._call("POST", f"/v1/allocation-runs/{run}/{verb}", json.dumps(request).encode())

    def get(self, path: str) -> bytes:
        """Fetch what stands at `path`; raises CentreAway or CentreRefused."""
        return self._call("GET", path, None)

    def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(self._url + path, data=body, method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                told = f"{method} {path}: {error.code} {error.read().decode(errors='replace')}"
            # A service whose database or broker is away says so with a 5xx, and is asked again.
            raise (CentreAway if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR else CentreRefused)(told) from error
        except (OSError, http.client.HTTPException) as error:
            raise CentreAway(f"{method} {path}: {error}") from error
