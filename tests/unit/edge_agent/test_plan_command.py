"""`metertree-gateway plan`: sweeps reckoned before anything is wired."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import plan_reads
from edge_agent.arbiter import gap_s_of
from edge_agent.capacity import NotRehearsed, WireExchange, rehearse, seconds_on, usual_turnaround_s
from edge_agent.cli import main
from edge_agent.port_plan import AddInvalid, PortPlan, Verdict, _any_address, added, plan_port
from metering.identity import GatewayId, PortId
from provisioning.gateway_config import GroupInterval
from provisioning.site import LineSettings, Parity, StreamPort
from tests.doubles.edge import LINE, START, UNITS, fitted, serial_port, tcp_port

PARK = Path(__file__).parents[3] / "examples" / "park"
CATALOGUE = Catalogue.shipped()
USUAL = LineSettings(9600, Parity.EVEN, 1)
DTSU = CATALOGUE.by_id("chint/dtsu666")
RTU = Protocol.MODBUS_RTU


def planned(count: int = 10, *, every_s: int = 900, also: tuple[GroupInterval, ...] = (), baud: int = 9600) -> PortPlan:
    """A line with `count` meters of the little park, over and over."""
    meters = [replace(fitted(LINE[n % len(LINE)], "line-a"), id=f"m-{n}") for n in range(count)]
    port = replace(serial_port("line"), baud=baud)
    return plan_port(port, meters, CATALOGUE, group="billing", every_s=every_s, intervals=also, at=START)


@pytest.mark.parametrize(("count", "baud", "expected_s"), [(60, 9600, 0.186), (60, 19200, 0.108), (60, 115200, 0.044)])
def test_one_block_takes_what_the_wire_takes(count: int, baud: int, expected_s: float) -> None:
    """The computed capacity of Modbus RTU at 30 ms turnaround: one block of 60 registers."""
    exchange = WireExchange(8, 5 + 2 * count)
    assert seconds_on(replace(USUAL, baud=baud), [exchange], 0.030) == pytest.approx(expected_s, abs=0.0006)


def test_a_rehearsal_counts_the_octets_of_the_very_conversation() -> None:
    assert rehearse(DTSU, RTU, "1", [ModbusRead(3, 0x2000, 18)]) == [WireExchange(8, 5 + 36)]
    meter = CATALOGUE.by_id("dlt645/three-phase")
    port_load = planned(1).loads[0]
    assert port_load.profile == meter.id
    assert port_load.octets > 2 * (16 + 20)


@pytest.mark.parametrize("profile", CATALOGUE.profiles, ids=lambda profile: profile.id)
def test_every_shipped_model_can_be_rehearsed(profile: Profile) -> None:
    for protocol in profile.links:
        for group in profile.groups:
            reads = plan_reads(profile, protocol, group)
            exchanges = rehearse(profile, protocol, _any_address(protocol), reads)
            assert sum(each.received for each in exchanges) > 0


def test_a_model_whose_simulated_end_does_not_answer_is_told_and_not_guessed() -> None:
    with pytest.raises(NotRehearsed, match="chint/dtsu666"):
        rehearse(DTSU, RTU, "1", [ModbusRead(6, 0x2000, 18)])


def test_a_changed_speed_counts_from_the_answer_on() -> None:
    slow, fast = LineSettings(300, Parity.EVEN, 1, databits=7), WireExchange(6, 100, baud=9600)
    expected_s = 6 * 10 / 300 + 100 * 10 / 9600 + 0.2 + gap_s_of(slow)
    assert seconds_on(slow, [fast], 0.2) == pytest.approx(expected_s)


def test_without_a_line_only_turnaround_and_network_count() -> None:
    assert seconds_on(None, [WireExchange(12, 60)] * 2, 0.030) == pytest.approx(0.064)


def test_a_meter_is_never_thought_slower_than_its_profile_allows() -> None:
    assert usual_turnaround_s(DTSU, RTU) <= DTSU.link(RTU).reply_ms_max / 1000


def test_a_quiet_line_fits_and_a_full_one_does_not() -> None:
    assert planned().verdict is Verdict.FITS
    assert planned(every_s=2).verdict is Verdict.TIGHT
    assert planned(every_s=1).verdict is Verdict.TOO_MUCH
    assert planned(600).verdict is Verdict.LATE
    assert planned(600, baud=115_200).verdict is not Verdict.TOO_MUCH


def test_groups_between_marks_use_the_line_too() -> None:
    alone, beside = planned(), planned(also=(GroupInterval("status", 60),))
    assert alone.between_share == 0
    assert beside.utilisation == pytest.approx(alone.utilisation + beside.between_share)
    assert beside.between_share > 0


def test_switches_of_a_mixed_line_are_counted_and_paid() -> None:
    slow = LineSettings(2400, Parity.EVEN, 1, gap_ms=100)
    meters = [fitted(LINE[6], "line-a"), replace(fitted(LINE[7], "line-a"), line=slow)]
    port = serial_port("line")
    mixed = plan_port(port, meters, CATALOGUE, group="billing", every_s=900, intervals=(), at=START)
    assert mixed.switches == 2
    own_s = sum(load.usual_s for load in mixed.loads)
    assert mixed.sweep_s - own_s == pytest.approx(0.1 + gap_s_of(slow))


def test_a_line_behind_a_converter_is_reckoned_by_its_settings() -> None:
    port = StreamPort(PortId("far"), GatewayId("gw-a"), "10.0.0.9", 4001, 60, USUAL)
    meter = replace(fitted(LINE[6], "far"), protocol=Protocol.MODBUS_RTU_OVER_TCP)
    far = plan_port(port, [meter], CATALOGUE, group="billing", every_s=900, intervals=(), at=START)
    assert far.loads[0].usual_s == pytest.approx(planned(7).loads[6].usual_s)


def test_meters_can_be_added_in_thought() -> None:
    ports = (serial_port("line"), tcp_port(502))
    meters = [*(fitted(each, "line-a") for each in LINE), *(fitted(each, "tcp-b") for each in UNITS)]
    more = added("8:eastron/sdm630@tcp-b", ports, meters, CATALOGUE)
    assert len(more) == 8
    assert {(meter.port, meter.protocol) for meter in more} == {("tcp-b", Protocol.MODBUS_TCP)}
    assert added("3:dlt645/three-phase", ports, meters, CATALOGUE)[0].port == "line-a"


@pytest.mark.parametrize(
    "text", ["eastron/sdm630", "0:eastron/sdm630", "x:eastron/sdm630", "3:", "2:dlt645/three-phase@tcp-b"]
)
def test_what_cannot_be_added_says_how_to_write_it(text: str) -> None:
    with pytest.raises(AddInvalid, match=text):
        added(text, (serial_port("line"), tcp_port(502)), [], CATALOGUE)


def test_the_command_tells_a_site_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(PARK)]) == 0
    english = capsys.readouterr().out
    assert main(["plan", str(PARK), "--lang", "zh"]) == 0
    chinese = capsys.readouterr().out
    assert "line-a: 10 meters" in english
    assert "line-a：10 块表" in chinese
    assert len(english.splitlines()) == len(chinese.splitlines())


def test_the_command_refuses_what_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(PARK), "--every", "1", "--also", "status:60"]) == 1
    assert "TOO MUCH" in capsys.readouterr().out


def test_the_command_gives_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(PARK), "--gateway", "gw-a", "--add", "200:eastron/sdm630", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["port"], line["meters"], line["not_reckoned"]) == ("line-a", 210, [])
    assert datetime.now(UTC) > START


def test_mistakes_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(PARK), "--also", "status"]) == 2
    assert main(["plan", str(PARK), "--add", "8:nobody/nothing"]) == 2
    assert main(["plan", str(PARK / "nothing.toml")]) == 2
    assert "status:60" in capsys.readouterr().err
    for wrong, told in (
        (["--every", "0"], "such as 900"),
        (["--every", "-5"], "such as 900"),
        (["--also", "statsu:60"], "they have billing, status"),
    ):
        assert main(["plan", str(PARK), *wrong]) == 2
        assert told in capsys.readouterr().err
