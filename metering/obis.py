"""OBIS codes (IEC 62056-61): the canonical names of channels, `A-B:C.D.E` with an optional `*F`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metering.errors import MeteringError

_TEXT = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?\Z")
CURRENT_VALUE = 255
"""Group F of a present (not historical) value."""


class ObisInvalid(MeteringError):
    """The text or the groups do not form an OBIS code."""


@dataclass(frozen=True, slots=True, order=True)
class Obis:
    """One OBIS code. `a` medium, `b` channel, `c` quantity, `d` processing, `e` tariff, `f` billing period."""

    a: int
    b: int
    c: int
    d: int
    e: int
    f: int = CURRENT_VALUE

    def __post_init__(self) -> None:
        if not all(0 <= group <= 255 for group in self.groups):
            raise ObisInvalid(f"OBIS groups must lie in 0 to 255: {self.groups}")

    @property
    def groups(self) -> tuple[int, int, int, int, int, int]:
        """The six groups in order A to F."""
        return (self.a, self.b, self.c, self.d, self.e, self.f)

    @classmethod
    def parse(cls, text: str) -> Obis:
        """Read `1-0:1.8.0` or `1-0:1.8.0*1`; raises ObisInvalid."""
        match = _TEXT.match(text)
        if match is None:
            raise ObisInvalid(f"{text!r} is not an OBIS code of the form A-B:C.D.E or A-B:C.D.E*F")
        return cls(*(int(group) for group in match.groups() if group is not None))

    @classmethod
    def from_wire(cls, octets: bytes) -> Obis:
        """Read the six-octet form; raises ObisInvalid."""
        if len(octets) != 6:
            raise ObisInvalid(f"an OBIS code has 6 octets, not {len(octets)}")
        return cls(*octets)

    def to_wire(self) -> bytes:
        """Give the six-octet form."""
        return bytes(self.groups)

    def __str__(self) -> str:
        text = f"{self.a}-{self.b}:{self.c}.{self.d}.{self.e}"
        return text if self.f == CURRENT_VALUE else f"{text}*{self.f}"


ENERGY_IMPORT = Obis.parse("1-0:1.8.0")
ENERGY_EXPORT = Obis.parse("1-0:2.8.0")
WATER_VOLUME = Obis.parse("8-0:1.0.0")
WARM_WATER_VOLUME = Obis.parse("9-0:1.0.0")
GAS_VOLUME = Obis.parse("7-0:3.0.0")
HEAT_ENERGY = Obis.parse("6-0:1.0.0")
SETTLED_QUANTITIES = (ENERGY_IMPORT, ENERGY_EXPORT, WATER_VOLUME, GAS_VOLUME, HEAT_ENERGY, WARM_WATER_VOLUME)
"""Registers whose differences become energy and volume by slot."""
POWER_NET = Obis.parse("1-0:16.7.0")
