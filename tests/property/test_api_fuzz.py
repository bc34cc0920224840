"""Whatever is sent to the service, it answers with what was asked for or with a problem document, never with a 500."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.api import runs
from ingest.api.claim_gate import Buckets
from metering.identity import GatewayId
from provisioning.enrolment import Claim, seal_bundle
from provisioning.keys import FileSigner
from tests.doubles.memory_centre import ADMIN, REQUEST, MemoryCentre, closed_centre

PROBLEM = "application/problem+json"
ALWAYS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
"""With NUL, with lone surrogates: JSON can say both."""
URL_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
READS = (
    "/v1/allocation-runs",
    "/v1/allocation-runs/{}",
    "/v1/allocation-runs/{}/lines",
    "/v1/allocation-runs/{}/balance",
    "/v1/statements/{}",
    "/v1/gateways/{}",
    "/v1/alerts/{}",
    "/fleet/{}",
    "/fleet/{}/gaps.csv",
    "/runs/{}",
    "/{}",
    "/static/{}",
)
SIGNED = ("/v1/installation-events", "/v1/installation-packages")
FLEET = ("state", "text", "after", "page", "open", "kind", "scope", "subject")


@pytest.fixture(scope="module")
def service() -> Iterator[MemoryCentre]:
    """A service with one closed day that a module's worth of rubbish is sent to, and that never tires of it."""
    with closed_centre() as built, pytest.MonkeyPatch.context() as patched:
        patched.setattr(Buckets, "wait_s", lambda *_: 0)
        yield built


def require_civil(answer: httpx.Response) -> None:
    """Accept an answer that is what was asked for, or a problem document that says what is wrong."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and not answer.headers["Content-Type"].startswith("text/html"):
        assert answer.headers["Content-Type"] == PROBLEM
        document = answer.json()
        assert document["status"] == answer.status_code
        assert document["title"]
        assert document["detail"]
        assert document["instance"]


@ALWAYS
@given(st.sampled_from(["/v1/allocation-runs", "/v1/install-orders"]), JSON)
@example("/v1/allocation-runs", {**REQUEST, "site": "\0"})
@example("/v1/allocation-runs", {**REQUEST, "site": "\ud800"})
@example("/v1/allocation-runs", {**REQUEST, "period": "\ud800"})
@example("/v1/allocation-runs", {**REQUEST, "period": "0001-01"})
@example("/v1/allocation-runs", {**REQUEST, "period": "9999-12"})
@example("/v1/allocation-runs", {**REQUEST, "booked_at": "0001-01-01T00:00:00+23:59"})
def test_any_json_is_answered_civilly(service: MemoryCentre, path: str, content: Any) -> None:
    body = json.dumps(content).encode()
    require_civil(service.post(path, content=body))


@ALWAYS
@given(
    st.sampled_from(["/v1/allocation-runs", "/v1/install-orders", "/v1/enrolments", *SIGNED]), st.binary(max_size=300)
)
def test_any_octets_are_answered_civilly(service: MemoryCentre, path: str, body: bytes) -> None:
    answer = service.post(path, content=body)
    require_civil(answer)
    assert 400 <= answer.status_code < 500


@ALWAYS
@given(st.sampled_from(sorted(REQUEST)), JSON)
def test_a_request_with_one_field_spoilt_is_answered_civilly(service: MemoryCentre, field: str, content: Any) -> None:
    body = json.dumps({**REQUEST, field: content}).encode()
    require_civil(service.post("/v1/allocation-runs", content=body))


@ALWAYS
@given(
    st.sampled_from(["site", "gateway", "engineer", "expires_at"]),
    st.one_of(JSON, st.datetimes().map(lambda one: one.isoformat() + "+08:00")),
)
def test_an_order_with_one_field_spoilt_is_answered_civilly(service: MemoryCentre, field: str, content: Any) -> None:
    order = {"site": "park", "gateway": "gw-a", "engineer": "fitter", "expires_at": "2026-09-01T00:00:00+08:00"}
    require_civil(service.post("/v1/install-orders", content=json.dumps({**order, field: content}).encode()))


@ALWAYS
@given(st.sampled_from(READS), URL_TEXT)
@example("/v1/allocation-runs/{}", "\0")
@example("/v1/statements/{}", "\0")
@example("/v1/gateways/{}", "\0")
@example("/fleet/{}", "\0")
@example("/runs/{}", "\0")
def test_any_path_is_answered_civilly(service: MemoryCentre, path: str, text: str) -> None:
    require_civil(service.get(path.format(quote(text, safe=""))))


@ALWAYS
@given(
    st.sampled_from(
        ["/v1/allocation-runs", "/", "/v1/allocation-runs/x/lines", "/v1/gateways", "/v1/alerts", "/fleet"]
    ),
    st.dictionaries(
        st.sampled_from(["site", "period", "limit", "party", "pool", "lang", *FLEET]), URL_TEXT, max_size=4
    ),
)
@example("/v1/allocation-runs", {"site": "\0"})
@example("/v1/allocation-runs", {"limit": "0"})
@example("/v1/alerts", {"subject": "\0"})
@example("/v1/gateways", {"after": "\0", "limit": "3"})
@example("/fleet", {"page": "9" * 40, "state": "\0"})
@example("/v1/allocation-runs", {"limit": "9" * 40})
def test_any_query_is_answered_civilly(service: MemoryCentre, path: str, query: dict[str, str]) -> None:
    require_civil(service.get(path, params=query))


@ALWAYS
@given(st.dictionaries(st.sampled_from(["party", "pool"]), URL_TEXT, max_size=2))
@example({"party": "\0"})
def test_any_filter_of_lines_is_answered_civilly(service: MemoryCentre, query: dict[str, str]) -> None:
    run = service.get("/v1/allocation-runs").json()["runs"][0]["run"]
    require_civil(service.get(f"/v1/allocation-runs/{run}/lines", params=query))


@settings(ALWAYS, max_examples=15)
@given(
    st.sampled_from(["Authorization", "Accept-Language", "Content-Type", "Range", "If-None-Match"]),
    st.text(string.printable.strip() + " ", max_size=60).map(str.strip),
)
def test_any_header_is_answered_civilly(service: MemoryCentre, name: str, text: str) -> None:
    require_civil(service.call("POST", "/v1/allocation-runs", json=REQUEST, headers=ADMIN | {name: text}))
    require_civil(service.get("/", headers={name: text}))


@ALWAYS
@given(st.sampled_from(["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"]), st.sampled_from(READS))
def test_any_method_is_answered_civilly(service: MemoryCentre, method: str, path: str) -> None:
    answer = service.call(method, path.format("x"))
    assert answer.status_code in (404, 405)


@ALWAYS
@given(st.data())
def test_any_change_of_an_enrolment_is_refused_civilly(service: MemoryCentre, data: st.DataObject) -> None:
    signer = FileSigner.from_seed(b"\x05" * 32)
    octets = seal_bundle(
        GatewayId("gw-a"), epoch=2, claim=Claim.of_number(77), public_key=signer.public_key, signer=signer
    )
    spoilt = bytearray(octets)
    place = data.draw(st.integers(0, len(octets) - 1))
    spoilt[place] ^= data.draw(st.integers(1, 255))
    answer = service.call("POST", "/v1/enrolments", content=bytes(spoilt))
    require_civil(answer)
    assert answer.status_code == 422
    assert answer.json()["reason"] in {"malformed", "signature-invalid"}


def test_nothing_that_was_sent_changed_the_books(service: MemoryCentre) -> None:
    tables = service.database.tables
    assert len(tables.runs) == 1
    assert set(tables.gateways) == {"gw-a", "gw-b"}
    assert [row[1] for row in tables.gateways.values()] == [1, 1]


def test_this_suite_sees_a_handler_that_breaks(service: MemoryCentre, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(runs, "find_run", breaks)
    answer = service.get("/v1/allocation-runs/x")
    with pytest.raises(AssertionError):
        require_civil(answer)
    assert answer.status_code == 500
    assert "planted" not in answer.text, "a fault of ours is logged, not shown"
    assert answer.headers["Content-Type"] == PROBLEM
