"""What a gateway reports about itself, in its own chain: the leaves of an envelope of kind `report`.

An *anchor* says what time it was at one moment of a boot, counted in that boot's own time. It dates everything that was
sealed in that boot while the clock was unknown: such an envelope counts `sealed_at` from the boot. A *serial seen* says
which number a meter has, where that is new: an exchange that nobody declared shows in it. A *settings report* says what
became of settings that the centre sent. A record of a form that is not known here is passed over: it is kept in the
envelope, signed, and a later version may read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from metering.envelope import EnvelopeMalformed, expect_bytes, expect_int, expect_list, expect_text, from_ms, to_ms
from metering.identity import IdentifierInvalid, MeterId, PortId, check_identifier

SERIAL_LENGTH_MAX = 64
REASON_LENGTH_MAX = 500
"""A reason is for a person to read, not for a log."""


class TimeSource(StrEnum):
    """Where a gateway had the time from."""

    HOST = "host"
    """The kernel of the machine said that its clock is synchronised."""
    RECEIPT = "receipt"
    """The centre's signed time in a receipt, between sealing what it covers and its arrival."""


class Outcome(StrEnum):
    """What became of settings that the centre sent."""

    APPLIED = "applied"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Anchor:
    """At `since_boot_ms` of boot `boot` [ms] it was `instant`, give or take `error_ms` [ms]."""

    boot: bytes
    since_boot_ms: int
    instant: datetime
    error_ms: int
    source: TimeSource

    def dated(self, counted: datetime) -> datetime:
        """Give the true time of an instant that counts from the boot; raises EnvelopeMalformed if that is none."""
        return from_ms(to_ms(self.instant) + to_ms(counted) - self.since_boot_ms)

    def to_wire(self) -> tuple[Any, ...]:
        """Give the leaf."""
        return ("anchor", self.boot, self.since_boot_ms, to_ms(self.instant), self.error_ms, str(self.source))


@dataclass(frozen=True, slots=True)
class SettingsReport:
    """Settings number `version` were applied, rolled back or refused, for a reason in words."""

    version: int
    outcome: Outcome
    reason: str

    def to_wire(self) -> tuple[Any, ...]:
        """Give the leaf."""
        return ("settings", self.version, str(self.outcome), self.reason[:REASON_LENGTH_MAX])


@dataclass(frozen=True, slots=True)
class ClocksSet:
    """The clocks of meters on `port` were set by a broadcast, because these were so far ahead [s]; behind: below 0."""

    port: PortId
    ahead_s: tuple[tuple[MeterId, int], ...]

    def to_wire(self) -> tuple[Any, ...]:
        """Give the leaf."""
        return ("clocks-set", self.port, [list(one) for one in self.ahead_s])


@dataclass(frozen=True, slots=True)
class SerialSeen:
    """`meter` told at `read_at` that its serial number is `serial`: the first time, or another than before."""

    meter: MeterId
    serial: str
    read_at: datetime

    def to_wire(self) -> tuple[Any, ...]:
        """Give the leaf."""
        return ("serial", self.meter, self.serial, to_ms(self.read_at))


Record = Anchor | SettingsReport | ClocksSet | SerialSeen


def read_records(leaves: Iterable[Any]) -> tuple[Record, ...]:
    """Parse the leaves of a report; those of unknown form are left out. Raises EnvelopeMalformed."""
    return tuple(record for leaf in leaves if (record := _record(leaf)) is not None)


def _record(leaf: Any) -> Record | None:
    fields = expect_list(leaf, None, "record")
    tag = expect_text(fields[0] if fields else None, "tag")
    try:
        if tag == "anchor":
            return _anchor(expect_list(fields, 6, "anchor"))
        if tag == "settings":
            return _settings(expect_list(fields, 4, "settings report"))
        if tag == "clocks-set":
            return _clocks_set(expect_list(fields, 3, "clocks set"))
        if tag == "serial":
            return _serial_seen(expect_list(fields, 4, "serial"))
    except (ValueError, IdentifierInvalid) as error:
        raise EnvelopeMalformed(f"{tag}: {error}") from error
    return None


def _anchor(fields: Any) -> Anchor:
    return Anchor(
        boot=expect_bytes(fields[1], 16, "boot"),
        since_boot_ms=expect_int(fields[2], "since boot", 0, 2**47),
        instant=from_ms(expect_int(fields[3], "instant", -(2**47), 2**47)),
        error_ms=expect_int(fields[4], "error", 0, 2**47),
        source=TimeSource(expect_text(fields[5], "source")),
    )


def _clocks_set(fields: Any) -> ClocksSet:
    ahead_s = [expect_list(one, 2, "clock") for one in expect_list(fields[2], None, "clocks")]
    return ClocksSet(
        PortId(check_identifier(expect_text(fields[1], "port"))),
        tuple(
            (MeterId(check_identifier(expect_text(meter, "meter"))), expect_int(seconds, "ahead", -(2**31), 2**31))
            for meter, seconds in ahead_s
        ),
    )


def _serial_seen(fields: Any) -> SerialSeen:
    meter, serial = expect_text(fields[1], "meter"), expect_text(fields[2], "serial")
    if not 1 <= len(serial) <= SERIAL_LENGTH_MAX or not serial.isprintable():
        raise EnvelopeMalformed(f"a serial number has 1 to {SERIAL_LENGTH_MAX} printable characters")
    read_at = from_ms(expect_int(fields[3], "read at", -(2**47), 2**47))
    return SerialSeen(MeterId(check_identifier(meter)), serial, read_at)


def _settings(fields: Any) -> SettingsReport:
    reason = expect_text(fields[3], "reason")
    if len(reason) > REASON_LENGTH_MAX:
        raise EnvelopeMalformed(f"a reason of {len(reason)} characters; at most {REASON_LENGTH_MAX} are allowed")
    return SettingsReport(
        expect_int(fields[1], "version", 1, 2**31 - 1), Outcome(expect_text(fields[2], "outcome")), reason
    )
