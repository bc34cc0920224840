"""What a password must be, and the one-time codes of RFC 6238."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from ingest.passwords import (
    RECOVERY_CODES,
    HashingBusy,
    PasswordWeak,
    code_at,
    hash_password,
    is_password,
    needs_renewal,
    new_recovery_codes,
    new_secret,
    recovery_digest,
    require_good,
    step_of,
)

SECRET = b"12345678901234567890"
"""Of the test vectors in RFC 6238, appendix B."""


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_the_standard(at: int, code: str) -> None:
    # The standard's table shows eight digits; of them phones show the last six.
    assert code_at(SECRET, at // 30) == code[2:]


def test_a_code_counts_one_step_early_or_late_and_no_more() -> None:
    now = datetime.fromtimestamp(1111111111, UTC)
    step = 1111111111 // 30
    for off in (-1, 0, 1):
        assert step_of(SECRET, code_at(SECRET, step + off), now) == step + off
    for off in (-2, 2):
        assert step_of(SECRET, code_at(SECRET, step + off), now) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "050471x"])
def test_what_is_no_code_is_none(code: str) -> None:
    assert step_of(SECRET, code, datetime.fromtimestamp(1111111111, UTC)) is None


def test_blanks_that_a_phone_shows_may_be_typed() -> None:
    assert step_of(SECRET, " 050 471 ", datetime.fromtimestamp(1111111111, UTC)) is not None


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("eleven-char", "short"),
        ("x" * 257, "long"),
        ("shu-fen-and-more", "name"),
        ("my-Metertree-2026", "name"),
        ("aaaaaaaaaaaaaaa", "common"),
        ("Password!2026-08", "common"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason(password: str, reason: str) -> None:
    with pytest.raises(PasswordWeak) as found:
        require_good(password, "shu-fen")
    assert found.value.reason == reason
    assert password not in str(found.value)


@pytest.mark.parametrize("password", ["correct horse battery", "电表读数分摊到每一个租户", "Zw!f0lf-Zeichen"])
def test_a_good_password_is_taken_in_any_script(password: str) -> None:
    require_good(password, "shu-fen")


def test_a_password_is_known_by_its_hash_only() -> None:
    hashed = hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,")
    assert is_password("correct horse battery", hashed)
    assert not is_password("correct horse batterx", hashed)
    assert not is_password("correct horse battery", None)
    assert not is_password("correct horse battery", "no hash")
    assert hash_password("correct horse battery") != hashed
    assert not needs_renewal(hashed)


def test_recovery_codes_differ_and_count_as_they_are_typed() -> None:
    codes = new_recovery_codes()
    assert len({*codes}) == RECOVERY_CODES
    assert recovery_digest(codes[0].upper().replace("-", " ")) == recovery_digest(codes[0])
    assert recovery_digest(codes[0]) != recovery_digest(codes[1])
    assert new_secret() != new_secret()


def test_more_passwords_at_once_than_there_is_room_for_are_sent_away() -> None:
    hashed = hash_password("correct horse battery")

    def look(_: int) -> bool | None:
        try:
            return is_password("correct horse battery", hashed)
        except HashingBusy:
            return None

    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(look, range(30)))
    assert set(found) == {True, None}
    assert is_password("correct horse battery", hashed)
