"""Client of Metertree's billing API: one file, nothing but the standard library (Python 3.10 and later). Copy it.

    centre = Centre("https://metering.example.com", key="mtk_...")
    cursor = my_books.cursor()
    while True:
        page = centre.allocations(since=cursor)
        with my_books.transaction():
            for line in page.lines:
                my_books.put(line)            # by line.id: the same line never has two
            my_books.keep_cursor(page.cursor)
        if not page.more:
            break
        cursor = page.cursor

    for charge in centre.charges(acknowledged=False):
        invoice = my_books.invoice_for(charge)    # finds the invoice of charge.charge, or makes one
        centre.acknowledge(charge.charge, invoice)

The contract is docs/billing-api.md. Reads are tried again where that helps, and so are acknowledgements: each carries
an Idempotency-Key made of charge and invoice. What the service refuses raises `Problem`; what it never answers,
`OSError`.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, BinaryIO, TypeVar

__all__ = [
    "Allocation",
    "AllocationPage",
    "Centre",
    "Charge",
    "ChargeLine",
    "Event",
    "EventPage",
    "Problem",
    "Statement",
]
__all__ += ["WebhookRefused", "verify_webhook"]

TRIES = 6
"""First try and five more: with the waits below, half a minute."""
WAIT_S = (0.5, 1, 2, 5, 15)
TIMEOUT_S = 60.0
WEBHOOK_AGE_S = 300
"""Older or newer deliveries are refused: somebody may have kept one."""
AGAIN = frozenset({429, 502, 503, 504})
IN_FLIGHT = "idempotency-key-in-flight"
_KEYS = uuid.UUID("8a4f1c0e-6f0b-5d0f-9d1c-4d65746572e5")
_T = TypeVar("_T")
_COPIED = 1 << 16


class Problem(Exception):
    """What the service refused (RFC 9457): `type` leads to what it means, `mend` says what to do."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.status = int(document.get("status", 0))
        self.type = str(document.get("type", "about:blank"))
        self.reason = document.get("reason")
        self.detail = str(document.get("detail", ""))
        self.mend = str(document.get("mend", ""))
        self.document = dict(document)
        super().__init__(f"{self.status} {self.detail}" + (f" ({self.mend})" if self.mend else ""))


@dataclass(frozen=True)
class Allocation:
    """One line of the feed. All amounts of a site, period and `line` add up to what the newest publication says."""

    id: str
    kind: str
    site: str
    period: str
    starts_at: str
    ends_at: str
    published_at: str
    run: str
    corrects: str | None
    line: str
    pool: str
    party: str
    unit: str | None
    line_kind: str | None
    amount_minor: int
    currency: str
    quantity: int | None
    quantity_unit: str | None


@dataclass(frozen=True)
class AllocationPage:
    """Some lines; `cursor` is to be kept with them, in one transaction."""

    lines: tuple[Allocation, ...]
    cursor: str
    more: bool


@dataclass(frozen=True)
class ChargeLine:
    """A line of a charge: what the statement says, what was charged of it before, and the difference."""

    line: str
    stated_minor: int
    before_minor: int
    amount_minor: int


@dataclass(frozen=True)
class Charge:
    """Money to be collected, once. `invoice` is yours; None until you have said it. `lines` in a single charge only."""

    charge: str
    statement: str
    site: str
    period: str
    party: str
    amount_minor: int
    currency: str
    created_at: str
    invoice: str | None
    acknowledged_at: str | None
    lines: tuple[ChargeLine, ...] = ()


@dataclass(frozen=True)
class Statement:
    """A signed statement in a list. `standing`: provisional, final or superseded."""

    number: str
    run: str
    site: str
    period: str
    party: str
    total_minor: int
    currency: str
    standing: str
    state: str | None
    issued_at: str


@dataclass(frozen=True)
class Event:
    """Something that happened; the same `id` by webhook and by pull."""

    id: str
    type: str
    timestamp: str
    data: Mapping[str, Any]
    number: int | None = None
    site: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class EventPage:
    """Some events; `cursor` is to be kept once they are dealt with."""

    events: tuple[Event, ...]
    cursor: int
    more: bool


class Centre:
    """A centre of Metertree as billing sees it.

    key     an API key, or an access token
    sleep   waits between tries; a test gives its own
    """

    def __init__(
        self, url: str, key: str, *, timeout_s: float = TIMEOUT_S, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Accept-Encoding": "gzip",
            "User-Agent": "metertree-billing/1",
        }
        self._timeout_s = timeout_s
        self._sleep = sleep

    def allocations(self, since: str | None = None, *, limit: int = 1000, **filters: str | None) -> AllocationPage:
        """Give lines of the feed behind a cursor; filters: site, period, party, kind."""
        found = self._get("/v1/allocations", since=since, limit=limit, **filters)
        return AllocationPage(tuple(_made(Allocation, one) for one in found["lines"]), found["cursor"], found["more"])

    def charges(self, *, acknowledged: bool | None = None, **filters: str | None) -> Iterator[Charge]:
        """Give all charges, page by page; filters: site, period, party, statement."""
        told = None if acknowledged is None else str(acknowledged).lower()
        for one in self._pages("/v1/charges", "charges", acknowledged=told, **filters):
            yield _made(Charge, one)

    def charge(self, charge: str) -> Charge:
        """Give one charge with its lines."""
        return _charge(self._get(f"/v1/charges/{_quoted(charge)}"))

    def acknowledge(self, charge: str, invoice: str) -> Charge:
        """Say under which invoice a charge is collected; may be said again. Raises Problem for another invoice."""
        key = str(uuid.uuid5(_KEYS, f"{charge}\n{invoice}"))
        path = f"/v1/charges/{_quoted(charge)}/acknowledgements"
        return _charge(self._call("POST", path, {"invoice": invoice}, key))

    def statements(self, **filters: str | None) -> Iterator[Statement]:
        """Give all statements, page by page; filters: run, site, period, party."""
        for one in self._pages("/v1/statements", "statements", **filters):
            yield _made(Statement, one)

    def statement_file(self, number: str) -> bytes:
        """Give the file of a statement with all that proves it: `metertree verify FILE --key centre.pub`."""
        return self._octets("GET", f"/v1/statements/{_quoted(number)}")

    def explanation(self, number: str, lang: str = "en") -> Mapping[str, Any]:
        """Give how each line of a statement came about, step by step."""
        found: Mapping[str, Any] = self._get(f"/v1/statements/{_quoted(number)}/explanation", lang=lang)
        return found

    def events(self, after: int = 0, *, limit: int = 100, kinds: Sequence[str] = ()) -> EventPage:
        """Pull events behind a cursor: for when webhooks were lost, or instead of them."""
        found = self._get("/v1/events", after=after, limit=limit, kind=list(kinds) or None)
        return EventPage(tuple(_made(Event, one) for one in found["events"]), found["cursor"], found["more"])

    def export(self, target: BinaryIO, form: str = "csv", *, columns: str = "native", **asked: str | None) -> str:
        """Write the feed as one file (csv, parquet, arrow; columns native or focus); give the cursor behind it."""
        path = f"/v1/allocations.{form}" + _query({"columns": columns, **asked})
        request = urllib.request.Request(self._url + path, headers=self._headers | {"Accept-Encoding": "identity"})
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                while octets := answer.read(_COPIED):
                    target.write(octets)
                return str(answer.headers["Metertree-Cursor"])
        except urllib.error.HTTPError as error:
            raise _problem(error) from error

    def _get(self, path: str, **asked: Any) -> Any:
        return self._call("GET", path + _query(asked))

    def _pages(self, path: str, name: str, **asked: Any) -> Iterator[Mapping[str, Any]]:
        after: Any = None
        while True:
            page = self._get(path, after=after, **asked)
            yield from page[name]
            after = page.get("next")
            if after is None:
                return

    def _call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        return json.loads(self._octets(method, path, body, key))

    def _octets(self, method: str, path: str, body: Any = None, key: str | None = None) -> bytes:
        headers = dict(self._headers)
        if key is not None:
            headers["Idempotency-Key"] = f'"{key}"'
        sent = None if body is None else json.dumps(body).encode()
        if sent is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self._url + path, sent, headers, method=method)
        for wait_s in (*WAIT_S[: TRIES - 1], None):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                    octets = answer.read()
                    return gzip.decompress(octets) if answer.headers.get("Content-Encoding") == "gzip" else octets
            except urllib.error.HTTPError as error:
                problem, told = _problem(error), error.headers.get("Retry-After", "")
                if wait_s is None or not (problem.status in AGAIN or problem.reason == IN_FLIGHT):
                    raise problem from error
                wait_s = max(wait_s, float(told)) if told.isdigit() else wait_s
            except (OSError, EOFError):
                # Nobody knows whether the call was heard; both kinds of call may be made again.
                if wait_s is None:
                    raise
            self._sleep(wait_s)
        raise AssertionError("the last try returns or raises")


def _problem(error: urllib.error.HTTPError) -> Problem:
    octets = error.read()
    if error.headers.get("Content-Encoding") == "gzip":
        octets = gzip.decompress(octets)
    try:
        document = json.loads(octets)
    except ValueError:
        document = {}
    told = document if isinstance(document, dict) else {}
    return Problem({"status": error.code, "detail": error.reason, **told})


def _made(kind: type[_T], document: Mapping[str, Any]) -> _T:
    """Build `kind` of a document; fields that this file does not know are left, those that are hidden are None."""
    names = [one.name for one in fields(kind) if one.name in document]  # type: ignore[arg-type]
    lacking = {one.name: None for one in fields(kind) if one.name not in document and one.name not in _DEFAULTED}  # type: ignore[arg-type]
    return kind(**lacking, **{name: document[name] for name in names})


_DEFAULTED = frozenset({"lines", "number", "subject"})


def _charge(document: Mapping[str, Any]) -> Charge:
    lines = tuple(_made(ChargeLine, one) for one in document.get("lines", ()))
    return _made(Charge, {**document, "lines": lines})


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _query(asked: Mapping[str, Any]) -> str:
    told = urllib.parse.urlencode({name: one for name, one in asked.items() if one is not None}, doseq=True)
    return f"?{told}" if told else ""


# Webhooks, by the Standard Webhooks specification


class WebhookRefused(Exception):
    """A delivery that does not come from the centre, was changed, or is too old."""


def verify_webhook(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now_s: float | None = None
) -> Event:
    """Give the event of a delivery if one of `secrets` (whsec_..., or whpk_... for Ed25519) signed it; else raise.

    headers   of the delivery, in any case; body: its octets, as they came
    """
    given = {name.lower(): text for name, text in headers.items()}
    message, stamp, signatures = (given.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not message or not signatures or not stamp.isdigit():
        raise WebhookRefused("the delivery carries no id, timestamp and signature")
    if abs((time.time() if now_s is None else now_s) - int(stamp)) > WEBHOOK_AGE_S:
        raise WebhookRefused("the delivery is too old, or the clocks differ")
    content = b".".join((message.encode(), stamp.encode(), body))
    pairs = [one.split(",", 1) for one in signatures.split() if "," in one]
    if not any(_signed(secret, version, text, content) for secret in secrets for version, text in pairs):
        raise WebhookRefused("no secret of ours signed the delivery")
    document = json.loads(body)
    return _made(Event, {"id": message, **document})


def _signed(secret: str, version: str, signature: str, content: bytes) -> bool:
    try:
        given = base64.b64decode(signature, validate=True)
        key = base64.b64decode(secret.partition("_")[2])
    except ValueError:
        return False
    if secret.startswith("whsec_") and version == "v1":
        return hmac.compare_digest(hmac.digest(key, content, "sha256"), given)
    return secret.startswith("whpk_") and version == "v1a" and _ed25519(key, given, content)


# Ed25519 (RFC 8032, 5.1.7), verification only: nothing secret is in it, so it need not be fast or even in time.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_Point = tuple[int, int, int, int]
_BASE_Y = 4 * pow(5, _P - 2, _P) % _P


def _ed25519(key: bytes, signature: bytes, content: bytes) -> bool:
    if len(key) != 32 or len(signature) != 64:
        return False
    public, nonce = _point(key), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if public is None or nonce is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + content).digest(), "little") % _L
    base = _point(_BASE_Y.to_bytes(32, "little"))
    assert base is not None
    left, right = _times(s, base), _plus(nonce, _times(h, public))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def _point(octets: bytes) -> _Point | None:
    sign, y = octets[31] >> 7, int.from_bytes(octets, "little") & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return (x, y, 1, x * y % _P)


def _plus(one: _Point, other: _Point) -> _Point:
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % _P, (one[1] + one[0]) * (other[1] + other[0]) % _P
    c, d = 2 * one[3] * other[3] * _D % _P, 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(factor: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _plus(total, point)
        point, factor = _plus(point, point), factor >> 1
    return total
