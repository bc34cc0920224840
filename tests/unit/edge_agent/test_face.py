"""What a running gateway shows, and to whom."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib import request
from urllib.error import HTTPError

import pytest

from edge_agent.adapters.face_port import FaceUnreachable, answers_of, ask_face, face_port
from edge_agent.face import Face
from edge_agent.ordered_settings import Shelf
from edge_agent.status_words import Language, span, status_lines
from edge_agent.sweep import Sweep
from edge_agent.uplink import Link
from edge_agent.vitals import Vitals
from metering.clock import ManualClock
from metering.identity import GatewayId, MeterId, PortId
from metering.reading import MeterReading, ReadQuality
from metering.receipt import Receipt
from provisioning.gateway_config import FaceConfig
from provisioning.site import SiteInvalid
from tests.doubles.edge import START, MemoryOutbox, entry
from tests.unit.edge_agent.test_ordered_settings import base_config

LOOPBACK = FaceConfig("127.0.0.1", 0)


class Now:
    """Seconds that a test counts."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """The present second."""
        return self.seconds


class Line:
    """An uplink that stands."""

    link = Link.ONLINE


def reading(meter: str, quality: ReadQuality = ReadQuality.MEASURED) -> MeterReading:
    """A reading of a meter."""
    mantissas = (1234,) if quality is ReadQuality.MEASURED else ()
    return MeterReading(MeterId(meter), bytes(32), 0, START, START + timedelta(seconds=2), quality, mantissas)


def face(tmp_path: Path, now: Now) -> Face:
    """A gateway that read four meters at one mark, one of them in vain, and whose newest batch waits."""
    vitals = Vitals(now)
    outbox = MemoryOutbox()
    outbox.append([entry(seq) for seq in (1, 2, 3)])
    outbox.acknowledge(1, 2)
    readings = (reading("m-lift"), reading("m-main"), reading("m-dead", ReadQuality.NO_ANSWER))
    vitals.swept(START, Sweep(PortId("line-a"), readings, START + timedelta(seconds=2)), 2.0)
    vitals.receipted(Receipt(GatewayId("gw-a"), 1, 2, bytes(32), START))
    now.seconds += 30
    config = replace(base_config(tmp_path), epoch=1)
    offsets = {MeterId("m-lift"): 95, MeterId("m-main"): -7200}
    return Face(config, vitals, outbox, Line(), ManualClock(START), lambda: Shelf(seen=4), lambda: offsets)


def test_the_document_says_how_the_gateway_stands(tmp_path: Path) -> None:
    document = face(tmp_path, Now()).document()
    assert document["gateway"] == "gw-a"
    assert document["outbox"] == {"last_seq": 3, "receipted_seq": 2, "waiting": 1}
    assert document["centre"]["link"] == "online"
    assert document["centre"]["receipt_age_s"] == 30
    (port,) = document["ports"]
    assert (port["answered"], port["silent"], port["sweep_s"]) == (2, 1, 2.0)
    meters = {one["meter"]: one for one in document["meters"]}
    assert meters["m-dead"]["quality"] == "no_answer"
    assert meters["m-lift"]["read_at"] == (START + timedelta(seconds=2)).isoformat()


def test_a_reading_is_shown_with_its_own_time_however_old_it_is(tmp_path: Path) -> None:
    now = Now()
    shown = face(tmp_path, now)
    before = shown.document()["meters"]
    now.seconds += 86_400
    assert shown.document()["meters"] == before


def test_the_status_is_told_in_both_languages(tmp_path: Path) -> None:
    document = face(tmp_path, Now()).document()
    english, chinese = ("\n".join(status_lines(document, one)) for one in (Language.EN, Language.ZH))
    assert "1 batches wait for a receipt" in english
    assert "meter m-dead  no answer" in english
    assert "meter m-lift  clock ahead by 1 min 35 s" in english
    assert "meter m-main  clock behind by 2 h 0 min" in english
    assert "1 批待回执" in chinese
    assert "表计 m-dead  无应答" in chinese


def test_a_poll_cycle_that_hangs_is_told_first(tmp_path: Path) -> None:
    now = Now()
    shown = face(tmp_path, now)
    now.seconds += 600
    assert "the poll cycle hangs since 10 min" in list(status_lines(shown.document(), Language.EN))[1]


def test_metrics_are_in_prometheus_form(tmp_path: Path) -> None:
    lines = face(tmp_path, Now()).metrics().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples["metertree_gateway_outbox_waiting"] == "1"
    assert samples["metertree_gateway_broker_connected"] == "1"
    assert samples['metertree_gateway_meters_silent{port="line-a"}'] == "1"
    assert samples['metertree_gateway_readings_total{port="line-a",quality="no_answer"}'] == "1"
    assert samples['metertree_gateway_meter_clock_ahead_seconds{meter="m-main"}'] == "-7200"
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {name.split("{")[0] for name in samples} <= named
    assert len([line for line in lines if line.startswith("# TYPE")]) == len(named), "each is named once"


def test_whoever_is_on_the_machine_may_ask(tmp_path: Path) -> None:
    now = Now()
    with face_port(LOOPBACK, answers_of(face(tmp_path, now), 60.0)) as number:
        config = FaceConfig("127.0.0.1", number)
        assert ask_face(config)["gateway"] == "gw-a"
        address = f"http://127.0.0.1:{number}"
        with request.urlopen(f"{address}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        with request.urlopen(f"{address}/healthz") as answer:
            assert json.loads(answer.read()) == {"well": True}
        now.seconds += 120
        for path, status in (("/healthz", 503), ("/", 404)):
            with pytest.raises(HTTPError) as refused:
                request.urlopen(address + path)
            assert refused.value.code == status
            refused.value.close()
    with pytest.raises(FaceUnreachable):
        ask_face(config)


def test_without_a_face_nothing_listens() -> None:
    with face_port(None, {}) as number:
        assert number == 0


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    answers = answers_of(face(tmp_path, Now()), 60.0)
    with (
        face_port(LOOPBACK, answers) as number,
        pytest.raises(FaceUnreachable, match=r"choose another port under \[face\]"),
        face_port(FaceConfig("127.0.0.1", number), answers),
    ):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.example"])
def test_other_machines_may_not_ask_unless_somebody_wrote_so(host: str) -> None:
    with pytest.raises(SiteInvalid, match="beyond_this_machine"):
        FaceConfig(host, 9464)
    assert FaceConfig(host, 9464, beyond_this_machine=True).host == host


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")]
)
def test_spans_are_short(seconds: int, text: str) -> None:
    assert span(seconds) == text
