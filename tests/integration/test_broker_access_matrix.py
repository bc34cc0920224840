"""What broker-config writes, before a real Mosquitto: twenty gateways, and none says or hears what is not its own.

Every check of the matrix is asked of the list of names and of the list of patterns; the last tests change the list, the
roots and the certificates while sessions are open.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.embedded.server import running
from metering.clock import SystemClock
from metering.identity import GatewayId
from metering.topics import config_topic, envelope_topic, intake_filter, receipt_topic
from provisioning.authority import Revoked
from provisioning.authority_folder import CentreAuthority, renew_issuing, renew_root
from provisioning.tls_key import own_certificate
from tests.doubles.access_broker import AccessMosquitto, certify, make_certified
from tests.doubles.edge_station import wait_for
from tests.doubles.mosquitto import find_mosquitto
from tests.doubles.servers import open_folder

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None,
    reason="no mosquitto on this machine: scripts/install_mosquitto.sh fetches the package of the system",
)
GATEWAYS = [GatewayId(f"gw-{number:02d}") for number in range(20)]
WAIT_S = 20.0
NOW: datetime = SystemClock().now()
QOS = 1


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Certificates of twenty gateways, the broker and the centre."""
    folder = open_folder()
    make_certified(folder, NOW, *GATEWAYS)
    yield folder
    shutil.rmtree(folder)


class Client:
    """A session that says and asks what it likes, with somebody's certificate."""

    def __init__(self, broker: AccessMosquitto, who: GatewayId | None, *filters: str) -> None:
        self.heard: list[str] = []
        self.answers: dict[int, ReasonCode] = {}
        self.is_in, self.is_out = threading.Event(), threading.Event()
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=who or "centre", protocol=mqtt.MQTTv5)
        self.mqtt.tls_set_context(broker.tls(who).context())
        self.mqtt.on_message = lambda _client, _userdata, message: self.heard.append(message.topic)
        self.mqtt.on_publish = self._published
        self.mqtt.on_connect = lambda it, *_: it.subscribe([(one, mqtt.SubscribeOptions(QOS)) for one in filters])
        self.mqtt.on_subscribe = lambda *_: self.is_in.set()
        self.mqtt.on_disconnect = lambda *_: self.is_out.set()
        self._port = broker.centre_port if who is None else broker.port
        self._host = broker.host

    def _published(self, _client: object, _userdata: object, number: int, code: ReasonCode, _: Properties) -> None:
        self.answers[number] = code

    def say(self, topic: str, octets: bytes = b"x") -> int:
        """Publish; gives the number under which the answer will stand."""
        return self.mqtt.publish(topic, octets, qos=QOS).mid

    def is_let_in(self) -> bool:
        """Try to come in, and leave."""
        try:
            with self:
                return True
        except (OSError, AssertionError):
            return False

    def __enter__(self) -> Client:
        self.mqtt.connect(self._host, self._port)
        self.mqtt.loop_start()
        try:
            wait_for(lambda: self.is_in.is_set() or self.is_out.is_set(), "an answer of the broker")
            assert self.is_in.is_set()
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()
        self.mqtt._reset_sockets()  # else they are left to the collector, which may come to them first


@contextmanager
def opened(made: Path, named: list[GatewayId] | None) -> Iterator[tuple[AccessMosquitto, subprocess.Popen[bytes]]]:
    """A broker with a list of names, or of patterns."""
    folder = open_folder()
    broker = AccessMosquitto(folder, made, named)
    try:
        with running(broker, SystemClock()) as process:
            yield broker, process
    finally:
        shutil.rmtree(folder)


def topics_of(gateway: GatewayId) -> tuple[str, str, str]:
    return envelope_topic(gateway), receipt_topic(gateway), config_topic(gateway)


WILDCARDS = (
    "#",
    "m/#",
    "+/+/+/+/+",
    "m/+/+/down/receipt",
    "m/+/+/up/envelope",
    "$SYS/#",
    "$share/g/m/#",
    "m/+/gw-01/#",
)


@pytest.mark.parametrize("named", [GATEWAYS, None], ids=["names", "patterns"])
def test_of_twenty_gateways_none_says_or_hears_what_is_not_its_own(made: Path, named: list[GatewayId] | None) -> None:
    every = [topic for gateway in GATEWAYS for topic in topics_of(gateway)]
    with opened(made, named) as (broker, _), ExitStack() as stack:
        centre = stack.enter_context(Client(broker, None, intake_filter()))
        clients = {gateway: stack.enter_context(Client(broker, gateway, *WILDCARDS, *every)) for gateway in GATEWAYS}
        said = {gateway: {topic: client.say(topic) for topic in every} for gateway, client in clients.items()}
        for gateway, client in clients.items():
            wait_for(lambda one=client, own=said[gateway]: len(one.answers) >= len(own), f"all answers to {gateway}")
            let_through = {topic for topic, number in said[gateway].items() if not client.answers[number].is_failure}
            assert let_through == {envelope_topic(gateway)}
        wait_for(lambda: len(centre.heard) >= len(GATEWAYS), "what gateways said")
        assert sorted(centre.heard) == sorted(map(envelope_topic, GATEWAYS)), "each once, from itself"
        for gateway in GATEWAYS:
            for topic in topics_of(gateway)[1:]:
                centre.say(topic)
        wait_for(lambda: len(centre.answers) >= 2 * len(GATEWAYS), "all answers to the centre")
        for gateway, client in clients.items():
            own = set(topics_of(gateway)[1:])
            wait_for(lambda one=client, topics=own: topics <= set(one.heard), f"what is for {gateway}")
            assert set(client.heard) == own


def test_who_is_taken_off_the_list_is_shut_out_of_its_open_session(made: Path) -> None:
    """The second step after the registry's refusal: no new session, and nothing more from the one that is open."""
    lost, good = GATEWAYS[3], GATEWAYS[4]
    with opened(made, GATEWAYS) as (broker, process), ExitStack() as stack:
        centre = stack.enter_context(Client(broker, None, intake_filter()))
        thief = stack.enter_context(Client(broker, lost, receipt_topic(lost)))
        other = stack.enter_context(Client(broker, good, receipt_topic(good)))
        thief.say(envelope_topic(lost))
        wait_for(lambda: envelope_topic(lost) in centre.heard, "the last that counts")
        broker.write_list(one for one in GATEWAYS if one != lost)
        process.send_signal(signal.SIGHUP)

        def is_refused() -> bool:
            number = thief.say(envelope_topic(lost))
            wait_for(lambda: number in thief.answers or thief.is_out.is_set(), "an answer")
            return thief.is_out.is_set() or thief.answers[number].is_failure

        wait_for(is_refused, "the list to count")
        before = centre.heard.count(envelope_topic(lost))
        thief.say(envelope_topic(lost))
        other.say(envelope_topic(good))
        wait_for(lambda: envelope_topic(good) in centre.heard, "what others say")
        assert centre.heard.count(envelope_topic(lost)) == before
        centre.say(receipt_topic(lost))
        centre.say(receipt_topic(good))
        wait_for(lambda: receipt_topic(good) in other.heard, "what is for others")
        assert receipt_topic(lost) not in thief.heard


def test_a_certificate_on_the_list_of_revoked_ones_opens_no_session(made: Path) -> None:
    lost, good = GATEWAYS[5], GATEWAYS[6]
    folder = open_folder()
    shutil.copytree(made, folder, dirs_exist_ok=True)
    certificate = own_certificate(folder / "gateways" / lost)
    assert certificate is not None
    authority = CentreAuthority.read(folder / "ca/centre")
    pem = authority.revoked_list([Revoked(certificate.serial_number, NOW)], NOW)
    (folder / "ca/broker/gateways.crl").write_bytes(pem)
    with opened(folder, GATEWAYS) as (broker, _):
        assert Client(broker, good, receipt_topic(good)).is_let_in()
        assert not Client(broker, lost, receipt_topic(lost)).is_let_in()
    shutil.rmtree(folder)


def test_while_a_new_root_takes_over_gateways_of_both_are_let_in(made: Path) -> None:
    old, new = GATEWAYS[0], GATEWAYS[1]
    folder = open_folder()
    shutil.copytree(made, folder, dirs_exist_ok=True)
    renew_root(folder / "ca", "gateways-root", NOW)
    renew_issuing(folder / "ca", NOW + timedelta(seconds=1))
    before = own_certificate(folder / "gateways" / new)
    certify(folder, new, NOW)
    after = own_certificate(folder / "gateways" / new)
    assert before is not None
    assert after is not None
    assert after != before
    with opened(folder, GATEWAYS) as (broker, _):
        assert Client(broker, old, receipt_topic(old)).is_let_in()
        assert Client(broker, new, receipt_topic(new)).is_let_in()
    (folder / "ca/gateways-root-1.crt").unlink()
    renew_issuing(folder / "ca", NOW + timedelta(seconds=2))
    with opened(folder, GATEWAYS) as (broker, _):
        assert not Client(broker, old, receipt_topic(old)).is_let_in(), "the old root is not believed any more"
        assert Client(broker, new, receipt_topic(new)).is_let_in()
    shutil.rmtree(folder)


def test_each_door_is_for_its_own(made: Path) -> None:
    with opened(made, GATEWAYS) as (broker, _):
        centre_at_the_other, gateway_at_the_other = Client(broker, None), Client(broker, GATEWAYS[0])
        centre_at_the_other._port, gateway_at_the_other._port = broker.port, broker.centre_port
        assert not centre_at_the_other.is_let_in()
        assert not gateway_at_the_other.is_let_in()
