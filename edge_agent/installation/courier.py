"""The gateway's own way to the centre for its installation: bundle, events, photos, each a call over HTTP."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from metering.errors import MeteringError

TIMEOUT_S = 20.0
ANSWER_OCTETS_MAX = 1 << 20
_COSE = "application/cose"


class CentreAway(MeteringError):
    """The centre was not reached, or what answered is none."""


class CentreRefuses(MeteringError):
    """The centre said no, and would again."""


class Courier:
    """Speaks to the centre of a voucher; holds no session.

    roots   PEM file of the certificates to believe, None: those this machine believes
    """

    def __init__(self, url: str, roots: Path | None) -> None:
        self._url = url.rstrip("/")
        self._roots = roots

    def enrol(self, bundle: bytes) -> bytes:
        """Present a bundle; gives the sealed grant. Raises CentreAway or CentreRefuses."""
        document = self._call("POST", "/v1/enrolments", bundle, _COSE)
        try:
            return base64.b64decode(document["grant"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise CentreAway(f"what answers at {self._url} gives no grant: it is no centre, or an old one") from error

    def send_event(self, event: bytes) -> None:
        """Hand over one signed event."""
        self._call("POST", "/v1/installation-events", event, _COSE)

    def send_package(self, package: bytes) -> tuple[tuple[str, str], ...]:
        """Hand over a package of events with their photos; gives each photo, and why it was not kept or ""."""
        document = self._call("POST", "/v1/installation-packages", package, "application/zip")
        try:
            return tuple((str(one["photo"]), str(one["reason"] or "")) for one in document["photos"])
        except (KeyError, TypeError) as error:
            raise CentreAway(
                f"what answers at {self._url} takes no packages: it is no centre, or an old one"
            ) from error

    def _call(self, method: str, path: str, body: bytes, media: str) -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, data=body, method=method)
        request.add_header("Accept", "application/json, application/problem+json")
        request.add_header("Content-Type", media)
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self._url.startswith("https://"):
            handlers.append(urllib.request.HTTPSHandler(context=self._context()))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as answer:
                return _document(answer.read(ANSWER_OCTETS_MAX))
        except urllib.error.HTTPError as error:
            with error:
                told = _document(error.read(ANSWER_OCTETS_MAX))
            mend = f" ({told['mend']})" if told.get("mend") else ""
            text = f"{told.get('detail') or told.get('title') or f'status {error.code}'}{mend}"
            if error.code >= 500 or error.code in (404, 408, 425, 429):
                raise CentreAway(f"{self._url}: {text}") from error
            raise CentreRefuses(text) from error
        except (OSError, HTTPException) as error:
            raise CentreAway(f"连不上中心 / no centre answers at {self._url}: {_why(error)}") from error

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=None if self._roots is None else str(self._roots))
        except (OSError, ssl.SSLError) as error:
            raise CentreAway(f"{self._roots}: no certificates there: {error}") from error


def _why(error: Exception) -> str:
    """Say in few words why nobody answered."""
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause)


def _document(octets: bytes) -> dict[str, Any]:
    try:
        document = json.loads(octets) if octets else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
