"""The arbiter of one RS-485 line: every frame on the line is sent and awaited here, whatever its protocol.

Theory of operation. One transaction at a time: keep the silence between frames (3.5 characters; 1.75 ms fixed above
19,200 bit/s: Modbus over serial line 1.02, 2.5.1.1), discard what has strayed in, send, read until the codec says the
answer is whole, check it. A transaction that fails puts the line in quarantine: octets are discarded until the latest
answer the meter's profile allows has passed and the line is silent, so a late answer is never there for the next
request. An adapter's echo of the request is dropped. See docs/adr/0015.

The silence goes through the Clock, waiting for octets does not: under a played clock a repeated transaction leaves no
trace in the times, because quarantine ends in silence and no gap is added after it.
"""

from __future__ import annotations

import errno
import os
import select
import termios
import time
from datetime import datetime

import serial

from device_profiles.framing import Codec, codec_of
from device_profiles.framing.errors import ExceptionReply
from device_profiles.profile import Protocol
from device_profiles.read_plan import ReadRequest
from edge_agent.ports import Answer, BusTimeout, PortLost
from metering.clock import Clock
from metering.errors import MeterError
from provisioning.site import Parity, SerialPort

GAP_CHARACTERS = 3.5
GAP_S_FAST = 0.00175
FAST_BAUD = 19_200
PAUSE_S_MAX = 0.1
"""Longest pause within an answer [s]: USB adapters deliver every 16 ms, and the host may be busy."""
ANSWER_OCTETS_MAX = 512
"""Twice the longest frame with its echo; more is no answer."""
BABBLE_S_MAX = 1.0
"""How long to wait for silence beyond a quarantine before asking regardless [s]."""
_PSEUDO_TERMINAL_MAJORS = range(136, 144)
"""Unix98 pseudo-terminals (Linux, Documentation/admin-guide/devices.txt)."""


class SerialBus:
    """One serial line, opened exclusively."""

    def __init__(self, port: SerialPort, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        bits = 1 + 8 + (0 if port.parity is Parity.NONE else 1) + port.stopbits
        self.char_s = bits / port.baud
        self.gap_s = GAP_CHARACTERS * self.char_s if port.baud <= FAST_BAUD else GAP_S_FAST
        self._serial: serial.Serial | None = None
        self._fd = -1
        self._busy_until: datetime | None = None

    def open(self) -> bool:
        """Open the line and wait until it is silent; False if it was open already. Raises PortLost."""
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
        self._busy_until = None
        self._await_silence(time.monotonic() + BABBLE_S_MAX)
        return True

    def close(self) -> None:
        """Close the line."""
        if self._serial is not None:
            self._serial.close()
            self._serial = None

    def ask(self, protocol: Protocol, address: str, request: ReadRequest, *, reply_s: float, late_s: float) -> Answer:
        """Send one request and read its answer; see `Bus.ask`."""
        codec = codec_of(protocol)
        octets = codec.build_request(address, request)
        self._keep_gap()
        started_at = self._clock.now()
        self._send(octets)
        sent_s = time.monotonic() + len(octets) * self.char_s
        received = self._receive(codec, request, octets, sent_s + reply_s)
        ended_at = self._clock.now()
        try:
            answer = received.removeprefix(octets)
            if not answer:
                raise BusTimeout(f"meter {address} did not answer within {reply_s:.3f} s")
            body = codec.parse_reply(address, request, answer)
        except ExceptionReply:
            self._busy_until = ended_at
            raise
        except MeterError:
            self._quarantine(codec, address, request, sent_s + late_s)
            raise
        self._busy_until = ended_at
        turnaround_s = time.monotonic() - sent_s - len(answer) * self.char_s
        return Answer(body, started_at, ended_at, max(turnaround_s, 0.0))

    def _keep_gap(self) -> None:
        """Leave 3.5 characters of silence since the last octet, and be sure that nothing is arriving."""
        if self._read(0.0):
            self._await_silence(time.monotonic() + BABBLE_S_MAX)
        if self._busy_until is not None:
            silent_s = (self._clock.now() - self._busy_until).total_seconds()
            if silent_s < self.gap_s:
                self._clock.sleep(self.gap_s - max(silent_s, 0.0))

    def _receive(self, codec: Codec[ReadRequest], request: ReadRequest, sent: bytes, first_by_s: float) -> bytes:
        """Read until the answer is whole, or nothing more comes; the first octet must come by `first_by_s`."""
        received = b""
        while len(received) < ANSWER_OCTETS_MAX:
            wait_s = PAUSE_S_MAX if received else first_by_s - time.monotonic()
            octets = self._read(max(wait_s, 0.0))
            if not octets:
                return received
            received += octets
            if not sent.startswith(received) and _is_whole(codec, request, received.removeprefix(sent)):
                return received
            if received == sent:  # the echo of our own request: the answer itself is still to begin
                octets = self._read(max(first_by_s - time.monotonic(), 0.0))
                if not octets:
                    return received
                received += octets
        return received

    def _quarantine(self, codec: Codec[ReadRequest], address: str, request: ReadRequest, until_s: float) -> None:
        """Discard octets until no answer can come any more: it has come, or its latest moment has passed."""
        late = b""
        while (left_s := until_s - time.monotonic()) > 0:
            octets = self._read(left_s)
            late = (late + octets)[-ANSWER_OCTETS_MAX:]
            if octets and _is_answer(codec, address, request, late):
                break
        self._await_silence(time.monotonic() + BABBLE_S_MAX)

    def _await_silence(self, until_s: float) -> None:
        """Discard octets until none has come for a gap; the gap is over then."""
        while self._read(self.gap_s) and time.monotonic() < until_s:
            pass
        self._busy_until = None

    def _send(self, octets: bytes) -> None:
        try:
            while octets:
                octets = octets[os.write(self._fd, octets) :]
        except OSError as error:
            raise self._lost(error) from error

    def _read(self, seconds: float) -> bytes:
        """Give what arrives within `seconds` [s], nothing on silence; raises PortLost."""
        if self._serial is None:
            raise PortLost(f"{self._port.device} is not open")
        try:
            if not select.select([self._fd], [], [], seconds)[0]:
                return b""
            octets = os.read(self._fd, ANSWER_OCTETS_MAX)
        except OSError as error:
            raise self._lost(error) from error
        if not octets:
            raise self._lost(OSError(errno.EIO, "hung up"))
        return octets

    def _lost(self, error: OSError) -> PortLost:
        self.close()
        return PortLost(f"{self._port.device}: {error}")


def _is_pseudo_terminal(device: str) -> bool:
    """Say whether `device` has no wire: it keeps no parity, and Linux refuses a setting of which nothing is kept."""
    return os.major(os.stat(device).st_rdev) in _PSEUDO_TERMINAL_MAJORS


def _is_whole(codec: Codec[ReadRequest], request: ReadRequest, received: bytes) -> bool:
    try:
        return len(received) >= codec.octets_expected(request, received)
    except MeterError:
        return False


def _is_answer(codec: Codec[ReadRequest], address: str, request: ReadRequest, received: bytes) -> bool:
    try:
        codec.parse_reply(address, request, received)
    except ExceptionReply:
        return True
    except MeterError:
        return False
    return True
