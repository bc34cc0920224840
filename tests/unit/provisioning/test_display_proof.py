"""What a display proves: agreement, or the mistake that explains a difference; never more than its digits allow."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from device_profiles.forms import WordOrder
from metering.obis import ENERGY_IMPORT
from metering.quantity import Shown, Unit
from provisioning.display_proof import DisplayProof, Verdict, prove_display
from provisioning.finding_words import verdict_words
from provisioning.installation import Severity
from provisioning.meter_snapshot import MeterSnapshot
from tests.doubles.proof_meter import B23, READ_AT, SDM630, meter, obis

IMPORT, EXPORT = "1-0:1.8.0", "1-0:2.8.0"


def proven(typed: str, *own: MeterSnapshot, others: tuple[MeterSnapshot, ...] = (), of: str = IMPORT) -> DisplayProof:
    return prove_display(typed, obis(of), own=own, at=READ_AT, others=others)


def codes(proof: DisplayProof) -> list[str]:
    return [finding.code for finding in proof.findings]


@pytest.mark.parametrize(
    "typed", ["1234.56", "1234.5", "1234", "001234.56", "1 234,56 kWh", "1.23456 MWh", "１２３４．５６度"]
)
def test_a_display_that_shows_the_register_with_fewer_digits_or_another_unit_agrees(typed: str) -> None:
    proof = proven(typed, meter({IMPORT: 123456}))
    assert proof.verdict is Verdict.EQUAL
    assert proof.findings == ()
    assert proof.comparison.bus == Shown(123456, -2, Unit.KWH)


def test_a_display_read_between_two_readings_lies_between_them() -> None:
    before, after = meter({IMPORT: 123400}), meter({IMPORT: 123460}, at=READ_AT + timedelta(seconds=90))
    assert proven("1234.31", before, after).verdict is Verdict.EQUAL
    assert proven("1233.97", before, after).verdict is Verdict.UNEXPLAINED
    assert proven("1234.64", before, after).verdict is Verdict.UNEXPLAINED


def test_a_reading_of_long_ago_widens_nothing() -> None:
    old, now = meter({IMPORT: 100000}, at=READ_AT - timedelta(hours=2)), meter({IMPORT: 123456})
    assert proven("1100.00", old, now).verdict is Verdict.UNEXPLAINED
    assert proven("1234.56", old, now).verdict is Verdict.EQUAL


def test_read_once_only_a_register_may_have_moved_by_its_power_since_the_display_was_looked_at() -> None:
    """12 kW for two minutes, half as much again: 0.6 kWh, and only backwards."""
    own = meter({IMPORT: 123456, "1-0:16.7.0": 12000})
    assert proven("1234.00", own).verdict is Verdict.EQUAL
    assert proven("1233.90", own).verdict is Verdict.UNEXPLAINED
    assert proven("1234.60", own).verdict is Verdict.UNEXPLAINED


def test_one_unit_of_the_last_digit_is_tolerance_and_two_are_not() -> None:
    assert proven("1234.57", meter({IMPORT: 123456})).verdict is Verdict.EQUAL
    assert proven("1234.58", meter({IMPORT: 123456})).verdict is Verdict.UNEXPLAINED


def test_a_float_register_is_not_finer_than_a_float() -> None:
    """At 500 000 kWh an f32 counts in steps of 0.03 kWh: a display with two decimals cannot agree closer."""
    assert proven("523456.81", meter({IMPORT: 523456787}, model=SDM630)).verdict is Verdict.EQUAL


def test_zero_equals_zero_and_proves_nothing() -> None:
    proof = proven("0.00", meter({IMPORT: 0}))
    assert proof.verdict is Verdict.WEAK
    assert codes(proof) == ["display-weak"]
    assert proof.findings[0].severity is Severity.NOTE


def test_agreement_that_another_meter_shares_does_not_tell_the_meters_apart() -> None:
    proof = proven(
        "3.15", meter({IMPORT: 315}), others=(meter({IMPORT: 315}, name="m-2"), meter({IMPORT: 9}, name="m-3"))
    )
    assert proof.verdict is Verdict.EQUAL
    assert codes(proof) == ["display-tells-no-meter"]
    assert "m-2" in proof.findings[0].told.en
    assert "m-3" not in proof.findings[0].told.zh


def test_the_register_of_another_meter_is_named_because_a_tenant_would_pay_for_another() -> None:
    proof = proven("777.12", meter({IMPORT: 123456}), others=(meter({IMPORT: 77712}, name="m-2"),))
    assert proof.verdict is Verdict.OTHER_METER
    assert proof.findings[0].severity is Severity.WRONG
    assert "m-2" in proof.findings[0].told.zh
    assert "m-2" in proof.findings[0].told.en


def test_the_meter_itself_is_no_other_meter() -> None:
    own = meter({IMPORT: 123456})
    assert proven("1234.56", own, others=(own,)).findings == ()


@pytest.mark.parametrize(("typed", "power"), [("123.456", -1), ("12345.6", 1), ("12.3456", -2), ("1234560", 3)])
def test_a_power_of_ten_is_a_scale(typed: str, power: int) -> None:
    proof = proven(typed, meter({IMPORT: 123456}))
    assert proof.verdict is Verdict.SCALE
    assert proof.findings[0].told.en.endswith(f"(exponent off by {power})")


@pytest.mark.parametrize("order", [order for order in WordOrder if order is not WordOrder.ABCD])
def test_a_word_order_is_found_in_the_octets_themselves(order: WordOrder) -> None:
    proof = proven("1234.56", meter({IMPORT: 123456}, order=order))
    assert proof.verdict is Verdict.WORD_ORDER
    assert f"in word order {order} they agree" in proof.findings[0].told.en


def test_a_word_order_that_leaves_nothing_to_decode_is_found_all_the_same() -> None:
    """An f32 with swapped words may be NaN or beyond every limit: the bus shows nothing, the octets are there."""
    own = meter({IMPORT: 123456}, model=SDM630, order=WordOrder.CDAB)
    hidden = replace(own, shown={})
    proof = proven("123.46", hidden)
    assert proof.verdict is Verdict.WORD_ORDER
    assert proof.comparison.bus is None


def test_a_float_where_the_profile_says_integer_is_another_form() -> None:
    as_float = meter({IMPORT: 1234560}, model=SDM630)
    channel = as_float.channel(ENERGY_IMPORT)
    assert channel is not None
    raw = as_float.raw
    own = meter({IMPORT: 1}, model="acrel/adl400")
    read = own.raw[0].read
    octets = next(one.body for one in raw if one.read.address == 0x48)[:4]
    body = bytearray(own.raw[0].body)
    body[0:4] = octets
    swapped = replace(own, raw=(replace(own.raw[0], body=bytes(body)), *own.raw[1:]))
    assert read.address == 0x0A
    proof = proven("1234.56", swapped)
    assert proof.verdict is Verdict.NUMBER_FORM
    assert "f32" in proof.findings[0].told.en


def test_a_display_on_the_primary_side_proves_the_planned_ratio() -> None:
    proof = proven("24691.2", meter({IMPORT: 123456}, ct=20))
    assert proof.verdict is Verdict.PRIMARY
    assert proof.verdict.agrees
    assert codes(proof) == ["display-primary"]


def test_a_display_that_equals_the_bus_proves_no_ratio() -> None:
    proof = proven("1234.56", meter({IMPORT: 123456}, ct=20))
    assert proof.verdict is Verdict.EQUAL
    assert codes(proof) == ["ratio-unproven"]


@pytest.mark.parametrize(
    ("typed", "ct", "verdict"),
    [
        ("24691.2", 40, Verdict.RATIO_OTHER),
        ("24691.2", 1, Verdict.RATIO_MISSING),
        ("61.728", 20, Verdict.RATIO_TWICE),
        ("61.728", 1, Verdict.SECONDARY),
        ("12345.6", 20, Verdict.RATIO_OTHER),
    ],
)
def test_a_ratio_is_named_with_what_is_wrong_about_it(typed: str, ct: int, verdict: Verdict) -> None:
    proof = proven(typed, meter({IMPORT: 123456}, ct=ct))
    assert proof.verdict is verdict
    assert ("10" if typed == "12345.6" else "20") in proof.findings[0].told.zh


def test_tenfold_is_a_scale_or_a_ratio_and_both_are_told() -> None:
    proof = proven("12345.6", meter({IMPORT: 123456}))
    assert [one.verdict for one in proof.explanations] == [Verdict.SCALE, Verdict.RATIO_MISSING]
    assert "display-also" in codes(proof)


def test_export_read_as_import_is_another_register() -> None:
    proof = proven("99.12", meter({IMPORT: 123456, EXPORT: 9912}))
    assert proof.verdict is Verdict.OTHER_REGISTER
    assert EXPORT in proof.findings[0].told.en


def test_one_tariff_read_as_the_total_is_another_register() -> None:
    own = meter({IMPORT: 923456, "1-0:1.8.1": 400000, "1-0:1.8.2": 523456}, model=B23)
    proof = proven("5234.56", own)
    assert proof.verdict is Verdict.OTHER_REGISTER
    assert "1-0:1.8.2" in proof.findings[0].told.zh


def test_a_display_with_fewer_digits_than_the_register_has_rolled_over() -> None:
    proof = proven("0234.56", meter({IMPORT: 2023456}))
    assert proof.verdict is Verdict.ROLLED
    assert proof.verdict.agrees


def test_too_few_digits_claim_nothing() -> None:
    proof = proven("0.03", meter({IMPORT: 400}), others=(meter({IMPORT: 3}, name="m-2"),))
    assert proof.verdict is Verdict.FEW_DIGITS
    assert proof.explanations == ()
    assert proof.findings[0].severity is Severity.DOUBTFUL


def test_two_digits_make_no_ratio() -> None:
    assert proven("9.0", meter({IMPORT: 18000})).verdict is Verdict.FEW_DIGITS


def test_what_nothing_explains_is_wrong_and_says_so() -> None:
    proof = proven("4711.08", meter({IMPORT: 123456}))
    assert proof.verdict is Verdict.UNEXPLAINED
    assert proof.findings[0].severity is Severity.WRONG


def test_a_register_that_the_bus_did_not_give_is_not_compared() -> None:
    proof = proven("1234.56", replace(meter({}), raw=()))
    assert proof.verdict is Verdict.NO_BUS
    assert proof.comparison.bus is None


@pytest.mark.parametrize("typed", ["", "abc", "1,234", "1.2.3", "12..3", "1,2,3.4", "12.5 parsec", "9" * 19, "--1"])
def test_what_cannot_be_read_is_told_and_not_guessed(typed: str) -> None:
    proof = proven(typed, meter({IMPORT: 123456}))
    assert proof.verdict is Verdict.UNREADABLE
    assert proof.comparison.display is None


def test_a_doubtful_comma_names_both_readings() -> None:
    told = proven("1,234", meter({IMPORT: 123456})).findings[0].told
    assert "1234" in told.zh
    assert "1.234" in told.zh
    assert "1234 or 1.234" in told.en


@pytest.mark.parametrize(
    ("typed", "mantissa"), [("1,234,567", 1234567), ("1'234'567", 1234567), ("1.234.567,8", 12345678), ("-0,5", -5)]
)
def test_marks_that_can_mean_one_thing_only_are_read(typed: str, mantissa: int) -> None:
    display = proven(typed, meter({IMPORT: 123456})).comparison.display
    assert display is not None
    assert display.mantissa == mantissa


def test_a_moving_gauge_agrees_loosely_and_its_ratio_is_seen() -> None:
    amperes = "1-0:31.7.0"
    own = meter({amperes: 123}, ct=40)
    assert proven("1.28", own, of=amperes).verdict is Verdict.EQUAL
    assert proven("49.9", own, of=amperes).verdict is Verdict.PRIMARY
    assert proven("74.2", own, of=amperes).verdict is Verdict.RATIO_OTHER


def test_volts_take_no_current_ratio() -> None:
    volts = "1-0:32.7.0"
    own = meter({volts: 2304}, ct=40)
    assert own.ratio_of(obis(volts)) == 1
    assert own.ratio_of(ENERGY_IMPORT) == 40
    assert proven("231.8", own, of=volts).verdict is Verdict.EQUAL


def test_reactive_energy_typed_with_its_unit_is_not_taken_for_active() -> None:
    proof = proven("1234.56 kvarh", meter({IMPORT: 123456}))
    assert not proof.verdict.agrees


def test_every_verdict_has_words_in_both_languages() -> None:
    for verdict in Verdict:
        words = verdict_words(verdict)
        assert words.zh != verdict.value
        assert words.en
    assert verdict_words("from-a-later-version").en == "from-a-later-version"
