"""A real gateway process between real wires, a real broker and a centre: it carries everything, whatever is killed."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.cli import main
from ingest.embedded.server import running
from metering.clock import SystemClock
from metering.reading import ReadQuality
from tests.doubles.edge import LINE, QUARTER, START, UNITS
from tests.doubles.edge_station import Station, new_broker, station, wait_for

MARKS = 60
SWEEPS = 2 * MARKS
"""Two ports, so two envelopes a mark."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What the centre holds after a play in which nothing happened."""
    with station(tmp_path_factory.mktemp("undisturbed"), MARKS) as made:
        made.start()
        wait_for(lambda: made.centre.contiguous_seq == SWEEPS, "the whole play")
        return made.octets()


@pytest.fixture
def playing(tmp_path: Path) -> Iterator[Station]:
    """A station whose gateway runs."""
    with station(tmp_path, MARKS) as made:
        made.start()
        yield made


def arrived(made: Station, seq: int) -> None:
    """Wait until the centre holds everything up to `seq`."""
    wait_for(lambda: made.centre.contiguous_seq >= seq, f"seq {seq}; {(made.directory / 'gateway.log').read_text()}")


def test_every_meter_is_read_at_every_mark_and_reaches_the_centre(playing: Station) -> None:
    arrived(playing, SWEEPS)
    envelopes = [playing.centre.held[seq].envelope for seq in range(1, SWEEPS + 1)]
    assert [each.mark for each in envelopes[::2]] == [START + mark * QUARTER for mark in range(MARKS)]
    assert [len(each.readings) for each in envelopes] == [len(LINE), len(UNITS)] * MARKS
    assert all(reading.quality is ReadQuality.MEASURED for each in envelopes for reading in each.readings)
    assert all(
        after.previous_hash == playing.centre.held[before.seq].digest for before, after in itertools.pairwise(envelopes)
    )
    lift = [reading.mantissas[0] for each in envelopes for reading in each.readings if reading.meter == "m-lift"]
    assert lift == sorted(lift)
    assert len(set(lift)) > MARKS // 2
    assert playing.centre.repeats == 0


def test_two_plays_give_the_same_octets(playing: Station, undisturbed: list[bytes]) -> None:
    arrived(playing, SWEEPS)
    assert playing.octets() == undisturbed


def test_a_gateway_killed_again_and_again_changes_nothing(playing: Station, undisturbed: list[bytes]) -> None:
    for seq in (1, 17, 40, 41, 90, 119):
        arrived(playing, seq)
        playing.kill()
        playing.start()
    arrived(playing, SWEEPS)
    assert playing.centre.conflicts == []
    assert playing.octets() == undisturbed


def test_wires_that_vanish_again_and_again_change_nothing(tmp_path: Path, undisturbed: list[bytes]) -> None:
    """Each time in the middle of a sweep: at its first meter, its last, one between; at one mark twice; at the end."""
    cuts = [(START + mark * QUARTER, LINE[place][0]) for mark, place in ((1, 0), (15, 9), (15, 4), (30, 6), (59, 5))]
    with station(tmp_path, MARKS, cuts[0]) as made:
        made.start()
        for after in (*cuts[1:], None):
            assert made.world.cut_reached.wait(60), (made.directory / "gateway.log").read_text()
            made.restart_world(after)
        arrived(made, SWEEPS)
        assert made.centre.conflicts == []
        assert made.octets() == undisturbed
        assert (made.directory / "gateway.log").read_text().count("port-lost") >= len(cuts)


def test_a_broker_killed_with_everything_it_knew_costs_nothing(tmp_path: Path, undisturbed: list[bytes]) -> None:
    broker = new_broker(tmp_path / "broker")
    made = Station(tmp_path, broker, MARKS)
    with running(broker, SystemClock()) as first, made.running():
        made.start()
        arrived(made, 10)
        first.kill()
        first.wait()
        with running(broker, SystemClock()):
            arrived(made, SWEEPS)
            assert made.octets() == undisturbed


def test_batches_without_receipt_are_sent_again_after_silence(playing: Station, undisturbed: list[bytes]) -> None:
    playing.centre.receipts_wanted = False
    arrived(playing, 1)
    wait_for(lambda: playing.centre.repeats > 0, "a repetition")
    playing.centre.receipts_wanted = True
    arrived(playing, SWEEPS)
    assert playing.octets() == undisturbed


def test_sigterm_ends_it_cleanly_while_time_stands_still(playing: Station, capsys: pytest.CaptureFixture[str]) -> None:
    arrived(playing, SWEEPS)
    assert playing.terminate() == 0
    log = (playing.directory / "gateway.log").read_text()
    assert "gateway-stopped" in log
    assert "Traceback" not in log
    assert main(["outbox", "--json", "--config", str(playing.config)]) == 0
    (epoch,) = json.loads(capsys.readouterr().out)["epochs"]
    assert (epoch["last_seq"], epoch["entries"]) == (SWEEPS, SWEEPS)
    assert epoch["last_mark"] == (START + (MARKS - 1) * QUARTER).isoformat()


def test_a_second_gateway_in_the_same_state_is_refused(playing: Station) -> None:
    arrived(playing, 1)
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(playing.config)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 2
    assert "another gateway works in" in second.stderr


def test_a_gateway_on_the_machine_clock_stops_at_once_while_it_waits(tmp_path: Path) -> None:
    from provisioning.gateway_config import SYSTEM_CLOCK

    with station(tmp_path, MARKS) as made:
        made.config.write_text(made.gateway_config(clock=SYSTEM_CLOCK).to_toml())
        made.start()
        log = made.directory / "gateway.log"
        wait_for(lambda: "uplink-connected" in log.read_text(), "the session")
        assert made.process is not None
        made.process.send_signal(signal.SIGINT)
        assert made.process.wait(5) == 0
        made.process = None


def test_probe_prints_what_the_meters_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with station(tmp_path, MARKS) as made:
        assert main(["probe", "--config", str(made.config), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert [meter["meter"] for meter in shown] == [location[0] for location in (*LINE, *UNITS)]
        assert all(meter["quality"] == "MEASURED" for meter in shown)
        assert shown[0]["registers"]["1-0:1.8.0"].endswith(" kWh")
        assert main(["probe", "--config", str(made.config), "--meter", "m-lift", "--group", "status"]) == 0
        assert "1-0:32.7.0" in capsys.readouterr().out
        made.world.line.stop()
        assert main(["probe", "--config", str(made.config), "--meter", "m-lift"]) == 1
        assert "NO_ANSWER" in capsys.readouterr().out
