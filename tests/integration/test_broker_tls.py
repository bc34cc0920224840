"""The doors of the broker, as deploy/ sets them up: TLS at both ends, each gateway its own topics and its own name.

Every check is a function; the last test opens one door at a time and asks for the check that notices.
"""

from __future__ import annotations

import queue
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.adapters.mqtt_broker import MqttBroker
from edge_agent.ports import BrokerEvent, BrokerUnreachable, Connected, Lost, ReceiptArrived
from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.cli import build_parser
from ingest.commands import doctor
from ingest.config import Settings
from ingest.embedded.server import running
from metering.clock import SystemClock
from metering.envelope import open_sealed
from metering.identity import GatewayId
from metering.topics import envelope_topic, receipt_topic
from provisioning.broker_tls import BrokerTls
from provisioning.gateway_config import BrokerConfig
from tests.doubles.edge_station import Station, wait_for
from tests.doubles.mosquitto import find_mosquitto
from tests.doubles.servers import open_folder
from tests.doubles.tls_broker import HAS_OPENSSL, TlsMosquitto, certificates, make_certificates

pytestmark = [
    pytest.mark.skipif(
        find_mosquitto() is None,
        reason="no mosquitto on this machine: scripts/install_mosquitto.sh fetches the package of the system",
    ),
    pytest.mark.skipif(not HAS_OPENSSL, reason="certificates.sh needs openssl"),
]
A, B, LOST = GatewayId("gw-a"), GatewayId("gw-b"), GatewayId("gw-lost")
WAIT_S = 20.0
Check = Callable[[TlsMosquitto], None]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Certificates of three gateways; that of gw-lost is revoked, and kept by whoever has the gateway now."""
    folder = open_folder()
    make_certificates(folder, A, B, LOST)
    for suffix in ("crt", "key"):
        shutil.copy(folder / f"gateways/{LOST}.{suffix}", folder / f"gateways/stolen.{suffix}")
    assert certificates(folder, "revoke", LOST).returncode == 0
    yield folder
    shutil.rmtree(folder)


@contextmanager
def opened(made: Path, changes: Mapping[str, str] | None = None) -> Iterator[TlsMosquitto]:
    """A broker with these certificates."""
    folder = open_folder()
    broker = TlsMosquitto(folder, made, changes)
    try:
        with running(broker, SystemClock()):
            yield broker
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def broker(made: Path) -> Iterator[TlsMosquitto]:
    """The broker as it is deployed."""
    with opened(made) as broker:
        yield broker


class Session:
    """A gateway's adapter with its events in a queue."""

    def __init__(self, port: int, tls: BrokerTls | None, gateway: GatewayId = A, host: str = "127.0.0.1") -> None:
        self.events: queue.Queue[BrokerEvent] = queue.Queue()
        self.broker = MqttBroker(BrokerConfig(host, port, None, None, tls), gateway, self.events.put)

    def outcome(self) -> BrokerEvent:
        """Connect, and give what becomes of it; a refusal in the handshake counts as lost."""
        try:
            self.broker.connect()
        except BrokerUnreachable as error:
            return Lost(str(error))
        return self.events.get(timeout=WAIT_S)

    def __enter__(self) -> Session:
        assert self.outcome() == Connected()
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.close()


@contextmanager
def centre_of(broker: TlsMosquitto, client_id: str = "worker", *, mqtt5: bool = True) -> Iterator[MqttConsumer]:
    """A worker of the centre at its door."""
    consumer = MqttConsumer(
        host=broker.host,
        port=broker.centre_port,
        user="",
        password="",
        client_id=client_id,
        mqtt5=mqtt5,
        tls=broker.tls("centre"),
    )
    with consumer.running():
        consumer.wait_until_connected(WAIT_S)
        yield consumer


@contextmanager
def intruder(broker: TlsMosquitto, who: str, client_id: str, *filters: str) -> Iterator[tuple[mqtt.Client, list[str]]]:
    """A client that does not keep to what a gateway does, with a gateway's certificate; gives what topics it heard."""
    heard: list[str] = []
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    client.tls_set_context(broker.tls(who).context())
    client.on_message = lambda _client, _userdata, message: heard.append(message.topic)
    client.on_connect = lambda it, *_: it.subscribe([(one, mqtt.SubscribeOptions(1)) for one in filters])
    client.on_subscribe = lambda *_: ready.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert ready.wait(WAIT_S)
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


def envelopes_come_and_receipts_go(broker: TlsMosquitto) -> None:
    for mqtt5 in (True, False):
        with centre_of(broker, f"both-ways-{mqtt5}", mqtt5=mqtt5) as centre, Session(broker.port, broker.tls(A)) as one:
            one.broker.publish(b"envelope")
            (arrival,) = centre.receive(10, WAIT_S)
            assert (arrival.topic, arrival.octets) == (envelope_topic(A), b"envelope")
            centre.acknowledge([arrival])
            centre.publish(receipt_topic(A), b"receipt")
            assert one.events.get(timeout=WAIT_S) == ReceiptArrived(b"receipt")


def a_gateway_writes_only_its_own_envelopes(broker: TlsMosquitto) -> None:
    with centre_of(broker, "writes") as centre, intruder(broker, B, B, receipt_topic(B)) as (client, _):
        client.publish(envelope_topic(A), b"as another", qos=1).wait_for_publish(WAIT_S)
        client.publish(receipt_topic(A), b"as the centre", qos=1).wait_for_publish(WAIT_S)
        client.publish(envelope_topic(B), b"its own", qos=1).wait_for_publish(WAIT_S)
        taken = [*centre.receive(1, WAIT_S), *centre.receive(1, 0.2)]
        centre.acknowledge(taken)
        assert [arrival.octets for arrival in taken] == [b"its own"]


def a_gateway_hears_only_its_own_receipts(broker: TlsMosquitto) -> None:
    wanted = ("#", receipt_topic(A), envelope_topic(A), receipt_topic(B))
    with centre_of(broker, "hears") as centre, intruder(broker, B, B, *wanted) as (_, heard):
        with Session(broker.port, broker.tls(A)) as one:
            one.broker.publish(b"envelope")
            centre.acknowledge(centre.receive(10, WAIT_S))
            centre.publish(receipt_topic(A), b"receipt")
            assert one.events.get(timeout=WAIT_S) == ReceiptArrived(b"receipt")
        centre.publish(receipt_topic(B), b"receipt")
        waited = threading.Event()
        for _ in range(int(WAIT_S / 0.05)):
            if receipt_topic(B) in heard:
                break
            waited.wait(0.05)
        assert set(heard) == {receipt_topic(B)}


def a_gateway_throws_nobody_out(broker: TlsMosquitto) -> None:
    with Session(broker.port, broker.tls(A)) as one, centre_of(broker, "metertree-intake") as centre:
        for name in (A, "metertree-intake"):
            with intruder(broker, B, name, receipt_topic(B)):
                one.broker.publish(b"still here")
                taken = centre.receive(10, WAIT_S)
                assert [arrival.octets for arrival in taken] == [b"still here"]
                centre.acknowledge(taken)
        assert one.events.empty()
        assert centre.connected


def each_door_opens_to_its_own(broker: TlsMosquitto) -> None:
    assert isinstance(Session(broker.centre_port, broker.tls(A)).outcome(), Lost)
    assert isinstance(Session(broker.port, broker.tls("centre")).outcome(), Lost)


def nobody_comes_in_without_a_certificate(broker: TlsMosquitto) -> None:
    for port in (broker.port, broker.centre_port):
        assert isinstance(Session(port, broker.tls(None)).outcome(), Lost)
        assert isinstance(Session(port, None).outcome(), Lost)


def a_revoked_gateway_stays_out(broker: TlsMosquitto) -> None:
    assert isinstance(Session(broker.port, broker.tls("stolen"), LOST).outcome(), Lost)


CHECKS: tuple[Check, ...] = (
    envelopes_come_and_receipts_go,
    a_gateway_writes_only_its_own_envelopes,
    a_gateway_hears_only_its_own_receipts,
    a_gateway_throws_nobody_out,
    each_door_opens_to_its_own,
    nobody_comes_in_without_a_certificate,
    a_revoked_gateway_stays_out,
)
OPEN_DOORS: tuple[tuple[str, Mapping[str, str], Check], ...] = (
    (
        "anybody's envelopes may be written",
        {"write m/+/%u/up/envelope": "write m/+/+/up/envelope"},
        a_gateway_writes_only_its_own_envelopes,
    ),
    (
        "anybody's receipts may be read",
        {"read m/+/%u/down/receipt": "read m/+/+/down/receipt"},
        a_gateway_hears_only_its_own_receipts,
    ),
    (
        "a session may have any name",
        {"use_username_as_clientid true": ""},
        a_gateway_throws_nobody_out,
    ),
    (
        "one authority for both doors",
        {"cafile /etc/mosquitto/certs/ca.crt": "cafile /etc/mosquitto/certs/gateways-ca.crt"},
        each_door_opens_to_its_own,
    ),
    (
        "no certificate asked for",
        {
            "require_certificate true": "",
            "use_identity_as_username true": "",
            "use_username_as_clientid true": "",
            "allow_anonymous false": "allow_anonymous true",
        },
        nobody_comes_in_without_a_certificate,
    ),
    (
        "revoked certificates not looked up",
        {"crlfile /etc/mosquitto/certs/gateways-ca.crl": ""},
        a_revoked_gateway_stays_out,
    ),
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
def test_the_doors(check: Check, broker: TlsMosquitto) -> None:
    check(broker)


@pytest.mark.parametrize(("changes", "check"), [one[1:] for one in OPEN_DOORS], ids=[one[0] for one in OPEN_DOORS])
def test_a_door_left_open_is_noticed(
    changes: Mapping[str, str], check: Check, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "WAIT_S", 5.0)
    with opened(made, changes) as broker, pytest.raises((AssertionError, BrokerUnreachable, queue.Empty)):
        check(broker)


def test_a_broker_of_another_authority_is_not_believed(broker: TlsMosquitto) -> None:
    session = Session(broker.port, broker.tls(A, ca="gateways-ca.crt"))
    lost = session.outcome()
    assert isinstance(lost, Lost)
    assert "CERTIFICATE_VERIFY_FAILED" in lost.reason


def test_a_broker_of_another_name_is_not_believed(made: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "certs"
    shutil.copytree(made, elsewhere)
    assert certificates(elsewhere, "broker", "broker.example").returncode == 0
    with opened(elsewhere) as broker:
        lost = Session(broker.port, broker.tls(A)).outcome()
    assert isinstance(lost, Lost)
    assert "IP address mismatch" in lost.reason


def test_the_centre_says_why_it_does_not_get_in(broker: TlsMosquitto, caplog: pytest.LogCaptureFixture) -> None:
    tls = broker.tls("centre", ca="gateways-ca.crt")
    consumer = MqttConsumer(host=broker.host, port=broker.centre_port, user="", password="", client_id="wrong", tls=tls)
    with consumer.running():
        wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text, "the reason in the log")
        assert not consumer.connected


def test_a_renewed_certificate_counts_from_the_next_session(broker: TlsMosquitto, tmp_path: Path) -> None:
    """A certificate that is past its time keeps the gateway out until the new one lies in its place: no restart."""
    kept = tmp_path / "gw-b"
    for suffix in (".crt", ".key"):
        shutil.copy(broker.made / f"gateways/{B}{suffix}", kept.with_suffix(suffix))
    folder = tmp_path / "late"
    shutil.copytree(broker.made, folder)
    done = certificates(folder, "gateway", B, days=-1)
    assert done.returncode == 0, done.stderr
    fresh = kept.with_suffix(".crt").read_bytes()
    shutil.copy(folder / f"gateways/{B}.crt", kept.with_suffix(".crt"))
    session = Session(
        broker.port, BrokerTls(broker.made / "ca.crt", kept.with_suffix(".crt"), kept.with_suffix(".key")), B
    )
    assert isinstance(session.outcome(), Lost)
    kept.with_suffix(".crt").write_bytes(fresh)
    session.events = queue.Queue()
    session.broker._deliver = session.events.put
    with session:
        pass


def examined(broker: TlsMosquitto, version: str = "5") -> str:
    """What the doctor says of the broker."""
    tls = broker.tls("centre")
    words = {
        "broker-host": broker.host,
        "broker-port": broker.centre_port,
        "broker-mqtt": version,
        "broker-ca-file": tls.ca,
        "broker-certificate-file": tls.certificate,
        "broker-key-file": tls.key,
    }
    args = build_parser().parse_args(["doctor", *(f"--{name}={text}" for name, text in words.items())])
    return doctor._broker(Settings(args, {}))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_the_doctor_finds_the_limits_right_and_says_how_long_the_certificate_lasts(
    broker: TlsMosquitto, version: str
) -> None:
    told = examined(broker, version)
    assert "over TLS; our certificate is good for 39" in told
    assert "!" not in told
    assert "the holder of our certificate" in told


def test_the_doctor_tells_what_the_broker_dropped_in_silence(made: Path) -> None:
    """A worker is away, and its queue holds two messages of five; the senders had their PUBACK for all."""
    narrow = {"max_queued_messages 1000000": "max_queued_messages 2", "set_tcp_nodelay true": "sys_interval 1"}
    with opened(made, narrow) as broker:
        with centre_of(broker, "away"):
            pass
        with Session(broker.port, broker.tls(A)) as one:
            assert one.broker._client is not None
            for number in range(5):
                sent = one.broker._client.publish(envelope_topic(A), b"%d" % number, qos=1)
                sent.wait_for_publish(WAIT_S)
                assert sent.is_published()
        wait_for(lambda: "dropped" in examined(broker), "the count")
        told = examined(broker)
    assert "! it has dropped 3 messages" in told
    assert "raise max_queued_messages" in told


def test_a_gateway_process_goes_through_its_door(broker: TlsMosquitto, tmp_path: Path) -> None:
    """From the configuration's file to the centre: meters are read, envelopes sealed, the certificate shown."""
    station = Station(tmp_path, broker, marks=2)  # type: ignore[arg-type]
    config = station.gateway_config(broker=BrokerConfig(broker.host, broker.port, None, None, broker.tls(A)))
    station.config.write_text(config.to_toml())
    try:
        with centre_of(broker, "of-a-process") as centre:
            station.start()
            seen: set[int] = set()
            while seen < {1, 2, 3, 4}:
                arrivals = centre.receive(10, WAIT_S)
                assert arrivals
                seen |= {open_sealed(one.octets, station.signer.verifier()).envelope.seq for one in arrivals}
                centre.acknowledge(arrivals)
            assert station.terminate() == 0
    finally:
        if station.process is not None:
            station.kill()
        station.world.stop()
