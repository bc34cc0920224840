"""Acts under an Idempotency-Key, over a real database: done once however often asked, by whomever, whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from ingest.access.principal import Kind, Principal
from ingest.api.idempotency import BODY_OCTETS_MAX, Idempotency
from ingest.api.problems import Problem, install
from ingest.caller import Caller
from ingest.store.database import Database
from tests.doubles.web import serving

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


def who(name: str = "billing", kind: Kind = Kind.CLIENT) -> Principal:
    """Somebody who asks."""
    return Principal(name, frozenset({"billing"}), None, kind, Caller(name, "", "", in_person=False))


@dataclass
class Acts:
    """A service whose acts are counted; `wait` lets an act hang until it is set."""

    database: Database
    lease_s: float = 60.0
    done: list[Any] = field(default_factory=list)
    who: Principal = field(default_factory=who)
    wait: threading.Event | None = None
    fault: BaseException | None = None

    def act(self, body: dict[str, Any]) -> JSONResponse:
        """Count."""
        if self.wait is not None:
            assert self.wait.wait(60)
        if self.fault is not None:
            raise self.fault
        self.done.append(body)
        headers = {"Location": f"/v1/acts/{len(self.done)}", "X-Other": "x"}
        return JSONResponse({"number": len(self.done)}, status_code=201, headers=headers)

    def secret(self, response: Response) -> dict[str, Any]:
        """Give something to be shown once."""
        self.done.append("secret")
        response.headers["Cache-Control"] = "no-store"
        return {"token": "s3cret"}

    def app(self) -> FastAPI:
        """The service."""
        made = FastAPI()
        install(made)
        made.add_middleware(Idempotency, database=self.database, lease_s=self.lease_s)

        async def name(request: Request, call: Any) -> Any:
            request.state.principal = self.who
            return await call(request)

        made.middleware("http")(name)

        def act(body: dict[str, Any]) -> JSONResponse:
            return self.act(body)

        made.post("/v1/acts")(act)
        made.post("/elsewhere")(act)
        made.post("/v1/secrets")(self.secret)
        made.get("/v1/acts")(lambda: {"done": len(self.done)})
        return made


@pytest.fixture
def acts(database: Database) -> Acts:
    """A service on an empty database."""
    return Acts(database)


@pytest.fixture
def client(acts: Acts) -> Iterator[httpx.Client]:
    """Its client."""
    with serving(acts.app()) as opened:
        yield opened


def post(client: httpx.Client, key: str | None = KEY, path: str = "/v1/acts", **body: Any) -> httpx.Response:
    """Ask for an act."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(path, json=body, headers=headers)


def test_what_is_asked_for_again_is_not_done_again_and_answered_the_same(acts: Acts, client: httpx.Client) -> None:
    first, second, third = post(client, a=1), post(client, a=1), post(client, f'"{KEY}"', a=1)
    assert [one.status_code for one in (first, second, third)] == [201] * 3
    assert first.content == second.content == third.content
    assert second.headers["Location"] == first.headers["Location"]
    assert "X-Other" not in second.headers
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert acts.done == [{"a": 1}]


def test_without_a_key_or_outside_v1_each_is_done(acts: Acts, client: httpx.Client) -> None:
    for _ in range(2):
        assert post(client, None, a=1).status_code == 201
        assert post(client, KEY, "/elsewhere", a=1).status_code == 201
    assert len(acts.done) == 4


def test_the_same_key_with_another_request_is_refused(acts: Acts, client: httpx.Client) -> None:
    post(client, a=1)
    for answer in (post(client, a=2), post(client, KEY, "/v1/acts?x=1", a=1), post(client, KEY, "/v1/secrets")):
        assert (answer.status_code, answer.json()["reason"]) == (422, "idempotency-key-reused")
    assert acts.done == [{"a": 1}]


def test_another_caller_has_keys_of_his_own(acts: Acts, client: httpx.Client) -> None:
    post(client, a=1)
    acts.who = who("other")
    assert post(client, a=2).json() == {"number": 2}


def test_twenty_at_once_are_done_once(acts: Acts, client: httpx.Client) -> None:
    acts.wait = threading.Event()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(post, client, a=1) for _ in range(20)]
        while sum(one.done() for one in asked) < 19:
            threading.Event().wait(0.02)
        acts.wait.set()
        answers = [one.result() for one in asked]
    assert sorted(one.status_code for one in answers) == [201] + [409] * 19
    refused = [one for one in answers if one.status_code == HTTPStatus.CONFLICT]
    assert {one.json()["reason"] for one in refused} == {"idempotency-key-in-flight"}
    assert refused[0].headers["Retry-After"] == "1"
    assert acts.done == [{"a": 1}]
    assert post(client, a=1).status_code == 201


@pytest.mark.parametrize("fault", [Problem(409, "not now"), ValueError("ours")])
def test_a_request_that_was_refused_or_failed_may_come_again(
    acts: Acts, client: httpx.Client, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    acts.fault = fault
    assert post(client, a=1).status_code in (409, 500)
    acts.fault = None
    with httpx.Client(base_url=client.base_url, trust_env=False) as anew:
        answer = post(anew, a=2)
    assert (answer.status_code, acts.done) == (201, [{"a": 2}])
    del caplog


def test_who_held_the_key_and_died_loses_it_when_his_lease_ends(
    acts: Acts, client: httpx.Client, database: Database
) -> None:
    post(client, a=1)
    left_s = (
        "UPDATE idempotency_keys SET answered_at = NULL, status = NULL, headers = NULL, body = NULL, leased_until = "
    )
    with database.transaction() as connection:
        connection.execute((left_s + "clock_timestamp() + interval '1 minute'").encode())
    assert post(client, a=1).json()["reason"] == "idempotency-key-in-flight"
    with database.transaction() as connection:
        connection.execute((left_s + "clock_timestamp() - interval '1 second'").encode())
    assert post(client, a=2).json()["reason"] == "idempotency-key-reused"
    assert post(client, a=1).json() == {"number": 2}
    assert post(client, a=1).headers["Idempotency-Replayed"] == "true"


def test_whoever_answers_slowly_keeps_his_key(database: Database) -> None:
    acts = Acts(database, lease_s=0.6, wait=threading.Event())
    with serving(acts.app()) as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(post, client, a=1)
        for _ in range(6):
            threading.Event().wait(0.3)
            assert post(client, a=1).json()["reason"] == "idempotency-key-in-flight"
        assert acts.wait is not None
        acts.wait.set()
        assert slow.result().status_code == 201
    assert len(acts.done) == 1


def test_an_answer_with_a_secret_is_kept_nowhere(acts: Acts, client: httpx.Client, database: Database) -> None:
    assert post(client, KEY, "/v1/secrets").json() == {"token": "s3cret"}
    again = post(client, KEY, "/v1/secrets")
    assert (again.status_code, again.json()["reason"]) == (409, "idempotency-answer-not-kept")
    assert acts.done == ["secret"]
    with database.transaction() as connection:
        assert connection.execute(b"SELECT body FROM idempotency_keys").fetchall() == [(None,)]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, '"open', "é"])
def test_a_key_of_another_form_is_refused(acts: Acts, client: httpx.Client, key: str) -> None:
    answer = client.post("/v1/acts", json={}, headers=[(b"Idempotency-Key", key.encode())])
    assert (answer.status_code, answer.json()["reason"]) == (400, "idempotency-key-invalid")
    twice = client.post("/v1/acts", json={}, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert twice.status_code == 400
    assert acts.done == []


def test_of_strangers_nothing_is_kept(acts: Acts, client: httpx.Client, database: Database) -> None:
    acts.who = who("stranger", Kind.STRANGER)
    for _ in range(2):
        assert post(client, a=1).status_code == 201
    with database.transaction() as connection:
        assert connection.execute(b"SELECT count(*) FROM idempotency_keys").fetchone() == (0,)


def test_a_body_beyond_the_bound_is_refused_before_it_is_all_read(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}
    answer = client.post("/v1/acts", content=b" " * (BODY_OCTETS_MAX + 1), headers=headers)
    assert answer.status_code == 413


def test_after_a_day_a_key_is_forgotten(acts: Acts, client: httpx.Client, database: Database) -> None:
    post(client, a=1)
    with database.transaction() as connection:
        connection.execute(b"UPDATE idempotency_keys SET begun_at = begun_at - interval '25 hours'")
    assert post(client, a=2).json() == {"number": 2}
    assert len(acts.done) == 2
