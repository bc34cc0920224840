"""The order in which mbmd scans: every unit id from 1 to 247, and for each the probe of every model, until one fits.

Read from volkszaehler/mbmd at fb8f9c2 (2026-06): cmd/scan.go, meters/rtu.go, meters/rs485/*.go. At one speed and
parity, which the user must know; 40 ms and 200 ms of pause before each id, 300 ms for each answer. A model is taken for
found when its probe gives a voltage within 10 % of 110 or 230 V. The models are tried in the order of their files;
mbmd's own order is that of a Go map, which is another one in each run.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from device_profiles.framing import codec_of
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Protocol
from edge_agent.arbiter import Arbiter
from edge_agent.scanning.listening import Sound, listen
from metering.clock import Clock
from provisioning.site import LineSettings

PAUSE_S = 0.04 + 0.2
TIMEOUT_S = 0.3
UNITS = range(1, 248)
VOLTAGES = ((99.0, 121.0), (207.0, 253.0))
_FLOAT = -1.0
_SDM = (4, 0x0000, 2, _FLOAT)
PROBES: tuple[tuple[str, int, int, int, float], ...] = (
    ("ABB", 3, 0x5B00, 2, 10),
    ("CGEM24", 4, 0x0000, 2, 10),
    ("CGEM24_E1", 4, 0x0000, 2, 10),
    ("CGEX3X0", 4, 0x0000, 2, 10),
    ("DDM", *_SDM),
    ("DMG610", 4, 0x0001, 2, 100),
    ("DS100", 3, 0x040C, 2, 1000),
    ("DTSU666", 3, 0x2006, 2, 10 * _FLOAT),
    ("DZG", 3, 0x0004, 2, 100),
    ("ELTAKODSZ15", 4, 0x0000, 2, 100),
    ("ELTAKODSZ16", 4, 0x0000, 2, 100),
    ("FIND7M24", 4, 2500, 2, 1000),
    ("FIND7M38", 4, 2500, 2, 1000),
    ("IEM3000", 3, 0x0BD3, 2, _FLOAT),
    ("INEPRO", 3, 0x5002, 2, _FLOAT),
    ("JANITZA", 3, 0x4A38, 2, _FLOAT),
    ("MPM", 3, 0x0008, 2, 10),
    ("ORNO1p", 3, 0x0131, 1, 100),
    ("ORNO1P504", 3, 0x0000, 2, 1),
    ("ORNO1p525", 4, 0x0100, 2, 100),
    ("ORNO3p", 3, 0x000E, 2, 1),
    ("PAC2200", 4, 0x0001, 2, _FLOAT),
    ("SBC", 3, 36, 1, 1),
    ("SDM", *_SDM),
    ("SDM120", *_SDM),
    ("SDM220", *_SDM),
    ("SDM230", *_SDM),
    ("SDM54", *_SDM),
    ("SDM72V2", *_SDM),
    ("SEMTR", 4, 0x03FA, 2, _FLOAT),
    ("WAGO87930", 3, 0x5000, 2, _FLOAT),
    ("WS100", 3, 0x0100, 2, 1000),
    ("X961A", *_SDM),
)
"""Name, function, address, registers, and what the number is divided by, negative for a float. SDM72 has no probe."""


@dataclass(frozen=True)
class MbmdScan:
    """What a scan in this order found and cost."""

    found: dict[str, str]
    questions: int
    seconds: float


def scan(bus: Arbiter, clock: Clock, line: LineSettings) -> MbmdScan:
    """Scan one line at one setting."""
    codec, began, found, questions = codec_of(Protocol.MODBUS_RTU), clock.now(), dict[str, str](), 0
    for unit in UNITS:
        clock.sleep(PAUSE_S)
        for name, function, address, count, divisor in PROBES:
            questions += 1
            read = ModbusRead(function, address, count)
            heard = listen(bus, codec.converse(str(unit), read), TIMEOUT_S, line)
            if heard.sound is Sound.ANSWER and _is_voltage(heard.body, divisor):
                found[str(unit)] = name
                break
    return MbmdScan(found, questions, (clock.now() - began).total_seconds())


def _is_voltage(body: bytes, divisor: float) -> bool:
    number = int.from_bytes(body, "big") / divisor if divisor > 0 else struct.unpack(">f", body)[0] / -divisor
    return any(least <= number <= most for least, most in VOLTAGES)
