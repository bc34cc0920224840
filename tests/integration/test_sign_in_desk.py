"""Signing in over a real database: what lets in, what does not, and when it is over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from ingest.audit_log import Verb, chain_faults
from ingest.caller import Caller
from ingest.cli import main
from ingest.passwords import PasswordWeak, code_at, new_secret
from ingest.sign_in_desk import FIRST_NAME, Outcome, SignInDesk
from ingest.store.audit import entries
from ingest.store.database import Database
from ingest.store.operators import OperatorRefused, Post, add_operator, operators, remove_operator
from ingest.store.sessions import IDLE, LONGEST, end_from_elsewhere, session_of, sessions_of
from ingest.store.sign_in_failures import TOGETHER_MAX, WINDOW
from ingest.store.sign_ins import LINK_LASTS, drop_code, link_of, make_link, set_code, set_password, sign_in_of
from metering.clock import ManualClock, SystemClock

NOW = datetime(2026, 8, 1, 1, tzinfo=UTC)
HERE = Caller("stranger", "192.0.2.7", "Firefox")
ELSEWHERE = Caller("stranger", "192.0.2.8", "Chromium")
ADMIN = Caller("local/root", "centre", "")
NAME, PASSWORD = "manager", "correct horse battery"
PERSON = Caller(NAME, "192.0.2.7", "Firefox", in_person=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def desk(database: Database, clock: ManualClock, cheap_passwords: None) -> SignInDesk:
    with database.transaction() as connection:
        add_operator(connection, NAME, ADMIN, NOW, Post(("energy-manager",), ("park",)))
        set_password(connection, NAME, PASSWORD, PERSON, NOW)
    return SignInDesk(database, clock)


def session_at(desk: SignInDesk, token: str) -> str | None:
    """Who is signed in by a token, by the desk's clock."""
    with desk.database.transaction() as connection:
        found = session_of(connection, token, desk.clock.now())
    return None if found is None or found.awaits_code else found.operator


def verbs(desk: SignInDesk) -> list[str]:
    """The log's verbs in order; the chain holds."""
    with desk.database.transaction() as connection:
        found = list(entries(connection))
    assert list(chain_faults(found)) == []
    return [one.verb for one in found]


def test_name_and_password_let_in_and_say_who_with_what_roles(desk: SignInDesk) -> None:
    answer = desk.sign_in(NAME, PASSWORD, HERE)
    assert answer.outcome is Outcome.IN
    with desk.database.transaction() as connection:
        found = session_of(connection, answer.token, NOW)
    assert found is not None
    assert (found.operator, found.post) == (NAME, Post(("energy-manager",), ("park",)))
    assert verbs(desk)[-1] == Verb.SIGNED_IN
    assert len(answer.token) >= 43


@pytest.mark.parametrize(("name", "password"), [(NAME, "wrong horse battery"), ("nobody", PASSWORD), ("", "")])
def test_what_is_wrong_is_not_told(desk: SignInDesk, name: str, password: str) -> None:
    assert desk.sign_in(name, password, HERE).outcome is Outcome.WRONG


def test_every_sign_in_makes_another_session(desk: SignInDesk) -> None:
    assert desk.sign_in(NAME, PASSWORD, HERE).token != desk.sign_in(NAME, PASSWORD, HERE).token


def test_a_session_ends_when_nobody_calls_and_at_the_end_of_the_day(desk: SignInDesk, clock: ManualClock) -> None:
    token = desk.sign_in(NAME, PASSWORD, HERE).token
    while clock.now() - NOW < LONGEST - IDLE:
        clock.sleep_until(clock.now() + IDLE - timedelta(seconds=1))
        assert session_at(desk, token) == NAME
    clock.sleep_until(NOW + LONGEST)
    assert session_at(desk, token) is None
    token = desk.sign_in(NAME, PASSWORD, HERE).token
    clock.sleep_until(clock.now() + IDLE)
    assert session_at(desk, token) is None


def test_signing_out_ends_this_session_only(desk: SignInDesk) -> None:
    here, there = (desk.sign_in(NAME, PASSWORD, one).token for one in (HERE, ELSEWHERE))
    desk.sign_out(here)
    desk.sign_out("nothing")
    assert (session_at(desk, here), session_at(desk, there)) == (None, NAME)
    with desk.database.transaction() as connection:
        (left,) = sessions_of(connection, NAME, NOW)
        assert (left.address, left.device) == ("192.0.2.8", "Chromium")
        assert end_from_elsewhere(connection, NAME, PERSON, NOW, but=left.session) == 0
        assert end_from_elsewhere(connection, NAME, PERSON, NOW) == 1
    assert session_at(desk, there) is None
    assert verbs(desk)[-1] == Verb.SESSIONS_ENDED


def test_another_password_and_a_removal_end_sessions_at_once(desk: SignInDesk) -> None:
    first = desk.sign_in(NAME, PASSWORD, HERE).token
    with desk.database.transaction() as connection:
        set_password(connection, NAME, "another horse battery", PERSON, NOW)
    assert session_at(desk, first) is None
    assert desk.sign_in(NAME, PASSWORD, HERE).outcome is Outcome.WRONG
    second = desk.sign_in(NAME, "another horse battery", HERE).token
    with desk.database.transaction() as connection:
        remove_operator(connection, NAME, ADMIN, NOW)
    assert session_at(desk, second) is None
    assert desk.sign_in(NAME, "another horse battery", HERE).outcome is Outcome.WRONG


# Guessing


def test_guessing_is_held_from_one_address_and_over_after_a_while(desk: SignInDesk, clock: ManualClock) -> None:
    for _ in range(TOGETHER_MAX):
        assert desk.sign_in(NAME, "wrong horse battery", HERE).outcome is Outcome.WRONG
    assert desk.sign_in(NAME, PASSWORD, HERE).outcome is Outcome.HELD
    assert desk.sign_in(NAME, PASSWORD, ELSEWHERE).outcome is Outcome.IN
    clock.sleep_until(NOW + WINDOW + timedelta(seconds=1))
    assert desk.sign_in(NAME, PASSWORD, HERE).outcome is Outcome.IN


def test_who_shows_that_he_is_it_is_forgiven_what_he_mistyped(desk: SignInDesk) -> None:
    for _ in range(3):
        for _ in range(TOGETHER_MAX - 1):
            desk.sign_in(NAME, "wrong horse battery", HERE)
        assert desk.sign_in(NAME, PASSWORD, HERE).outcome is Outcome.IN


# The second factor


def with_code(desk: SignInDesk) -> tuple[bytes, tuple[str, ...]]:
    """The operator has set up codes; gives their secret and the recovery codes."""
    secret = new_secret()
    with desk.database.transaction() as connection:
        codes = set_code(connection, NAME, secret, 0, PERSON, NOW)
    return secret, tuple(codes)


def code_now(secret: bytes, clock: ManualClock) -> str:
    """What the phone shows."""
    return code_at(secret, int(clock.now().timestamp()) // 30)


def test_with_a_second_factor_the_password_alone_signs_nobody_in(desk: SignInDesk, clock: ManualClock) -> None:
    secret, _ = with_code(desk)
    half = desk.sign_in(NAME, PASSWORD, HERE)
    assert half.outcome is Outcome.CODE
    assert session_at(desk, half.token) is None
    assert desk.show_code(half.token, "000000", HERE).outcome is Outcome.WRONG
    whole = desk.show_code(half.token, code_now(secret, clock), HERE)
    assert whole.outcome is Outcome.IN
    assert session_at(desk, whole.token) == NAME
    assert session_at(desk, half.token) is None
    assert whole.token != half.token


def test_a_code_counts_once(desk: SignInDesk, clock: ManualClock) -> None:
    secret, _ = with_code(desk)
    halves = [desk.sign_in(NAME, PASSWORD, HERE).token for _ in range(4)]
    code = code_now(secret, clock)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda half: desk.show_code(half, code, HERE).outcome, halves))
    assert sorted(found) == [Outcome.IN, *[Outcome.WRONG] * 3]


def test_recovery_codes_count_once_each(desk: SignInDesk) -> None:
    _, codes = with_code(desk)
    first = desk.show_code(desk.sign_in(NAME, PASSWORD, HERE).token, codes[0].upper(), HERE)
    assert (first.outcome, first.recovery_left) == (Outcome.IN, 9)
    again = desk.show_code(desk.sign_in(NAME, PASSWORD, HERE).token, codes[0], HERE)
    assert again.outcome is Outcome.WRONG


def test_codes_cannot_be_guessed_one_after_the_other(desk: SignInDesk, clock: ManualClock) -> None:
    secret, _ = with_code(desk)
    half = desk.sign_in(NAME, PASSWORD, HERE).token
    for _ in range(TOGETHER_MAX):
        desk.show_code(half, "000000", HERE)
    assert desk.show_code(half, code_now(secret, clock), HERE).outcome is Outcome.HELD
    assert desk.sign_in(NAME, PASSWORD, HERE).outcome is Outcome.HELD


def test_the_password_waits_for_the_code_five_minutes(desk: SignInDesk, clock: ManualClock) -> None:
    secret, _ = with_code(desk)
    half = desk.sign_in(NAME, PASSWORD, HERE).token
    clock.sleep_until(NOW + timedelta(minutes=5))
    assert desk.show_code(half, code_now(secret, clock), HERE).outcome is Outcome.OVER
    whole = desk.sign_in(NAME, PASSWORD, HERE)
    assert desk.show_code("nothing", code_now(secret, clock), HERE).outcome is Outcome.OVER
    with desk.database.transaction() as connection:
        assert drop_code(connection, NAME, ADMIN, NOW, "lost his phone")
        assert not drop_code(connection, NAME, ADMIN, NOW)
    assert desk.show_code(whole.token, code_now(secret, clock), HERE).outcome is Outcome.OVER
    assert desk.sign_in(NAME, PASSWORD, HERE).outcome is Outcome.IN


# Links


def test_the_first_start_makes_one_administrator_with_one_link(
    database: Database, clock: ManualClock, cheap_passwords: None
) -> None:
    desk = SignInDesk(database, clock)
    with ThreadPoolExecutor(4) as pool:
        links = [one for one in pool.map(lambda _: desk.first_link(), range(4)) if one is not None]
    (link,) = links
    with database.transaction() as connection:
        (only,) = operators(connection)
        assert (only.name, only.roles) == (FIRST_NAME, ("administrator",))
        assert sign_in_of(connection, FIRST_NAME) is None
    with pytest.raises(PasswordWeak):
        desk.choose_password(link, "short", HERE)
    answer = desk.choose_password(link, PASSWORD, HERE)
    assert answer.outcome is Outcome.IN
    assert session_at(desk, answer.token) == FIRST_NAME
    assert desk.choose_password(link, "another horse battery", HERE).outcome is Outcome.OVER
    assert desk.first_link() is None
    assert verbs(desk)[:4] == ["operator-added", "sign-in-link-made", "password-chosen", "signed-in"]


def test_a_first_link_that_ran_out_is_made_anew(database: Database, clock: ManualClock) -> None:
    desk = SignInDesk(database, clock)
    first = desk.first_link()
    assert first is not None
    assert desk.first_link() is None
    clock.sleep_until(NOW + LINK_LASTS)
    assert desk.operator_of_link(first) is None
    assert desk.choose_password(first, PASSWORD, HERE).outcome is Outcome.OVER
    second = desk.first_link()
    assert second not in (None, first)


def test_who_has_operators_gets_no_first_administrator(desk: SignInDesk) -> None:
    assert desk.first_link() is None


def test_a_link_counts_once_and_a_newer_one_ends_it(desk: SignInDesk) -> None:
    with desk.database.transaction() as connection:
        old, new = (make_link(connection, NAME, ADMIN, NOW) for _ in range(2))
        with pytest.raises(OperatorRefused):
            make_link(connection, "nobody", ADMIN, NOW)
    assert (desk.operator_of_link(old), desk.operator_of_link(new)) == (None, NAME)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: desk.choose_password(new, "another horse battery", HERE).outcome, range(4)))
    assert sorted(found) == [Outcome.IN, *[Outcome.OVER] * 3]


def test_a_link_does_not_get_past_a_second_factor(desk: SignInDesk) -> None:
    with_code(desk)
    with desk.database.transaction() as connection:
        link = make_link(connection, NAME, ADMIN, NOW)
    answer = desk.choose_password(link, "another horse battery", HERE)
    assert answer.outcome is Outcome.CODE
    assert session_at(desk, answer.token) is None


def test_no_secret_lies_in_the_database(desk: SignInDesk) -> None:
    token = desk.sign_in(NAME, PASSWORD, HERE).token
    with desk.database.transaction() as connection:
        link = make_link(connection, NAME, ADMIN, NOW)
        kept = ""
        for table in ("sessions", "sign_in_links", "sign_ins", "operators", "audit_log"):
            kept += "".join(map(str, connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()))
    for secret in (token, link, PASSWORD, token.encode().hex(), link.encode().hex()):
        assert secret not in kept


def test_the_command_gives_somebody_a_link(
    desk: SignInDesk, migrated_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["operator", "link", NAME, "--dsn", migrated_dsn, "--url", "https://centre.example/"]) == 0
    shown = capsys.readouterr().out
    token = shown.split("https://centre.example/welcome/")[1].strip()
    with desk.database.transaction() as connection:
        found = link_of(connection, token, SystemClock().now())
    assert found is not None
    assert found.operator == NAME
    assert main(["operator", "link", "nobody", "--dsn", migrated_dsn]) != 0
    assert verbs(desk)[-1] == Verb.SIGN_IN_LINK_MADE
