"""Settings ordered from afar, at a running gateway: taken on trial, kept or rolled back, while measuring goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from edge_agent.app import run_with_orders, sole_use_of
from metering.clock import SystemClock
from metering.envelope import Envelope, Kind
from metering.order import SettingsOrder, seal_order
from metering.reading import ReadQuality
from metering.report import Outcome, SettingsReport, read_records
from metering.topics import config_topic
from provisioning import remote_settings
from provisioning.gateway_config import SYSTEM_CLOCK
from provisioning.keys import FileSigner
from provisioning.remote_settings import BrokerPlace, RemoteSettings
from tests.doubles.edge import GATEWAY, LINE, UNITS, fitted, serial_port, tcp_port
from tests.doubles.edge_station import CENTRE_SEED, Station, station, wait_for
from tests.unit.edge_agent.test_gateway_app import unused_port

CENTRE = FileSigner.from_seed(CENTRE_SEED)
TRIAL_S = 6


class Afar:
    """The centre's side of one gateway, which runs in a thread on the machine's own clock."""

    def __init__(self, made: Station) -> None:
        self.station = made
        self.base = made.gateway_config(
            clock=SYSTEM_CLOCK,
            every_s=1,
            ports=(tcp_port(made.world.tcp.port, tolerance_s=1),),
            meters=tuple(fitted(one, "tcp-b") for one in UNITS),
        )
        self.plain = RemoteSettings(1, "billing", TRIAL_S, self.base.ports, self.base.meters)

    def with_line(self) -> RemoteSettings:
        """Settings with the serial line beside the endpoint."""
        return replace(
            self.plain,
            ports=(*self.plain.ports, serial_port(self.station.directory / "line-a")),
            meters=(*self.plain.meters, *(fitted(one, "line-a") for one in LINE)),
        )

    def order(self, version: int, settings: RemoteSettings) -> None:
        """Send an order."""
        order = SettingsOrder(GATEWAY, 1, version, SystemClock().now(), settings.to_toml())
        self.station.centre._consumer.publish(config_topic(GATEWAY), seal_order(order, CENTRE))

    def envelopes(self) -> list[Envelope]:
        """What arrived, in order."""
        held = self.station.centre.held
        return [held[seq].envelope for seq in sorted(held)]

    def reports(self) -> list[SettingsReport]:
        """What the gateway said of its orders."""
        leaves = [one.records for one in self.envelopes() if one.kind is Kind.REPORT]
        return [one for each in leaves for one in read_records(each) if isinstance(one, SettingsReport)]

    def outcome(self, version: int) -> SettingsReport:
        """Wait for the word on an order."""
        wait_for(lambda: any(one.version == version for one in self.reports()), f"the report on order {version}")
        return next(one for one in self.reports() if one.version == version)

    def measured(self, meter: str) -> None:
        """Wait until a meter is measured anew."""
        seen = len(self.station.centre.held)

        def is_measured() -> bool:
            return any(
                reading.meter == meter and reading.quality is ReadQuality.MEASURED
                for envelope in self.envelopes()[seen:]
                for reading in envelope.readings
            )

        wait_for(is_measured, f"a new reading of {meter}")


@contextmanager
def running(run: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run until leaving."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def afar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Afar]:
    """A gateway that runs, and its centre."""
    monkeypatch.setattr(remote_settings, "TRIAL_S", (1, 60))
    with station(tmp_path, 1) as made:
        found = Afar(made)

        def run(stop: threading.Event) -> None:
            with sole_use_of(found.base.state_dir):
                run_with_orders(found.base, Catalogue.shipped(), stop)

        with running(run):
            found.measured("m-main")
            yield found


def test_settings_are_applied_and_bad_ones_rolled_back_while_measuring_goes_on(afar: Afar) -> None:
    afar.order(1, afar.with_line())
    assert afar.outcome(1).outcome is Outcome.APPLIED
    afar.measured("m-lift")

    dead = tcp_port(unused_port(), tolerance_s=1)
    settings = afar.with_line()
    afar.order(2, replace(settings, ports=(dead, *settings.ports[1:])))
    told = afar.outcome(2)
    assert told.outcome is Outcome.ROLLED_BACK
    assert "no meter on port tcp-b answered" in told.reason
    afar.measured("m-lift")
    afar.measured("m-main")

    afar.order(3, replace(settings, broker=BrokerPlace("127.0.0.1", unused_port())))
    told = afar.outcome(3)
    assert told.outcome is Outcome.ROLLED_BACK
    assert "no receipt of the centre" in told.reason

    strange = replace(settings.meters[0], profile="nobody/knows")
    afar.order(4, replace(settings, meters=(strange, *settings.meters[1:])))
    told = afar.outcome(4)
    assert told.outcome is Outcome.ROLLED_BACK
    assert "nobody/knows" in told.reason

    afar.order(1, afar.plain)
    afar.order(4, afar.plain)
    afar.measured("m-lift")
    assert [one.version for one in afar.reports()] == [1, 2, 3, 4]
    previous: Any = bytes(32)
    for seq in sorted(afar.station.centre.held):
        assert afar.station.centre.held[seq].envelope.previous_hash == previous
        previous = afar.station.centre.held[seq].digest
    assert afar.station.centre.conflicts == []
