"""What one gateway must know to run: who it is, its keys, its broker, its ports and meters. One TOML file.

It is derived from the site (`gateway_config`), so that a meter is described once. The site may change: a new file is
derived then and the gateway restarted; nothing in it can touch the outbox.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from device_profiles.profile import Protocol
from metering.errors import DocumentError
from metering.identity import GatewayId, MeterId, PortId, check_identifier
from metering.interval import SiteCalendar
from metering.toml_source import TomlSource
from provisioning.broker_tls import BrokerTls
from provisioning.document import LEFT_OUT, DocumentMismatch, from_document, to_document
from provisioning.site import LineSettings, Port, SerialPort, Site, SiteInvalid, Span, StreamPort


class ClockKind(StrEnum):
    """Which clock the gateway follows."""

    SYSTEM = "system"
    PLAYED = "played"


@dataclass(frozen=True, slots=True)
class ClockConfig:
    """The clock; `host` and `port` are those of the time server of a played clock, None for the system's."""

    kind: ClockKind
    host: str | None
    port: int | None

    def __post_init__(self) -> None:
        if self.kind is ClockKind.PLAYED and (self.host is None or self.port is None):
            raise SiteInvalid("a played clock needs host and port of its time server")


SYSTEM_CLOCK = ClockConfig(ClockKind.SYSTEM, None, None)


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where the MQTT broker listens, and as whom to connect. Without `tls` nothing is encrypted."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    tls: BrokerTls | None = None


@dataclass(frozen=True, slots=True)
class HttpWay:
    """Where the centre takes envelopes over HTTP, for networks that let no MQTT out: http://host:port or https://...

    ca   PEM file the centre's certificate must come from; None: the authorities this machine believes
    """

    url: str
    ca: Path | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SiteInvalid(f"{self.url}: give the centre as http://host:port or https://host:port")


@dataclass(frozen=True, slots=True)
class FittedMeter:
    """A meter as the gateway sees it: how to ask it, and during which span it is there to be asked."""

    id: MeterId
    port: PortId
    profile: str
    protocol: Protocol
    address: str
    span: Span
    line: LineSettings | None = field(default=None, metadata=LEFT_OUT)


INTERVAL_S_MIN = 10
"""Groups read beside the marks are read no more often than this [s]."""


@dataclass(frozen=True, slots=True)
class GroupInterval:
    """A channel group that is read every `every_s` [s] in the time that the marks leave, where a profile has it."""

    group: str
    every_s: int

    def __post_init__(self) -> None:
        if self.every_s < INTERVAL_S_MIN:
            raise SiteInvalid(f"group {self.group} every {self.every_s} s: choose {INTERVAL_S_MIN} s or more")

    @classmethod
    def parse(cls, text: str) -> GroupInterval:
        """Read `status:60`; raises SiteInvalid."""
        group, _, seconds = text.partition(":")
        if not group or not seconds.isdecimal():
            raise SiteInvalid(f"{text!r}: write a group and its rhythm in seconds, such as status:60")
        return cls(group, int(seconds))


LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """Where `status` and Prometheus ask the running gateway. Anybody who reaches this port may read, nobody may change.

    beyond_this_machine   True: `host` may be an address that others reach
    """

    host: str
    port: int
    beyond_this_machine: bool | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise SiteInvalid(f"{self.port} is no port")
        if self.host not in LOOPBACK and not self.beyond_this_machine:
            raise SiteInvalid(
                f"{self.host} can be reached from other machines: choose 127.0.0.1, or say beyond_this_machine = true"
            )


@dataclass(frozen=True, slots=True)
class TimeConfig:
    """How the gateway goes about time.

    zone                        IANA name of the zone that the meters' own clocks show, None: not compared
    undated_until_synchronised  True: a clock that nobody synchronised since the machine's boot is not believed; for
                                machines without a clock battery, such as a Pi
    correct_beyond_s            set meters' clocks that are wrong by more than this [s]; None: never
    """

    zone: str | None = field(default=None, metadata=LEFT_OUT)
    undated_until_synchronised: bool | None = field(default=None, metadata=LEFT_OUT)
    correct_beyond_s: int | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        if self.zone is not None:
            SiteCalendar(self.zone)
        if self.correct_beyond_s is not None and (self.zone is None or self.correct_beyond_s < 10):
            raise SiteInvalid("correct_beyond_s needs the zone of the meters, and 10 s or more")


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Everything `metertree-gateway run` reads.

    epoch        granted at enrolment
    boot         16 octets naming this boot of the machine
    state_dir    holds the outbox
    every_s      time between marks [s]
    group        name of the profiles' channel group that is read at each mark
    intervals    further groups, each with a rhythm of its own
    face         None: nobody can ask the running gateway
    http         what to send over instead of the broker; None: the broker
    bundle       SHA-256 of what the epoch's chain begins with: the installation's bundle, or the statement by which
                 the key before handed over; None: enrolled without one
    renewal      where the certificate for the broker is renewed; None: nobody renews it
    outranks     what stands here is newer than the centre's orders up to this number; None: than none
    """

    gateway: GatewayId
    epoch: int
    boot: bytes
    state_dir: Path
    signing_key: Path
    centre_public_key: Path
    every_s: int
    group: str
    broker: BrokerConfig
    clock: ClockConfig
    ports: tuple[Port, ...]
    meters: tuple[FittedMeter, ...]
    intervals: tuple[GroupInterval, ...] | None = field(default=None, metadata=LEFT_OUT)
    face: FaceConfig | None = field(default=None, metadata=LEFT_OUT)
    time: TimeConfig | None = field(default=None, metadata=LEFT_OUT)
    http: HttpWay | None = field(default=None, metadata=LEFT_OUT)
    bundle: bytes | None = field(default=None, metadata=LEFT_OUT)
    outranks: int | None = field(default=None, metadata=LEFT_OUT)
    renewal: HttpWay | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        check_identifier(self.gateway)
        if self.epoch < 1:
            raise SiteInvalid("epoch counts from 1")
        if len(self.boot) != 16:
            raise SiteInvalid(f"boot must be 16 octets, not {len(self.boot)}")
        if self.bundle is not None and len(self.bundle) != 32:
            raise SiteInvalid(f"bundle must be 32 octets, not {len(self.bundle)}")
        known = {port.id for port in self.ports}
        for meter in self.meters:
            if meter.port not in known:
                raise SiteInvalid(f"meter {meter.id} names port {meter.port}, which is not here")

    def meters_on(self, port: PortId) -> tuple[FittedMeter, ...]:
        """List the meters of one port."""
        return tuple(meter for meter in self.meters if meter.port == port)

    def to_toml(self) -> str:
        """Give the file form; reading it back gives an equal object."""
        return toml_text(to_document(self))

    @classmethod
    def read(cls, path: Path) -> GatewayConfig:
        """Read the file form; raises DocumentError with the line of the mistake."""
        return cls.from_toml(TomlSource.read(path))

    @classmethod
    def from_toml(cls, source: TomlSource) -> GatewayConfig:
        """Read the parsed file form; raises DocumentError with the line of the mistake."""
        try:
            return from_document(cls, source.content)
        except DocumentMismatch as error:
            mend = "derive the file anew from the site, or mend this line"
            raise DocumentError((source.fault(*error.place, problem=str(error), mend=mend),)) from error


def gateway_config(
    site: Site,
    gateway: GatewayId,
    *,
    epoch: int,
    boot: bytes,
    state_dir: Path,
    signing_key: Path,
    centre_public_key: Path,
    broker: BrokerConfig,
    clock: ClockConfig,
    every_s: int,
    group: str,
    places: Mapping[PortId, str],
    intervals: tuple[GroupInterval, ...] | None = None,
) -> GatewayConfig:
    """Derive a gateway's configuration from its site; raises NotInSite for a gateway that is not there.

    places   where a port is on this machine, if not where the site says: a device path, or `host:port`
    """
    ports, meters = wired(site, gateway, places)
    return GatewayConfig(
        gateway=gateway,
        epoch=epoch,
        boot=boot,
        state_dir=state_dir,
        signing_key=signing_key,
        centre_public_key=centre_public_key,
        every_s=every_s,
        group=group,
        broker=broker,
        clock=clock,
        ports=ports,
        meters=meters,
        intervals=intervals,
        time=TimeConfig(zone=site.calendar.zone) if any(_freezes(port) for port in ports) else None,
    )


def _freezes(port: Port) -> bool:
    """Say whether meters of `port` are told to freeze, which is believed by their clocks: their zone must be known."""
    return isinstance(port, SerialPort | StreamPort) and bool(port.freeze)


def wired(
    site: Site, gateway: GatewayId, places: Mapping[PortId, str]
) -> tuple[tuple[Port, ...], tuple[FittedMeter, ...]]:
    """Give the ports of a gateway, at their `places`, and the meters on them; raises NotInSite."""
    ports: tuple[Port, ...] = tuple(
        port.at(places[port.id]) if port.id in places else port for port in site.ports_of(site.gateway(gateway).id)
    )
    meters = tuple(
        FittedMeter(meter.id, meter.port, meter.profile, meter.protocol, meter.address, meter.span, meter.line)
        for meter in site.meters_of(gateway)
    )
    return ports, meters


def toml_text(document: Mapping[str, Any]) -> str:
    """Give a document as TOML."""
    return "\n".join(_toml(document)) + "\n"


def _toml(table: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """Give the lines of a table: its plain keys, then its tables and arrays of tables; None is left out."""
    nested = {key: part for key, part in table.items() if isinstance(part, dict) or (isinstance(part, list) and part)}
    for key, part in table.items():
        if key not in nested and part is not None:
            yield f"{key} = {json.dumps(part, ensure_ascii=False)}"
    for key, part in nested.items():
        path = f"{name}.{key}" if name else key
        for inner in part if isinstance(part, list) else [part]:
            yield ""
            yield f"[[{path}]]" if isinstance(part, list) else f"[{path}]"
            yield from _toml(inner, path)
