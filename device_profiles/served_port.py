"""What every simulated port needs: a thread that serves it until it is stopped, and a pseudo-terminal as its line."""

from __future__ import annotations

import contextlib
import os
import pty
import termios
import threading
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from device_profiles.timed_line import Speed

BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)

_BAUDS = {getattr(termios, f"B{baud}"): baud for baud in BAUDS if hasattr(termios, f"B{baud}")}
HUNG_UP_S = 0.01
"""How often an unused pseudo-terminal looks whether a gateway has opened it."""


class ServedPort:
    """A port that one thread serves from `start` to `stop`; `_wake_read` becomes readable when it has to end."""

    def __init__(self, name: str) -> None:
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Take the port away, as a pulled plug would. Further calls do nothing."""
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


class PseudoTerminal:
    """A serial line without a wire: `path` is a link to the end that a gateway opens, `near` the other end.

    Raises OSError where the link cannot be made. What stood at `path` is replaced; ask before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.near, far_end = pty.openpty()
        tty.setraw(far_end)
        os.set_blocking(self.near, False)
        self._settings = termios.tcgetattr(far_end)
        self._device = os.ttyname(far_end)
        os.close(far_end)
        link = path.with_name(path.name + ".new")
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(self._device)
            link.replace(path)
        except OSError:
            os.close(self.near)
            raise

    def send(self, octets: bytes) -> None:
        """Put octets on the line."""
        with contextlib.suppress(OSError):  # nobody listens: octets are lost, as on any line
            os.write(self.near, octets)

    def speed(self) -> Speed | None:
        """Give how the gateway has set its end; None where it set a speed that has no name here.

        A pseudo-terminal keeps the speed and the stop bits. Of parity it keeps only what our own gateway leaves beside
        it (edge_agent/adapters/serial_bus.py); another program's parity cannot be seen, and counts as none.
        """
        try:
            settings = termios.tcgetattr(self.near)
        except termios.error:
            return None
        baud = _BAUDS.get(settings[5])
        has_parity, is_odd = settings[0] & termios.INPCK, settings[2] & termios.PARODD
        parity = "N" if not has_parity else "O" if is_odd else "E"
        return None if baud is None else Speed(baud, parity, 2 if settings[2] & termios.CSTOPB else 1)

    def restore(self) -> None:
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

    def close(self) -> None:
        """Take the line away."""
        with contextlib.suppress(OSError):  # a newer line may have taken the link over, or removed it
            if os.readlink(self.path) == self._device:
                self.path.unlink()
        os.close(self.near)
