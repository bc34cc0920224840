"""A meter's wall-clock moment: read and written exactly, and no value where it is none."""

from __future__ import annotations

from calendar import timegm

import pytest

from device_profiles.forms import NotReadable
from device_profiles.framing.bcd import from_bcd, to_bcd
from device_profiles.wall_time import BitsForm, LayoutInvalid, WallTimeForm

DEMAND = WallTimeForm("mmhhDDMMYY")
HALF_PAST_TWO = timegm((2026, 1, 9, 14, 30, 0))


def test_a_moment_is_read_in_the_order_of_its_layout() -> None:
    assert DEMAND.to_mantissa(bytes.fromhex("3014090126")) == HALF_PAST_TWO
    assert WallTimeForm("ssmmhhDDMMYYCC").to_mantissa(bytes.fromhex("00301409012620")) == HALF_PAST_TWO
    assert WallTimeForm("CCYYMMDDhhmmss").to_mantissa(bytes.fromhex("20260109143000")) == HALF_PAST_TWO
    assert WallTimeForm("WWDDMMYY").to_mantissa(bytes.fromhex("05090126")) == timegm((2026, 1, 9, 0, 0, 0))


@pytest.mark.parametrize("layout", ["mmhhDDMMYY", "ssmmhhDDMMYYCC", "WWDDMMYYssmmhh"])
@pytest.mark.parametrize("moment", [(2026, 1, 9, 14, 30, 0), (2024, 2, 29, 23, 59, 0), (2000, 1, 1, 0, 0, 0)])
def test_a_moment_is_written_as_it_is_read(layout: str, moment: tuple[int, ...]) -> None:
    form = WallTimeForm(layout)
    wire = form.to_octets(timegm(moment))
    assert len(wire) == form.octets
    assert form.to_mantissa(wire) == timegm(moment)


def test_the_weekday_counts_from_sunday() -> None:
    assert WallTimeForm("WWDDMMYY").to_octets(timegm((2026, 7, 5, 0, 0, 0))) == bytes.fromhex("00050726")
    assert WallTimeForm("WWDDMMYY").to_octets(timegm((2026, 7, 4, 0, 0, 0))) == bytes.fromhex("06040726")


@pytest.mark.parametrize(
    "wire", ["FFFFFFFFFF", "0000000000", "3014C80126", "3014310226", "6014090126", "3024090126", "3A14090126"]
)
def test_what_is_no_moment_has_no_value(wire: str) -> None:
    assert DEMAND.to_mantissa(bytes.fromhex(wire)) is None


def test_a_date_and_a_time_of_two_answers_have_no_value_around_midnight() -> None:
    joined = WallTimeForm("WWDDMMYYssmmhh", is_joined=True)
    for clock, known in (("295923", True), ("315923", False), ("290000", False), ("300000", True)):
        wire = bytes.fromhex("05090126" + clock)
        assert (joined.to_mantissa(wire) is not None) is known
        assert WallTimeForm("WWDDMMYYssmmhh").to_mantissa(wire) is not None


@pytest.mark.parametrize("layout", ["", "mmhh", "YYMMDDhh mm", "YYMMDDYY", "YYMMDDzz", "YYMMD"])
def test_a_layout_without_a_date_or_with_other_parts_is_refused(layout: str) -> None:
    with pytest.raises(LayoutInvalid):
        WallTimeForm(layout)


def test_a_moment_that_the_digits_cannot_show_is_refused() -> None:
    for mantissa in (timegm((1999, 12, 31, 0, 0, 0)), timegm((2100, 1, 1, 0, 0, 0)), -1, 2**62):
        with pytest.raises(NotReadable):
            DEMAND.to_octets(mantissa)
    assert WallTimeForm("YYMMDDCC").to_octets(timegm((2100, 1, 1, 0, 0, 0))) == bytes.fromhex("00010121")


def test_bits_are_kept_low_octet_first() -> None:
    form = BitsForm(2)
    assert form.to_mantissa(bytes.fromhex("0480")) == 0x8004
    assert form.to_octets(0x8004) == bytes.fromhex("0480")
    for wrong in (0x10000, -1):
        with pytest.raises(NotReadable):
            form.to_octets(wrong)


def test_an_octet_of_bcd_has_two_digits() -> None:
    assert [to_bcd(number) for number in (0, 9, 10, 99)] == [0x00, 0x09, 0x10, 0x99]
    assert [from_bcd(octet) for octet in (0x00, 0x42, 0x99, 0x0A, 0xA0, 0xFF)] == [0, 42, 99, None, None, None]
    with pytest.raises(ValueError, match="100"):
        to_bcd(100)
