from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.demo.measured_loads import FAULTS_MAX, Gap, MeasuredLoads, read_measured_loads
from metering.errors import DocumentError
from metering.interval import SiteCalendar

PACIFIC = SiteCalendar("America/Los_Angeles")
ReadRows = Callable[..., MeasuredLoads]


def july(cell: Callable[[int], str], skip: range = range(0)) -> list[str]:
    """Rows of July 2019, one per quarter hour, without those in `skip`."""
    marks = list(PACIFIC.month("2019-07").marks())[:-1]
    return [f"{PACIFIC.local(mark):%Y-%m-%d %H:%M},{cell(slot)}" for slot, mark in enumerate(marks) if slot not in skip]


@pytest.fixture
def read_rows(tmp_path: Path) -> ReadRows:
    """Write rows below the header `local_time,hall_kw` and read them."""

    def read(rows: list[str], header: str = "local_time,hall_kw") -> MeasuredLoads:
        path = tmp_path / "loads.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return read_measured_loads(
            path, time_column="local_time", columns=["hall_kw"], unread=["hall_kvar"], calendar=PACIFIC
        )

    return read


def test_kilowatts_become_whole_watts(read_rows: ReadRows) -> None:
    loads = read_rows(july(lambda slot: "-4.0" if slot == 1 else "111.944"))
    assert loads.period == "2019-07"
    assert loads.columns["hall_kw"].power_w[:3].tolist() == [111_944, -4_000, 111_944]
    assert loads.columns["hall_kw"].gaps == ()


def test_an_empty_cell_is_a_gap_and_the_register_goes_on_along_a_straight_line(read_rows: ReadRows) -> None:
    load = read_rows(july(lambda slot: {9: "1", 10: "", 11: "", 12: "4"}.get(slot, "1"))).columns["hall_kw"]
    assert load.gaps == (Gap(10, 2),)
    assert load.power_w[9:13].tolist() == [1000, 2000, 3000, 4000]


def test_rows_left_out_are_a_gap(read_rows: ReadRows) -> None:
    load = read_rows(july(lambda _: "2", skip=range(100, 104))).columns["hall_kw"]
    assert load.gaps == (Gap(100, 4),)
    assert list(load.gaps[0].mute_marks) == [101, 102, 103, 104]


def test_gaps_at_both_ends_hold_the_nearest_power(read_rows: ReadRows) -> None:
    load = read_rows(july(lambda slot: "" if slot in (0, 2975) else "7")).columns["hall_kw"]
    assert load.gaps == (Gap(0, 1), Gap(2975, 1))
    assert (load.power_w[0], load.power_w[-1]) == (7000, 7000)


def test_the_repeated_hour_of_autumn_takes_its_slots_in_order(read_rows: ReadRows) -> None:
    marks = list(PACIFIC.month("2019-11").marks())[:-1]
    rows = [f"{PACIFIC.local(mark):%Y-%m-%d %H:%M},{slot}" for slot, mark in enumerate(marks)]
    load = read_rows(rows).columns["hall_kw"]
    assert load.power_w.tolist() == [slot * 1000 for slot in range(30 * 96 + 4)]
    assert load.gaps == ()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("yesterday,1", "'yesterday' is not a time"),
        ("2019-07-01 00:07,1", "2019-07-01 00:07 is no quarter hour of 2019-07"),
        ("2019-08-01 00:00,1", "2019-08-01 00:00 is no quarter hour of 2019-07"),
        ("2019-07-01 00:15,many", "column hall_kw: 'many' is not a power in kW"),
        ("2019-07-01 00:15,nan", "column hall_kw: 'nan' is not a power in kW"),
        ("2019-07-01 00:15,1e9", "column hall_kw: '1e9' is not a power in kW"),
        ("2019-07-01 00:00,1", "2019-07-01 00:00 is not after the row before"),
    ],
)
def test_a_wrong_row_is_shown_with_its_line(read_rows: ReadRows, row: str, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_rows(["2019-07-01 00:00,1", row])
    (fault,) = caught.value.faults
    assert fault.line == 3
    assert fault.problem == problem


def test_every_fault_is_shown_up_to_a_bound(read_rows: ReadRows) -> None:
    with pytest.raises(DocumentError) as caught:
        read_rows(july(lambda _: "?"))
    assert [fault.line for fault in caught.value.faults] == list(range(2, 2 + FAULTS_MAX))


def test_a_missing_column_is_named_with_the_header_that_is_there(read_rows: ReadRows) -> None:
    with pytest.raises(DocumentError, match=r"loads.csv:1: there is no column 'hall_kw' .*local_time, geisel_kw"):
        read_rows(july(lambda _: "1"), header="local_time,geisel_kw")


def test_a_column_that_nobody_mapped_is_refused(read_rows: ReadRows) -> None:
    with pytest.raises(DocumentError, match=r"loads.csv:1: column 'pool_kw' is not mapped"):
        read_rows(["2019-07-01 00:00,1,2,3"], header="local_time,hall_kw,hall_kvar,pool_kw")


def test_a_file_without_rows_is_refused(read_rows: ReadRows) -> None:
    with pytest.raises(DocumentError, match="no row has a time"):
        read_rows([])


def test_a_column_without_any_value_is_refused(read_rows: ReadRows) -> None:
    with pytest.raises(DocumentError, match="column hall_kw holds no value at all"):
        read_rows(july(lambda _: ""))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        read_measured_loads(tmp_path / "no.csv", time_column="t", columns=[], unread=[], calendar=PACIFIC)
