"""Who calls too often waits; who calls within bounds is told how much is left; nobody waits for another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingest.access.principal import Kind, Principal, admin_principal, stranger
from ingest.api.rate_limit import BURST_S, NAMES_MAX, RateLimit
from ingest.caller import Caller
from metering.clock import ManualClock
from tests.doubles.memory_centre import ADMIN, NOW, MemoryCentre

CALLER = Caller("x", "10.0.0.1", "")


class From:
    """What a limit looks at of a call."""

    def __init__(self, host: str) -> None:
        self.client = type("Client", (), {"host": host})()


def take(limit: RateLimit, host: str = "10.0.0.1", who: Principal | None = None) -> bool:
    """Say whether a call was let through."""
    return not limit.take(From(host), who or stranger(CALLER)).is_empty  # type: ignore[arg-type]


@pytest.fixture
def centre() -> Iterator[MemoryCentre]:
    """A service where each may call twice a second."""
    with MemoryCentre(calls_per_second=2).open() as built:
        yield built


def test_a_bucket_is_emptied_then_filled_with_time() -> None:
    clock = ManualClock(NOW)
    limit = RateLimit(clock, 2)
    assert [take(limit) for _ in range(2 * BURST_S + 2)] == [True] * (2 * BURST_S) + [False] * 2
    clock.sleep(1)
    assert [take(limit) for _ in range(3)] == [True, True, False]
    clock.sleep(3600)
    assert sum(take(limit) for _ in range(100)) == 2 * BURST_S


def test_each_has_a_bucket_of_his_own_and_an_ipv6_network_one() -> None:
    limit = RateLimit(ManualClock(NOW), 1)
    anna = Principal("anna", frozenset(), None, Kind.OPERATOR, CALLER)
    for _ in range(BURST_S):
        assert take(limit, "2001:db8:1:2::1")
    assert not take(limit, "2001:db8:1:2:ffff::9"), "one network"
    assert take(limit, "2001:db8:1:3::1")
    assert take(limit, "2001:db8:1:2::1", anna)
    assert take(limit, "2001:db8:1:2::1", admin_principal(CALLER))
    assert take(limit, "anna"), "a name is no address"


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    clock = ManualClock(NOW)
    limit = RateLimit(clock, 1)
    assert take(limit)
    clock.now = lambda: NOW.replace(year=2020)  # type: ignore[method-assign]
    assert take(limit)


def test_buckets_are_bounded() -> None:
    limit = RateLimit(ManualClock(NOW), 1)
    for number in range(NAMES_MAX + 10):
        take(limit, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limit._left) == NAMES_MAX


def test_answers_tell_what_is_left_and_the_last_says_when_to_come_again(centre: MemoryCentre) -> None:
    first = centre.get("/v1/allocation-runs")
    assert first.headers["RateLimit-Policy"] == f'"calls";q={2 * BURST_S};w={BURST_S}'
    assert first.headers["RateLimit"] == f'"calls";r={2 * BURST_S - 1};t=1'
    assert "Retry-After" not in first.headers
    for _ in range(2 * BURST_S - 1):
        assert centre.get("/v1/allocation-runs").status_code == 200
    held = centre.get("/v1/allocation-runs")
    assert (held.status_code, held.headers["Retry-After"], held.json()["reason"]) == (429, "1", "rate")
    assert held.headers["Content-Type"] == "application/problem+json"
    assert centre.get("/v1/allocation-runs", headers=ADMIN).status_code == 200
    centre.clock.sleep(1)
    assert centre.get("/v1/allocation-runs").status_code == 200


def test_what_gateways_send_and_probes_ask_is_not_counted(centre: MemoryCentre) -> None:
    for _ in range(2 * BURST_S + 5):
        assert centre.get("/healthz").status_code == 200
        assert centre.call("POST", "/v1/envelopes").status_code == 415


def test_wrong_tokens_are_counted_by_their_address(centre: MemoryCentre) -> None:
    """Whoever tries tokens is a stranger: his bucket is his address's."""
    found = [
        centre.get("/v1/allocation-runs", headers={"Authorization": f"Bearer mtop-{number}"}).status_code
        for number in range(2 * BURST_S + 3)
    ]
    assert found == [401] * (2 * BURST_S) + [429] * 3
