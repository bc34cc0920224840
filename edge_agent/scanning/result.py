"""What a scan is told, tells on its way, and finds. Words only: no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from device_profiles.profile import Protocol
from metering.obis import Obis
from metering.quantity import Shown, Unit
from provisioning.site import LineSettings, Parity


@dataclass(frozen=True, slots=True)
class ExpectedMeter:
    """A meter that the plan says hangs on this line; "" and None where the plan does not say.

    serial    as printed on the meter
    profile   its model, `maker/model`
    address   on its line, as its protocol's codec wants it
    """

    serial: str = ""
    profile: str = ""
    protocol: Protocol | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that a meter may be.

    score    what its probes say together, from 0 up; 100 alone is enough
    matched  how many of its probes matched, of `asked`
    """

    profile: str
    score: int
    matched: int = 0
    asked: int = 0


class SerialSource(StrEnum):
    """Where a serial number was read: in a register of its own, or in the address, which is printed on the meter."""

    REGISTER = "register"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class FoundMeter:
    """One meter that answers alone.

    address     by which it is read from now on
    line        how the line was set; None where the port has no speed
    candidates  models that fit, the best first; none: it answers, and no profile fits
    serial      as read; None when no register is known that shows it
    registers   what it showed on the way, by the first candidate's profile
    turnaround_ms   how long it took to begin its answers, the longest [ms]
    """

    protocol: Protocol
    address: str
    line: LineSettings | None
    candidates: tuple[Candidate, ...] = ()
    serial: str | None = None
    serial_source: SerialSource | None = None
    registers: tuple[tuple[Obis, Shown], ...] = ()
    turnaround_ms: int = 0

    @property
    def profile(self) -> str | None:
        """The best model, None where none fits or two fit equally."""
        scores = [each.score for each in self.candidates[:2]]
        if not scores or (scores[0] == scores[-1] and len(scores) > 1):
            return None
        return self.candidates[0].profile

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data, for JSON and for the state file."""
        return {
            "protocol": self.protocol.value,
            "address": self.address,
            "line": None if self.line is None else line_document(self.line),
            "candidates": [[each.profile, each.score, each.matched, each.asked] for each in self.candidates],
            "serial": self.serial,
            "serial_source": None if self.serial_source is None else self.serial_source.value,
            "registers": [
                [str(obis), shown.mantissa, shown.exponent, shown.unit.symbol] for obis, shown in self.registers
            ],
            "turnaround_ms": self.turnaround_ms,
        }


def found_of(document: dict[str, Any]) -> FoundMeter:
    """Read a meter from plain data, as `FoundMeter.to_document` gives it; raises KeyError, TypeError or ValueError."""
    return FoundMeter(
        protocol=Protocol(document["protocol"]),
        address=document["address"],
        line=None if document["line"] is None else line_of(document["line"]),
        candidates=tuple(Candidate(*each) for each in document["candidates"]),
        serial=document["serial"],
        serial_source=None if document["serial_source"] is None else SerialSource(document["serial_source"]),
        registers=tuple(
            (Obis.parse(obis), Shown(mantissa, exponent, Unit.from_symbol(unit)))
            for obis, mantissa, exponent, unit in document["registers"]
        ),
        turnaround_ms=document["turnaround_ms"],
    )


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An address at which more than one meter answers.

    address   as asked; with wildcards where digits could not tell the meters apart
    serials   of those that could be told apart, none else
    octets    what came when all answered at once
    """

    protocol: Protocol
    address: str
    line: LineSettings | None
    serials: tuple[str, ...] = ()
    octets: bytes = b""

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "protocol": self.protocol.value,
            "address": self.address,
            "line": None if self.line is None else line_document(self.line),
            "serials": list(self.serials),
            "octets": self.octets.hex(),
        }


def duplicate_of(document: dict[str, Any]) -> Duplicate:
    """Read a duplicate from plain data; raises KeyError, TypeError or ValueError."""
    return Duplicate(
        protocol=Protocol(document["protocol"]),
        address=document["address"],
        line=None if document["line"] is None else line_of(document["line"]),
        serials=tuple(document["serials"]),
        octets=bytes.fromhex(document["octets"]),
    )


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something answers that cannot be read: right frames of no known model, or octets of no known protocol.

    told   what it said of itself, "" where nothing
    """

    protocol: Protocol | None
    address: str
    line: LineSettings | None
    told: str = ""
    octets: bytes = b""


class ScanEnd(StrEnum):
    """Why a scan ended."""

    ALL_FOUND = "all-found"
    LIKELY_ASKED = "likely-asked"
    ALL_ASKED = "all-asked"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is, told after each question that took noticeable time and after each find.

    asking      what is asked now: protocol, line, and the address or the stage of a search
    asked       questions so far
    elapsed_s   since it began, time before an interruption included [s]
    left_s      what is left at most before it ends by itself, as reckoned now [s]
    likely      share of what the scan set out to ask, weighed by how likely it is to hold a meter, 0 to 1
    found       so far, in the order found; `duplicates` as well
    newest      the meter that this word is about, None if it is about none
    """

    asking: str
    asked: int
    elapsed_s: float
    left_s: float
    likely: float
    found: tuple[FoundMeter, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    newest: FoundMeter | None = None
    protocol: Protocol | None = None
    line: LineSettings | None = None


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What hangs on the line.

    missing         expected meters that were not found
    free_addresses  addresses that nobody has, by protocol that has few of them, the lowest first
    """

    found: tuple[FoundMeter, ...]
    duplicates: tuple[Duplicate, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    missing: tuple[ExpectedMeter, ...] = ()
    free_addresses: dict[Protocol, tuple[str, ...]] = field(default_factory=dict)
    end: ScanEnd = ScanEnd.LIKELY_ASKED
    asked: int = 0
    elapsed_s: float = 0.0


Progress = Callable[[ScanProgress], None]


def line_document(line: LineSettings) -> dict[str, Any]:
    """Give line settings as plain data."""
    return {"baud": line.baud, "parity": line.parity.value, "stopbits": line.stopbits, "databits": line.data_bits}


def line_of(document: dict[str, Any]) -> LineSettings:
    """Read line settings from plain data."""
    bits = document.get("databits", 8)
    return LineSettings(document["baud"], Parity(document["parity"]), document["stopbits"], None if bits == 8 else bits)


def line_text(line: LineSettings | None) -> str:
    """Write line settings as people do: 9600 8N1."""
    return "" if line is None else f"{line.baud} {line.data_bits}{line.parity.value}{line.stopbits}"
