"""A line of simulated meters without a wire: what the arbiter sends, every meter hears, in no time of the host's.

A meter with line settings of its own hears only what was sent with them, as on a real line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from device_profiles.simulated_meter import SimulatedMeter
from metering.identity import MeterId
from metering.obis import Obis
from provisioning.site import LineSettings


class MeterLine:
    """An octet line with meters on it.

    deaf       the meters that hear nothing
    set_to     how the line is set now, None as it was opened
    settings   how a meter is set, where not as the line was opened
    """

    def __init__(self, meters: Iterable[SimulatedMeter], register: Callable[[MeterId, Obis], int | None]) -> None:
        self.meters = list(meters)
        self.deaf: set[str] = set()
        self.settings: dict[str, LineSettings] = {}
        self.set_to: LineSettings | None = None
        self.heard: list[bytes] = []
        self._register = register
        self._waiting = b""
        self._is_open = False

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the true register, by what the test says."""
        return self._register(meter, obis)

    def open(self) -> bool:
        """Open; the line is set as the port says."""
        was_open, self._is_open = self._is_open, True
        return not was_open

    def close(self) -> None:
        """Close."""
        self._is_open, self.set_to = False, None

    def send(self, octets: bytes) -> None:
        """Let every meter hear it."""
        self.heard.append(octets)
        for meter in self.meters:
            if meter.meter_id not in self.deaf and self.settings.get(meter.meter_id) == self.set_to:
                self._waiting += meter.answer(octets, self) or b""

    def read(self, seconds: float) -> bytes:
        """Give what the meters answered."""
        octets, self._waiting = self._waiting, b""
        return octets

    def drain(self) -> None:
        """Everything has left already."""

    def switch(self, settings: LineSettings) -> None:
        """Set the line otherwise; as the port says if that is what it is."""
        self.set_to = settings if settings in self.settings.values() else None
