"""Simulated meters on real wires: a pseudo-terminal as RS-485 line, and a Modbus TCP port. The package's only sockets.

Each shell is one thread that carries octets between the operating system and pure `SimulatedMeter`s. Meters can be
told to misbehave, one way each, so that a gateway's defences can be tried on the wire.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from device_profiles.families import family_of
from device_profiles.families.modbus import MODBUS
from device_profiles.forms import NotReadable
from device_profiles.framing import dlt645, modbus_pdu, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import FrameError
from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.profile import Protocol
from device_profiles.served_port import HUNG_UP_S, PseudoTerminal, ServedPort
from device_profiles.simulated_meter import RegisterSource, SimulatedMeter
from metering.errors import MeteringError
from metering.identity import MeterId

READ_OCTETS = 4096
SEND_TIMEOUT_S = 1.0
"""A client that does not take its answers for this long is hung up on."""


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


class _Shell(ServedPort):
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
        super().__init__(type(self).__name__)

    def set_fault(self, meter: MeterId, fault: Fault | None) -> None:
        """Make `meter` misbehave from the next request on; None mends it."""
        if fault is None:
            self._faults.pop(meter, None)
        else:
            self._faults[meter] = fault

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
        self._line = PseudoTerminal(path)

    def _close(self) -> None:
        self._line.close()

    def _serve(self) -> None:
        poller = select.poll()
        poller.register(self._line.near, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        ends = request_ends(meter.protocol for meter in self._meters.values())
        rest = b""
        while not self._stopping.is_set():
            flags = dict(poller.poll()).get(self._line.near, 0)
            if flags & select.POLLIN:
                requests, rest = split_requests(rest + self._received(), ends)
                for request in requests:
                    self._answer(request)
            elif flags & select.POLLHUP:
                rest = b""
                self._line.restore()
                self._stopping.wait(HUNG_UP_S)

    def _received(self) -> bytes:
        with contextlib.suppress(OSError):  # the gateway closed its end while its octets were under way
            return os.read(self._line.near, READ_OCTETS)
        return b""

    def _answer(self, request: bytes) -> None:
        """Let every meter hear `request`, as on any line; those that it is for answer, one after another."""
        for meter in self._meters.values():
            reply = self._reply(meter, request)
            if reply is not None:
                self._line.send(reply)


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
