"""The billing client alone: what it tries again, what it says of refusals, and which deliveries it believes."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.doubles.billing_client import metertree_billing as client

NOW_S = 1_785_600_000
EVENT = {"type": "charge.created", "timestamp": "2026-08-01T16:00:00Z", "data": {"charge": "c-1"}}


@dataclass
class Answers:
    """A server that gives one answer after the other: status, headers, document (octets as they are; None: none)."""

    given: list[tuple[int, dict[str, str], Any]]
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve; give the address."""
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers.answer(self)

            do_POST = do_GET  # noqa: N815 the name is the library's

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Give the next answer."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.seen.append((handler.command, handler.path, dict(handler.headers.items()), body))
        status, headers, document = self.given.pop(0)
        if document is None:
            return
        octets = document if isinstance(document, bytes) else json.dumps(document).encode()
        handler.send_response(status)
        for name, text in {"Content-Length": str(len(octets)), **headers}.items():
            handler.send_header(name, text)
        handler.end_headers()
        handler.wfile.write(octets)


PAGE = {"lines": [], "cursor": "1.0.00", "more": False}
CHARGE = {"charge": "c/1", "statement": "s", "site": "park", "period": "2026-07", "party": "t-01", "amount_minor": 5}
CHARGE |= {"currency": "CNY", "created_at": "x", "invoice": "I", "acknowledged_at": "x", "href": "/v1", "lines": []}


def centre(url: str, waits: list[float]) -> client.Centre:
    """A client that waits for nothing."""
    return client.Centre(url, "mtk_x", sleep=waits.append)


@pytest.mark.parametrize(
    "first",
    [(503, {}, {}), (429, {"Retry-After": "7"}, {}), (502, {}, b"<html>"), (200, {}, None)],
)
def test_a_read_that_was_not_answered_is_made_again(first: tuple[int, dict[str, str], Any]) -> None:
    waits: list[float] = []
    answers = Answers([first, (200, {}, PAGE)])
    with answers.served() as url:
        assert centre(url, waits).allocations().cursor == "1.0.00"
    assert waits == [7.0 if first[0] == 429 else 0.5]
    assert len(answers.seen) == 2


def test_after_the_last_try_the_problem_is_told() -> None:
    waits: list[float] = []
    answers = Answers([(503, {}, {"detail": "away", "mend": "wait"})] * 6)
    with answers.served() as url, pytest.raises(client.Problem, match=r"503 away \(wait\)"):
        centre(url, waits).allocations()
    assert waits == [0.5, 1, 2, 5, 15]


def test_a_refusal_is_not_tried_again_and_tells_type_and_reason() -> None:
    told = {"type": "/v1/problems/cursor-unknown", "reason": "cursor-unknown", "status": 422, "detail": "no"}
    answers = Answers([(422, {"Content-Encoding": "gzip"}, gzip.compress(json.dumps(told).encode()))])
    with answers.served() as url, pytest.raises(client.Problem) as refused:
        centre(url, []).allocations("x")
    assert (refused.value.type, refused.value.reason) == ("/v1/problems/cursor-unknown", "cursor-unknown")
    assert answers.seen[0][1] == "/v1/allocations?since=x&limit=1000"


def test_an_acknowledgement_goes_out_under_the_same_key_each_time() -> None:
    in_flight = (409, {}, {"status": 409, "reason": "idempotency-key-in-flight"})
    answers = Answers([in_flight, (201, {}, None), (201, {}, CHARGE), (200, {}, CHARGE)])
    with answers.served() as url:
        centre(url, []).acknowledge("c/1", "I")
        found = centre(url, []).acknowledge("c/1", "I")
    assert (found.charge, found.amount_minor, found.lines) == ("c/1", 5, ())
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in answers.seen}
    assert len(keys) == 1
    assert {(path, body) for _, path, _, body in answers.seen} == {
        ("/v1/charges/c%2F1/acknowledgements", b'{"invoice": "I"}')
    }


def test_pages_of_a_list_are_turned_to_the_last() -> None:
    answers = Answers([(200, {}, {"charges": [CHARGE], "next": 4}), (200, {}, {"charges": [CHARGE], "next": None})])
    with answers.served() as url:
        assert len(list(centre(url, []).charges(acknowledged=False))) == 2
    assert [path for _, path, _, _ in answers.seen] == [
        "/v1/charges?acknowledged=false",
        "/v1/charges?after=4&acknowledged=false",
    ]


def test_fields_of_a_later_service_are_left_and_hidden_ones_are_none() -> None:
    line = {one.name: None for one in client.fields(client.Allocation)} | {"id": "1", "later": 1}
    del line["amount_minor"]
    with Answers([(200, {}, PAGE | {"lines": [line]})]).served() as url:
        (found,) = centre(url, []).allocations().lines
    assert (found.id, found.amount_minor) == ("1", None)


# Deliveries


SECRET = b"k" * 32
WHSEC = "whsec_" + base64.b64encode(SECRET).decode()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WHPK = "whpk_" + base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
BODY = json.dumps(EVENT).encode()


def signed(version: str, body: bytes = BODY, at: int = NOW_S) -> dict[str, str]:
    """Headers of a delivery."""
    content = b".".join((b"evt_1", str(at).encode(), body))
    made = hmac.digest(SECRET, content, "sha256") if version == "v1" else KEY.sign(content)
    signature = f"v1,AAAA {version},{base64.b64encode(made).decode()}"
    return {"Webhook-Id": "evt_1", "webhook-timestamp": str(at), "WEBHOOK-SIGNATURE": signature}


@pytest.mark.parametrize(("version", "secret"), [("v1", WHSEC), ("v1a", WHPK)])
def test_a_delivery_that_was_signed_is_believed(version: str, secret: str) -> None:
    event = client.verify_webhook(signed(version), BODY, ["whsec_AAAA", secret], now_s=NOW_S)
    assert (event.id, event.type, event.data) == ("evt_1", "charge.created", {"charge": "c-1"})


@pytest.mark.parametrize(("version", "secret"), [("v1", WHSEC), ("v1a", WHPK)])
def test_a_delivery_that_was_changed_in_any_part_is_refused(version: str, secret: str) -> None:
    good = signed(version)
    changed: list[tuple[dict[str, str], bytes, str, float]] = [
        (good, BODY.replace(b"c-1", b"c-2"), secret, NOW_S),
        (good | {"Webhook-Id": "evt_2"}, BODY, secret, NOW_S),
        (good | {"webhook-timestamp": str(NOW_S + 1)}, BODY, secret, NOW_S),
        (good | {"webhook-timestamp": "x"}, BODY, secret, NOW_S),
        (good | {"WEBHOOK-SIGNATURE": "v1,AAAA"}, BODY, secret, NOW_S),
        (good | {"WEBHOOK-SIGNATURE": good["WEBHOOK-SIGNATURE"].replace(f"{version},", "v2,")}, BODY, secret, NOW_S),
        (good, BODY, "whsec_" + base64.b64encode(b"other" * 8).decode(), NOW_S),
        (good, BODY, "whpk_" + base64.b64encode(bytes(32)).decode(), NOW_S),
        (good, BODY, "whpk_AAAA", NOW_S),
        (good, BODY, secret, NOW_S + 301),
        (good, BODY, secret, NOW_S - 301),
        ({}, BODY, secret, NOW_S),
    ]
    for headers, body, one, now_s in changed:
        with pytest.raises(client.WebhookRefused):
            client.verify_webhook(headers, body, [one], now_s=now_s)


def test_every_octet_of_an_ed25519_signature_counts() -> None:
    content = b"x"
    signature = KEY.sign(content)
    public = KEY.public_key().public_bytes_raw()
    assert client._ed25519(public, signature, content)
    for place in range(0, 64, 7):
        broken = bytes([*signature[:place], signature[place] ^ 1, *signature[place + 1 :]])
        assert not client._ed25519(public, broken, content)
    assert not client._ed25519(public, signature[:32] + (client._L + 1).to_bytes(32, "little"), content)
