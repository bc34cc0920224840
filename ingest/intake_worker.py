"""Which share of the gateways one of several intake workers takes, and under which name it meets the broker.

Topics carry the partition of their gateway, 0 to 63, so worker k of n subscribes to every n-th of them, under a session
of its own. Each gateway has one worker, which keeps its order; what comes while a worker is away waits in its session.
Should two ever take the same gateway, as while their number is changed, the rows of `chain_heads` keep them apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.config import BrokerConfig
from metering.errors import MeteringError
from metering.topics import PARTITIONS

CLIENT_ID = "metertree-intake"
"""The session of a worker that takes everything; worker 2 of 3 adds -2-of-3."""
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter: the one that commits shall not wait ten times for the one that proves."""
_SHARE = re.compile(r"([1-9][0-9]?)/([1-9][0-9]?)\Z")


class ShareInvalid(MeteringError):
    """A worker's share is not k/n with 1 <= k <= n <= 64."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Worker `number` of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, share: str) -> Worker:
        """Read `k/n`; raises ShareInvalid."""
        found = _SHARE.match(share)
        if found is None or not int(found[1]) <= int(found[2]) <= PARTITIONS:
            raise ShareInvalid(f"{share!r} is no share: give k/n with 1 <= k <= n <= {PARTITIONS}, e.g. 1/2 and 2/2")
        return cls(int(found[1]), int(found[2]))

    @property
    def partitions(self) -> Collection[int] | None:
        """The partitions it takes; None for all."""
        return None if self.of == 1 else range(self.number - 1, PARTITIONS, self.of)

    @property
    def client_id(self) -> str:
        """The name of its session, the same at every start."""
        return CLIENT_ID if self.of == 1 else f"{CLIENT_ID}-{self.number}-of-{self.of}"


def consumer_of(broker: BrokerConfig, worker: Worker) -> MqttConsumer:
    """The session of a worker with the broker."""
    return MqttConsumer(
        host=broker.host,
        port=broker.port,
        user=broker.user,
        password=broker.password,
        client_id=worker.client_id,
        partitions=worker.partitions,
        mqtt5=broker.mqtt5,
        tls=broker.tls,
    )
