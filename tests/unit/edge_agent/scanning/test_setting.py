"""A meter is given another address or speed only when it is certain which one it is, and is found there afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_profiles.framing.conversation import drive
from device_profiles.framing.errors import CrcError, ExceptionReply, FrameError
from device_profiles.framing.modbus_write import WRITE_ONE, ModbusWrite, converse, parse_request, request_end
from device_profiles.profile import Protocol
from device_profiles.timed_line import Speed
from edge_agent.scanning.result import Candidate, ExpectedMeter, FoundMeter
from edge_agent.scanning.setting import SettingRefused, set_address, set_baud
from tests.doubles.scanned_line import CATALOGUE, ScannedLine, on_line, where

DTSU = ExpectedMeter(profile="chint/dtsu666", address="9")


def found_on(line: ScannedLine, address: str = "9") -> FoundMeter:
    """Scan the line and give the meter at `address`."""
    expected = [ExpectedMeter(profile=each.meter.profile.id, address=each.meter.address) for each in line.meters]
    return next(each for each in line.scan(expected).found if each.address == address)


def test_a_meter_moves_to_another_address_and_stays_there() -> None:
    line = ScannedLine([on_line("chint/dtsu666", "9"), on_line("acrel/adl400", "4")])
    moved = set_address(line.bus(), CATALOGUE, found_on(line), "12")
    assert moved.address == "12"
    assert line.meters[0].meter.address == "12"
    again = ScannedLine(line.meters).scan([replace(DTSU, address="12"), ExpectedMeter(profile="acrel/adl400")])
    assert {each.address for each in again.found} == {"12", "4"}


def test_a_meter_is_set_to_another_speed() -> None:
    line = ScannedLine([on_line("eastron/sdm630", "9", serial=23_001_234)])
    moved = set_baud(line.bus(), CATALOGUE, found_on(line), 4800)
    assert where([moved]) == {("modbus-rtu", "9", 4800, "N")}
    assert line.meters[0].meter.baud == 4800
    assert where(ScannedLine(line.meters).scan([ExpectedMeter("23001234")]).found) == where([moved])


def test_an_address_that_somebody_has_is_not_given_again() -> None:
    line = ScannedLine([on_line("chint/dtsu666", "9"), on_line("acrel/adl400", "4")])
    with pytest.raises(SettingRefused, match="somebody answers at unit 4"):
        set_address(line.bus(), CATALOGUE, found_on(line), "4")
    assert line.meters[0].meter.address == "9"


def test_nothing_is_written_where_two_meters_answer() -> None:
    line = ScannedLine([on_line("chint/dtsu666", "9")])
    meter = found_on(line)
    twins = ScannedLine([*line.meters, on_line("chint/dtsu666", "9", seed="other")])
    with pytest.raises(SettingRefused, match="does not answer alone"):
        set_address(twins.bus(), CATALOGUE, meter, "12")
    assert [each.meter.address for each in twins.meters] == ["9", "9"]


def test_nothing_is_written_to_another_meter_that_took_the_place() -> None:
    meter = found_on(ScannedLine([on_line("eastron/sdm630", "9", serial=23_001_234)]))
    line = ScannedLine([on_line("eastron/sdm630", "9", serial=23_009_999)])
    with pytest.raises(SettingRefused, match="under its number"):
        set_address(line.bus(), CATALOGUE, meter, "12")
    assert line.meters[0].meter.address == "9"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"candidates": (Candidate("eastron/sdm120", 100), Candidate("eastron/sdm230", 100))}, "may be eastron/sdm120"),
        ({"candidates": ()}, "no known model"),
        ({"candidates": (Candidate("acrel/adl400", 100),)}, "does not say how its address is set"),
        ({"protocol": Protocol.DLT645_2007}, "not set from here"),
        ({"address": "12"}, "has this address already"),
    ],
)
def test_what_is_not_certain_is_not_set(change: dict[str, object], told: str) -> None:
    line = ScannedLine([on_line("chint/dtsu666", "9")])
    meter = replace(found_on(line), **change)  # type: ignore[arg-type]
    with pytest.raises(SettingRefused, match=told):
        set_address(line.bus(), CATALOGUE, meter, "12")
    assert line.meters[0].meter.address == "9"


def test_a_speed_that_the_model_does_not_know_is_told_with_those_that_it_does() -> None:
    line = ScannedLine([on_line("chint/dtsu666", "9")])
    with pytest.raises(SettingRefused, match="1200, 2400, 4800, 9600, 19200"):
        set_baud(line.bus(), CATALOGUE, found_on(line), 38_400)


def test_a_meter_that_only_says_it_is_set_is_found_out() -> None:
    line = ScannedLine([on_line("eastron/sdm630", "9", serial=23_001_234)])
    meter = found_on(line)
    simulated = line.meters[0].meter
    simulated._written = lambda frame: parse_request(frame).answer()  # type: ignore[method-assign]
    with pytest.raises(SettingRefused, match="hold the button"):
        set_address(line.bus(), CATALOGUE, meter, "12")


def test_a_meter_that_refuses_is_told() -> None:
    line = ScannedLine([on_line("chint/dtsu666", "9")])
    meter = found_on(line)
    line.meters[0].meter._written = lambda frame: parse_request(frame).refusal(1)  # type: ignore[method-assign]
    with pytest.raises(SettingRefused, match="unlock it"):
        set_address(line.bus(), CATALOGUE, meter, "12")


def test_a_write_is_answered_by_its_head_or_refused() -> None:
    write = ModbusWrite(9, 0x2E, b"\x00\x0c")
    assert write.to_wire().hex() == "0910002e000102000c" + write.to_wire()[-2:].hex()
    assert drive(converse(write), lambda _: write.answer()) == write.answer()
    with pytest.raises(ExceptionReply):
        drive(converse(write), lambda _: write.refusal(2))
    with pytest.raises(CrcError):
        drive(converse(write), lambda _: write.answer()[:-1] + b"\0")
    for other in (ModbusWrite(8, 0x2E, b"\x00\x0c"), ModbusWrite(9, 0x2D, b"\x00\x0c")):
        with pytest.raises(FrameError):
            drive(converse(write), lambda _, other=other: other.answer())  # type: ignore[misc]


@pytest.mark.parametrize(
    "write",
    [ModbusWrite(9, 0x2E, b"\x00\x0c"), ModbusWrite(1, 0x14, b"\x41\x40\0\0"), ModbusWrite(9, 1, b"\0\1", WRITE_ONE)],
)
def test_the_meters_end_reads_what_was_written(write: ModbusWrite) -> None:
    frame = write.to_wire()
    assert parse_request(frame) == write
    assert request_end(b"\xff" + frame + b"\x01", 1) == 1 + len(frame)
    assert request_end(frame[:-1], 0) is None
    for broken in (frame[:-1], frame[:-1] + b"\0\0", b""):
        with pytest.raises(FrameError):
            parse_request(broken)


def test_a_meter_of_another_unit_hears_no_write() -> None:
    meter = on_line("chint/dtsu666", "9")
    write = ModbusWrite(8, 0x2E, b"\x00\x0c")
    assert meter.meter.answer(write.to_wire(), meter.registers) is None
    assert meter.meter.answer(ModbusWrite(9, 0x99, b"\0\1").to_wire(), meter.registers) is not None
    assert meter.meter.address == "9"
    assert meter.hears(b"", Speed(9600, "N"))
