"""Reading one table by hand-written rules: what is right is read exactly, what is wrong is told and stood in for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest

from metering.errors import Fault
from metering.interval import SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from metering.quantity import Shown, Unit
from metering.toml_source import TomlSource
from provisioning.site import ALWAYS, Names, Span
from provisioning.toml_table import NO_NAME, TableReader, near

SHANGHAI = "Asia/Shanghai"


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


def reader_of(text: str, zone: str = SHANGHAI) -> tuple[TableReader, list[Fault]]:
    """A reader of the root table of `text`, with the list its faults go to."""
    source = TomlSource.parse(text, "some.toml")
    faults: list[Fault] = []
    return TableReader(source, (), source.content, SiteCalendar(zone), faults), faults


GOOD: list[tuple[str, Callable[[TableReader], Any], Any]] = [
    ('x = "a b"', lambda reader: reader.text("x"), "a b"),
    ('x = "gw-a"', lambda reader: reader.identifier("x"), "gw-a"),
    ("x = 5", lambda reader: reader.integer("x", 1, 5), 5),
    ("x = 0x10", lambda reader: reader.integer("x", 1, 16), 16),
    ('x = "large"', lambda reader: reader.choice("x", Size), Size.LARGE),
    ('x = "b"', lambda reader: reader.one_of("x", ("a", "b")), "b"),
    ("x = 9600", lambda reader: reader.one_of("x", (2400, 9600)), 9600),
    ('x = "Lab"', lambda reader: reader.names("x"), Names("Lab", "Lab")),
    ('x = { zh = "实验室", en = "Lab" }', lambda reader: reader.names("x"), Names("实验室", "Lab")),
    ("", lambda reader: reader.span(), ALWAYS),
    ("", lambda reader: reader.instant("x"), None),
    ("x = 2026-07-17T14:00:00", lambda reader: reader.instant("x"), datetime(2026, 7, 17, 6, tzinfo=UTC)),
    ('x = "2026-07-17 14:00"', lambda reader: reader.instant("x"), datetime(2026, 7, 17, 6, tzinfo=UTC)),
    ("x = 2026-07-17", lambda reader: reader.instant("x"), datetime(2026, 7, 16, 16, tzinfo=UTC)),
    ('x = "2026-07-17"', lambda reader: reader.instant("x"), datetime(2026, 7, 16, 16, tzinfo=UTC)),
    ("x = 2026-07-17T14:00:00Z", lambda reader: reader.instant("x"), datetime(2026, 7, 17, 14, tzinfo=UTC)),
    ("x = 2026-07-17T14:00:00-07:00", lambda reader: reader.instant("x"), datetime(2026, 7, 17, 21, tzinfo=UTC)),
    ("x = 2026-07-17", lambda reader: reader.needed_instant("x"), datetime(2026, 7, 16, 16, tzinfo=UTC)),
    (
        "from = 2026-07-17\nto = 2026-07-18",
        lambda reader: reader.span(),
        Span(datetime(2026, 7, 16, 16, tzinfo=UTC), datetime(2026, 7, 17, 16, tzinfo=UTC)),
    ),
    ('x = "120.50"', lambda reader: reader.area_cm2("x"), 1_205_000),
    ('x = "0.0001"', lambda reader: reader.area_cm2("x"), 1),
    ('x = "99999999.9999"', lambda reader: reader.area_cm2("x"), 999_999_999_999),
    ("x = 80", lambda reader: reader.area_cm2("x"), 800_000),
    ('x = "18342.67 kWh"', lambda reader: reader.register_shown("x"), Shown(1_834_267, -2, Unit.KWH)),
    ('x = "000042 kWh"', lambda reader: reader.register_shown("x"), Shown(42, 0, Unit.KWH)),
    ('x = "1.234567 MWh"', lambda reader: reader.register_shown("x"), Shown(1_234_567, -6, Unit.MWH)),
    ('x = "7 kvarh"', lambda reader: reader.register_shown("x"), Shown(7, 0, Unit.KVARH)),
    ("", lambda reader: reader.obis("x", ENERGY_IMPORT), ENERGY_IMPORT),
    ('x = "1-0:2.8.0"', lambda reader: reader.obis("x", ENERGY_IMPORT), ENERGY_EXPORT),
]

# What is written, how it is read, what stands in for it, what is said.
BAD: list[tuple[str, Callable[[TableReader], Any], Any, str]] = [
    ("", lambda reader: reader.text("x"), "", "x is missing"),
    ("x = 1", lambda reader: reader.text("x"), "", "must be a text, not 1"),
    ("", lambda reader: reader.identifier("x"), NO_NAME, "x is missing"),
    ('x = "Gw A"', lambda reader: reader.identifier("x"), NO_NAME, "'Gw A' is not an identifier"),
    ("x = 0", lambda reader: reader.integer("x", 1, 5), 1, "x is 0"),
    ("x = 6", lambda reader: reader.integer("x", 1, 5), 1, "x is 6"),
    ("x = 2.0", lambda reader: reader.integer("x", 1, 5), 1, "x is 2.0"),
    ("x = true", lambda reader: reader.integer("x", 1, 5), 1, "x is True"),
    ('x = "2"', lambda reader: reader.integer("x", 1, 5), 1, "x is '2'"),
    ('x = "huge"', lambda reader: reader.choice("x", Size), Size.SMALL, "x is 'huge'"),
    ("x = [1]", lambda reader: reader.choice("x", Size), Size.SMALL, "x is [1]"),
    ("", lambda reader: reader.choice("x", Size), Size.SMALL, "x is missing"),
    ("x = true", lambda reader: reader.one_of("x", (1, 2)), 1, "x is True"),
    ("x = 1.0", lambda reader: reader.one_of("x", (1, 2)), 1, "x is 1.0"),
    ('x = { zh = "a" }', lambda reader: reader.names("x"), Names("-", "-"), "x is {'zh': 'a'}"),
    ('x = { zh = "a", en = "" }', lambda reader: reader.names("x"), Names("-", "-"), "x is {"),
    ("x = 14:00:00", lambda reader: reader.instant("x"), None, "x is datetime.time"),
    ('x = "2026-02-30"', lambda reader: reader.instant("x"), None, "x is '2026-02-30'"),
    ("x = 1970-01-01", lambda reader: reader.instant("x"), None, "x is datetime.date"),
    ("from = 2026-07-18\nto = 2026-07-18", lambda reader: reader.span(), ALWAYS, "the end is not after the start"),
    ("x = 120.5", lambda reader: reader.area_cm2("x"), 1, "x is 120.5"),
    ('x = "-3"', lambda reader: reader.area_cm2("x"), 1, "x is '-3'"),
    ("x = -3", lambda reader: reader.area_cm2("x"), 1, "x is -3"),
    ('x = "0.0000"', lambda reader: reader.area_cm2("x"), 1, "x is '0.0000'"),
    ('x = "1e3"', lambda reader: reader.area_cm2("x"), 1, "x is '1e3'"),
    ('x = "1,5"', lambda reader: reader.area_cm2("x"), 1, "x is '1,5'"),
    ('x = "１２"', lambda reader: reader.area_cm2("x"), 1, "x is '１２'"),
    ('x = "100000000"', lambda reader: reader.area_cm2("x"), 1, "x is '100000000'"),
    ("x = true", lambda reader: reader.area_cm2("x"), 1, "x is True"),
    ('x = "18342.67"', lambda reader: reader.register_shown("x"), Shown(0, 0, Unit.WH), "x is '18342.67'"),
    ('x = "1 m3"', lambda reader: reader.register_shown("x"), Shown(0, 0, Unit.WH), "x is '1 m3'"),
    ('x = "1.23 Wh"', lambda reader: reader.register_shown("x"), Shown(0, 0, Unit.WH), "not a whole number of Wh"),
    ('x = "1  kWh"', lambda reader: reader.register_shown("x"), Shown(0, 0, Unit.WH), "x is '1  kWh'"),
    ('x = "1e3 kWh"', lambda reader: reader.register_shown("x"), Shown(0, 0, Unit.WH), "x is '1e3 kWh'"),
    ("x = 5", lambda reader: reader.register_shown("x"), Shown(0, 0, Unit.WH), "x is 5"),
    ("x = 5", lambda reader: reader.obis("x", ENERGY_IMPORT), ENERGY_IMPORT, "'5' is not an OBIS code"),
]


@pytest.mark.parametrize(("text", "read", "expected"), GOOD, ids=[case[0] or "nothing" for case in GOOD])
def test_what_is_right_is_read_exactly(text: str, read: Callable[[TableReader], Any], expected: Any) -> None:
    reader, faults = reader_of(text)
    assert read(reader) == expected
    assert faults == []
    assert not reader.broken


@pytest.mark.parametrize(("text", "read", "stand_in", "said"), BAD, ids=[case[0] or "nothing" for case in BAD])
def test_what_is_wrong_is_told_and_stood_in_for(
    text: str, read: Callable[[TableReader], Any], stand_in: Any, said: str
) -> None:
    reader, faults = reader_of(text)
    assert read(reader) == stand_in
    assert reader.broken
    assert len(faults) == 1
    assert said in faults[0].problem
    assert faults[0].mend


def test_a_key_that_nobody_asked_for_is_told_with_the_nearest_one() -> None:
    reader, faults = reader_of('name = "a"\nwieght = 1')
    reader.text("name")
    reader.has("weight")
    reader.close()
    assert [str(fault) for fault in faults] == ["some.toml:2: unknown key 'wieght' (did you mean 'weight'?)"]


def test_tables_of_an_array_are_read_with_their_own_lines() -> None:
    reader, faults = reader_of('[[box]]\nid = "a"\n\n[[box]]\nid = 7\n')
    names = [inner.identifier("id") for inner in reader.tables("box")]
    assert names == ["a", NO_NAME]
    assert [fault.line for fault in faults] == [5]


def test_an_absent_array_has_no_tables() -> None:
    reader, faults = reader_of("")
    assert reader.tables("box") == []
    assert faults == []


@pytest.mark.parametrize(
    ("text", "problem", "offset"),
    [
        ("x = 2025-10-26T02:30:00", "comes twice", "2025-10-26T00:30:00+00:00"),
        ("x = 2026-03-29T02:30:00", "does not exist", "2026-03-29T01:30:00+00:00"),
    ],
)
def test_a_local_time_around_a_clock_change_must_be_written_with_its_offset(
    text: str, problem: str, offset: str
) -> None:
    reader, faults = reader_of(text, "Europe/Berlin")
    reader.instant("x")
    assert problem in faults[0].problem
    assert offset in faults[0].mend


@pytest.mark.parametrize("text", ["x = 2025-10-26T01:59:59", "x = 2025-10-26T03:00:00", "x = 2026-03-29T03:00:00"])
def test_a_local_time_beside_a_clock_change_is_clear(text: str) -> None:
    reader, faults = reader_of(text, "Europe/Berlin")
    assert reader.instant("x") is not None
    assert faults == []


def test_near_names_the_closest_word_or_what_there_is() -> None:
    assert near("lane-a", ["line-a", "tcp-b"]) == "did you mean 'line-a'?"
    assert near("zzz", ["line-a", "tcp-b"]) == "known: line-a, tcp-b"
    assert near("zzz", []) == "there are none yet"
    assert near("zzz", [f"n{index:02}" for index in range(40)]).count(",") == 11
