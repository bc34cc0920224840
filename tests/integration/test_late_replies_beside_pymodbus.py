"""A meter answers after the timeout, into the next request: our bus gives right answers, a plain pymodbus does not.

The fake meter answers its first request 50 ms after the client's timeout, when the second one has been sent.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty
from collections.abc import Iterator

import pytest
from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusIOException

from device_profiles.framing import modbus_rtu
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Protocol
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.ports import BusTimeout
from metering.clock import SystemClock
from tests.doubles.edge import serial_port

RTU = Protocol.MODBUS_RTU
TIMEOUT_S = 0.1
LATE_S = 0.15
FIRST = ModbusRead(3, 0, 2)
FIRST_BODY = bytes.fromhex("AAAAAAAA")
SAME_COUNT, OTHER_COUNT = ModbusRead(3, 16, 2), ModbusRead(3, 16, 4)
SECOND_BODY = {2: bytes.fromhex("00010002"), 4: bytes.fromhex("0001000200030004")}


class LateMeter:
    """Unit 7 on a pseudo-terminal: late with its first answer, prompt from then on."""

    def __init__(self) -> None:
        self._line, self._near = pty.openpty()
        tty.setraw(self._near)
        self.device = os.ttyname(self._near)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        self._stop.set()
        self._thread.join()
        os.close(self._line)
        os.close(self._near)

    def _serve(self) -> None:
        is_first, received = True, b""
        while not self._stop.is_set():
            if not select.select([self._line], [], [], 0.02)[0]:
                continue
            received += os.read(self._line, 256)
            while len(received) >= 8:
                _, read = modbus_rtu.parse_request(received[:8])
                received = received[8:]
                if is_first:
                    self._stop.wait(LATE_S)
                is_first = False
                body = FIRST_BODY if read.address == 0 else SECOND_BODY[read.count]
                os.write(self._line, modbus_rtu.build_reply("7", read, body))


@pytest.fixture
def meter() -> Iterator[LateMeter]:
    """The meter, answering."""
    made = LateMeter()
    yield made
    made.close()


@pytest.mark.parametrize("second", [SAME_COUNT, OTHER_COUNT], ids=["same-count", "other-count"])
def test_our_bus_gives_the_answer_to_the_question(meter: LateMeter, second: ModbusRead) -> None:
    bus = SerialBus(serial_port(meter.device), SystemClock())
    bus.open()
    with pytest.raises(BusTimeout):
        bus.ask(RTU, "7", FIRST, reply_s=TIMEOUT_S, late_s=1.0)
    assert bus.ask(RTU, "7", second, reply_s=1.0, late_s=1.0).body == SECOND_BODY[second.count]
    assert bus.figures.strays > 0
    bus.close()


@pytest.mark.parametrize("second", [SAME_COUNT, OTHER_COUNT], ids=["same-count", "other-count"])
def test_a_plain_client_gives_the_late_answer_to_the_wrong_question(meter: LateMeter, second: ModbusRead) -> None:
    """Why serial lines have a transaction layer of their own. If this fails, pymodbus has mended it: see ADR 0015."""
    client = ModbusSerialClient(meter.device, framer=FramerType.RTU, baudrate=9600, timeout=TIMEOUT_S, retries=0)
    assert client.connect()
    with contextlib.suppress(ModbusIOException):
        client.read_holding_registers(FIRST.address, count=FIRST.count, device_id=7)
    found = client.read_holding_registers(second.address, count=second.count, device_id=7)
    client.close()
    assert b"".join(one.to_bytes(2, "big") for one in found.registers) == FIRST_BODY
