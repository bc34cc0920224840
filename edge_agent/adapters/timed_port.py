"""Puts timed lines where gateways can open them: a pseudo-terminal with a link to it, or a TCP port.

It stands here and not beside `device_profiles/timed_line.py`, since that package opens no sockets. One thread a line
carries octets between the operating system and the line; the line says when each octet has arrived.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import socket
import termios
import threading
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from device_profiles.framing.errors import FrameError
from device_profiles.scenario import LineKind, LineSpec, ScenarioInvalid, endpoint
from device_profiles.timed_line import TimedLine

READ_OCTETS = 4096
HUNG_UP_S = 0.01
"""How often an unused pseudo-terminal looks whether somebody has opened it."""
PIECE_S = 0.0005
"""Octets that arrive within this are handed over together, so that fast lines do not cost a processor."""
CLIENTS_MAX = 32
PSEUDO_TERMINALS = "/dev/pts/"
"""Only links into this folder are replaced: a link to a real device stays."""


class PlaceTaken(ScenarioInvalid):
    """A line cannot be put where it was asked for."""


class TimedPort:
    """One line, served by a thread from `start` to `stop`. `place` is where it can be opened."""

    def __init__(self, place: str, line: TimedLine) -> None:
        self.place = place
        self.line = line
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=f"line {place}", daemon=True)
        self._started_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """How long the line has been there [s]."""
        return time.monotonic() - self._started_s

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Take the line away. Further calls do nothing."""
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
        while not self._stopping.is_set():
            due_s = self.line.next_due_s
            wait_s = None if due_s is None else max(due_s - self.elapsed_s, PIECE_S)
            ready, _, _ = select.select([self._wake_read, *self._sources()], [], [], wait_s)
            for source in ready:
                if source != self._wake_read:
                    self._take_in(source)
            for to, octets in self.line.due(self.elapsed_s):
                if isinstance(to, int):
                    self._give_out(to, octets)

    def _sources(self) -> list[int]:
        raise NotImplementedError

    def _take_in(self, source: int) -> None:
        raise NotImplementedError

    def _give_out(self, to: int, octets: bytes) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class PtyPort(TimedPort):
    """A serial line: a link at `place` to a pseudo-terminal."""

    def __init__(self, place: str, line: TimedLine) -> None:
        self._path = Path(place)
        if self._path.is_symlink():
            is_free = os.readlink(self._path).startswith(PSEUDO_TERMINALS)
        else:
            is_free = not self._path.exists()
        if not is_free:
            raise PlaceTaken(f"{place} is there already and no link of an earlier simulation; give another path")
        self._near, far_end = pty.openpty()
        tty.setraw(far_end)
        os.set_blocking(self._near, False)
        self._settings = termios.tcgetattr(far_end)
        self._device = os.ttyname(far_end)
        os.close(far_end)
        try:
            self._path.unlink(missing_ok=True)
            self._path.symlink_to(self._device)
        except OSError as error:
            os.close(self._near)
            raise PlaceTaken(f"{place} cannot be made: {error.strerror}; give a path in a folder of yours") from error
        super().__init__(place, line)

    def _sources(self) -> list[int]:
        return [self._near]

    def _take_in(self, source: int) -> None:
        try:
            octets = os.read(source, READ_OCTETS)
        except OSError:  # nobody has the line open
            self._hung_up()
            return
        self.line.hear(octets, self.elapsed_s, source)

    def _hung_up(self) -> None:
        """Make the unused line as new: first settings, since a pseudo-terminal refuses parity twice; nothing kept."""
        self.line.forget(self._near)
        with contextlib.suppress(OSError, termios.error):
            far_end = os.open(self._device, os.O_RDWR | os.O_NOCTTY)
            try:
                termios.tcsetattr(far_end, termios.TCSAFLUSH, self._settings)
            finally:
                os.close(far_end)
        self._stopping.wait(HUNG_UP_S)

    def _give_out(self, to: int, octets: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody listens: octets are lost, as on any line
            os.write(to, octets)

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # a newer line may have taken the link over, or removed it
            if os.readlink(self._path) == self._device:
                self._path.unlink()
        os.close(self._near)


class TcpPort(TimedPort):
    """A line behind a TCP port; port 0 takes a free one, which then stands in `place`."""

    def __init__(self, place: str, line: TimedLine) -> None:
        host, number = endpoint(place)
        try:
            self._listener = socket.create_server((host, number))
        except OSError as error:
            raise PlaceTaken(f"{place} cannot be listened on: {error.strerror}; give another port") from error
        self._clients: dict[int, socket.socket] = {}
        super().__init__(f"{host}:{self._listener.getsockname()[1]}", line)

    def _sources(self) -> list[int]:
        return [self._listener.fileno(), *self._clients]

    def _take_in(self, source: int) -> None:
        if source == self._listener.fileno():
            with contextlib.suppress(OSError):  # it has given up meanwhile
                self._welcome(self._listener.accept()[0])
            return
        try:
            octets = self._clients[source].recv(READ_OCTETS)
            self.line.hear(octets, self.elapsed_s, source)
        except (OSError, FrameError):
            octets = b""
        if not octets:
            self._drop(source)

    def _give_out(self, to: int, octets: bytes) -> None:
        client = self._clients.get(to)
        if client is None:
            return
        try:
            client.sendall(octets)
        except OSError:  # it has gone, or does not take its answers
            self._drop(to)

    def _welcome(self, client: socket.socket) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            client.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[client.fileno()] = client

    def _drop(self, source: int) -> None:
        self.line.forget(source)
        self._clients.pop(source).close()

    def _close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._listener.close()


def timed_port(spec: LineSpec, seed: int, wall_s: int) -> TimedPort:
    """Open a line of a scenario; raises PlaceTaken."""
    line = spec.timed_line(seed, wall_s)
    return PtyPort(spec.place, line) if spec.kind is LineKind.SERIAL else TcpPort(spec.place, line)
