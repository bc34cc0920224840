"""Who gets into the page, and who does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_agent.page.access import (
    CLOSED_S,
    CLOSED_S_MAX,
    PIN_DIGITS,
    SESSION_S,
    SESSIONS_MAX,
    TRIES,
    Door,
    Places,
    Session,
    fresh_pin,
    is_own_host,
)
from edge_agent.page.entrance import is_end_of

PIN = "01234567"
NAMES = frozenset({"localhost", "gw-7"})


@dataclass
class Watch:
    """A clock that stands until it is moved."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def door(watch: Watch) -> Door:
    return Door(PIN, watch)


def let_in(door: Door) -> Session:
    session = door.sign_in(PIN, "eng-1", "en").session
    assert session is not None
    return session


def test_pins_have_their_digits_and_differ() -> None:
    pins = {fresh_pin() for _ in range(50)}
    assert len(pins) > 45
    assert all(len(pin) == PIN_DIGITS and pin.isdecimal() for pin in pins)


def test_the_right_pin_opens_also_with_spaces(door: Door) -> None:
    session = door.sign_in(" 0123 4567 ", "eng-1", "zh").session
    assert session is not None
    assert (session.by, session.language) == ("eng-1", "zh")
    assert door.session(session.key) is session


@pytest.mark.parametrize("pin", ["", "01234568", "0123456", "012345678", "１２３４５６７８", "ab"])
def test_another_pin_does_not(door: Door, pin: str) -> None:
    came = door.sign_in(pin, "eng-1", "en")
    assert (came.session, came.wait_s) == (None, 0.0)


def test_after_some_wrong_pins_the_right_one_does_not_open_either(door: Door, watch: Watch) -> None:
    waits = [door.sign_in("0", "x", "en").wait_s for _ in range(TRIES)]
    assert waits == [0.0] * (TRIES - 1) + [CLOSED_S]
    watch.now_s += CLOSED_S - 1
    assert door.sign_in(PIN, "eng-1", "en").wait_s == pytest.approx(1.0)
    watch.now_s += 1
    assert door.sign_in(PIN, "eng-1", "en").session is not None


def test_each_closing_is_twice_as_long_up_to_an_hour_and_a_right_pin_forgives(door: Door, watch: Watch) -> None:
    def close() -> float:
        wait_s = max(door.sign_in("0", "x", "en").wait_s for _ in range(TRIES))
        watch.now_s += wait_s
        return wait_s

    assert [close() for _ in range(8)] == [min(CLOSED_S * 2**time, CLOSED_S_MAX) for time in range(8)]
    let_in(door)
    assert close() == CLOSED_S


def test_a_guesser_has_few_tries_a_day(door: Door, watch: Watch) -> None:
    tries, until_s = 0, watch.now_s + 24 * 3600
    while watch.now_s < until_s:
        watch.now_s += door.sign_in("0", "x", "en").wait_s
        tries += 1
    assert tries < 200  # of 100,000,000


def test_a_session_ends_with_the_day_or_when_one_leaves(door: Door, watch: Watch) -> None:
    session = let_in(door)
    watch.now_s += SESSION_S - 1
    assert door.session(session.key) is session
    watch.now_s += 1
    assert door.session(session.key) is None
    session = let_in(door)
    door.sign_out(session)
    assert door.session(session.key) is None


def test_a_cookie_that_was_never_given_is_nobody(door: Door) -> None:
    let_in(door)
    assert door.session(None) is None
    assert door.session("") is None
    assert door.session("guess") is None


def test_sessions_do_not_pile_up(door: Door, watch: Watch) -> None:
    first = let_in(door)
    for _ in range(SESSIONS_MAX):
        watch.now_s += 1
        newest = let_in(door)
    assert door.session(first.key) is None
    assert door.session(newest.key) is newest


def test_places_are_bounded_for_all_and_for_each_and_given_back() -> None:
    places = Places(most=3, each=2)
    assert [places.take(one) for one in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
    places.leave("a")
    assert [places.take(one) for one in ("c", "a")] == [True, False]


def test_a_form_belongs_to_its_session(door: Door) -> None:
    one, other = let_in(door), let_in(door)
    assert one.is_form_of(one.form_token)
    assert not one.is_form_of(other.form_token)
    assert not one.is_form_of("")


@pytest.mark.parametrize("host", ["192.168.4.1", "192.168.4.1:8443", "[fe80::1]:8443", "[::1]", "localhost:80", "GW-7"])
def test_a_machine_is_called_by_figures_or_its_name(host: str) -> None:
    assert is_own_host(host, NAMES)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8443", "192.168.4.1.evil.example", "gw-8", "gw-7.evil.example:1"]
)
def test_a_name_that_somebody_moved_here_is_refused(host: str) -> None:
    assert not is_own_host(host, NAMES)


@pytest.mark.parametrize("typed", ["8544 face", "8544face", " 8544 FACE", "6301 8544 face", "8544:face"])
def test_the_end_of_a_fingerprint_was_looked_at(typed: str) -> None:
    assert is_end_of(typed, "dbc2 9825 6301 8544 face")


@pytest.mark.parametrize("typed", ["", "face", "544 face", "8544 fac", "dbc2 9825", "8544 face 0"])
def test_less_or_other_than_the_end_of_a_fingerprint_is_refused(typed: str) -> None:
    assert not is_end_of(typed, "dbc2 9825 6301 8544 face")
