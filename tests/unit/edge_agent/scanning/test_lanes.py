"""What is asked when: the likeliest for its cost, what is expected before all, and more where a meter was found."""

from __future__ import annotations

import random

from device_profiles.profile import Protocol
from edge_agent.scanning.lanes import USUAL_SHARE, Lane, Lanes, lanes_for, lanes_of
from edge_agent.scanning.result import ExpectedMeter
from metering.identity import GatewayId, PortId
from provisioning.site import LineSettings, Parity, StreamPort, TcpPort
from tests.doubles.scanned_line import CATALOGUE

MODELS = CATALOGUE.profiles
SLOW, USUAL = LineSettings(2400, Parity.EVEN, 1), LineSettings(9600, Parity.NONE, 1)


def run_through(lanes: Lanes, *, everything: bool = False) -> list[tuple[str, int]]:
    """Ask all blocks, nobody answering."""
    asked = []
    while (lane := lanes.next(everything=everything)) is not None:
        asked.append((lane.key, lane.at))
        lane.at += 1
    return asked


def test_the_odds_of_all_lanes_are_one() -> None:
    for expected in ((), (ExpectedMeter("1", "eastron/sdm630"), ExpectedMeter("2"))):
        assert abs(sum(lane.whole for lane in lanes_of(MODELS, expected, None).lanes) - 1) < 1e-9


def test_no_other_order_finds_sooner() -> None:
    """For one meter at an unknown place the expected time is least when odds per second fall: swaps make it worse."""
    lanes = lanes_of(MODELS, (), None)
    blocks = {lane.key: lane for lane in lanes.lanes}
    order = run_through(lanes, everything=True)

    def expected_s(sequence: list[tuple[str, int]]) -> float:
        passed_s, mean_s = 0.0, 0.0
        for key, at in sequence:
            lane = blocks[key]
            passed_s += lane.cost_s(lanes.wait_s(lane), at)
            mean_s += lane.odds[at] * passed_s
        return mean_s

    best_s, draw = expected_s(order), random.Random(1)
    for _ in range(200):
        at = draw.randrange(len(order) - 1)
        swapped = [*order[:at], order[at + 1], order[at], *order[at + 2 :]]
        assert expected_s(swapped) >= best_s - 1e-9


def test_what_is_cheap_and_likely_comes_first() -> None:
    first = [key for key, _ in run_through(lanes_of(MODELS, (), None))[:4]]
    assert first[0] == "dlt645-2007 2400 E"
    assert "modbus-rtu 9600 N" in first
    assert "mbus 2400 E" in first


def test_expected_models_are_looked_for_at_their_own_settings_before_all() -> None:
    expected = [ExpectedMeter("1", "schneider/iem3155"), ExpectedMeter("2", "dlt645/single-phase")]
    first = [key for key, _ in run_through(lanes_of(MODELS, expected, None))[:3]]
    assert first[0] == "dlt645-2007 2400 E"
    assert "modbus-rtu 19200 E" in first


def test_expected_addresses_come_first_in_their_lane() -> None:
    lanes = lanes_of(MODELS, [ExpectedMeter("1", "eastron/sdm630", address="200")], None)
    lane = next(each for each in lanes.lanes if each.key == "modbus-rtu 9600 N")
    assert lane.blocks[0] == ("200",)
    assert sorted(int(unit) for block in lane.blocks for unit in block) == list(range(1, 248))


def test_the_ports_own_setting_is_likely() -> None:
    odd = LineSettings(57_600, Parity.ODD, 1)
    keys = [key for key, _ in run_through(lanes_of(MODELS, (), odd))[:8]]
    assert "dlt645-2007 57600 O" in keys
    assert "modbus-rtu 57600 O" in keys


def test_where_a_meter_was_found_more_are_looked_for() -> None:
    lanes = lanes_of(MODELS, (), None)
    odd = "modbus-rtu 38400 O"
    assert odd not in {key for key, _ in run_through(lanes_of(MODELS, (), None))[:60]}
    lanes.note_find(Protocol.MODBUS_RTU, LineSettings(38_400, Parity.ODD, 1))
    asked = [key for key, _ in run_through(lanes)]
    assert asked[:60].count(odd) > 20
    assert asked.count(odd) == 31  # all ids, however unlikely such a setting is


def test_without_a_find_what_is_unlikely_is_left_out() -> None:
    lanes = lanes_of(MODELS, (), None)
    usual = run_through(lanes)
    assert lanes.share_asked >= USUAL_SHARE
    assert lanes.next(everything=False) is None
    rest = run_through(lanes, everything=True)
    assert len(rest) > len(usual)
    assert lanes.share_asked > 0.9999


def test_the_time_left_is_what_the_rest_takes() -> None:
    lanes = lanes_of(MODELS, (), None)
    left_s, spent_s = lanes.left_s(everything=False), 0.0
    while (lane := lanes.next(everything=False)) is not None:
        spent_s += lane.cost_s(lanes.wait_s(lane))
        lane.at += 1
    assert abs(spent_s - left_s) < 0.02 * left_s
    assert lanes.left_s(everything=False) == 0


def test_a_slow_meter_makes_the_next_ones_be_waited_for() -> None:
    lanes = lanes_of(MODELS, (), None)
    lane = next(each for each in lanes.lanes if each.key == "modbus-rtu 9600 N")
    before_s = lanes.wait_s(lane)
    lanes.note_turnaround(Protocol.MODBUS_RTU, 0.3)
    assert before_s < 0.1 < 0.4 < lanes.wait_s(lane)


def test_mbus_is_waited_for_by_bit_times() -> None:
    lane = Lane(Protocol.MBUS, LineSettings(300, Parity.EVEN, 1), (("*",),), (1.0,))
    assert Lanes([lane]).wait_s(lane) == 330 / 300 + 0.1


def test_behind_a_network_the_line_is_as_it_is() -> None:
    tcp = lanes_for(TcpPort(PortId("p"), GatewayId("g"), "h", 502, 1), MODELS, ())
    assert {(lane.protocol, lane.line) for lane in tcp.lanes} == {(Protocol.MODBUS_TCP, None)}
    stream = lanes_for(StreamPort(PortId("p"), GatewayId("g"), "h", 4001, 1, USUAL), MODELS, ())
    assert {lane.line for lane in stream.lanes} == {USUAL}
    assert Protocol.MODBUS_RTU_OVER_TCP in {lane.protocol for lane in stream.lanes}
