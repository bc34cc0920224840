"""Simulated meters on real wires: a pseudo-terminal as RS-485 line, and a Modbus TCP port. The package's only sockets.

Each shell is one thread that carries octets between the operating system and pure `SimulatedMeter`s. Meters can be
told to misbehave, one way each, so that a gateway's defences can be tried on the wire.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import selectors
import socket
import termios
import threading
import tty
from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from device_profiles.families import family_of
from device_profiles.families.modbus import MODBUS
from device_profiles.forms import NotReadable
from device_profiles.framing import dlt645, modbus_pdu, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import FrameError
from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import RegisterSource, SimulatedMeter
from metering.errors import MeteringError
from metering.identity import MeterId

READ_OCTETS = 4096
SEND_TIMEOUT_S = 1.0
"""A client that does not take its answers for this long is hung up on."""
HUNG_UP_S = 0.01
"""How often an unused line looks whether a gateway has opened it."""


class LineInvalid(MeteringError):
    """Meters cannot share a line: an address stands twice, or a protocol does not fit."""


class Fault(StrEnum):
    """A way in which one meter misbehaves."""

    MUTE = "mute"
    LATE = "late"
    """Answers `late_s` seconds after it was asked, even if another request came meanwhile."""
    WRONG_CRC = "wrong-crc"
    ANSWERS_FOR_ANOTHER = "answers-for-another"
    ECHO = "echo"
    """The line repeats the request before the answer, as some converters do."""


class _Shell:
    """The meters behind one port, their faults, and the thread that serves them."""

    def __init__(self, meters: Iterable[SimulatedMeter], registers: RegisterSource, *, late_s: float) -> None:
        self._meters: dict[tuple[str, str], SimulatedMeter] = {}
        for meter in meters:
            key = (family_of(meter.protocol).name, meter.address)
            if key in self._meters:
                raise LineInvalid(
                    f"address {meter.address} stands twice: {self._meters[key].meter_id}, {meter.meter_id}"
                )
            self._meters[key] = meter
        self._registers = registers
        self._late_s = late_s
        self._faults: dict[MeterId, Fault] = {}
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=type(self).__name__, daemon=True)

    def set_fault(self, meter: MeterId, fault: Fault | None) -> None:
        """Make `meter` misbehave from the next request on; None mends it."""
        if fault is None:
            self._faults.pop(meter, None)
        else:
            self._faults[meter] = fault

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and take the port away, as a pulled plug would. Further calls do nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        os.write(self._wake_write, b"\0")
        if self._thread.is_alive():
            self._thread.join()
        self._close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def _reply(self, meter: SimulatedMeter, request: bytes) -> bytes | None:
        """Give what `meter` puts on the wire, its fault included."""
        try:
            reply = meter.answer(request, self._registers)
        except NotReadable:  # more than the model's digits can show: this meter has no answer, the others do
            return None
        fault = self._faults.get(meter.meter_id)
        if fault is None or reply is None:
            return reply
        if fault is Fault.LATE:
            self._stopping.wait(self._late_s)
        return _misbehaved(fault, meter.protocol, request, reply)


class SerialLine(_Shell):
    """An RS-485 line on a pseudo-terminal: `path` is a link to the device that the gateway opens."""

    def __init__(
        self, path: Path, meters: Iterable[SimulatedMeter], registers: RegisterSource, *, late_s: float = 0.05
    ) -> None:
        super().__init__(meters, registers, late_s=late_s)
        for meter in self._meters.values():
            if not meter.protocol.is_serial:
                raise LineInvalid(f"{meter.meter_id} speaks {meter.protocol}, so it cannot hang on a serial line")
        self.path = path
        self._line, far_end = pty.openpty()
        tty.setraw(far_end)
        os.set_blocking(self._line, False)
        self._settings = termios.tcgetattr(far_end)
        self._device = os.ttyname(far_end)
        os.close(far_end)
        link = path.with_name(path.name + ".new")
        link.unlink(missing_ok=True)
        link.symlink_to(self._device)
        link.replace(path)

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # a newer line may have taken the link over, or removed it
            if os.readlink(self.path) == self._device:
                self.path.unlink()
        os.close(self._line)

    def _serve(self) -> None:
        poller = select.poll()
        poller.register(self._line, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        ends = request_ends(meter.protocol for meter in self._meters.values())
        rest = b""
        while not self._stopping.is_set():
            flags = dict(poller.poll()).get(self._line, 0)
            if flags & select.POLLIN:
                requests, rest = split_requests(rest + self._received(), ends)
                for request in requests:
                    self._answer(request)
            elif flags & select.POLLHUP:
                rest = b""
                self._restore()
                self._stopping.wait(HUNG_UP_S)

    def _received(self) -> bytes:
        with contextlib.suppress(OSError):  # the gateway closed its end while its octets were under way
            return os.read(self._line, READ_OCTETS)
        return b""

    def _restore(self) -> None:
        """Make the unused line as new: octets nobody took are gone, settings are the first ones.

        A pseudo-terminal has no parity. The C library lets a request for it pass only while something else changes
        too, so a gateway that opened this line a second time with its old settings would be refused.
        """
        with contextlib.suppress(OSError, termios.error):
            far_end = os.open(self._device, os.O_RDWR | os.O_NOCTTY)
            try:
                termios.tcsetattr(far_end, termios.TCSAFLUSH, self._settings)
            finally:
                os.close(far_end)

    def _answer(self, request: bytes) -> None:
        """Let every meter hear `request`, as on any line; those that it is for answer, one after another."""
        for meter in self._meters.values():
            reply = self._reply(meter, request)
            if reply is not None:
                with contextlib.suppress(OSError):  # nobody listens: octets are lost, as on any line
                    os.write(self._line, reply)


class ModbusTcpPort(_Shell):
    """A Modbus TCP gateway with meters behind it; port 0 takes a free one, see `port`.

    A meter that is off the bus, or an unknown unit id, is answered as gateways do: exception 11.
    """

    def __init__(
        self,
        meters: Iterable[SimulatedMeter],
        registers: RegisterSource,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        late_s: float = 0.05,
    ) -> None:
        super().__init__(meters, registers, late_s=late_s)
        if any(meter.protocol is not Protocol.MODBUS_TCP for meter in self._meters.values()):
            raise LineInvalid("only Modbus TCP meters can stand behind a Modbus TCP port")
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self._received: dict[socket.socket, bytes] = {}

    def _close(self) -> None:
        for connection in self._received:
            connection.close()
        self._listener.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select():
                    if key.fileobj is self._listener:
                        connection, _ = self._listener.accept()
                        connection.settimeout(SEND_TIMEOUT_S)
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        self._received[connection] = b""
                        selector.register(connection, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket) and not self._serve_once(key.fileobj):
                        selector.unregister(key.fileobj)
                        del self._received[key.fileobj]
                        key.fileobj.close()

    def _serve_once(self, connection: socket.socket) -> bool:
        """Answer what has arrived on `connection`; False when it has ended or does not speak Modbus."""
        try:
            received = connection.recv(READ_OCTETS)
            octets = self._received[connection] + received
            while (end := modbus_tcp.octets_expected(None, octets)) <= len(octets):
                reply = self._answer(octets[:end])
                octets = octets[end:]
                if reply is not None:
                    connection.sendall(reply)
        except (OSError, FrameError):
            return False
        self._received[connection] = octets
        return bool(received)

    def _answer(self, request: bytes) -> bytes | None:
        meter = self._meters.get((MODBUS.name, str(request[6])))
        reply = None if meter is None else self._reply(meter, request)
        if reply is None and not (meter is not None and self._faults.get(meter.meter_id) is Fault.MUTE):
            transaction, address, read = modbus_tcp.parse_request(request)
            return modbus_tcp.build_exception(address, read, modbus_pdu.DEVICE_SILENT, transaction)
        return reply


def _misbehaved(fault: Fault, protocol: Protocol, request: bytes, reply: bytes) -> bytes | None:
    if fault is Fault.MUTE:
        return None
    if fault is Fault.ECHO:
        return request + reply
    if fault is Fault.WRONG_CRC:
        return _with_wrong_check(protocol, reply)
    return _for_another(protocol, reply) if fault is Fault.ANSWERS_FOR_ANOTHER else reply


def _with_wrong_check(protocol: Protocol, reply: bytes) -> bytes:
    """Spoil the check octet; under TCP, which has none, the protocol id."""
    at = {Protocol.MODBUS_RTU: len(reply) - 1, Protocol.IEC62056_21: len(reply) - 1, Protocol.MODBUS_TCP: 2}
    spoilt = at.get(protocol, len(reply) - 2)  # before the end octet 16, or 7E
    return reply[:spoilt] + bytes((reply[spoilt] ^ 0xFF,)) + reply[spoilt + 1 :]


def _for_another(protocol: Protocol, reply: bytes) -> bytes | None:
    """Give the same answer, well formed, under another meter's address; nothing where answers carry no address."""
    if protocol is Protocol.DLT645_2007:
        frame = dlt645.scan(reply)[0][0]
        other = f"{(int(frame.address) + 1) % 10**12:012d}"
        return dlt645.WAKE_UP + replace(frame, address=other).to_wire()
    if protocol is Protocol.MODBUS_TCP:
        return reply[:6] + bytes((reply[6] % 247 + 1,)) + reply[7:]
    if protocol is Protocol.MODBUS_RTU:
        return modbus_rtu.with_crc(bytes((reply[0] % 247 + 1,)) + reply[1:-2])
    return None
