"""The desk beside the running agent: it measures at the seal, lends its lines, and begins anew with each change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent import installed
from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.app import keep_living
from edge_agent.installation.desk import Desk
from edge_agent.installation.home import Home
from edge_agent.installation.view import BindRequest
from edge_agent.installed import run_at_home
from edge_agent.ports import Entry
from metering.clock import SystemClock
from metering.envelope import Envelope, open_sealed
from metering.identity import MeterId
from metering.reading import ReadQuality
from provisioning.gateway_config import GatewayConfig
from provisioning.keys import FileSigner
from tests.doubles.desk import (
    PORT,
    WHO,
    Cabinet,
    DeskCentre,
    accept_all,
    begun,
    cabinet,
    desk_at,
    node,
    request,
    typed,
)
from tests.doubles.edge_station import wait_for
from tests.doubles.surveyed_park import picture

PLANNED = ("m-main", "m-u-b101", "m-u-b102", "m-u-b202")


@pytest.fixture
def meters() -> Iterator[Cabinet]:
    """The meters of gw-b."""
    with cabinet() as found:
        yield found


@contextmanager
def agent(home: Home) -> Iterator[None]:
    """The agent in a thread, as `metertree-gateway run --home` runs it."""
    stop = threading.Event()
    thread = threading.Thread(target=run_at_home, args=(home, [], stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def chain(home: Home) -> list[tuple[Entry, Envelope]]:
    """What the agent sealed so far, verified."""
    path = home.state / "outbox.db"
    if not path.exists():
        return []
    outbox = SqliteOutbox(path, "gw-b", lambda _: b"")  # type: ignore[arg-type]
    try:
        entries = [entry for epoch in outbox.epochs() for entry in outbox.after(epoch, 0, 1000)]
    finally:
        outbox.close()
    verifier = FileSigner.read(home.signing_key).verifier()
    return [(one, open_sealed(one.octets, verifier).envelope) for one in entries]


def measured(home: Home) -> set[str]:
    """Which meters gave a reading so far."""
    return {
        reading.meter
        for _, envelope in chain(home)
        for reading in envelope.readings
        if reading.quality is ReadQuality.MEASURED
    }


def installed_with(desk: Desk, meters: Cabinet, *names: str, **order: str) -> None:
    """Install some meters and seal."""
    begun(desk, meters, **order)
    for name in names:
        desk.bind(request(name), WHO)
    desk.check(WHO)
    accept_all(desk)
    desk.seal(WHO)


def test_measuring_begins_at_the_seal_without_a_network_and_follows_every_change(
    tmp_path: Path, meters: Cabinet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "DELIVERY_S", (0.1, 0.2))
    monkeypatch.setattr(installed, "NOTHING_S", 0.05)
    home, centre = Home(tmp_path), DeskCentre()
    centre.refuses = True
    lived: list[set[str]] = []

    def living(config: GatewayConfig, *others: Any) -> None:
        lived.append({one.id for one in config.meters})
        keep_living(config, *others)

    monkeypatch.setattr(installed, "keep_living", living)
    with centre.running(), agent(home), desk_at(tmp_path, SystemClock()) as desk:
        installed_with(desk, meters, "m-main", "m-u-b101", centre_url=centre.url)
        wait_for(lambda: measured(home) == {"m-main", "m-u-b101"}, "the first readings")
        (_, first), *_ = chain(home)
        sealed = desk.state().sealed
        assert sealed is not None
        assert first.seq == 1
        assert first.previous_hash == sealed.digest
        assert first.mark is None
        assert desk.state().is_measuring
        assert not desk.state().delivery.is_granted

        live = desk.read(MeterId("m-main"))
        assert live.problem is None

        centre.refuses = False
        wait_for(lambda: desk.state().delivery.is_granted, "the grant by the network")

        new = replace(request("m-u-b202"), node=node("u-b101"), unit=None)
        binding = desk.exchange(MeterId("m-u-b101"), new, WHO)
        desk.compare(binding.meter.id, typed(meters, "m-u-b202"), WHO)
        photo = desk.photograph(binding.meter.id, "meter", picture(4), WHO)
        desk.check(WHO)
        accept_all(desk)
        desk.seal(WHO)
        wait_for(lambda: photo.sha256.hex() in centre.photos, "the photo at the centre")
        assert centre.events[-1] == len(desk.state().events)
        wait_for(lambda: "m-u-b101-2" in lived[-1], "the agent with the new meter")


def test_the_agent_of_a_home_waits_for_its_order(tmp_path: Path) -> None:
    with agent(Home(tmp_path)):
        wait_for((tmp_path / "state" / "installation.db").exists, "the journal")
    assert not (tmp_path / "gateway.toml").exists()


def test_a_file_that_cannot_be_used_does_not_end_the_agent(
    tmp_path: Path, meters: Cabinet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "LOOK_S", 0.05)
    home = Home(tmp_path)
    with desk_at(tmp_path, SystemClock()) as desk:
        installed_with(desk, meters, "m-main")
    good = home.config.read_text(encoding="utf-8")
    home.config.write_text("nonsense =", encoding="utf-8")
    with agent(home):
        wait_for((home.state / "gateway.lock").exists, "the agent")
        home.config.write_text(good, encoding="utf-8")
        wait_for(lambda: measured(home) == {"m-main"}, "a reading")


def test_a_scan_beside_the_running_agent_finds_what_the_plan_expects(tmp_path: Path, meters: Cabinet) -> None:
    home, told = Home(tmp_path), list[int]()
    with agent(home), desk_at(tmp_path, SystemClock()) as desk:
        installed_with(desk, meters, "m-main")
        wait_for(lambda: measured(home) == {"m-main"}, "the first reading")
        result = desk.scan(PORT, WHO, lambda progress: told.append(len(progress.found)), threading.Event())
        assert {one.address for one in result.found} >= {one.address for one in map(request, PLANNED)}
        assert told[-1] == len(result.found)
        (scanned,) = desk.state().scans.values()
        assert scanned.found == result.found
        binding = desk.bind(BindRequest(node("u-b102"), found=f"{PORT}/{request('m-u-b102').address}"), WHO)
        assert binding.meter.profile == request("m-u-b102").profile
        assert binding.read_serial is not None
