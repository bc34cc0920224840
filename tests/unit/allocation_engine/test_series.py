"""A daily series: exact numbers, and a missing-day rule that never reaches further than one day."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from allocation_engine.errors import SeriesIncomplete
from allocation_engine.series import DailySeries, DayNumber, MissingDay
from allocation_engine.series_file import read_days
from metering.errors import DocumentError


def series(missing_day: MissingDay) -> DailySeries:
    """Numbers for the 1st and the 3rd."""
    days = ((date(2026, 7, 1), Fraction(63, 2)), (date(2026, 7, 3), Fraction(30)))
    return DailySeries("tmax", "C", "station", missing_day, days)


def test_a_day_gives_its_own_number() -> None:
    first = date(2026, 7, 1)
    assert series(MissingDay.REFUSE).on(first) == DayNumber(first, first, Fraction(63, 2))


def test_the_day_before_steps_in_if_the_rule_says_so_and_is_named() -> None:
    number = series(MissingDay.PREVIOUS_DAY).on(date(2026, 7, 2))
    assert (number.observed_on, number.number) == (date(2026, 7, 1), Fraction(63, 2))


@pytest.mark.parametrize(
    ("rule", "day"),
    [
        (MissingDay.REFUSE, date(2026, 7, 2)),
        (MissingDay.PREVIOUS_DAY, date(2026, 7, 5)),
        (MissingDay.PREVIOUS_DAY, date(2026, 6, 30)),
    ],
)
def test_otherwise_the_day_is_refused(rule: MissingDay, day: date) -> None:
    with pytest.raises(SeriesIncomplete, match=f"no number for {day}"):
        series(rule).on(day)


def test_remarks_blank_lines_and_other_columns_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "weather.csv"
    text = "# station 5\nday,rain_mm,tmax_c\n\n2026-07-01,0,31.5\n# later\n2026-07-02, 4 , -2\n"
    path.write_text(text, encoding="utf-8")
    assert read_days(path, "tmax_c") == [("2026-07-01", "31.5"), ("2026-07-02", "-2")]


def test_every_wrong_line_is_told_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "weather.csv"
    path.write_text("day,tmax_c\n# remark\n2026-07-01,hot\n2026-13-01,30\n2026-07-03,30\n", encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        read_days(path, "tmax_c")
    assert [fault.line for fault in caught.value.faults] == [3, 4]


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere.csv", "binary.csv"):
        with pytest.raises(DocumentError, match="cannot be read"):
            read_days(tmp_path / name, "tmax_c")
