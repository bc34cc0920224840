"""One RS-485 line on a serial device, opened exclusively, under the arbiter of all frames on it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios

import serial

from edge_agent.arbiter import Arbiter
from edge_agent.ports import PortLost
from metering.clock import Clock
from provisioning.site import LineSettings, Parity, SerialPort

READ_OCTETS = 512
_PSEUDO_TERMINAL_MAJORS = range(136, 144)
"""Unix98 pseudo-terminals (Linux, Documentation/admin-guide/devices.txt)."""


class SerialBus(Arbiter):
    """One serial line with its meters."""

    def __init__(self, port: SerialPort, clock: Clock) -> None:
        super().__init__(SerialLine(port), port.line, clock)
        self._port = port


class SerialLine:
    """The octets of one serial device."""

    def __init__(self, port: SerialPort) -> None:
        self._port = port
        self._serial: serial.Serial | None = None
        self._fd = -1

    def open(self) -> bool:
        """Open the device exclusively; False if it was open already. Raises PortLost."""
        if self._serial is not None:
            return False
        port = self._port
        try:
            parity = Parity.NONE if _is_pseudo_terminal(port.device) else port.parity
            self._serial = serial.Serial(
                port.device, port.baud, parity=parity.value, stopbits=port.stopbits, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:
            raise PortLost(f"{port.device} cannot be opened: {error}") from error
        self._fd = self._serial.fileno()
        self._show_parity(port.parity)
        return True

    def close(self) -> None:
        """Close the device."""
        if self._serial is not None:
            self._serial.close()
            self._serial = None

    def switch(self, settings: LineSettings) -> None:
        """Set speed, parity and bits; raises PortLost."""
        line = self._opened()
        try:
            line.baudrate = settings.baud
            line.stopbits = settings.stopbits
            if not _is_pseudo_terminal(self._port.device):
                line.bytesize = settings.data_bits
                line.parity = settings.parity.value
            self._show_parity(settings.parity)
        except (OSError, ValueError, termios.error) as error:
            raise self._lost(error) from error

    def drain(self) -> None:
        """Return when the driver has sent everything; raises PortLost."""
        try:
            termios.tcdrain(self._opened().fileno())
        except (OSError, termios.error) as error:
            raise self._lost(error) from error

    def send(self, octets: bytes) -> None:
        """Send; raises PortLost."""
        self._opened()
        try:
            while octets:
                octets = octets[os.write(self._fd, octets) :]
        except OSError as error:
            raise self._lost(error) from error

    def read(self, seconds: float) -> bytes:
        """Give what arrives within `seconds` [s], nothing on silence; raises PortLost."""
        self._opened()
        try:
            if not select.select([self._fd], [], [], seconds)[0]:
                return b""
            octets = os.read(self._fd, READ_OCTETS)
        except OSError as error:
            raise self._lost(error) from error
        if not octets:
            raise self._lost(OSError(errno.EIO, "hung up"))
        return octets

    def _show_parity(self, parity: Parity) -> None:
        """Let the far end of a pseudo-terminal see the parity: it keeps none, but it keeps what goes with one.

        A simulated line reads it there (device_profiles/served_port.py), and finds out a gateway that is set wrongly.
        """
        if not _is_pseudo_terminal(self._port.device):
            return
        with contextlib.suppress(termios.error):
            settings = termios.tcgetattr(self._fd)
            settings[0] = settings[0] & ~termios.INPCK | (0 if parity is Parity.NONE else termios.INPCK)
            settings[2] = settings[2] & ~termios.PARODD | (termios.PARODD if parity is Parity.ODD else 0)
            termios.tcsetattr(self._fd, termios.TCSANOW, settings)

    def _opened(self) -> serial.Serial:
        if self._serial is None:
            raise PortLost(f"{self._port.device} is not open")
        return self._serial

    def _lost(self, error: Exception) -> PortLost:
        self.close()
        return PortLost(f"{self._port.device}: {error}")


def _is_pseudo_terminal(device: str) -> bool:
    """Say whether `device` has no wire: it keeps no parity, and Linux refuses a setting of which nothing is kept."""
    return os.major(os.stat(device).st_rdev) in _PSEUDO_TERMINAL_MAJORS
