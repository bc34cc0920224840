"""Where reads are not open, whoever shows nothing gets what is open by a reason of its own, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingest.access.policy_file import shipped_policy
from tests.doubles.memory_centre import ADMIN, MemoryCentre

OPEN = ("/healthz", "/readyz", "/metrics", "/v1/openapi.json")


@pytest.fixture(scope="module")
def centre() -> Iterator[MemoryCentre]:
    """A service as `metertree serve` runs it without further word."""
    with MemoryCentre(open_reads=False).open() as built:
        yield built


def test_no_read_is_answered_without_a_token(centre: MemoryCentre) -> None:
    for rule in shipped_policy().routes.values():
        if rule.method == "GET" and rule.permission is not None:
            answer = centre.get(rule.path.replace("{", "").replace("}", ""))
            assert answer.status_code == 401, rule.key
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="metertree"'


def test_what_is_open_stays_open(centre: MemoryCentre) -> None:
    for path in OPEN:
        assert centre.get(path).status_code == 200, path


def test_a_token_opens_what_it_opens(centre: MemoryCentre) -> None:
    assert centre.get("/v1/allocation-runs", headers=ADMIN).json()["runs"] == []
    assert centre.get("/v1/allocation-runs", headers={"Authorization": "Bearer no"}).status_code == 401


def test_a_wrong_token_is_told_even_where_reads_are_open() -> None:
    with MemoryCentre().open() as centre:
        assert centre.get("/v1/allocation-runs").status_code == 200
        wrong = centre.get("/v1/allocation-runs", headers={"Authorization": "Bearer mtop-wrong"})
        assert wrong.status_code == 401
        assert centre.get("/healthz", headers={"Authorization": "Bearer mtop-wrong"}).status_code == 200


def test_who_is_not_told_apart_learns_nothing_from_a_call_that_no_route_takes(centre: MemoryCentre) -> None:
    assert centre.get("/v1/no-such-thing").status_code == 404
    assert centre.call("DELETE", "/v1/allocation-runs").status_code == 405
