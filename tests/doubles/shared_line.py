"""A pseudo-terminal on which every meter hears every request, as on a pair of wires; answers at once are overlaid."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from collections.abc import Sequence
from pathlib import Path

from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.simulated_meter import RegisterSource, SimulatedMeter


class SharedLine(threading.Thread):
    """Simulated meters of any protocols behind a pseudo-terminal that `path` points to.

    heard    every request
    pause_s  how long meters pause in the middle of an answer [s]
    """

    def __init__(self, path: Path, meters: Sequence[SimulatedMeter], world: RegisterSource) -> None:
        super().__init__(daemon=True)
        self.heard: list[bytes] = []
        self.pause_s = 0.0
        self._meters = meters
        self._world = world
        self._ends = request_ends(meter.protocol for meter in meters)
        self._line, self._far_end = pty.openpty()
        tty.setraw(self._far_end)
        path.symlink_to(os.ttyname(self._far_end))
        self._stopping = threading.Event()

    def run(self) -> None:
        """Answer until told to stop."""
        rest = b""
        while not self._stopping.is_set():
            if select.select([self._line], [], [], 0.05)[0]:
                requests, rest = split_requests(rest + os.read(self._line, 4096), self._ends)
                for request in requests:
                    self._answer(request)

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self.join()
        os.close(self._far_end)
        os.close(self._line)

    def _answer(self, request: bytes) -> None:
        self.heard.append(request)
        replies = [reply for meter in self._meters if (reply := meter.answer(request, self._world)) is not None]
        if replies:
            overlaid = replies[0]
            for reply in replies[1:]:
                overlaid = bytes(one & other for one, other in zip(overlaid, reply, strict=False))
            half = len(overlaid) // 2 if self.pause_s else 0
            os.write(self._line, overlaid[:half])
            self._stopping.wait(self.pause_s)
            os.write(self._line, overlaid[half:])
