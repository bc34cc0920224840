"""A Modbus TCP endpoint and the units behind it, through pymodbus's synchronous client.

The client carries the exchanges of a conversation. Its own retries are off: attempts and patience are the sweep's. Its
one timeout is set for each request. After a failed transaction the connection is closed, so that no late answer can
meet the next request.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from typing import cast

from pymodbus import FramerType
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from device_profiles.framing import modbus_tcp
from device_profiles.framing.conversation import NO_SECRETS, Conversation, Exchange, MeterSecrets, drive
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import REGISTERS_MAX, ModbusRead
from device_profiles.profile import Protocol, ReadRequest
from edge_agent.figures import LineFigures
from edge_agent.ports import Answer, Bus, BusTimeout, PortLost
from metering.clock import Clock
from metering.errors import MeterError
from provisioning.site import LineSettings, TcpPort

CONNECT_TIMEOUT_S = 3.0
NETWORK_S = 0.5
"""Allowance for the network and a serial line behind the endpoint, on top of a meter's turnaround [s]."""
SILENT_BEHIND_GATEWAY = (10, 11)
"""Exceptions of a gateway whose meter did not answer (Modbus application protocol 1.1b3, 7)."""

_REGISTERS = [struct.Struct(f">{count}H") for count in range(REGISTERS_MAX + 1)]

# pymodbus logs each silent meter as an error with a dump of frames; the reading's quality says it already.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class TcpBus(Bus):
    """One Modbus TCP endpoint; one transaction at a time."""

    def __init__(self, port: TcpPort, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self.figures = LineFigures()
        self._client = ModbusTcpClient(
            port.host, port=port.port, framer=FramerType.SOCKET, timeout=CONNECT_TIMEOUT_S, retries=0
        )

    def open(self) -> bool:
        """Connect; False if connected already. Raises PortLost."""
        if self._client.socket is not None:
            return False
        self._client.comm_params.timeout_connect = CONNECT_TIMEOUT_S
        if not self._client.connect() or self._client.socket is None:  # type: ignore[no-untyped-call]
            raise PortLost(f"{self._port.host}:{self._port.port} does not take connections")
        self._client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    def close(self) -> None:
        """Disconnect."""
        self._client.close()  # type: ignore[no-untyped-call]

    def ask(
        self,
        protocol: Protocol,
        address: str,
        request: ReadRequest,
        *,
        reply_s: float,
        late_s: float,
        line: LineSettings | None = None,
        secrets: MeterSecrets = NO_SECRETS,
    ) -> Answer:
        """Hold the conversation that one read takes; see `Bus.ask`."""
        if protocol is not Protocol.MODBUS_TCP:
            raise FrameError(f"{self._port.id} speaks Modbus TCP only, not {protocol}")
        return super().ask(protocol, address, request, reply_s=reply_s, late_s=late_s, line=line, secrets=secrets)

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Hold a conversation of Modbus TCP reads to its end; see `Bus.converse`."""
        del late_s, line  # a closed connection has no late answers, and there is no line to set
        started_at, began_s = self._clock.now(), time.monotonic()
        turnarounds_s: list[float] = []

        def carry(exchange: Exchange) -> bytes:
            asked_s = time.monotonic()
            reply = self._carry(exchange, reply_s + NETWORK_S)
            turnarounds_s.append(time.monotonic() - asked_s)
            return reply

        try:
            body = drive(conversation, carry)
        except ExceptionReply:
            self.figures.refused += 1
            raise
        except MeterError as error:
            self.figures.note_failure(is_silence=isinstance(error, BusTimeout))
            raise
        finally:
            self.figures.busy_s += time.monotonic() - began_s
        return Answer(body, started_at, self._clock.now(), max(turnarounds_s, default=0.0))

    def _carry(self, exchange: Exchange, timeout_s: float) -> bytes:
        """Have the client carry out one exchange, and give its outcome as the reply frame."""
        self.figures.exchanges += 1
        transaction, address, read = modbus_tcp.parse_request(exchange.request)
        reply = self._read(int(address), read, timeout_s)
        if isinstance(reply, ExceptionResponse):
            if reply.exception_code in SILENT_BEHIND_GATEWAY:
                raise BusTimeout(f"the meter behind the gateway at unit {address} did not answer")
            return modbus_tcp.build_exception(address, read, reply.exception_code, transaction)
        registers = cast(list[int], reply.registers)
        if len(registers) != read.count:
            self.close()
            raise FrameError(f"answer of {len(registers)} registers, asked were {read.count}")
        return modbus_tcp.build_reply(address, read, _REGISTERS[read.count].pack(*registers), transaction)

    def _read(self, unit_id: int, request: ModbusRead, timeout_s: float) -> ModbusPDU:
        self.open()
        self._client.comm_params.timeout_connect = timeout_s
        read = self._client.read_holding_registers if request.function == 3 else self._client.read_input_registers
        try:
            return read(request.address, count=request.count, device_id=unit_id)
        except ConnectionException as error:
            self.close()
            raise PortLost(f"{self._port.host}:{self._port.port}: {error}") from error
        except ModbusIOException as error:
            self.close()
            raise BusTimeout(f"unit {unit_id} did not answer within {timeout_s:.3f} s") from error
        except ModbusException as error:
            self.close()
            raise FrameError(f"unit {unit_id}: {error}") from error
        except OSError as error:
            self.close()
            raise PortLost(f"{self._port.host}:{self._port.port}: {error}") from error
