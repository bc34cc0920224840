"""Scaler and unit, moments, and rows of profiles, exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest

from device_profiles.forms import NotReadable
from device_profiles.framing import axdr, cosem
from device_profiles.framing.axdr import NULL, Data, DataTag, array, integer, octet_string, structure
from device_profiles.framing.cosem import CLOCK, ScalerUnit
from device_profiles.framing.xdlms import Attribute, capture_object
from metering.obis import Obis
from metering.quantity import Unit

IMPORT = Attribute(3, Obis.parse("1-0:1.8.0"), 2)
EXPORT = Attribute(3, Obis.parse("1-0:2.8.0"), 2)


@pytest.mark.parametrize(
    ("scaler", "code", "unit", "exponent", "step"),
    [
        (0, 30, Unit.WH, 0, Fraction(1)),
        (1, 30, Unit.KWH, -2, Fraction(1)),
        (3, 30, Unit.KWH, 0, Fraction(1)),
        (-1, 30, Unit.WH, 0, Fraction(1, 10)),
        (3, 30, Unit.KWH, -2, Fraction(100)),
        (0, 30, Unit.HEAT_KWH, -3, Fraction(1)),
        (0, 25, Unit.KJ, 0, Fraction(1, 1000)),
        (-3, 13, Unit.M3, -3, Fraction(1)),
        (-2, 35, Unit.V, -1, Fraction(1, 10)),
        (-3, 33, Unit.MA, 0, Fraction(1)),
        (-2, 44, Unit.HZ, -2, Fraction(1)),
        (-3, 255, Unit.PER_MILLE, 0, Fraction(1)),
        (0, 9, Unit.DEG_C, 0, Fraction(1)),
        (0, 31, Unit.KVAH, -3, Fraction(1)),
    ],
)
def test_a_step_of_the_register_in_the_channels_unit(
    scaler: int, code: int, unit: Unit, exponent: int, step: Fraction
) -> None:
    assert ScalerUnit(scaler, code).in_unit(unit, exponent) == step


@pytest.mark.parametrize(
    ("code", "unit"), [(32, Unit.WH), (30, Unit.VARH), (27, Unit.WH), (13, Unit.KJ), (31, Unit.WH)]
)
def test_another_quantity_is_refused(code: int, unit: Unit) -> None:
    with pytest.raises(NotReadable, match="the meter counts in"):
        ScalerUnit(0, code).in_unit(unit, 0)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(NotReadable, match="unit 99, which is not known"):
        ScalerUnit(0, 99).in_unit(Unit.WH, 0)


@pytest.mark.parametrize(
    "element",
    [
        NULL,
        structure(integer(DataTag.INTEGER, 0)),
        structure(integer(DataTag.UNSIGNED, 0), integer(DataTag.ENUM, 30)),
        array(integer(DataTag.INTEGER, 0), integer(DataTag.ENUM, 30)),
    ],
)
def test_what_is_no_scaler_is_refused(element: Data) -> None:
    with pytest.raises(NotReadable):
        ScalerUnit.from_data(element)


@pytest.mark.parametrize("unit", [unit for unit in Unit if unit is not Unit.HEAT_KWH])
@pytest.mark.parametrize("exponent", [-3, 0, 2])
def test_a_simulated_register_counts_as_its_channel(unit: Unit, exponent: int) -> None:
    said = cosem.scaler_unit_for(unit, exponent)
    assert said.in_unit(unit, exponent) == 1
    assert ScalerUnit.from_data(said.to_data()) == said


def test_a_unit_that_cosem_cannot_say_is_refused() -> None:
    with pytest.raises(NotReadable, match="no COSEM unit"):
        cosem.scaler_unit_for(Unit.H, -40)


@pytest.mark.parametrize("moment", [0, 1_643_050_730, 951_782_400, 4_102_444_799])
def test_moments_go_there_and_back(moment: int) -> None:
    assert cosem.moment_from_octets(cosem.moment_to_octets(moment)) == moment


@pytest.mark.parametrize(
    ("octets", "moment"),
    [
        ("07e60118 01 123a32 ff 8000 00", 1_643_050_730),
        ("07e60118 01 123a32 00 ffc4 80", 1_643_050_730),  # zone and summer time are not taken into account
        ("07e60118 01 123aff ff 8000 00", 1_643_050_680),
        ("ffff0118 01 123a32 ff 8000 00", None),
        ("07e6ff18 01 123a32 ff 8000 00", None),
        ("07e601ff 01 123a32 ff 8000 00", None),
        ("07e60118 01 ff3a32 ff 8000 00", None),
        ("07e6021e 01 123a32 ff 8000 00", None),  # 30 February
        ("07e6fd18 01 123a32 ff 8000 00", None),  # "end of summer time"
        ("07e60118 01 123a32 ff 8000 01", None),  # the meter says that its clock is wrong
        ("07e60118 01 123a32 ff 8000 ff", 1_643_050_730),
        ("07a00101 01 000000 00 8000 00", None),  # 1952
        ("00000000 00 000000 00 8000 00", None),
    ],
)
def test_moments_as_meters_say_them(octets: str, moment: int | None) -> None:
    assert cosem.moment_from_octets(bytes.fromhex(octets)) == moment


def test_a_moment_of_another_length_is_refused() -> None:
    with pytest.raises(NotReadable, match="12 octets, not 5"):
        cosem.moment_from_octets(bytes(5))
    with pytest.raises(NotReadable, match="no moment"):
        cosem.moment_to_octets(10**15)


CAPTURED = array(capture_object(CLOCK), capture_object(IMPORT), capture_object(EXPORT))


def number(of: int) -> Data:
    """Give a register's number."""
    return integer(DataTag.DOUBLE_LONG_UNSIGNED, of)


def moment(of: int) -> Data:
    """Give a moment."""
    return octet_string(cosem.moment_to_octets(of))


def test_columns_are_found_by_what_they_capture() -> None:
    assert [cosem.column_of(CAPTURED, each) for each in (CLOCK, IMPORT, EXPORT)] == [0, 1, 2]
    with pytest.raises(NotReadable, match=r"does not capture class 3, 1-0:3.8.0"):
        cosem.column_of(CAPTURED, Attribute(3, Obis.parse("1-0:3.8.0"), 2))
    with pytest.raises(NotReadable):
        cosem.column_of(CAPTURED, Attribute(3, IMPORT.obis, 3))


def test_what_rows_leave_out_is_filled_in() -> None:
    buffer = array(
        structure(moment(900), number(10), number(1)),
        structure(NULL, number(12), NULL),
        structure(NULL, NULL, number(2)),
        structure(moment(7200), NULL, NULL),
    )
    rows = cosem.profile_rows(CAPTURED, buffer, 900)
    assert [cosem.moment_from_octets(row[0].octets) for row in rows] == [900, 1800, 2700, 7200]
    assert [(row[1].number, row[2].number) for row in rows] == [(10, 1), (12, 1), (12, 2), (12, 2)]


@pytest.mark.parametrize(
    ("buffer", "period_s", "problem"),
    [
        (array(structure(NULL, number(1), number(2))), 900, "no row before it"),
        (array(structure(moment(0), number(1))), 900, "a row of 2 cells where 3"),
        (array(array(moment(0), number(1), number(1))), 900, "a row of 3 cells"),
        (array(number(1)), 900, "a row of 0 cells"),
        (array(structure(moment(0), number(1), NULL)), 900, "no row before it"),
        (array(structure(moment(0), number(1), number(1)), structure(NULL, NULL, NULL)), 0, "the period is not known"),
        (
            array(structure(octet_string(b"\xff" * 12), number(1), number(1)), structure(NULL, NULL, NULL)),
            900,
            "one that has none",
        ),
    ],
)
def test_rows_that_cannot_be_filled_in_are_refused(buffer: Data, period_s: int, problem: str) -> None:
    with pytest.raises(NotReadable, match=problem):
        cosem.profile_rows(CAPTURED, buffer, period_s)


def test_an_empty_profile_has_no_rows() -> None:
    assert cosem.profile_rows(CAPTURED, array(), 900) == ()
    assert axdr.data_from_wire(CAPTURED.to_wire()) == CAPTURED
