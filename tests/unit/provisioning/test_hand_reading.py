"""What people write down becomes a register or a question, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.catalogue import Catalogue
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis
from provisioning.hand_reading import (
    Display,
    Doubt,
    Known,
    Neighbours,
    TextNotRead,
    best_seen,
    bus_says_enough,
    display_of,
    displays_of,
    doubts_about,
    nearest_mark,
    photo_doubts,
    read_text,
    text_of,
    typed_step,
)
from provisioning.photo_reading.reader import SeenDigits

CATALOGUE = Catalogue.shipped()
MARK = datetime(2026, 7, 31, 8, 0, tzinfo=UTC)


def display(profile: str, obis: Obis | None = None) -> Display:
    return display_of(displays_of(CATALOGUE.by_id(profile)), obis)


DRUMS = display("hand/electricity-6-1")
BUS = display("dlt645/three-phase", ENERGY_IMPORT)


def known(register: int, days: float, *, by_hand: bool = True) -> Known:
    return Known(MARK + timedelta(days=days), register, by_hand)


def around(
    before: int | None = None, after: int | None = None, *, here: Known | None = None, earlier: int | None = None
) -> Neighbours:
    return Neighbours(
        earlier=None if earlier is None else known(earlier, -60),
        before=None if before is None else known(before, -30),
        here=here,
        after=None if after is None else known(after, 30),
    )


@pytest.mark.parametrize(
    ("text", "where", "mantissa"),
    [
        ("012345.6", DRUMS, 123_456),
        ("0.0", DRUMS, 0),
        ("999999.9", DRUMS, 9_999_999),
        ("12345", display("hand/water-5-0"), 12_345),
        ("12345.67", BUS, 1_234_567),
        ("12345.6", BUS, 1_234_560),
        ("12345", BUS, 1_234_500),
    ],
)
def test_a_register_is_read_as_the_profile_has_it(text: str, where: Display, mantissa: int) -> None:
    assert read_text(text, where) == mantissa


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        ("12345", DRUMS, "the display has 1"),
        ("12345.67", DRUMS, "the display has 1"),
        ("12345.6", display("hand/water-5-0"), "without a point"),
        ("1234567.0", DRUMS, "more than this meter can show"),
        ("12345.678", BUS, "finer"),
        ("", DRUMS, "no register"),
        ("12,345.6", DRUMS, "no register"),
        ("-1.0", DRUMS, "no register"),
        ("１２３.４", DRUMS, "no register"),
        ("1.", DRUMS, "no register"),
        ("1e5", DRUMS, "no register"),
    ],
)
def test_anything_else_is_asked_again_in_words(text: str, where: Display, word: str) -> None:
    with pytest.raises(TextNotRead, match=word):
        read_text(text, where)


def test_the_register_is_said_where_a_meter_has_several() -> None:
    both = displays_of(CATALOGUE.by_id("dlt645/three-phase"))
    assert {one.obis for one in both} == {ENERGY_IMPORT, ENERGY_EXPORT}
    with pytest.raises(TextNotRead, match="OBIS"):
        display_of(both, None)
    with pytest.raises(TextNotRead, match="no register 8-0:1"):
        display_of(both, Obis.parse("8-0:1.0.0"))
    assert display_of(both, ENERGY_EXPORT).mantissas(7) == tuple(
        7 if place == display_of(both, ENERGY_EXPORT).position else None for place in range(BUS.width)
    )


@given(st.integers(0, 9_999_999))
def test_what_a_photo_shows_gets_its_point_from_the_profile(mantissa: int) -> None:
    text = text_of(f"{mantissa:07d}", DRUMS)
    assert text is not None
    assert read_text(text, DRUMS) == mantissa


def test_digits_of_another_number_than_the_displays_are_no_reading() -> None:
    assert text_of("12345", DRUMS) is None
    assert text_of("12345", BUS) is None
    assert text_of("12345", display("hand/water-5-0")) == "12345"
    rows = [SeenDigits("50", 999), SeenDigits("0123456", 950), SeenDigits("0123458", 930)]
    assert best_seen(rows, DRUMS) == rows[1]
    assert best_seen(rows, BUS) == rows[0]
    assert best_seen(rows[:1], DRUMS) is None


@pytest.mark.parametrize(
    ("text", "seen", "doubts"),
    [
        ("012345.6", SeenDigits("0123456", 990), []),
        ("12345.6", SeenDigits("0123456", 990), []),
        ("012345.6", SeenDigits("0123457", 990), [Doubt.PHOTO_DIFFERS]),
        ("012345.6", SeenDigits("0123457", 400), []),
        ("012345.6", None, []),
        (None, SeenDigits("0123456", 990), []),
        (None, SeenDigits("0123456", 899), [Doubt.PHOTO_UNSURE]),
        (None, None, [Doubt.PHOTO_UNSURE]),
    ],
)
def test_a_photo_checks_what_was_written_and_alone_must_be_sure(
    text: str | None, seen: SeenDigits | None, doubts: list[Doubt]
) -> None:
    assert photo_doubts(text, seen) == doubts


@pytest.mark.parametrize(
    ("minutes", "mark"), [(0, 0), (7, 0), (7.49, 0), (7.5, 15), (8, 15), (14.99, 15), (52.4, 45), (53, 60)]
)
def test_a_reading_counts_for_the_nearest_quarter_hour(minutes: float, mark: int) -> None:
    assert nearest_mark(MARK + timedelta(minutes=minutes)) == MARK + timedelta(minutes=mark)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)))
def test_the_nearest_quarter_hour_is_at_most_half_a_slot_away(read_at: datetime) -> None:
    mark = nearest_mark(read_at)
    assert int(mark.timestamp()) % 900 == 0
    assert abs(mark - read_at) <= timedelta(minutes=7, seconds=31)


@pytest.mark.parametrize(
    ("register", "neighbours", "modulus", "doubts"),
    [
        (1_000_000, around(), None, []),
        (1_000_000, around(990_000, 1_010_000), None, []),
        (990_000, around(990_000), None, []),
        (980_000, around(990_000), None, [Doubt.FELL]),
        (980_000, around(990_000), 10_000_000, [Doubt.FELL]),
        (50_000, around(9_990_000), 10_000_000, [Doubt.ROLLED_OVER]),
        (1_020_000, around(990_000, 1_010_000), None, [Doubt.ABOVE_NEXT]),
        (9_990_000, around(9_980_000, 20_000), 10_000_000, []),
        (980_000, around(990_000, 970_000), None, [Doubt.FELL, Doubt.ABOVE_NEXT]),
        (1_500_000, around(1_000_000, earlier=950_000), None, [Doubt.MUCH_MORE]),
        (1_250_000, around(1_000_000, earlier=950_000), None, []),
        (1_020_000, around(1_000_000, earlier=1_000_000), None, []),
    ],
)
def test_what_does_not_fit_what_is_known_is_a_doubt(
    register: int, neighbours: Neighbours, modulus: int | None, doubts: list[Doubt]
) -> None:
    assert doubts_about(register, 100, MARK, neighbours, modulus) == doubts


def test_a_display_coarser_than_the_bus_does_not_make_the_register_fall() -> None:
    known_by_bus = Neighbours(None, known(1_234_560, -0.1, by_hand=False), None, None)
    assert doubts_about(1_234_000, 1000, MARK, known_by_bus, None) == []
    assert bus_says_enough(1_234_000, known_by_bus)
    assert doubts_about(1_233_000, 1000, MARK, known_by_bus, None) == [Doubt.FELL]
    assert not bus_says_enough(1_235_000, known_by_bus)


def test_beside_a_bus_that_was_heard_a_reading_is_a_check_and_never_counted() -> None:
    heard = Neighbours(None, known(1_000, -0.01, by_hand=False), known(1_100, 0, by_hand=False), None)
    assert doubts_about(1_095, 10, MARK, heard, None) == []
    assert bus_says_enough(1_095, heard)
    assert doubts_about(1_300, 10, MARK, heard, None) == [Doubt.DIFFERS_FROM_BUS]
    assert doubts_about(500, 10, MARK, heard, None) == [Doubt.DIFFERS_FROM_BUS]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 1000))
def test_a_rising_register_has_no_doubt_of_falling(before: int, more: int, step: int) -> None:
    doubts = doubts_about(before + more, step, MARK, around(before, before + 2 * more), None)
    assert not {Doubt.FELL, Doubt.ABOVE_NEXT} & set(doubts)


def test_the_last_digit_that_was_written_is_the_step() -> None:
    assert typed_step("12345.6", DRUMS) == 100
    assert typed_step("12345", BUS) == 1000
    assert typed_step("12345.67", BUS) == 10
