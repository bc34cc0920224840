"""Three NATS nodes on one machine, with the settings of deploy/nats: a session outlives the node it was made at.

On `make test-cluster` only: to elect leaders takes the nodes half a minute where other work is done beside them.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_agent.adapters.mqtt_broker import MqttBroker
from edge_agent.ports import BrokerEvent, BrokerUnreachable, Connected, ReceiptArrived
from ingest.adapters.mqtt_consumer import MqttConsumer
from metering.clock import SystemClock
from metering.identity import GatewayId
from metering.topics import receipt_topic
from provisioning.gateway_config import BrokerConfig
from tests.doubles.nats_cluster import Cluster, nats_cluster
from tests.doubles.tls_broker import HAS_OPENSSL

A, B = GatewayId("gw-a"), GatewayId("gw-b")
WAIT_S = 60.0
TRIES = 60
pytestmark = [
    pytest.mark.skipif(not HAS_OPENSSL, reason="certificates.sh needs openssl"),
    pytest.mark.skipif("METERTREE_TEST_CLUSTER" not in os.environ, reason="long: make test-cluster"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster; the test of a lost node runs last, since it stays lost."""
    with nats_cluster(A, B) as made:
        yield made


class Session:
    """A gateway's adapter at one node."""

    def __init__(self, cluster: Cluster, node: str, gateway: GatewayId = A, who: str = "") -> None:
        self.events: queue.Queue[BrokerEvent] = queue.Queue()
        config = BrokerConfig("127.0.0.1", cluster.nodes[node].port, None, None, cluster.tls(who or gateway))
        self.broker = MqttBroker(config, gateway, self.events.put)

    def go_online(self) -> None:
        """Connect as the uplink does: again and again, while the cluster elects a leader."""
        clock = SystemClock()
        for _ in range(TRIES):
            try:
                self.broker.connect()
                if self.events.get(timeout=WAIT_S) == Connected():
                    return
            except BrokerUnreachable:
                pass
            clock.sleep(0.2)
        raise AssertionError("no session")

    def __enter__(self) -> Session:
        self.go_online()
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.close()


@contextmanager
def worker_at(cluster: Cluster, node: str) -> Iterator[MqttConsumer]:
    """The one intake worker, at a node."""
    port = cluster.nodes[node].port
    consumer = MqttConsumer(
        host="127.0.0.1", port=port, user="", password="", client_id="metertree-intake", tls=cluster.tls("centre")
    )
    with consumer.running():
        consumer.wait_until_connected(WAIT_S)
        yield consumer


def taken_by(worker: MqttConsumer, count: int) -> list[bytes]:
    """Take and acknowledge so many messages."""
    taken: list[bytes] = []
    while len(taken) < count:
        arrivals = worker.receive(count, WAIT_S)
        assert arrivals, f"{len(taken)} of {count} came"
        taken.extend(arrival.octets for arrival in arrivals)
        worker.acknowledge(arrivals)
    return taken


def test_a_message_goes_from_one_node_to_another(cluster: Cluster) -> None:
    with worker_at(cluster, "n2") as worker, Session(cluster, "n1") as gateway:
        gateway.broker.publish(b"envelope")
        assert taken_by(worker, 1) == [b"envelope"]
        worker.publish(receipt_topic(A), b"receipt")
        assert gateway.events.get(timeout=WAIT_S) == ReceiptArrived(b"receipt")


def test_a_gateway_has_its_own_topics_alone(cluster: Cluster) -> None:
    with worker_at(cluster, "n1") as worker, Session(cluster, "n2", B) as other:
        other.broker._envelope_topic = f"m/59/{A}/up/envelope"
        other.broker.publish(b"as another")
        other.broker._envelope_topic = f"m/5/{B}/up/envelope"
        other.broker.publish(b"its own")
        assert taken_by(worker, 1) == [b"its own"]


def test_what_waits_for_a_worker_outlives_the_node_it_was_at(cluster: Cluster) -> None:
    with worker_at(cluster, "n3"):
        pass
    with Session(cluster, "n1") as gateway:
        for number in range(20):
            gateway.broker.publish(b"%d" % number)
        sent = [b"%d" % number for number in range(20)]
        with worker_at(cluster, "n3") as worker:
            early = taken_by(worker, 5)
            assert early == sent[: len(early)]
        cluster.kill("n3")
        with worker_at(cluster, "n2") as worker:
            # What was taken and whose acknowledgement died with the node comes again.
            late: set[bytes] = set()
            while not late >= {*sent[len(early) :]}:
                late |= {*taken_by(worker, 1)}
            gateway.broker.publish(b"afterwards")
            assert b"afterwards" in taken_by(worker, 1)
