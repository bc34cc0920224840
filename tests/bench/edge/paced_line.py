"""Serial lines whose wire takes time: pseudo-terminals on which octets need as long as at their speed.

    python -m tests.bench.edge.paced_line BAUD COUNT PATH [PATH ...]

On each path hang COUNT meters, addresses from 1. An answer is there when the request, the meter's turnaround and the
answer itself would have passed over a real line. Runs until its standard input ends, and then prints how much later
than that its answers were, together [s]: this machine's lateness, not that of whoever asked.
"""

from __future__ import annotations

import heapq
import os
import pty
import select
import sys
import time
import tty
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from metering.identity import MeterId
from metering.obis import Obis

MODEL = "chint/dtsu666"
TURNAROUND_S = 0.030
BITS = 11
REQUEST_OCTETS = 8


class Registers:
    """Every register shows something plausible."""

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """A frequency for the frequency, else a number [base units]."""
        return 50_000 if obis.c == 14 else 1000


def serve(baud: int, count: int, paths: list[Path]) -> None:
    """Answer until standard input ends."""
    catalogue, registers = Catalogue.shipped(), Registers()
    meters = {
        str(address): SimulatedMeter(MeterId(f"m-{address}"), catalogue.by_id(MODEL), Protocol.MODBUS_RTU, str(address))
        for address in range(1, count + 1)
    }
    lines: dict[int, bytes] = {}
    for path in paths:
        line, far_end = pty.openpty()
        tty.setraw(far_end)
        path.symlink_to(os.ttyname(far_end))
        lines[line] = b""
    due: list[tuple[float, int, bytes]] = []
    late_s = 0.0
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        wait_s = max(0.0, due[0][0] - time.monotonic()) if due else None
        ready, _, _ = select.select([sys.stdin, *lines], [], [], wait_s)
        arrived_s = time.monotonic()
        if sys.stdin in ready:
            sys.stdout.write(f"{late_s}\n")
            return
        for line in ready:
            lines[line] += os.read(line, 512)
            while len(lines[line]) >= REQUEST_OCTETS:
                request, lines[line] = lines[line][:REQUEST_OCTETS], lines[line][REQUEST_OCTETS:]
                meter = meters.get(str(request[0]))
                answer = None if meter is None else meter.answer(request, registers)
                if answer is not None:
                    wire_s = (len(request) + len(answer)) * BITS / baud + TURNAROUND_S
                    heapq.heappush(due, (arrived_s + wire_s, line, answer))
        while due and due[0][0] <= (now_s := time.monotonic()):
            due_s, line, answer = heapq.heappop(due)
            late_s += now_s - due_s
            os.write(line, answer)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), [Path(each) for each in sys.argv[3:]])
