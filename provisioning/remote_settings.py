"""What of a gateway's configuration may be set from afar, as the TOML text of a signed order (metering/order.py).

Who the gateway is, its keys, where it keeps its state, its login at the broker and whether it speaks TLS are not here:
an order cannot take a gateway away from its centre, nor make it speak in the clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from metering.errors import DocumentError
from metering.identity import GatewayId, PortId
from metering.toml_source import TomlSource
from provisioning.document import LEFT_OUT, DocumentMismatch, from_document, to_document
from provisioning.gateway_config import FittedMeter, GatewayConfig, GroupInterval, toml_text, wired
from provisioning.site import Port, Site, SiteInvalid

TRIAL_S = (60, 3600)
"""Bounds of how long new settings may take to prove themselves [s]."""


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where the broker listens; login and TLS stay as they are on the gateway."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """What a gateway is to read, and where it sends it.

    trial_s    how long they may take until the centre was heard and meters answered [s]; else the old ones are back
    broker     None: as it is
    intervals  None: as they are
    """

    every_s: int
    group: str
    trial_s: int
    ports: tuple[Port, ...]
    meters: tuple[FittedMeter, ...]
    broker: BrokerPlace | None = field(default=None, metadata=LEFT_OUT)
    intervals: tuple[GroupInterval, ...] | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        if not TRIAL_S[0] <= self.trial_s <= TRIAL_S[1]:
            raise SiteInvalid(f"trial_s {self.trial_s}: choose {TRIAL_S[0]} to {TRIAL_S[1]} s")
        if not self.meters:
            raise SiteInvalid("settings without a meter: a gateway that has nothing to read is taken away instead")

    def applied_to(self, config: GatewayConfig) -> GatewayConfig:
        """Give `config` with these settings in it; raises SiteInvalid where they do not fit it."""
        foreign = [port.id for port in self.ports if port.gateway != config.gateway]
        if foreign:
            raise SiteInvalid(f"port {foreign[0]} is not one of {config.gateway}")
        broker = config.broker
        if self.broker is not None:
            broker = replace(broker, host=self.broker.host, port=self.broker.port)
        return replace(
            config,
            every_s=self.every_s,
            group=self.group,
            ports=self.ports,
            meters=self.meters,
            intervals=config.intervals if self.intervals is None else self.intervals,
            broker=broker,
        )

    def to_toml(self) -> str:
        """Give the text of an order."""
        return toml_text(to_document(self))

    @classmethod
    def from_text(cls, text: str, name: str = "settings") -> RemoteSettings:
        """Read the text of an order; raises DocumentError with the line of the mistake."""
        source = TomlSource.parse(text, name)
        try:
            return from_document(cls, source.content)
        except DocumentMismatch as error:
            mend = "derive them anew from the site, or mend this line"
            raise DocumentError((source.fault(*error.place, problem=str(error), mend=mend),)) from error


def remote_settings(
    site: Site,
    gateway: GatewayId,
    *,
    every_s: int,
    group: str,
    trial_s: int,
    places: Mapping[PortId, str],
    intervals: tuple[GroupInterval, ...] | None = None,
) -> RemoteSettings:
    """Derive a gateway's settings from its site; raises NotInSite for a gateway that is not there.

    places   where a port is on that machine, if not where the site says: a device path, or `host:port`
    """
    ports, meters = wired(site, gateway, places)
    return RemoteSettings(every_s, group, trial_s, ports, meters, None, intervals)
