"""Scans of whole lines in virtual time: who is found, what is told of those that cannot be told apart, when it ends."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from device_profiles.profile import Protocol
from device_profiles.timed_line import Speed
from edge_agent.scanning.result import ExpectedMeter, ScanEnd, ScanProgress, SerialSource
from edge_agent.scanning.scan import scan
from tests.bench.scan.cabinet import cabinet, plan_of, serial_of
from tests.doubles.scanned_line import CATALOGUE, PORT, SLOW, USUAL, ScannedLine, SomeModels, on_line, where

SDM = ExpectedMeter("23001234", "eastron/sdm630")


def expect(*serials: str) -> list[ExpectedMeter]:
    """Meters of a plan that knows numbers only."""
    return [ExpectedMeter(serial) for serial in serials]


def test_a_line_of_three_protocols_at_unknown_settings_is_found_whole() -> None:
    meters = cabinet(1, modbus=Speed(19_200, "E"), chinese=Speed(9600, "E"), mbus=Speed(2400, "E"))
    line = ScannedLine(meters)
    result = line.scan(plan_of(meters))
    assert result.end is ScanEnd.ALL_FOUND
    assert (result.missing, result.duplicates, result.foreign) == ((), (), ())
    by_address = {(each.protocol, each.address[:12].removesuffix("B535")): each for each in result.found}
    for each in meters:
        found = by_address[each.meter.protocol, each.meter.address]
        best = [one.profile for one in found.candidates if one.score == found.candidates[0].score]
        assert each.meter.profile.id == best[0]
        assert (found.serial or "") == serial_of(each)
        assert found.line is not None
        assert each.speed is not None
        assert (found.line.baud, found.line.parity.value) == (each.speed.baud, each.speed.parity)


def test_a_line_that_nobody_planned_is_found_whole_too() -> None:
    meters = [
        on_line("eastron/sdm630", "5", serial=23_001_234),
        on_line("acrel/adl400", "200"),
        on_line("dlt645/single-phase", "000012345678", SLOW),
        on_line("dlt645/three-phase", "000012345978", SLOW),
        on_line("dlt645-1997/single-phase", "000000654321", Speed(1200, "E")),
        on_line("cjt188/cold-water", "33123456780001", SLOW),
        on_line("iec62056-21/electricity-full", "12345678", Speed(300, "E", 1, 7)),
        on_line("dlms/public", "1/17", USUAL),
    ]
    result = ScannedLine(meters).scan()
    assert result.end is ScanEnd.LIKELY_ASKED
    assert where(result.found) == {
        ("modbus-rtu", "5", 9600, "N"),
        ("modbus-rtu", "200", 9600, "N"),
        ("dlt645-2007", "000012345678", 2400, "E"),
        ("dlt645-2007", "000012345978", 2400, "E"),
        ("dlt645-1997", "000000654321", 1200, "E"),
        ("cjt188-2004", "33123456780001", 2400, "E"),
        ("iec62056-21", "*", 300, "E"),
        ("dlms-hdlc", "1/17", 9600, "N"),
    }
    assert not result.duplicates


def test_an_empty_line_ends_by_itself() -> None:
    result = ScannedLine([on_line("acrel/adl400", "1", Speed(57_600, "O"))]).scan()
    assert result.found == ()
    assert result.end is ScanEnd.LIKELY_ASKED


def test_everything_is_asked_when_everything_is_wanted() -> None:
    line = ScannedLine([on_line("acrel/adl400", "9", Speed(38_400, "O"))])
    result = line.scan(everything=True)
    assert where(result.found) == {("modbus-rtu", "9", 38_400, "O")}
    assert result.end is ScanEnd.ALL_ASKED


def test_numbers_are_read_where_the_profile_says_or_taken_from_the_address() -> None:
    line = ScannedLine(
        [on_line("abb/b23", "7", Speed(19_200, "E"), serial=30_012_345), on_line("mbus/gas", "87654321", SLOW)]
    )
    result = line.scan(expect("30012345", "87654321"))
    told = {each.protocol: (each.profile, each.serial, each.serial_source) for each in result.found}
    assert told == {
        Protocol.MODBUS_RTU: ("abb/b23", "30012345", SerialSource.REGISTER),
        Protocol.MBUS: ("mbus/gas", "87654321", SerialSource.ADDRESS),
    }


def test_a_scan_ends_with_the_last_expected_meter_and_tells_those_that_are_missing() -> None:
    meters = [on_line("eastron/sdm630", "5", serial=23_001_234), on_line("acrel/adl400", "77")]
    line = ScannedLine(meters)
    assert where(line.scan([SDM]).found) == {("modbus-rtu", "5", 9600, "N")}
    result = ScannedLine(meters).scan([SDM, ExpectedMeter("99999999", "abb/b23")])
    assert [each.serial for each in result.missing] == ["99999999"]
    assert len(result.found) == 2


def test_another_number_at_the_expected_address_is_not_the_expected_meter() -> None:
    line = ScannedLine([on_line("eastron/sdm630", "5", serial=23_009_999)])
    result = line.scan([ExpectedMeter("23001234", "eastron/sdm630", Protocol.MODBUS_RTU, "5")])
    assert [each.serial for each in result.found] == ["23009999"]
    assert [each.serial for each in result.missing] == ["23001234"]


@pytest.mark.parametrize("turnaround_ms", [30, 37, 80])
def test_two_meters_at_one_unit_id_are_told_as_such(turnaround_ms: int) -> None:
    meters = [
        on_line("eastron/sdm630", "5", serial=23_001_234),
        on_line("eastron/sdm630", "5", serial=23_009_876, turnaround_ms=turnaround_ms),
        on_line("acrel/adl400", "6"),
    ]
    result = ScannedLine(meters).scan()
    assert [(each.protocol, each.address) for each in result.duplicates] == [(Protocol.MODBUS_RTU, "5")]
    assert result.duplicates[0].octets
    assert {each.address for each in result.found} == {"6"}
    assert "5" not in result.free_addresses[Protocol.MODBUS_RTU]


def test_two_meters_with_one_number_are_told_as_such() -> None:
    twins = [on_line("dlt645/single-phase", "000012345678", SLOW, seed=seed) for seed in ("a", "b")]
    line = ScannedLine([*twins, on_line("dlt645/single-phase", "000099999999", SLOW)])
    result = line.scan()
    assert {each.address for each in result.found} == {"000099999999"}
    assert [each.address for each in result.duplicates] == ["000012345678"]


def test_several_water_meters_are_found_by_their_numbers_and_told_where_numbers_are_not_known() -> None:
    meters = [on_line("cjt188/cold-water", f"3312345678000{number}", SLOW) for number in (1, 2, 3)]
    result = ScannedLine(meters).scan()
    assert result.found == ()
    assert [each.address for each in result.duplicates] == ["A" * 14]
    result = ScannedLine(meters).scan(expect("33123456780001", "33123456780003"))
    assert {each.address for each in result.found} == {"33123456780001", "33123456780003"}


def test_a_device_of_no_known_model_is_told() -> None:
    known = SomeModels(tuple(each for each in CATALOGUE.profiles if each.id in ("eastron/sdm630", "abb/b23")))
    line = ScannedLine([on_line("acrel/adl400", "6"), on_line("eastron/sdm630", "5", serial=1234567)])
    result = line.scan(catalogue=known)
    assert [(each.protocol, each.address) for each in result.foreign] == [(Protocol.MODBUS_RTU, "6")]
    assert {each.address: each.profile for each in result.found} == {"5": "eastron/sdm630", "6": None}


@pytest.mark.parametrize("turnaround_ms", [150, 400, 900])
def test_a_meter_that_is_slower_than_all_others_is_found_at_its_own_address(turnaround_ms: int) -> None:
    meters = [
        on_line("acrel/adl400", "3", turnaround_ms=turnaround_ms),
        on_line("acrel/adl400", "4"),
        on_line("acrel/adl400", "5"),
    ]
    result = ScannedLine(meters).scan(expected=[ExpectedMeter(address=unit, profile="acrel/adl400") for unit in "345"])
    assert {each.address for each in result.found} == {"3", "4", "5"}
    assert result.duplicates == ()


def test_slow_meters_with_numbers_are_found_by_their_digits() -> None:
    meters = [
        on_line("dlt645/single-phase", f"0000{number:08d}", SLOW, turnaround_ms=wait_ms)
        for number, wait_ms in ((12345678, 30), (23456789, 480), (34567890, 120))
    ]
    assert len(ScannedLine(meters).scan().found) == 3


def test_noise_makes_no_meters_and_hides_none() -> None:
    meters = [on_line("acrel/adl400", "3"), on_line("dlt645/single-phase", "000012345678", SLOW)]
    result = ScannedLine(meters, noise=5).scan()
    assert {each.address for each in result.found} == {"3", "000012345678"}


def test_an_adapter_that_echoes_changes_nothing() -> None:
    meters = [on_line("acrel/adl400", "3"), on_line("dlt645/single-phase", "000012345678", SLOW)]
    result = ScannedLine(meters, echo=True).scan(expect("000012345678"))
    assert "000012345678" in {each.address for each in result.found}


def test_a_cancelled_scan_gives_what_it_has_and_the_next_one_goes_on(tmp_path: Path) -> None:
    meters = cabinet(3)
    plan, state, cancel = plan_of(meters), tmp_path / "scan.json", threading.Event()
    line = ScannedLine(meters)

    def stop_at_ten(progress: ScanProgress) -> None:
        line.told.append(progress)
        if len(progress.found) == 10:
            cancel.set()

    first = scan(PORT, CATALOGUE, plan, stop_at_ten, bus=line.bus(), clock=line.wire, cancel=cancel, state=state)
    assert first.end is ScanEnd.CANCELLED
    assert len(first.found) == 10
    assert len(json.loads(state.read_text())["found"]) == 10
    again = ScannedLine(meters)
    second = again.scan(plan, state=state)
    assert second.end is ScanEnd.ALL_FOUND
    assert second.found[:10] == first.found
    assert len(second.found) == len(meters)
    assert second.elapsed_s > first.elapsed_s
    assert not state.exists()


def test_a_state_file_of_another_form_is_begun_anew(tmp_path: Path) -> None:
    state = tmp_path / "scan.json"
    for text in ("", "{}", '{"format": "metertree-scan/1", "blocks": 1}', '{"format": "other"}'):
        state.write_text(text)
        line = ScannedLine([on_line("eastron/sdm630", "5", serial=23_001_234)])
        assert line.scan([SDM], state=state).end is ScanEnd.ALL_FOUND


def test_progress_rises_and_tells_every_find() -> None:
    line = ScannedLine([on_line("eastron/sdm630", "5", serial=23_001_234), on_line("acrel/adl400", "6")])
    line.scan()
    assert [each.newest.address for each in line.told if each.newest is not None] == ["5", "6"]
    assert all(one.elapsed_s <= next_one.elapsed_s for one, next_one in zip(line.told, line.told[1:], strict=False))
    assert all(one.likely <= next_one.likely for one, next_one in zip(line.told, line.told[1:], strict=False))
    assert line.told[-1].left_s < line.told[0].left_s


def test_free_unit_ids_are_those_of_nobody() -> None:
    line = ScannedLine([on_line("acrel/adl400", unit) for unit in ("1", "2", "4")])
    free = line.scan([ExpectedMeter(profile="acrel/adl400", address="3"), *expect("0")]).free_addresses
    assert free[Protocol.MODBUS_RTU][:3] == ("5", "6", "7")


@pytest.mark.parametrize("turnaround_ms", [120, 300, 700])
def test_the_last_meter_of_a_block_may_be_slow_too(turnaround_ms: int) -> None:
    """Its answer comes when another lane is asked already, at another speed."""
    meters = [
        on_line("acrel/adl400", "8", turnaround_ms=turnaround_ms),
        on_line("dlt645/single-phase", "000012345678", SLOW),
    ]
    result = ScannedLine(meters).scan()
    assert {each.address for each in result.found} == {"8", "000012345678"}
    assert result.duplicates == ()
