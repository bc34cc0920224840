"""What is to be simulated: lines, the meters on them, and how each misbehaves; from a TOML file or from plain words.

    seed = 7
    [[lines]]
    path = "/tmp/line-1"          # a pseudo-terminal, or tcp = "127.0.0.1:5020"
    kind = "serial"               # serial | stream (octets as they are, over TCP) | modbus-tcp
    baud = 9600
    [[lines.meters]]
    profile = "chint/dtsu666"
    address = "1"
    late = 20                     # any word of `Misbehaviour`, underscores as hyphens
    serial = 23001234             # shown where the profile reads a serial number
    parity = "E"                  # baud, parity: where the meter is not set as the line; the line is then heard as the
                                  # gateway sets it

Every mistake is found in one run and named with its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from device_profiles.catalogue import Catalogue
from device_profiles.checked_table import CheckedTable, Faults
from device_profiles.families import family_of
from device_profiles.framing import codec_of
from device_profiles.living_registers import LivingRegisters
from device_profiles.misbehaviour import HONEST, SHARES, Misbehaviour
from device_profiles.profile import Profile, Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from metering.errors import MeteringError
from metering.identity import MeterId
from metering.toml_source import TomlSource

BAUD_MIN, BAUD_MAX = 300, 921_600
BAUD = 9600
PARITIES = ("N", "E", "O")
SEED = 1
SECONDS_MAX = 10**9
PORT_MAX = 65_535


class ScenarioInvalid(MeteringError):
    """What is to be simulated cannot be."""


class LineKind(StrEnum):
    """What a line is: a pseudo-terminal, octets as they are over TCP, or Modbus TCP."""

    SERIAL = "serial"
    STREAM = "stream"
    MODBUS_TCP = "modbus-tcp"

    def carries(self, protocol: Protocol) -> bool:
        """Say whether meters that speak `protocol` can be on such a line."""
        if self is LineKind.MODBUS_TCP:
            return protocol is Protocol.MODBUS_TCP
        if self is LineKind.SERIAL:
            return protocol.is_serial
        return protocol not in (Protocol.MODBUS_TCP, Protocol.PULSE, Protocol.HAND)


@dataclass(frozen=True, slots=True)
class SimulatedSpec:
    """One meter to simulate.

    speed    how the meter itself is set; None: as the line is
    serial   its number, where its profile reads one; None for a drawn one
    """

    profile: Profile
    protocol: Protocol
    address: str
    ways: Misbehaviour = HONEST
    speed: Speed | None = None
    serial: int | None = None


@dataclass(frozen=True, slots=True)
class LineSpec:
    """One line to simulate; `place` is a path, or host:port. `noise` is a share of requests [%]."""

    kind: LineKind
    place: str
    speed: Speed
    meters: tuple[SimulatedSpec, ...]
    echo: bool = False
    noise: int = 0

    def __post_init__(self) -> None:
        if not self.meters:
            raise ScenarioInvalid(f"line {self.place} has no meter")
        if self.kind is not LineKind.SERIAL:
            endpoint(self.place)
        if self.kind is LineKind.MODBUS_TCP:
            _check_distinct(self.place, self.meters)

    def timed_line(self, seed: int, wall_s: int) -> TimedLine:
        """Give the line, its time beginning at 0; `wall_s` is what its meters' clocks show then [s since 1970]."""
        own = f"{seed}/{self.place}"
        meters: list[LineMeter] = []
        for number, each in enumerate(self.meters):
            meter_id = MeterId(f"meter-{number + 1}")
            meter = SimulatedMeter(meter_id, each.profile, each.protocol, each.address, each.serial)
            registers = LivingRegisters(each.profile, f"{seed}/{each.address}/{number}", wall_s, each.ways)
            meters.append(LineMeter(meter, registers, each.ways, each.speed))
        return TimedLine(meters, self.speed, own, echo=self.echo, noise=self.noise)

    def with_ways(self, given: Mapping[str, Any]) -> LineSpec:
        """Give the line with these words of `Misbehaviour` for all of its meters."""
        meters = tuple(replace(each, ways=replace(each.ways, **given)) for each in self.meters)
        return replace(self, meters=meters)


@dataclass(frozen=True, slots=True)
class Scenario:
    """All lines, and the seed that everything is drawn from."""

    seed: int
    lines: tuple[LineSpec, ...]

    def __post_init__(self) -> None:
        places = [line.place for line in self.lines if not line.place.endswith(":0")]
        for place in places:
            if places.count(place) > 1:
                raise ScenarioInvalid(f"two lines are at {place}; give each its own place")


def endpoint(place: str) -> tuple[str, int]:
    """Give host and port of `host:port`; raises ScenarioInvalid."""
    host, _, number = place.rpartition(":")
    if not host or not number.isdecimal() or int(number) > PORT_MAX:
        raise ScenarioInvalid(f"{place!r} is not of the form host:port")
    return host, int(number)


def simulated_spec(
    catalogue: Catalogue, kind: LineKind, profile_id: str, address: str, protocol: str, ways: Misbehaviour = HONEST
) -> SimulatedSpec:
    """Give a meter by plain words; protocol "": the first that the line carries. Raises MeteringError."""
    profile = catalogue.by_id(profile_id)
    spoken = [each for each in _spoken(profile) if kind.carries(each)]
    if protocol:
        try:
            spoken = [each for each in [Protocol(protocol)] if kind.carries(each)]
        except ValueError:
            raise ScenarioInvalid(f"{protocol!r} is no protocol; known: {', '.join(Protocol)}") from None
    if not spoken:
        told = protocol or ", ".join(profile.links)
        raise ScenarioInvalid(f"a {kind} line does not carry {told}, so {profile_id} cannot be on it")
    profile.link(spoken[0])
    return SimulatedSpec(profile, spoken[0], codec_of(spoken[0]).check_address(address), ways)


def read_scenario(source: TomlSource, catalogue: Catalogue) -> Scenario:
    """Read a scenario; raises DocumentError with every mistake and its line."""
    faults = Faults(source)
    root = CheckedTable(source.content, (), faults)
    seed = root.integer("seed", 0, SECONDS_MAX, SEED)
    lines = [line for table in root.tables("lines") if (line := _line(table, catalogue)) is not None]
    root.done()
    faults.raise_if_any()
    try:
        return Scenario(seed, tuple(lines))
    except ScenarioInvalid as error:
        root.fault("lines", str(error), "mend the paths")
    faults.raise_if_any()
    raise ScenarioInvalid("no scenario")


def _line(table: CheckedTable, catalogue: Catalogue) -> LineSpec | None:
    known = len(table.faults.found)
    over_tcp = "tcp" in table
    kind = LineKind(table.choice("kind", tuple(LineKind), LineKind.STREAM if over_tcp else LineKind.SERIAL))
    if over_tcp is (kind is LineKind.SERIAL):
        table.fault("kind", f"a {kind} line is not there", 'give path = "..." for serial, tcp = "host:port" otherwise')
    place = table.text("tcp" if over_tcp else "path")
    on_wire = kind is LineKind.SERIAL or "baud" in table
    speed = Speed(
        table.integer("baud", BAUD_MIN, BAUD_MAX, BAUD) if on_wire else 0,
        table.choice("parity", PARITIES, "N"),
        table.integer("stopbits", 1, 2, 1),
        table.integer("databits", 7, 8, 8),
    )
    echo, noise = table.boolean("echo", False), table.integer("noise", 0, 100, 0)
    meters = [meter for each in table.tables("meters") if (meter := _meter(each, kind, catalogue)) is not None]
    table.done()
    if len(table.faults.found) > known:
        return None
    try:
        return LineSpec(kind, place, speed, tuple(meters), echo, noise)
    except ScenarioInvalid as error:
        table.fault("tcp" if over_tcp else "", str(error), "mend the line")
        return None


def _meter(table: CheckedTable, kind: LineKind, catalogue: Catalogue) -> SimulatedSpec | None:
    known = len(table.faults.found)
    profile, address, protocol = table.text("profile"), table.text("address"), table.text("protocol", "")
    ways = _ways(table)
    speed = _own_speed(table, kind)
    serial = table.integer("serial", 1, 10**12 - 1) if "serial" in table else None
    table.done()
    if len(table.faults.found) > known:
        return None
    try:
        spec = simulated_spec(catalogue, kind, profile, address, protocol, ways)
        return replace(spec, speed=speed, serial=serial)
    except MeteringError as error:
        table.fault("", str(error), "mend profile, address or protocol")
        return None


def _own_speed(table: CheckedTable, kind: LineKind) -> Speed | None:
    """Read how a meter is set that is not set as its line."""
    if "baud" not in table and "parity" not in table:
        return None
    if kind is not LineKind.SERIAL:
        table.fault("baud", "only a serial line can be set otherwise than a meter", "leave baud and parity out")
    return Speed(table.integer("baud", BAUD_MIN, BAUD_MAX, BAUD), table.choice("parity", PARITIES, "N"))


def _ways(table: CheckedTable) -> Misbehaviour:
    """Read the words of `Misbehaviour` that the table has."""
    given: dict[str, Any] = {}
    for each in fields(Misbehaviour):
        key = each.name.replace("_", "-")
        if key not in table:
            continue
        if each.name == "wrong_parity":
            given[each.name] = table.boolean(key)
        else:
            given[each.name] = table.integer(key, *bounds(each.name))
    return Misbehaviour(**given)


def bounds(name: str) -> tuple[int, int]:
    """Give least and most of a number of `Misbehaviour`."""
    if name in SHARES:
        return 0, 100
    return (-SECONDS_MAX if name == "clock_jump_s" else 0), SECONDS_MAX


def _spoken(profile: Profile) -> Iterable[Protocol]:
    """List how a model can be spoken to; what speaks RTU does so over TCP too, behind a device server."""
    if Protocol.MODBUS_RTU in profile.links:
        yield Protocol.MODBUS_RTU_OVER_TCP
    yield from profile.links


def _check_distinct(place: str, meters: Iterable[SimulatedSpec]) -> None:
    seen: set[tuple[str, str]] = set()
    for each in meters:
        key = (family_of(each.protocol).name, each.address)
        if key in seen:
            raise ScenarioInvalid(f"{place}: address {each.address} stands twice; only on a wire can meters collide")
        seen.add(key)
