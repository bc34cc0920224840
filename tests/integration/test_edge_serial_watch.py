"""A meter is exchanged behind everybody's back: the running gateway tells its new number as soon as it is back."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.simulator import ModbusTcpPort
from edge_agent import app, patience, serial_watch
from metering.envelope import Envelope, Kind
from metering.identity import MeterId
from metering.obis import Obis
from metering.report import SerialSeen, read_records
from provisioning.gateway_config import SYSTEM_CLOCK
from tests.doubles.edge import fitted, tcp_port
from tests.doubles.edge_station import station, wait_for
from tests.integration.test_edge_settings import running

B23 = Catalogue.shipped().by_id("abb/b23")
TCP = Protocol.MODBUS_TCP
METER = ("m-u-b101", B23.id, TCP, "7")


class Wall:
    """What the meters at the wall count; `is_off` while the fitter has the fuse in his pocket."""

    is_off = False

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        return None if self.is_off else 1_000_000


def test_a_meter_exchanged_while_nobody_looked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_watch, "ROOM", timedelta(0))
    monkeypatch.setattr(patience, "PAUSES_S", (1,))
    wall = Wall()

    def hung(serial: int, number: int = 0) -> ModbusTcpPort:
        return ModbusTcpPort([SimulatedMeter(MeterId(METER[0]), B23, TCP, "7", serial)], wall, port=number)

    with station(tmp_path, 1) as made:
        first = hung(4711)
        first.start()
        config = made.gateway_config(
            clock=SYSTEM_CLOCK, every_s=1, ports=(tcp_port(first.port),), meters=(fitted(METER, "tcp-b"),)
        )

        def held() -> list[Envelope]:
            return [made.centre.held[seq].envelope for seq in sorted(made.centre.held)]

        def told() -> list[str]:
            reports = [one.records for one in held() if one.kind is Kind.REPORT]
            return [one.serial for leaves in reports for one in read_records(leaves) if isinstance(one, SerialSeen)]

        def run(stop: threading.Event) -> None:
            app.run_with_orders(config, Catalogue.shipped(), stop)

        with running(run):
            wait_for(lambda: told() == ["4711"], "the number of the meter that was installed")
            wall.is_off = True
            silent_from = len(held())
            wait_for(lambda: len(held()) > silent_from + 1, "sweeps without the meter")
            number = first.port
            first.stop()
            second = hung(990011, number)
            second.start()
            wall.is_off = False
            wait_for(lambda: told() == ["4711", "990011"], "the number of the other meter")
            sweeps = len(held())
            wait_for(lambda: len(held()) > sweeps + 2, "more sweeps")
            assert told() == ["4711", "990011"], "told once"
        second.stop()
