"""Octets over TCP as they are, under the arbiter of all frames: a transparent serial converter, or a networked meter.

A converter keeps its serial line to itself: it hands over a late answer whenever it comes, on a new connection too. So
a failed conversation is followed by the same quarantine as on a line of our own, and the connection is kept.
"""

from __future__ import annotations

import contextlib
import select
import socket

from device_profiles.framing.conversation import Conversation
from edge_agent.arbiter import Arbiter
from edge_agent.ports import Answer, LineFixed, PortLost
from metering.clock import Clock
from provisioning.site import LineSettings, StreamPort

CONNECT_TIMEOUT_S = 3.0
NETWORK_S = 0.3
"""Allowance for the network and the converter's own packing of octets, on top of a meter's turnaround [s]."""
READ_OCTETS = 4096


class StreamBus(Arbiter):
    """One endpoint with the meters behind it."""

    keeps_late_answers = True

    def __init__(self, port: StreamPort, clock: Clock) -> None:
        super().__init__(StreamLine(port), port.line, clock)
        self._port = port

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Hold a conversation to its end; `line` is the converter's own affair. See `Bus.converse`."""
        del line
        return super().converse(conversation, reply_s=reply_s + NETWORK_S, late_s=late_s + NETWORK_S)


class StreamLine:
    """The octets of one TCP connection."""

    def __init__(self, port: StreamPort) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def open(self) -> bool:
        """Connect; False if connected already. Raises PortLost."""
        if self._connection is not None:
            return False
        try:
            self._connection = socket.create_connection((self._port.host, self._port.port), CONNECT_TIMEOUT_S)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            raise self._lost(error) from error
        return True

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def switch(self, settings: LineSettings) -> None:
        """Refuse with LineFixed: the converter sets its line itself."""
        raise LineFixed(f"the line behind {self._place} cannot be switched to {settings.baud} bit/s from here")

    def drain(self) -> None:
        """Nothing is known of when octets leave the converter."""

    def send(self, octets: bytes) -> None:
        """Send; raises PortLost."""
        try:
            self._opened().sendall(octets)
        except OSError as error:
            raise self._lost(error) from error

    def read(self, seconds: float) -> bytes:
        """Give what arrives within `seconds` [s], nothing on silence; raises PortLost."""
        connection = self._opened()
        try:
            if not select.select([connection], [], [], seconds)[0]:
                return b""
            octets = connection.recv(READ_OCTETS)
        except OSError as error:
            raise self._lost(error) from error
        if not octets:
            raise self._lost(ConnectionResetError("the far end closed"))
        return octets

    @property
    def _place(self) -> str:
        return f"{self._port.host}:{self._port.port}"

    def _opened(self) -> socket.socket:
        if self._connection is None:
            raise PortLost(f"{self._place} is not connected")
        return self._connection

    def _lost(self, error: Exception) -> PortLost:
        self.close()
        return PortLost(f"{self._place}: {error}")
