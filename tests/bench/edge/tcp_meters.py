"""Modbus TCP ports with meters behind them, in a process of their own.

    python -m tests.bench.edge.tcp_meters PORTS METERS_EACH

Prints the ports' numbers on one line and runs until its standard input ends.
"""

from __future__ import annotations

import contextlib
import sys

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.simulator import ModbusTcpPort
from metering.identity import MeterId
from tests.bench.edge.paced_line import MODEL, Registers


def serve(ports: int, each: int) -> None:
    """Answer until standard input ends."""
    profile = Catalogue.shipped().by_id(MODEL)
    with contextlib.ExitStack() as stack:
        numbers = []
        for _ in range(ports):
            meters = [
                SimulatedMeter(MeterId(f"m-{unit}"), profile, Protocol.MODBUS_TCP, str(unit))
                for unit in range(1, each + 1)
            ]
            numbers.append(stack.enter_context(ModbusTcpPort(meters, Registers())).port)
        sys.stdout.write(" ".join(map(str, numbers)) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
